"""Two runs held against each other: parameters, figures, verdicts, and the tasks that both attempted, paired."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from kt_lib.artifacts import read_rows
from kt_lib.errors import ArtifactError
from kt_lib.gate import paired_table
from kt_lib.history import RunRecord, StepRecord, runs_in, step_of
from kt_lib.records import Attempt, PairedTable, Record, Task
from kt_lib.showing import shown

log = logging.getLogger(__name__)

FIGURES = (
    ("chat", "chat_success"),
    ("agent before", "agent_success_before"),
    ("agent after", "agent_success_after"),
    ("malformed after", "malformed_after"),
)
_NOT_PAIRED = "they attempted no task in common: the figures stand side by side, and prove no difference"


class OneRun(Record):
    """One side of the comparison."""

    id: str
    """Run id."""
    verdict: str
    """The report's verdict."""
    figures: dict[str, str]
    """Rates with interval and n, in words."""
    versions: tuple[str, ...]
    """Versions made in it."""


class Comparison(Record):
    """Two runs, and what differs."""

    first: OneRun
    """The one named first."""
    second: OneRun
    """The other."""
    parameters: dict[str, tuple[str, str]]
    """`step.parameter` by value in the first and in the second, where they differ."""
    paired: PairedTable | None
    """The agents after training on the tasks both attempted; None where there are none."""
    note: str
    """What the comparison can say."""


def compared(outputs: Path, first: str, second: str) -> Comparison:
    """Two runs of a workspace by their ids, or by the beginnings of them. ArtifactError for a run that is not there."""
    runs = outputs / "runs"
    one, other = _named(runs, first), _named(runs, second)
    steps, others = _steps(runs, one), _steps(runs, other)
    table = paired_table(_after(runs, one), _after(runs, other))
    note = "on the tasks that both attempted, the second minus the first" if table.n else _NOT_PAIRED
    return Comparison(
        first=_one(runs, one, steps),
        second=_one(runs, other, others),
        parameters=_changed(steps, others),
        paired=table if table.n else None,
        note=note,
    )


def one_run(runs: Path, name: str) -> OneRun:
    """A run's verdict, figures and versions."""
    run = _named(runs, name)
    return _one(runs, run, _steps(runs, run))


def parameters_of(runs: Path, name: str) -> dict[str, str]:
    """Every parameter of a run's steps, `step.parameter` by value."""
    steps = _steps(runs, _named(runs, name))
    return {f"{step}.{key}": _written(one.parameters, key) for step, one in steps.items() for key in one.parameters}


def compared_text(found: Comparison) -> str:
    """The comparison for a terminal."""
    lines = [f"A  {found.first.id}: {found.first.verdict}", f"B  {found.second.id}: {found.second.verdict}", ""]
    names = dict.fromkeys([*found.first.figures, *found.second.figures])
    lines += [
        f"{name:<16} A {found.first.figures.get(name, '–'):<34} B {found.second.figures.get(name, '–')}"
        for name in names
    ]
    lines += [
        f"versions         A {', '.join(found.first.versions) or '–'}   B {', '.join(found.second.versions) or '–'}",
        "",
    ]
    lines += [f"{name}: A {a}, B {b}" for name, (a, b) in found.parameters.items()] or ["The same parameters."]
    if found.paired:
        table = found.paired
        lines += ["", f"Agent after, B minus A: {table.in_points} on {table.n} tasks, p {table.p_value:.2g}"]
    return "\n".join([*lines, f"({found.note})"])


def _named(runs: Path, name: str) -> RunRecord:
    everything = runs_in(runs)
    exact = [run for run in everything if run.id == name]
    matches = exact or [run for run in everything if run.id.startswith(name)]
    if len(matches) != 1:
        known = ", ".join(run.id for run in everything[:6]) or "none"
        what = "is no run" if not matches else "is the beginning of several runs"
        raise ArtifactError(f"{name!r} {what} (there are: {known})")
    return matches[0]


def _steps(runs: Path, run: RunRecord) -> dict[str, StepRecord]:
    found = ((place.notebook, step_of(runs, place)) for place in run.steps)
    return {name: record for name, record in found if record is not None}


def _one(runs: Path, run: RunRecord, steps: dict[str, StepRecord]) -> OneRun:
    said: dict[str, Any] = {}
    for place in run.steps:
        path = runs / str(place.folder) / "report.json"
        if place.folder and path.is_file():
            said = said_in(path)
    figures = {label: _rate(said[name]) for label, name in FIGURES if isinstance(said.get(name), dict)}
    versions = [str(steps[name].metrics["version"]) for name in steps if steps[name].metrics.get("version")]
    verdict = shown(str(said.get("verdict", "no report")), 600)
    return OneRun(id=run.id, verdict=verdict, figures=figures, versions=tuple(versions))


def said_in(path: Path) -> dict[str, Any]:
    """What a run's `report.json` says; nothing, with a warning, where it cannot be read."""
    try:
        said = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError) as error:
        # A list of runs must not fail for one of them.
        log.warning("%s cannot be read and its verdict is left out: %s", path, error)
        return {}
    return said if isinstance(said, dict) else {}


def _rate(rate: dict[str, Any]) -> str:
    value, low, high = (rate.get(name) for name in ("value", "low", "high"))
    if not all(isinstance(one, int | float) for one in (value, low, high)):
        return "–"
    return f"{value:.1%} ({low:.1%} to {high:.1%}, n = {rate.get('n')})"


def _changed(first: dict[str, StepRecord], second: dict[str, StepRecord]) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for name in sorted(first.keys() | second.keys()):
        one = first[name].parameters if name in first else {}
        other = second[name].parameters if name in second else {}
        for key in sorted(one.keys() | other.keys()):
            if one.get(key) != other.get(key):
                found[f"{name}.{key}"] = (_written(one, key), _written(other, key))
    return found


def _written(values: dict[str, JsonValue], name: str) -> str:
    return shown(json.dumps(values[name], ensure_ascii=False), 120) if name in values else "–"


def _after(runs: Path, run: RunRecord) -> list[Attempt]:
    """The agent's attempts with the candidate of a run; none where nothing was trained."""
    for place in run.steps:
        record = step_of(runs, place)
        if record and place.folder and "attempts_after" in record.writes and record.metrics.get("candidate"):
            artifact = record.writes["attempts_after"]
            rows = read_rows(runs / place.folder / artifact.file, Attempt, artifact)
            wanted, main = (record.metrics["candidate"], "agent"), _main_tasks(runs, run)
            return [one for one in rows if (one.lever, one.mode) == wanted and one.task_id in main]
    return []


def _main_tasks(runs: Path, run: RunRecord) -> set[str]:
    """The held-out tasks that carry a run's verdict; the guards' are left out."""
    for place in run.steps:
        record = step_of(runs, place)
        if record and place.folder and "tasks" in record.writes:
            artifact = record.writes["tasks"]
            rows = read_rows(runs / place.folder / artifact.file, Task, artifact)
            return {task.id for task in rows if task.part == "test" and task.kind == "main"}
    return set()
