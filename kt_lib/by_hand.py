"""A notebook opened by hand: it reads the newest finished run, or the shipped sample of one, and writes to scratch."""

from __future__ import annotations

import datetime
from pathlib import Path

from kt_lib.history import Context, Input, RunRecord, StepRecord, inputs_from, newest_finished, step_of

SAMPLE = Path(__file__).with_name("sample") / "runs"
"""A finished small run that ships with kt, in the form of any other."""


def context_by_hand(notebook: str, root: Path, state: Path, sample: Path = SAMPLE) -> Context:
    """What a notebook opened by hand sees: the steps before it of the newest finished run, else of the sample."""
    runs = root / "outputs" / "runs"
    run = newest_finished(runs)
    if run is None:
        runs, run = sample, newest_finished(sample)
    steps = _steps_before(notebook, runs, run) if run else []
    inputs: dict[str, Input] = {}
    for folder, record in steps:
        inputs |= inputs_from(folder, record)
    folder = root / "outputs" / "scratch" / notebook
    folder.mkdir(parents=True, exist_ok=True)
    return Context(
        root=str(root),
        state=str(state),
        run_id=run.id if run else "scratch",
        notebook=notebook,
        folder=str(folder),
        inputs=inputs,
        steps=tuple(record for _, record in steps),
        by_hand=f"{_reads(run, runs == sample, inputs)} Writes to outputs/scratch/{notebook}, which no notebook reads.",
    )


def newest_inputs(root: Path) -> dict[str, Input]:
    """Every artifact of the newest finished run of a workspace; none before there is one."""
    runs = root / "outputs" / "runs"
    run = newest_finished(runs)
    inputs: dict[str, Input] = {}
    for folder, record in _steps_before("", runs, run) if run else ():
        inputs |= inputs_from(folder, record)
    return inputs


def _steps_before(notebook: str, runs: Path, run: RunRecord) -> list[tuple[Path, StepRecord]]:
    found: list[tuple[Path, StepRecord]] = []
    for place in run.steps:
        if place.notebook == notebook:
            break
        record = step_of(runs, place)
        if record is not None:
            found.append((runs / str(place.folder), record))
    return found


def _reads(run: RunRecord | None, shipped: bool, inputs: dict[str, Input]) -> str:
    """Where a notebook reads from, in a sentence; it must never be taken for another place."""
    if run is None:
        return "Reads nothing: no run has finished here, `kt run` makes one."
    if not inputs:
        return "Reads no run."
    tasks = inputs["tasks"].artifact.rows if "tasks" in inputs else None
    size = f" of {tasks:,} tasks" if tasks is not None else ""
    if shipped:
        return f"Reads the shipped sample, a small run{size}: no run has finished here, `kt run` makes one."
    ended = datetime.datetime.fromtimestamp(run.finished or run.created)
    return f"Reads run {run.id}{size}, the newest that finished ({ended:%d %b %H:%M})."
