"""The list of runs: `outputs/index.html`, each with when it ran, how it ended, its verdict and its pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kt_lib.artifacts import write_whole
from kt_lib.history import RunRecord, runs_in, step_of
from kt_lib.pages import policy, script_data, stylesheet
from kt_lib.records import Record
from kt_lib.report_compare import one_run, parameters_of, said_in
from kt_lib.report_page import environment, when
from kt_lib.showing import shown

_FIGURES = (
    ("chat", "chat_success"),
    ("agent before", "agent_success_before"),
    ("agent after", "agent_success_after"),
    ("malformed after", "malformed_after"),
)


class Row(Record):
    """One run in the list."""

    id: str
    """Run id."""
    name: str
    """The runbook's name."""
    status: str
    """running, finished, failed."""
    created: float
    """Seconds since the epoch."""
    seconds: float
    """Wall seconds of the steps this run executed itself."""
    steps: tuple[tuple[str, str, str, str], ...]
    """(notebook, status, page relative to the outputs folder or empty, why)."""
    overrides: str
    """What was given on the command line."""
    report: str = ""
    """Its report, relative to the outputs folder."""
    verdict: str = ""
    """The report's verdict in words."""
    figures: tuple[tuple[str, float | None], ...] = ()
    """(name, rate) of the verdict."""


def write_index(outputs: Path) -> Path:
    """Write `index.html` in the outputs folder from what lies in its runs; returns its path."""
    path = outputs / "index.html"
    write_whole(path, index_html(outputs))
    return path


def index_html(outputs: Path) -> str:
    """The list of runs, newest first, as a self-contained page."""
    rows = [_row(outputs, run) for run in runs_in(outputs / "runs")]
    template = environment().get_template("index.html.j2")
    script = stylesheet("compare.js").strip()
    told = script_data([_side(outputs / "runs", row) for row in rows])
    css = stylesheet() + stylesheet("report.css")
    return str(template.render(rows=rows, css=css, policy=policy(script), script=script, told=told))


def _side(runs: Path, row: Row) -> dict[str, Any]:
    """What of a run is held against another one, in words."""
    one = one_run(runs, row.id)
    return {
        "id": row.id,
        "when": when(row.created),
        "facts": {"verdict": one.verdict, **one.figures, "versions": ", ".join(one.versions) or "\u2013"},
        "parameters": parameters_of(runs, row.id),
    }


def _row(outputs: Path, run: RunRecord) -> Row:
    runs, steps, seconds, report, said = outputs / "runs", [], 0.0, "", {}
    for place in run.steps:
        folder = runs / place.folder if place.folder else None
        page = folder / "page.html" if folder else None
        link = page.relative_to(outputs).as_posix() if page and page.is_file() else ""
        steps.append((place.notebook, place.status, link, shown(place.why, 300)))
        record = step_of(runs, place)
        seconds += record.seconds if record and record.run == run.id else 0.0
        if folder and (folder / "report.html").is_file():
            report, said = (folder / "report.html").relative_to(outputs).as_posix(), said_in(folder / "report.json")
    return Row(
        id=run.id,
        name=shown(run.name, 200),
        status=run.status,
        created=run.created,
        seconds=seconds,
        steps=tuple(steps),
        overrides=", ".join(f"{shown(name, 60)} = {shown(str(value), 120)}" for name, value in run.overrides.items()),
        report=report,
        verdict=shown(str(said.get("verdict", "")), 600),
        figures=tuple((label, _value(said.get(name))) for label, name in _FIGURES) if said else (),
    )


def _value(rate: Any) -> float | None:
    value = rate.get("value") if isinstance(rate, dict) else None
    return float(value) if isinstance(value, int | float) else None
