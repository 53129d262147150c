"""The workspace: where things lie, who holds it, what a run would do, what there is, and what can go."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil
from filelock import FileLock, Timeout
from pydantic import JsonValue

from kt_lib.artifacts import write_whole
from kt_lib.errors import ConsentRequired, ModelError, RunbookError, WorkspaceBusy
from kt_lib.history import RunRecord, newest_finished, runs_in, step_of
from kt_lib.library import DigestMemory
from kt_lib.params import NOTEBOOKS, NotebookParams
from kt_lib.planning import Decision, Finished, ModelDigest, Planner
from kt_lib.records import Record
from kt_lib.runbook import PreparedStep, Runbook, load_runbook, prepare
from kt_lib.runs import labels_in
from kt_lib.settings import Settings

CHECKPOINTS = "checkpoints"
"""Folder below the state in which trainings keep what they go on from."""
REPORT_FILES = frozenset({"report.html", "report.json", "report.md"})
"""Artifacts that are shown at the top of the outputs."""


class Request(Record):
    """What is asked of `kt run` or `kt plan`."""

    runbook: str = "runbook.yaml"
    """Runbook, from the workspace on or absolute."""
    overrides: dict[str, JsonValue] = {}
    """Parameters from the command line."""
    from_step: str | None = None
    """Run this step and all after it again, changed or not."""
    force: bool = False
    """Run every step again."""

    def command(self) -> str:
        """The command that asks for this again, without forcing what has finished."""
        words = ["kt", "run"]
        words += ["--runbook", self.runbook] if self.runbook != "runbook.yaml" else []
        for name, value in self.overrides.items():
            words += ["-p", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
        return shlex.join(words)


class Holder(Record):
    """Who holds the workspace."""

    pid: int
    """Process."""
    host: str
    """Its machine."""
    since: float
    """Seconds since the epoch."""
    command: str
    """What it was asked."""

    def describe(self) -> str:
        """In words."""
        minutes = int((time.time() - self.since) // 60)
        return f"`{self.command}` (process {self.pid} on {self.host}) since {minutes} min"


class Workspace:
    """A folder with `runbook.yaml`, `notebooks/`, `params/` and `outputs/`."""

    def __init__(
        self,
        root: Path,
        *,
        models: Mapping[str, type[NotebookParams]] = NOTEBOOKS,
        model_digest: ModelDigest | None = None,
        state: Path | None = None,
    ) -> None:
        self.root = root.absolute()
        self.models = models
        self.outputs = self.root / "outputs"
        self.runs = self.outputs / "runs"
        self.state = state or Settings().state_folder(self.root)
        self._model_digest = model_digest or digest_of_model

    def load(self, request: Request) -> tuple[Runbook, list[PreparedStep]]:
        """The runbook and its steps, checked and in order. Raises `RunbookError` or `ParameterError`."""
        runbook = load_runbook(self.root / request.runbook)
        steps = prepare(runbook, self.root, self.models, request.overrides)
        if request.from_step and request.from_step not in [step.name for step in steps]:
            names = ", ".join(step.name for step in steps)
            raise RunbookError(f"--from {request.from_step}: no such step in the runbook ({names})")
        return runbook, steps

    def plan(self, request: Request) -> list[Decision]:
        """What `kt run` would do with each step, and why."""
        with self.planner(request) as planner:
            return planner.plan(self.load(request)[1])

    @contextlib.contextmanager
    def planner(self, request: Request) -> Iterator[Planner]:
        """A planner over every finished step there is; what it learned of digests is kept."""
        memory = DigestMemory(self.outputs / ".digests.json")
        finished = Finished(self.runs, memory)
        yield Planner(
            self.root,
            memory,
            finished,
            self._model_digest,
            lambda: labels_in(self.state),
            force=request.force,
            from_step=request.from_step,
        )
        memory.save()

    @contextlib.contextmanager
    def hold(self, command: str) -> Iterator[None]:
        """Hold the workspace alone; the system lets go of it when the process ends, however it ends.

        Raises `WorkspaceBusy`, which names the holder.
        """
        self.outputs.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.outputs / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            holder = self.holder()
            who = holder.describe() if holder else "another kt"
            raise WorkspaceBusy(f"{self.root} is held by {who}: wait for it, or end it and start again") from None
        mine = Holder(pid=os.getpid(), host=socket.gethostname(), since=time.time(), command=command)
        try:
            write_whole(self._holder_file, mine.model_dump_json())
            yield
        finally:
            self._holder_file.unlink(missing_ok=True)
            lock.release()

    def holder(self) -> Holder | None:
        """Who holds the workspace now; a dead process holds nothing."""
        try:
            holder = Holder.model_validate_json(self._holder_file.read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return None if holder.host == socket.gethostname() and not _lives(holder) else holder

    def newest(self) -> RunRecord | None:
        """The newest finished run."""
        return newest_finished(self.runs)

    def publish(self, run: RunRecord) -> None:
        """Put a run's report at the top of the outputs, where it is not there yet, its links set for that place."""
        from kt_lib.report_page import published

        for place in run.steps:
            record = step_of(self.runs, place)
            for name in REPORT_FILES & (record.writes.keys() if record else set()):
                source = published((self.runs / str(place.folder) / name).read_bytes())
                target = self.outputs / name
                if not target.is_file() or target.read_bytes() != source:
                    write_whole(target, source)

    def write_index(self) -> None:
        """Bring `outputs/index.html`, the list of runs, up to date."""
        from kt_lib.report_index import write_index

        write_index(self.outputs)

    def clean(self, keep: int) -> list[str]:
        """Remove all but the `keep` newest finished runs and the runs whose steps those reuse; returns the removed ids.

        The ledger remembers the removed runs.
        """
        with self.hold("kt clean"):
            found = runs_in(self.runs)
            finished = [run for run in found if run.status == "finished"][:keep]
            needed = {run.id for run in finished}
            needed |= {Path(place.folder).parts[0] for run in finished for place in run.steps if place.folder}
            stale = [folder.name for folder in self._run_folders() if folder.name not in needed]
            for name in stale:
                # Renamed first, so that a run cut off while it is removed is never taken for a whole one.
                doomed = self.runs / (name if name.startswith(".") else f".{name}.removed")
                os.replace(self.runs / name, doomed)
                shutil.rmtree(doomed)
            self.write_index()
            return sorted(name for name in stale if not name.startswith("."))

    def clean_checkpoints(self) -> list[str]:
        """Remove what a training left in order to go on where a run finished after that; returns the removed names."""
        with self.hold("kt clean"):
            newest = self.newest()
            ended = (newest.finished if newest else None) or 0.0
            places = sorted((self.state / CHECKPOINTS).glob("*"))
            stale = [place for place in places if place.stat().st_mtime < ended]
            for place in stale:
                shutil.rmtree(place) if place.is_dir() else place.unlink()
            return [place.name for place in stale]

    def _run_folders(self) -> list[Path]:
        return [folder for folder in self.runs.iterdir() if folder.is_dir()] if self.runs.is_dir() else []

    @property
    def _holder_file(self) -> Path:
        return self.outputs / ".holder.json"


def _lives(holder: Holder) -> bool:
    """Whether the process is still there, and not another one under its number."""
    try:
        return psutil.Process(holder.pid).create_time() <= holder.since + 1
    except psutil.NoSuchProcess:
        return False


def ask_consent(steps: Sequence[PreparedStep]) -> None:
    """ConsentRequired, before any kernel starts, where a step would send something to another machine."""
    from kt_lib.models.opening import remote_host

    for step in steps:
        said = step.params.model_dump()
        asked = () if said.get("allow_remote", True) else (said.get("model"), said.get("judge"))
        host = next((found for name in asked if name and (found := remote_host(str(name)))), None)
        if host:
            raise ConsentRequired(
                f"{step.name} would send requests to {host}, which is not this machine: give consent for this run with"
                " --allow-remote (e-mail addresses, phone numbers, keys and tokens are taken out first)"
            )


def digest_of_model(name: str) -> str | None:
    """What the model is now; None when it cannot be asked (the last known digest then stands)."""
    from kt_lib.models.opening import open_model

    try:
        return open_model(name).digest
    except (ModelError, PermissionError):
        return None
