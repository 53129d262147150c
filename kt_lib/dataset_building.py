"""Builds a declared mix: gathers its sources, cleans them, draws, and freezes the result with card and content hash."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kt_lib.artifacts import file_digest, write_whole
from kt_lib.datafiles.card import dataset_card
from kt_lib.datafiles.layouts import write_pairs, write_rows
from kt_lib.datafiles.lengths import Ruler
from kt_lib.dataset_sources import MADE_HERE, Given, OnSource, Workplace, gathered
from kt_lib.errors import ParameterError, SetupError
from kt_lib.leakage import LeakageReport, measure_leakage, refuse_leaks
from kt_lib.mixes import Mix
from kt_lib.mixing import FunnelStep, Mixed, SourceLine, mixed
from kt_lib.permissions import Purpose, enforce
from kt_lib.preparing import prepared, prepared_pairs
from kt_lib.records import PreferencePair, Protocol, Record, SftRow, Task
from kt_lib.yaml_files import read_yaml

_SHIPPED = files("kt_lib") / "shipped_mixes"
REPORT = "mix.json"
_REASONS = 4
"""Reasons told in one line."""


class Built(Record):
    """A dataset as it was built."""

    name: str
    """The mix."""
    rows: int
    """SFT rows."""
    pairs: int
    """Preference pairs, every one of them verified by what its evidence says."""
    sources: tuple[SourceLine, ...]
    """What was asked, available and used, by source."""
    funnel: tuple[FunnelStep, ...]
    """From the sources' rows to the dataset."""
    pairs_funnel: tuple[FunnelStep, ...]
    """The same for pairs."""
    left_out: dict[str, dict[str, int]]
    """What sources hold that gave neither row nor pair, by source and reason."""
    leakage: LeakageReport
    """What was held against what after cleaning."""
    digest: str
    """Hash over the rows in their order."""
    files: dict[str, str]
    """sha256 of each file."""


def shipped_mixes() -> list[str]:
    """Names of the mixes that ship with kt."""
    return sorted(file.name.removesuffix(".yaml") for file in _SHIPPED.iterdir() if file.name.endswith(".yaml"))


def mix_of(name_or_path: str, changes: dict[str, Any] | None = None) -> Mix:
    """A shipped mix by its name, or one of your own by its YAML file, with some fields set anew.

    ParameterError, with the known names or the faults, for a name nobody knows and a file that is no mix.
    """
    if name_or_path in shipped_mixes():
        with as_file(_SHIPPED / f"{name_or_path}.yaml") as path:
            values = read_yaml(path, "mix", ParameterError)
    elif Path(name_or_path).suffix in (".yaml", ".yml"):
        values = read_yaml(Path(name_or_path), "mix", ParameterError)
    else:
        known = ", ".join(shipped_mixes())
        raise ParameterError(f"no mix is called {name_or_path!r}: take one of {known}, or a YAML file")
    try:
        return Mix.model_validate({**values, **(changes or {})})
    except (ValidationError, TypeError) as error:
        faults = error.errors() if isinstance(error, ValidationError) else [{"loc": (), "msg": "it holds no fields"}]
        told = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'the mix'}: {one['msg']}" for one in faults)
        raise ParameterError(f"{name_or_path}: {told}") from None


def build(
    mix: Mix,
    place: Workplace,
    out: Path,
    *,
    protocol: Protocol,
    ruler: Ruler,
    threshold: float,
    max_length: int | None = None,
    purpose: Purpose = "train",
    allow: Sequence[str] = (),
    on_source: OnSource = lambda name: None,
) -> Built:
    """Writes rows and pairs (TRL's layout, JSON lines and Parquet), card and report of a mix to the folder `out`.

    Rows near an evaluation task of `place` are taken out first, and LeakageError is raised if any is found afterwards.
    """
    _refuse_other_folder(out)
    given = gathered(mix, place, protocol, on_source)
    on_source("cleaning")
    ready = prepared({name: one.rows for name, one in given.items()}, place.tasks, threshold, ruler, max_length)
    shared = {name: enforce(rows, purpose, allow)[0] for name, rows in ready.sources.items()}
    drawn = mixed(mix, shared)
    pairs, pairs_funnel = _pairs(given, drawn, place.tasks, threshold, purpose, allow, mix.seed)
    funnel = [*ready.funnel]
    if purpose == "share":
        left = _reasons(ready.sources, allow)
        funnel.append(FunnelStep(step="may be shared", rows=sum(map(len, shared.values())), left_out=left))
    funnel.append(_drawn(mix, drawn, shared))
    drawn = drawn.model_copy(update={"lines": _told(drawn.lines, given, pairs)})
    if not drawn.rows and not pairs:
        why = _why_nothing(mix, given, [*funnel, *pairs_funnel])
        raise SetupError(f"the mix {mix.name!r} finds nothing to draw: {why}")
    leakage = measure_leakage(place.tasks, drawn.rows, pairs, (), threshold)
    refuse_leaks(leakage)
    on_source("writing")
    card = dataset_card(
        drawn.rows,
        pairs,
        leakage=leakage,
        funnel=funnel,
        pairs_funnel=pairs_funnel,
        sources=drawn.lines,
        ruler=ruler,
        content_hash=drawn.digest,
        name=mix.name,
    )
    return _frozen(out, mix, drawn, pairs, funnel, pairs_funnel, given, leakage, card)


def _drawn(mix: Mix, drawn: Mixed, pools: Mapping[str, Sequence[SftRow]]) -> FunnelStep:
    unasked = sum(max(0, len(pool) - line.used) for pool, line in zip(pools.values(), drawn.lines, strict=True))
    again, more = sum(line.repeated for line in drawn.lines), len(drawn.rows) - mix.rows
    step = f"drawn by the mix{f', {again:,} of them again' if again else ''}"
    step += f", {more:,} more than the {mix.rows:,} that it declares: counts come on top of shares" if more > 0 else ""
    return FunnelStep(step=step, rows=len(drawn.rows), left_out={"more than asked for": unasked} if unasked else {})


def _told(
    lines: Iterable[SourceLine], given: Mapping[str, Given], pairs: Sequence[PreferencePair]
) -> tuple[SourceLine, ...]:
    """The lines, with why where a source gives no rows: one that gives pairs, or whose rows fell out, is not absent."""
    counts = Counter(pair.source for pair in pairs)
    return tuple(
        line if line.available else line.model_copy(update={"note": _why_no_rows(line, given[line.name], counts)})
        for line in lines
    )


def _why_no_rows(line: SourceLine, given: Given, pairs: Mapping[str, int]) -> str:
    if pairs[line.name]:
        return f"gives no rows, and {pairs[line.name]:,} pairs"
    if given.rows:
        return f"none of its {len(given.rows):,} rows is left: the steps below say why"
    return f"gives no rows: {_counted(given.left_out)}" if given.left_out else line.note


def _why_nothing(mix: Mix, given: Mapping[str, Given], steps: Iterable[FunnelStep]) -> str:
    fallen = sum((Counter(left) for left in (*(one.left_out for one in given.values()),
                                             *(step.left_out for step in steps))), Counter[str]())  # fmt: skip
    strange = [name for name, one in mix.sources.items() if not one.files and name not in MADE_HERE]
    if fallen:
        return f"all that its sources give fell out: {_counted(dict(fallen.most_common()))}"
    return f"{', '.join(strange)} comes from `--files`" if strange else "its sources are empty"


def _counted(reasons: Mapping[str, int]) -> str:
    """The first few reasons, with how often each."""
    told = [f"{count:,} {why}" for why, count in list(reasons.items())[:_REASONS]]
    return "; ".join(told) + (f"; and {len(reasons) - _REASONS:,} other reasons" if len(reasons) > _REASONS else "")


def _refuse_other_folder(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()) and not (out / REPORT).is_file():
        raise SetupError(f"{out} holds other things and no dataset of kt's: name a new folder with --out")


def _reasons(sources: dict[str, Any], allow: Sequence[str]) -> dict[str, int]:
    return enforce([row for rows in sources.values() for row in rows], "share", allow)[1]


def _pairs(
    given: Mapping[str, Given],
    drawn: Mixed,
    tasks: Iterable[Task],
    threshold: float,
    purpose: Purpose,
    allow: Sequence[str],
    seed: int,
) -> tuple[list[PreferencePair], list[FunnelStep]]:
    told = [pair.model_copy(update={"source": name}) for name, one in given.items() for pair in one.pairs]
    pairs, funnel = prepared_pairs(told, drawn.rows, tasks, threshold)
    if purpose == "share":
        pairs, why = enforce(pairs, "share", allow)
        funnel.append(FunnelStep(step="may be shared", rows=len(pairs), left_out=why))
    pairs, why = _no_more_than_rows(pairs, {line.name: line.asked for line in drawn.lines}, seed)
    funnel.append(FunnelStep(step="of each source no more than rows are asked of it", rows=len(pairs), left_out=why))
    return pairs, funnel


def _no_more_than_rows(
    pairs: Sequence[PreferencePair], most: Mapping[str, int], seed: int
) -> tuple[list[PreferencePair], dict[str, int]]:
    """Pairs drawn by source, so that none swamps the others: thousands of drafts would outweigh everything else."""
    kept: list[PreferencePair] = []
    why: dict[str, int] = {}
    for name, count in most.items():
        own = [pair for pair in pairs if pair.source == name]
        drawn = random.Random(f"{seed} pairs {name}").sample(own, min(count, len(own)))
        kept += drawn
        why |= {f"more than {count:,} of `{name}`": len(own) - len(drawn)} if len(drawn) < len(own) else {}
    return kept, why


def _frozen(
    out: Path,
    mix: Mix,
    drawn: Mixed,
    pairs: list[PreferencePair],
    funnel: Sequence[FunnelStep],
    pairs_funnel: Sequence[FunnelStep],
    given: dict[str, Given],
    leakage: LeakageReport,
    card: str,
) -> Built:
    out.mkdir(parents=True, exist_ok=True)
    names = []
    for ending in ("jsonl", "parquet"):
        write_rows(out / f"rows.{ending}", drawn.rows)
        write_pairs(out / f"pairs.{ending}", pairs)
        names += [f"rows.{ending}", f"pairs.{ending}"]
    write_whole(out / "README.md", card)
    built = Built(
        name=mix.name,
        rows=len(drawn.rows),
        pairs=len(pairs),
        sources=drawn.lines,
        funnel=tuple(funnel),
        pairs_funnel=tuple(pairs_funnel),
        left_out={name: one.left_out for name, one in given.items() if one.left_out},
        leakage=leakage,
        digest=drawn.digest,
        files={name: file_digest(out / name) for name in names},
    )
    told = {"mix": mix.model_dump(mode="json"), **built.model_dump(mode="json")}
    write_whole(out / REPORT, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    return built
