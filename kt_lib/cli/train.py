"""`kt train`: an adapter from a file of rows, outside a run, by one process or by several."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kt_lib.errors import ParameterError, SourceError

if TYPE_CHECKING:
    from kt_lib.forecast import Forecast
    from kt_lib.recipes import DpoRecipe, Recipe, SftRecipe
    from kt_lib.records import Adapter, PreferencePair, SftRow, UnpairedRow

Kind = Literal["rows", "pairs", "judged answers"]
"""What a file may hold to learn from."""


def train(
    rows: Annotated[Path, typer.Argument(metavar="ROWS", help="SFT rows: of a run, or TRL's or OpenAI's layout.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write the adapters to: `sft`, `dpo`, `kto`.")],
    base: Annotated[
        Path | None, typer.Option("--base", help="Folder of the model's weights; the embedded model's by default.")
    ] = None,
    recipe: Annotated[str, typer.Option("--recipe", help="A shipped recipe by name, or a YAML file.")] = "embedded",
    pairs: Annotated[Path | None, typer.Option("--pairs", help="File of preference pairs to learn after SFT.")] = None,
    judged: Annotated[
        Path | None,
        typer.Option("--judged", help="File of answers judged one by one, to learn by KTO in place of pairs."),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Another value for a field: sft.learning_rate=1e-4."),
    ] = None,
    checkpoints: Annotated[
        Path | None, typer.Option("--checkpoints", help="Folder to keep them in, to go on after a crash.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what it will cost; a few rows are tried.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train an adapter on a file of rows: SFT, then preferences.

    Preferences are pairs of a better and a worse answer, learned by DPO, or answers of which each was judged by itself,
    learned by KTO; both by the recipe's `dpo` part. Rows longer than the recipe or the model allows are set aside and
    counted. With several GPUs start it by `accelerate launch --multi_gpu -m kt_lib train ...`, with several processes
    on CPUs by `torchrun --standalone --nproc-per-node 2 -m kt_lib train ...`: each takes its own part of every step,
    and the first one writes.
    """
    from kt_lib.forecast import forecast
    from kt_lib.training.engines import engine
    from kt_lib.training.layers import adapted, layers
    from kt_lib.training.trainable import started
    from kt_lib.training.trainers import check_judged

    how = _recipe(recipe, sets or [])
    preferences = _preferences(pairs, judged, how)
    folder = _base(base)
    preferred: list[Any] = []
    long: dict[Kind, int] = {}
    # Before a row is counted: Unsloth must come into the process before transformers does.
    with started(engine(how.sft)):
        # Layers that are not there are told before rows are read.
        adapted(layers(folder), how.sft.lora)
        taught, long["rows"] = _fitting(rows, "rows", folder, how.sft)
        if preferences and how.dpo:
            preferred, long[preferences[1]] = _fitting(*preferences, folder, how.dpo)
    if judged and how.dpo:
        check_judged(preferred, how.dpo)
    if plan:
        _tell_cost(forecast(folder, taught, preferred, how.sft, how.dpo), _engines(how, preferred), long, as_json)
        return
    _make_room(out, folder, taught, preferred, how)
    _tell_made(_trained(folder, taught, preferred, out, how, checkpoints), long, as_json)


def _base(given: Path | None) -> Path:
    """Folder of the model to train; ParameterError where it holds none."""
    from kt_lib.models.embedded import packaged_base

    if given is None:
        return packaged_base()
    if not given.is_dir():
        raise ParameterError(f"--base {given}: there is no such folder; give the one that holds the model's weights")
    needed = ("config.json", "*.safetensors", "tokenizer*")
    missing = [name for name in needed if not any(given.glob(name))]
    if missing:
        raise ParameterError(f"--base {given} holds no model that can be trained: {', '.join(missing)} is missing")
    return given


def _make_room(out: Path, base: Path, rows: list[SftRow], preferred: list[Any], how: Recipe) -> None:
    """The folders to write to, before the first step; ParameterError where they cannot be, or hold another training."""
    from kt_lib.training.adapter_files import CONFIG
    from kt_lib.training.checkpoints import maker_of, training_key
    from kt_lib.training.trainers import preference_training

    wanted = ["sft", *([preference_training(preferred)[0]] if preferred else ())]
    keys = dict.fromkeys(wanted, "")
    there = [name for name in ("sft", "dpo", "kto") if (out / name / CONFIG).is_file()]
    if "sft" in there:
        keys["sft"] = training_key("sft", base, None, how.sft, rows)
    if preferred and how.dpo and set(wanted) <= set(there):
        keys[wanted[1]] = training_key(wanted[1], base, out / "sft", how.dpo, preferred)
    for name in there:
        if not keys.get(name) or maker_of(out / name) != keys[name]:
            raise ParameterError(
                f"--out {out}: `{name}` in it is the adapter of another training; name another folder, or remove it"
            )
    for name in wanted:
        try:
            (out / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ParameterError(f"--out {out}: no folder can be made there ({error.strerror})") from None


def _preferences(pairs: Path | None, judged: Path | None, how: Recipe) -> tuple[Path, Kind] | None:
    """The file of preferences and what it is to hold; None without one."""
    if pairs and judged:
        raise ParameterError("--pairs and --judged: an adapter learns by DPO or by KTO, so give one of them")
    found: tuple[Path, Kind] | None = (pairs, "pairs") if pairs else (judged, "judged answers") if judged else None
    if found and how.dpo is None:
        option = "--pairs" if pairs else "--judged"
        raise ParameterError(f"{option}: the recipe {how.name} has no DPO part to learn them by")
    return found


def _trained(
    base: Path,
    rows: list[SftRow],
    preferred: list[PreferencePair] | list[UnpairedRow],
    out: Path,
    how: Recipe,
    checkpoints: Path | None,
) -> list[Adapter]:
    from kt_lib.training.checkpoints import forget_finished
    from kt_lib.training.trainers import preference_training, train_sft

    made = [train_sft(base, rows, out / "sft", how.sft, _bar("SFT"), checkpoints)]
    if preferred:
        name, learn = preference_training(preferred)
        made.append(learn(base, out / "sft", preferred, out / name, how.dpo, _bar(name.upper()), checkpoints))
    if checkpoints:
        forget_finished(checkpoints)
    return made


def _recipe(name: str, sets: list[str]) -> Recipe:
    import yaml

    from kt_lib.errors import ParameterError
    from kt_lib.recipes import changed, recipe

    parts: dict[str, dict[str, Any]] = {"sft": {}, "dpo": {}}
    for one in sets:
        path, equals, text = one.partition("=")
        part, _, field = path.partition(".")
        if not equals or part not in parts or not field:
            raise ParameterError(f"--set {one!r}: write `sft.FIELD=VALUE` or `dpo.FIELD=VALUE`")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = text
        place, _, inner = field.partition(".")
        if inner:
            parts[part].setdefault(place, {})[inner] = value
        else:
            parts[part][place] = value
    return changed(recipe(name), parts["sft"], parts["dpo"])


def _fitting(path: Path, what: Kind, base: Path, part: SftRecipe | DpoRecipe) -> tuple[list[Any], int]:
    """What a file gives to learn from, and how much of it was too long; SourceError where nothing is left."""
    from kt_lib.training.plan import reads
    from kt_lib.training.trainers import fitting

    kept, long = fitting(_taught(path, what), base, part.max_length)
    if long and not kept:
        most = reads(base)
        own = part.max_length and part.max_length <= most
        bound = f"`max_length` {part.max_length}: set it higher" if own else f"the {most} tokens that the model reads"
        raise SourceError(f"{path}: all {len(long):,} {what} are longer than {bound}, or give shorter ones")
    if not kept:
        raise SourceError(f"{path}: none of its {what} can be learned, the people in them did not agree: give others")
    return kept, len(long)


def _taught(path: Path, what: Kind) -> list[Any]:
    """What may be learned of a file; SourceError where it holds anything else, or a broken row."""
    from kt_lib.datafiles.layouts import read_dataset
    from kt_lib.permissions import enforce

    read = read_dataset(path)
    if read.set_aside:
        first = read.set_aside[0]
        raise SourceError(
            f"{path}: {len(read.set_aside):,} row(s) cannot be used, the first at {first.source.place}:"
            f" {first.reason}. `kt dataset validate` tells all of them, `kt dataset convert` leaves them out"
        )
    found: dict[Kind, Sequence[Any]] = {"rows": read.rows, "pairs": read.pairs, "judged answers": read.unpaired}
    others = {kind: len(held) for kind, held in found.items() if held and kind != what}
    if others or not found[what]:
        held = " and ".join(f"{len(found[kind]):,} {kind}" for kind in found if found[kind]) or "nothing"
        remedy = _remedy(what, others, mixed=bool(found[what]))
        raise SourceError(f"{path} holds {held} where {what} are wanted: {remedy}")
    kept, refused = enforce(found[what], "train")
    for why, count in refused.items():
        typer.echo(f"{path.name}: {count:,} left out: {why}", err=True)
    return kept


def _remedy(what: Kind, others: Collection[Kind], mixed: bool) -> str:
    if mixed or len(others) > 1:
        return "`kt dataset convert --only` writes each kind to a file of its own"
    given: dict[Kind, str] = {"rows": "as ROWS", "pairs": "by --pairs", "judged answers": "by --judged"}
    return "".join(f"{kind} are given {given[kind]}" for kind in others) or f"give a file of {what}"


def _bar(what: str) -> Any:
    """A bar on a terminal, elsewhere a line for each tenth; nothing from the second process on."""
    import sys

    from tqdm import tqdm

    seen = sys.stderr.isatty()
    bar = tqdm(desc=what, unit="step", disable=not seen or not _first())

    def on_step(done: int, of: int, loss: float) -> None:
        if not seen and _first() and (done * 10 // of > (done - 1) * 10 // of):
            typer.echo(f"{what}: step {done:,} of {of:,}, loss {loss:.4f}", err=True)
        bar.total = of
        bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
        bar.update(done - bar.n)
        if done >= of:
            bar.close()

    return on_step


def _engines(how: Recipe, preferred: list[Any]) -> list[str]:
    """By what and on what it trains, and why; one line where both parts go the same way."""
    from kt_lib.training.engines import engine

    parts = [how.sft, *([how.dpo] if preferred and how.dpo else ())]
    return list(dict.fromkeys(engine(part).reason for part in parts))


def _tell_cost(told: list[Forecast], engines: list[str], long: dict[Kind, int], as_json: bool) -> None:
    if not _first():
        return
    if as_json:
        forecasts = [one.model_dump() for one in told]
        typer.echo(json.dumps({"engine": engines, "forecast": forecasts, "too_long": long}))
        return
    for line in engines:
        typer.echo(line)
    for one in told:
        typer.echo(
            f"{one.name}: {one.rows:,} rows, {one.tokens:,} tokens, the longest {one.longest}; {one.steps:,} steps,"
            f" about {one.seconds:,.0f} s and {one.memory.total_mb:,.0f} MB ({one.memory.formula})"
        )
    _tell_long(long)


def _tell_made(made: list[Adapter], long: dict[Kind, int], as_json: bool) -> None:
    if not _first():
        return
    if as_json:
        typer.echo(json.dumps({"adapters": [one.model_dump(mode="json") for one in made], "too_long": long}))
        return
    for one in made:
        typer.echo(
            f"{one.name}: {one.rows:,} rows, {one.steps:,} steps, loss {one.losses[0][1]:.4f} to"
            f" {one.losses[-1][1]:.4f} in {one.seconds:.1f} s, {one.peak_mb:,.0f} MB at the peak, by {one.engine}"
        )
    _tell_long(long)


def _tell_long(long: dict[Kind, int]) -> None:
    for what, count in long.items():
        if count:
            typer.echo(
                f"{count:,} {what} were too long and are left out; raise `max_length` where the model reads more"
            )


def _first() -> bool:
    """Whether this is the only process, or the first of several."""
    return os.environ.get("RANK", "0") == "0"
