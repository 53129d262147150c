"""`kt ingest`: chats, feedback, agent results and tasks into the workspace, each once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from kt_lib.sources.ingesting import FileReport, IngestReport

_SHOWN = (
    ("conversations", "messages", "branches", "tool_calls", "tool_results", "ratings", "edits"),
    ("tasks", "attempts", "reports"),
)


def ingest(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Files, or folders of them.")],
    answers: Annotated[
        Path | None, typer.Option(help="BFCL answer file; else possible_answer/ beside the questions is looked at.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Licence of these files; else the text of one beside them is looked at.")
    ] = None,
    consent: Annotated[
        bool | None, typer.Option("--consent/--no-consent", help="Whether the people in them agreed to training use.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Read chats, feedback, agent results and tasks; keep each once; set aside what cannot be used.

    Reads Open WebUI (UI export, API array or lines, admin export, feedback export, webui.db), test-suite reports and
    traces, OpenAI-style and tau-bench trajectories with a reward, InterCode results, BFCL tasks, training rows (OpenAI,
    ShareGPT, Alpaca, Toucan, Glaive, AgentInstruct, xLAM, ToolACE), STAR dialogues, Taskmaster's judged actions and
    NL2Bash's judged commands (CSV).

    A record is a chat, a feedback row, a trajectory, an InterCode item, a BFCL row, a report or a trace line, or a
    piece of a file that could not be read as one: each is stored, a duplicate, or set aside. A chat that grew is
    stored, merged with what was there. The other totals say what was added; branches are leaves of the chats' trees.

    Records are kept as JSON lines in `ingest/` of the state folder (KT_STATE, or outputs/state). Ends with exit code 1
    when a whole file could not be used; the others are kept all the same.
    """
    from kt_lib.sources.ingesting import ingest as read_into
    from kt_lib.sources.licences import Terms
    from kt_lib.sources.store import Store

    store, terms = Store(_state() / "ingest"), Terms(licence=licence, consent=consent)
    report = _watched(lambda told: read_into(files, store, answers=answers, terms=terms, progress=told), as_json)
    if as_json:
        typer.echo(json.dumps(_as_json(report), ensure_ascii=False))
    else:
        _show(report)
    for problem in report.problems:
        typer.echo(f"kt: {' '.join(problem.split())}", err=True)
    if report.problems:
        raise typer.Exit(1)


def _state() -> Path:
    """The state folder; one named by KT_STATE needs no workspace around."""
    from kt_lib.runs import workspace_root
    from kt_lib.settings import Settings

    settings = Settings()
    return settings.state_folder(Path.cwd() if settings.state else workspace_root())


def _watched(work: Callable[[Callable[[Path, int], None] | None], IngestReport], quiet: bool) -> IngestReport:
    """Do the work, with a moving line on stderr where that is a terminal."""
    if quiet or not sys.stderr.isatty():
        return work(None)
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    with console.status("reading") as status:

        def told(path: Path, records: int) -> None:
            if records % 50 == 0:
                status.update(Text(f"{path.name}: {records:,} records"))

        return work(told)


def _as_json(report: IngestReport) -> dict[str, object]:
    files = [file.model_dump(mode="json") for file in report.files]
    totals = report.totals.model_dump()
    return {**totals, "set_aside_file": report.set_aside_file, "files": files, "problems": list(report.problems)}


def _show(report: IngestReport) -> None:
    for file in report.files:
        typer.echo(_line(file))
    totals = report.totals.model_dump()
    grown = f" ({totals['grown']:,} of them chats that grew)" if totals["grown"] else ""
    typer.echo(
        f"{totals['records_in']:,} records in = {totals['stored']:,} stored{grown} + {totals['duplicate']:,} duplicate"
        f" + {totals['set_aside']:,} set aside"
    )
    for names in _SHOWN:
        said = ", ".join(f"{totals[name]:,} {name.replace('_', ' ')}" for name in names if totals[name])
        if said:
            typer.echo(f"  added: {said}")
    if totals["set_aside"]:
        typer.echo(f"  set aside, with reason and place: {report.set_aside_file}")


def _line(file: FileReport) -> str:
    read_as = ", ".join(f"{count:,} {form}" for form, count in file.formats.items()) or "nothing that is known"
    return f"{Path(file.file).name}: {read_as}"
