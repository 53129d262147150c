"""`kt dataset build`: a declared mix from what is available, frozen with its card."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from kt_lib.datafiles.lengths import Ruler
    from kt_lib.dataset_building import Built
    from kt_lib.dataset_sources import Workplace
    from kt_lib.records import Task


_REASONS = 8


def build(
    mix: Annotated[str, typer.Argument(metavar="[MIX]", help="A shipped mix by name, or a YAML file.")] = "documented",
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path("dataset"),
    file: Annotated[
        list[str] | None, typer.Option("--files", metavar="SOURCE=PATH", help="Files or a folder of a source; again.")
    ] = None,
    licence: Annotated[
        list[str] | None, typer.Option("--licence", metavar="SOURCE=NAME", help="Licence of a source's files; again.")
    ] = None,
    rows: Annotated[int | None, typer.Option("--rows", min=1, help="Rows in all; shares are taken of them.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed of what is drawn.")] = None,
    protocol: Annotated[Literal["json", "native"], typer.Option("--protocol", help="How calls are made.")] = "json",
    model: Annotated[Path | None, typer.Option("--model", help="Folder of the model that shall learn from it.")] = None,
    max_length: Annotated[int | None, typer.Option("--max-length", min=1, help="Most tokens of a row.")] = None,
    near: Annotated[
        float, typer.Option("--near", min=0.01, max=1, help="Likeness from which two texts are one.")
    ] = 0.95,
    share: Annotated[
        bool, typer.Option("--share", help="For others: only what licence and consent permit to pass on.")
    ] = False,
    allow: Annotated[
        list[str] | None, typer.Option("--allow", metavar="NAME", help="Source or licence you answer for; again.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Build a dataset from a declared mix; what is absent leaves its share empty, and the report says so.

    Writes rows and preference pairs (TRL's layout, JSON lines and Parquet), the dataset card README.md and mix.json. A
    source is made by kt (corrections, conversational), is the newest run's (existing), the ingested chats' (curated),
    or is read from `--files`. Rows are each once, far from every evaluation task of the newest run, and short enough.
    """
    from kt_lib.dataset_building import build as make
    from kt_lib.dataset_building import mix_of
    from kt_lib.showing import shown

    began = time.monotonic()
    declared = mix_of(mix, {} if seed is None else {"seed": seed}).scaled(rows)
    sources = {**declared.sources}
    for option, field in (("--files", "files"), ("--licence", "licence")):
        for name, value in _named(file if field == "files" else licence, option, sources):
            given = (*sources[name].files, value) if field == "files" else value
            sources[name] = sources[name].model_copy(update={field: given})
    built = make(
        declared.model_copy(update={"sources": sources}),
        workplace(),
        out,
        protocol=protocol,
        ruler=ruler(model),
        threshold=near,
        max_length=max_length,
        purpose="share" if share else "train",
        allow=allow or (),
        on_source=lambda name: None if as_json else typer.echo(f"{shown(name, 100)} ...", err=True),
    )
    if as_json:
        typer.echo(built.model_dump_json())
    else:
        _show(built, out, time.monotonic() - began)


def _named(given: list[str] | None, option: str, sources: Any) -> list[tuple[str, str]]:
    from kt_lib.errors import ParameterError

    found = []
    for word in given or []:
        name, equals, value = word.partition("=")
        if not equals or not value:
            raise ParameterError(f"{option} {word}: write it as SOURCE=...")
        if name not in sources:
            raise ParameterError(f"{option} {word}: the mix has no source {name!r}; there are {', '.join(sources)}")
        found.append((name, value))
    return found


def ruler(model: Path | None) -> Ruler:
    """The chosen model's tokenizer, else the embedded one's, which says that it is another's; an estimate without."""
    from kt_lib.datafiles.lengths import estimate, ruler_of

    return ruler_of(model) if model else estimate()


def workplace() -> Workplace:
    """What the workspace around has to give: the newest finished run, and what `kt ingest` stored."""
    from kt_lib.artifacts import read_rows
    from kt_lib.by_hand import newest_inputs
    from kt_lib.dataset_sources import Workplace
    from kt_lib.records import Conversation, Edit, PreferencePair, SftRow
    from kt_lib.records import Task as AnyTask
    from kt_lib.runs import workspace_root
    from kt_lib.settings import Settings
    from kt_lib.sources.store import Store

    root = workspace_root()
    inputs = newest_inputs(root)
    kinds: dict[str, type[Any]] = {"sft_rows": SftRow, "preference_pairs": PreferencePair, "tasks": AnyTask}
    read: dict[str, list[Any]] = {
        name: list(read_rows(Path(inputs[name].path), kind, inputs[name].artifact)) if name in inputs else []
        for name, kind in kinds.items()
    }
    store = Store(Settings().state_folder(root) / "ingest")
    chats, edits = list(store.read(Conversation)), list(store.read(Edit))
    tasks = read["tasks"] or _first_tasks(root)
    return Workplace(read["sft_rows"], read["preference_pairs"], tasks, chats, edits)


def _first_tasks(root: Path) -> list[Task]:
    """Before any run, the tasks of the embedded world that the first one would be judged on."""
    from kt_lib.params import IngestParams
    from kt_lib.workspace import Request, Workspace
    from kt_lib.world.suite import world_tasks

    _, steps = Workspace(root).load(Request())
    return [task for step in steps if isinstance(step.params, IngestParams) for task in world_tasks([], step.params)]


def _show(built: Built, out: Path, seconds: float) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from kt_lib.showing import shown

    console = Console(highlight=False)
    table = Table("Source", "Asked", "Available", "Used", "Note", box=None, pad_edge=False)
    for one in built.sources:
        counts = (f"{count:,}" for count in (one.asked, one.available, one.used))
        table.add_row(Text(shown(one.name, 100)), *counts, Text(shown(one.note, 300)))
    console.print(table)
    for title, steps in (("Rows", built.funnel), ("Pairs", built.pairs_funnel if built.pairs_funnel[0].rows else ())):
        funnel = Table("Step", title, "Left out", box=None, pad_edge=False)
        for step in steps:
            fallen = "; ".join(f"{count:,} {why}" for why, count in step.left_out.items())
            funnel.add_row(Text(step.step), f"{step.rows:,}", Text(shown(fallen, 1000)))
        if steps:
            console.print(funnel)
    for name, reasons in built.left_out.items():
        told = "; ".join(f"{count:,} {reason}" for reason, count in list(reasons.items())[:_REASONS])
        more = f"; {len(reasons) - _REASONS:,} other reasons in mix.json" if len(reasons) > _REASONS else ""
        typer.echo(shown(f"{name} gave nothing of: {told}{more}", 2000))
    held = built.leakage
    typer.echo(
        f"{built.rows:,} rows and {built.pairs:,} preference pairs in {out}, {seconds:.0f} s\n"
        f"{len(held.leaks)} leaks of {held.evaluation_tasks:,} evaluation tasks (by name, by whole request, by likeness"
        f" from {held.threshold} on: Jaccard over three-word shingles, exact; and by a request within a longer text)\n"
        f"content hash {built.digest}"
    )
