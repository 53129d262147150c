"""Running a runbook: step after step, what is finished reused, what fails kept with its page."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kt_lib.artifacts import write_whole
from kt_lib.errors import Interrupted, StepFailed
from kt_lib.history import (
    CONTEXT_FILE,
    PRODUCED_FILE,
    RUN_FILE,
    STEP_FILE,
    Context,
    Input,
    RunRecord,
    StepInRun,
    StepRecord,
    new_run_id,
    produced_in,
    steps_in,
)
from kt_lib.planning import Decision, Planner, Progressed, skipped_record
from kt_lib.records import Record
from kt_lib.runbook import PreparedStep
from kt_lib.runs import CONTEXT_VARIABLE
from kt_lib.workspace import Request, Workspace, ask_consent

if TYPE_CHECKING:
    from kt_lib.execution import Ending
    from kt_lib.ledger import Ledger

log = logging.getLogger(__name__)

NOTEBOOK_FILE = "notebook.ipynb"
PAGE_FILE = "page.html"
Render = Callable[[Path, Path], None]
"""Renders an executed notebook to a page."""


class Progress(Protocol):
    """Who is told how a run goes."""

    def step_started(self, name: str, number: int, of: int, why: str) -> None:
        """A kernel is about to start."""

    def cell_started(self, number: int, of: int) -> None:
        """A code cell is about to run."""

    def step_ended(self, name: str, number: int, of: int, status: str, note: str) -> None:
        """A step is finished, reused, skipped or failed."""


class Result(Record):
    """What a run came to."""

    run: RunRecord
    """The run, or the newest finished one when there was nothing to do."""
    changed: bool
    """Whether anything was done."""


def run(workspace: Workspace, request: Request, progress: Progress, render: Render | None = None) -> Result:
    """Bring every step of a runbook up to date.

    Raises `SetupError` before any kernel starts, `WorkspaceBusy`, or `StepFailed` for the first notebook that fails;
    what was finished by then is reused the next time.
    """
    runbook, steps = workspace.load(request)
    with workspace.hold(request.command()):
        with workspace.planner(request) as planner:
            decisions = planner.plan(steps)
        last = workspace.newest()
        if last and _stands(decisions, last, workspace.runs):
            workspace.publish(last)
            workspace.write_index()
            return Result(run=last, changed=False)
        ask_consent(steps)
        from kt_lib.ledger import open_ledger

        with open_ledger(workspace.state) as ledger, workspace.planner(request) as planner:
            # Steps of a run that was killed between a step's file and the ledger.
            ledger.record_steps(record for _, record in steps_in(workspace.runs) if record.run)
            record = RunRecord(
                id=new_run_id(workspace.runs),
                name=runbook.name,
                runbook=Path(request.runbook).name,
                overrides=request.overrides,
                status="running",
                steps=tuple(StepInRun(notebook=step.name, status="waiting") for step in steps),
                created=time.time(),
            )
            return Result(
                run=_Run(workspace, request, record, progress, render, ledger).go(steps, planner), changed=True
            )


class _Run:
    def __init__(
        self,
        workspace: Workspace,
        request: Request,
        record: RunRecord,
        progress: Progress,
        render: Render | None,
        ledger: Ledger,
    ) -> None:
        self.workspace, self.request, self.record = workspace, request, record
        self.progress, self.render, self.ledger = progress, render or _rendered, ledger
        self.folder = workspace.runs / record.id
        self.so_far = Progressed()
        self.pages: dict[str, str] = {}

    def go(self, steps: list[PreparedStep], planner: Planner) -> RunRecord:
        """Every step in turn."""
        self.folder.mkdir(parents=True)
        self._save()
        try:
            for number, step in enumerate(steps, start=1):
                self._one(step, planner.decide(step, self.so_far), number, len(steps))
        except KeyboardInterrupt:
            name = self._stopped("interrupted")
            raise Interrupted(f"interrupted in {name} | resume: {self.request.command()}") from None
        except BaseException:
            self._stopped("failed")
            raise
        self.workspace.publish(self.record)
        self._save(status="finished")
        self.workspace.write_index()
        return self.record

    def _stopped(self, status: str) -> str:
        """Say of the run, and of the step that was running, how they ended; returns the step's name."""
        running = next((place for place in self.record.steps if place.status == "running"), None)
        if running:
            self._place(running.notebook, status, self.workspace.runs / str(running.folder), status)
            self.progress.step_ended(running.notebook, 0, 0, status, "it did not finish")
        self._save(status=status)
        self.workspace.write_index()
        return running.notebook if running else "no step"

    def _one(self, step: PreparedStep, decision: Decision, number: int, of: int) -> None:
        why = "; ".join(decision.why)
        if decision.action == "skip":
            self.so_far.add(skipped_record(self.record.id, decision), None)
            self._place(step.name, "skipped", None, why)
            self.progress.step_ended(step.name, number, of, "skipped", why)
        elif decision.action == "reuse":
            folder = Path(str(decision.folder))
            record = StepRecord.model_validate_json((folder / STEP_FILE).read_bytes())
            self._settle(record, folder, "reused" if record.status == "finished" else "skipped", record.reason or why)
            self.progress.step_ended(step.name, number, of, "reused", f"{why} since run {record.run}")
        else:
            self.progress.step_started(step.name, number, of, why)
            record, folder = self._execute(step, decision)
            self._settle(record, folder, record.status, record.reason or why)
            took = f"{record.seconds:.1f} s (cpu {record.cpu_seconds:.1f} s)"
            note = f"{record.reason}, {took}" if record.status == "skipped" else took
            self.progress.step_ended(step.name, number, of, record.status, note)

    def _settle(self, record: StepRecord, folder: Path, status: str, why: str) -> None:
        self.so_far.add(record, folder)
        page = folder / PAGE_FILE
        if page.is_file():
            self.pages[record.notebook] = page.relative_to(self.workspace.outputs).as_posix()
        self._place(record.notebook, status, folder, why)

    def _execute(self, step: PreparedStep, decision: Decision) -> tuple[StepRecord, Path]:
        from kt_lib.execution import run_notebook

        assert decision.fingerprint is not None
        folder = self.folder / step.name
        folder.mkdir(parents=True)
        self._place(step.name, "running", folder, "; ".join(decision.why))
        write_whole(folder / CONTEXT_FILE, self._context(step, folder, decision).model_dump_json())
        parameters = step.params.model_dump(mode="json")
        started = time.time()
        ending = run_notebook(
            Path(step.notebook.path),
            folder / NOTEBOOK_FILE,
            parameters,
            environment=kernel_environment(folder / CONTEXT_FILE, self.workspace.state),
            seconds=step.minutes * 60,
            on_cell=self.progress.cell_started,
        )
        rendered = self._page(folder)
        if ending.cause is not None:
            raise self._failure(step, folder, ending, rendered)
        produced = produced_in(folder)
        record = StepRecord(
            notebook=step.name,
            run=self.record.id,
            status="skipped" if ending.skipped is not None else "finished",
            reason=produced.skipped or "",
            key=decision.fingerprint.key,
            fingerprint=decision.fingerprint,
            parameters=parameters,
            reads={name: one.artifact.sha256 for name, one in self._inputs(step).items()},
            writes=produced.writes,
            metrics=produced.metrics,
            seconds=round(ending.seconds, 3),
            cpu_seconds=round(ending.cpu_seconds, 3),
            started=started,
            finished=time.time(),
        )
        # Last of all: from here on the step is finished, whatever happens to us.
        write_whole(folder / STEP_FILE, record.model_dump_json(indent=1))
        (folder / PRODUCED_FILE).unlink(missing_ok=True)
        (folder / CONTEXT_FILE).unlink()
        self.ledger.record_steps([record])
        return record, folder

    def _context(self, step: PreparedStep, folder: Path, decision: Decision) -> Context:
        return Context(
            root=str(self.workspace.root),
            state=str(self.workspace.state),
            run_id=self.record.id,
            notebook=step.name,
            folder=str(folder),
            inputs=self._inputs(step),
            labels=decision.labels,
            steps=tuple(self.so_far.records.values()),
            pages=self.pages,
        )

    def _inputs(self, step: PreparedStep) -> dict[str, Input]:
        """What the notebook names; a notebook that looks at every step may read all that they wrote."""
        if step.notebook.sees_all:
            return dict(self.so_far.inputs)
        named = step.notebook.reads | step.notebook.optional
        return {name: one for name, one in self.so_far.inputs.items() if name in named}

    def _page(self, folder: Path) -> bool:
        try:
            self.render(folder / NOTEBOOK_FILE, folder / PAGE_FILE)
        except Exception:
            # A page that cannot be drawn must not cost the work it shows.
            log.exception("%s could not be rendered", folder / NOTEBOOK_FILE)
            return False
        return True

    def _failure(self, step: PreparedStep, folder: Path, ending: Ending, rendered: bool) -> StepFailed:
        where = f" in cell {ending.cell} (`{ending.source[:60]}`)" if ending.cell else ""
        cause = re.sub(r"\s+", " ", str(ending.cause)).strip()
        cause = cause if len(cause) <= 400 else f"{cause[:397]}..."
        self._place(step.name, "failed", folder, f"failed{where}: {cause}")
        self.progress.step_ended(step.name, 0, 0, "failed", f"{ending.seconds:.1f} s")
        page = os.path.relpath(folder / (PAGE_FILE if rendered else NOTEBOOK_FILE))
        return StepFailed(f"{step.name} failed{where}: {cause} | page: {page} | resume: {self.request.command()}")

    def _place(self, name: str, status: str, folder: Path | None, why: str) -> None:
        below = folder.relative_to(self.workspace.runs).as_posix() if folder else None
        place = StepInRun.model_validate({"notebook": name, "status": status, "folder": below, "why": why})
        steps = tuple(place if one.notebook == name else one for one in self.record.steps)
        self.record = self.record.model_copy(update={"steps": steps})
        self._save()

    def _save(self, status: str | None = None) -> None:
        if status:
            self.record = self.record.model_copy(update={"status": status, "finished": time.time()})
        write_whole(self.folder / RUN_FILE, self.record.model_dump_json(indent=1))
        self.ledger.record_run(self.record)


def kernel_environment(context: Path, state: Path) -> dict[str, str]:
    """What a kernel's environment says on top of ours: where its step is, offline, no more threads than free cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, min(8, cores // 2)))
    return {
        CONTEXT_VARIABLE: str(context),
        "KT_STATE": str(state),
        "OMP_NUM_THREADS": threads,
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "MPLBACKEND": "agg",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "PYTHONHASHSEED": "0",
    }


def _stands(decisions: list[Decision], last: RunRecord, runs: Path) -> bool:
    """Whether the newest finished run is already what the plan comes to."""
    if any(decision.action in ("run", "depends") for decision in decisions):
        return False
    planned = {one.notebook: Path(one.folder).relative_to(runs).as_posix() if one.folder else None for one in decisions}
    return planned == {place.notebook: place.folder for place in last.steps}


def _rendered(notebook: Path, page: Path) -> None:
    from kt_lib.pages import render_notebook

    render_notebook(notebook, page)
