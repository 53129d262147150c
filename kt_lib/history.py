"""The history of runs: what `run.json` and `step.json` say, and how they are read back."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import JsonValue, ValidationError

from kt_lib.artifacts import Artifact
from kt_lib.records import Record, content_id
from kt_lib.standing import Standing

log = logging.getLogger(__name__)

Kind = TypeVar("Kind", bound=Record)

PRODUCED_FILE = "produced.json"
STEP_FILE = "step.json"
RUN_FILE = "run.json"
CONTEXT_FILE = "context.json"


class Input(Record):
    """An artifact of an earlier step, as a later one sees it."""

    path: str
    """Absolute path."""
    artifact: Artifact
    """What it was when it was written."""
    notebook: str
    """The step that wrote it."""


class Produced(Record):
    """What a running step has written so far; the file is replaced whole after each write."""

    writes: dict[str, Artifact] = {}
    """Artifacts that are whole."""
    metrics: dict[str, JsonValue] = {}
    """Numbers and small values for `when`, the report and the ledger."""
    skipped: str | None = None
    """Why there was nothing to do."""


class Fingerprint(Record):
    """Everything a step's result depends on, and nothing else: no time, no run id, no permission."""

    cells: str
    """Digest of the code cells."""
    parameters: dict[str, JsonValue]
    """Parameters, without permissions."""
    inputs: dict[str, str]
    """sha256 of each artifact read, and of the metrics of each step asked for them."""
    files: dict[str, str]
    """sha256 of each file named by a parameter."""
    library: dict[str, str]
    """Digest of each kt_lib module the notebook reaches."""
    model: str | None
    """Digest of the model."""
    labels: str | None = None
    """Digest of what people's labels say, where the notebook looks at them."""

    @property
    def key(self) -> str:
        """The step's key."""
        return content_id(self.model_dump(mode="json"))


class StepRecord(Record):
    """`step.json`: a finished step."""

    notebook: str
    """Notebook, for example `03_difference`."""
    run: str
    """Run that executed it."""
    status: Literal["finished", "skipped"]
    """skipped: there was nothing to do, see `reason`."""
    reason: str = ""
    """Why it was skipped."""
    key: str
    """Hash of the fingerprint."""
    fingerprint: Fingerprint | None
    """What the key is made of; None for a step that was never started."""
    parameters: dict[str, JsonValue] = {}
    """Every parameter."""
    reads: dict[str, str] = {}
    """sha256 by artifact read."""
    writes: dict[str, Artifact] = {}
    """Artifacts written."""
    metrics: dict[str, JsonValue] = {}
    """Metrics."""
    seconds: float = 0.0
    """Wall seconds."""
    cpu_seconds: float = 0.0
    """CPU seconds of the kernel, its children and the runner."""
    started: float = 0.0
    """Seconds since the epoch."""
    finished: float = 0.0
    """Seconds since the epoch."""


class StepInRun(Record):
    """A step's place in a run."""

    notebook: str
    """Notebook."""
    status: Literal["waiting", "running", "finished", "skipped", "reused", "failed", "interrupted"]
    """reused: an earlier run's step stands for it; interrupted: somebody ended `kt run` meanwhile."""
    folder: str | None = None
    """The step's folder below the runs folder (an earlier run's, when reused)."""
    why: str = ""
    """Why it ran, was skipped or failed."""


class RunRecord(Record):
    """`run.json`: a run and what became of its steps."""

    id: str
    """Sortable id."""
    name: str
    """The runbook's name."""
    runbook: str
    """The runbook's file name."""
    overrides: dict[str, JsonValue] = {}
    """Parameters given on the command line."""
    status: Literal["running", "finished", "failed", "interrupted"]
    """A run that says `running` while nobody holds the workspace was killed, and counts as interrupted too."""
    steps: tuple[StepInRun, ...] = ()
    """Its steps in order."""
    created: float
    """Seconds since the epoch."""
    finished: float | None = None
    """Seconds since the epoch."""


class Context(Record):
    """What the runner tells the kernel, in the file that `KT_STEP` names."""

    root: str
    """Workspace."""
    state: str
    """State folder."""
    run_id: str
    """Run id."""
    notebook: str
    """Notebook."""
    folder: str
    """Folder to write to."""
    inputs: dict[str, Input] = {}
    """Artifacts of earlier steps by name."""
    labels: Standing | None = None
    """The labels as they stood when the step was decided; None where the notebook does not ask for them."""
    steps: tuple[StepRecord, ...] = ()
    """Earlier steps of this run."""
    pages: dict[str, str] = {}
    """Page of each earlier step, relative to the outputs folder."""
    by_hand: str = ""
    """Where a notebook opened by hand reads from and writes to, in words; empty under `kt run`."""


def produced_in(folder: Path) -> Produced:
    """What a step has written so far; nothing where it has written nothing."""
    path = folder / PRODUCED_FILE
    return Produced.model_validate_json(path.read_bytes()) if path.is_file() else Produced()


def new_run_id(runs: Path) -> str:
    """A sortable id, later than every id there is."""
    newest = max((folder.name for folder in runs.iterdir()), default="") if runs.is_dir() else ""
    while True:
        now = datetime.datetime.now(datetime.UTC)
        found = f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}"
        if found > newest:
            return found
        time.sleep(0.001)


def runs_in(runs: Path) -> list[RunRecord]:
    """Every readable `run.json` below the runs folder, newest first."""
    found = (_read(folder / RUN_FILE, RunRecord) for folder in _folders(runs))
    return [run for run in found if run is not None]


def steps_in(runs: Path) -> Iterator[tuple[Path, StepRecord]]:
    """Every finished step below the runs folder with its folder, newest run first."""
    for folder in _folders(runs):
        for path in sorted(folder.glob(f"*/{STEP_FILE}")):
            record = _read(path, StepRecord)
            if record is not None:
                yield path.parent, record


def newest_finished(runs: Path) -> RunRecord | None:
    """The newest run that ended well."""
    return next((run for run in runs_in(runs) if run.status == "finished"), None)


def step_of(runs: Path, place: StepInRun) -> StepRecord | None:
    """The record of a step in a run, wherever its folder lies; None when it was never finished."""
    return _read(runs / place.folder / STEP_FILE, StepRecord) if place.folder else None


def inputs_from(folder: Path, record: StepRecord) -> dict[str, Input]:
    """What a finished step offers to the steps after it."""
    return {
        name: Input(path=str(folder / artifact.file), artifact=artifact, notebook=record.notebook)
        for name, artifact in record.writes.items()
    }


def _folders(runs: Path) -> list[Path]:
    return (
        sorted((one for one in runs.iterdir() if one.is_dir() and not one.name.startswith(".")), reverse=True)
        if runs.is_dir()
        else []
    )


def _read(path: Path, type_: type[Kind]) -> Kind | None:
    try:
        return type_.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        # Written whole, so this is another version's file or a hand's: it is not reused, and the step runs again.
        log.warning("%s cannot be read and is left out: %s", path, error.errors()[0]["msg"])
        return None
