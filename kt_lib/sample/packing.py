"""Makes the shipped sample: a real small run in a workspace of its own, packed without what no notebook reads."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from kt_lib.artifacts import files_below, write_whole
from kt_lib.by_hand import SAMPLE
from kt_lib.errors import ArtifactError
from kt_lib.history import RUN_FILE, STEP_FILE, RunRecord, StepRecord, step_of
from kt_lib.running import Progress, run
from kt_lib.workspace import Request, Workspace

RUNBOOK = "params/runbooks/sample.yaml"
RUN_ID = "sample"
REPORT = "report."
"""How the artifacts begin that no notebook reads."""


def make_sample(root: Path, progress: Progress, to: Path = SAMPLE) -> list[Path]:
    """Run the sample's runbook with the notebooks and parameters at `root` and pack it as `to`; returns its files.

    Nothing is written at `root`. Errors as of `kt run`; ArtifactError when the packed run names a place on this
    machine.
    """
    with tempfile.TemporaryDirectory() as scratch:
        there = Path(scratch)
        for name in ("notebooks", "params"):
            shutil.copytree(root / name, there / name, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
        shutil.copy(root / "runbook.yaml", there)
        workspace = Workspace(there, state=there / "outputs" / "state")
        ended = run(workspace, Request(runbook=RUNBOOK), progress).run
        made = there / "packed"
        pack(workspace.runs, ended, made)
        refuse_places(made, (str(there), str(root), str(Path.home())))
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(made, to)
    return files_below(to)


def pack(runs: Path, ended: RunRecord, to: Path) -> None:
    """Copy a finished run to `to` under a name that stays, with each step's artifacts but without pages and reports."""
    places = []
    for place in ended.steps:
        record = step_of(runs, place)
        if record is None:
            raise ArtifactError(f"{place.notebook} did not finish ({place.why}): the sample needs every step")
        writes = {name: one for name, one in record.writes.items() if not name.startswith(REPORT)}
        folder = to / RUN_ID / place.notebook
        folder.mkdir(parents=True)
        for artifact in writes.values():
            source = runs / str(place.folder) / artifact.file
            if artifact.kind == "folder":
                shutil.copytree(source, folder / artifact.file)
            else:
                shutil.copy(source, folder)
        kept: StepRecord = record.model_copy(update={"run": RUN_ID, "writes": writes})
        write_whole(folder / STEP_FILE, kept.model_dump_json(indent=1))
        places.append(place.model_copy(update={"folder": f"{RUN_ID}/{place.notebook}"}))
    packed = ended.model_copy(update={"id": RUN_ID, "steps": tuple(places)})
    write_whole(to / RUN_ID / RUN_FILE, packed.model_dump_json(indent=1))


def refuse_places(folder: Path, places: tuple[str, ...]) -> None:
    """ArtifactError when a file in `folder` names one of `places`: a sample goes to other machines."""
    for file in files_below(folder):
        text = file.read_bytes()
        for place in places:
            if place != "/" and place.encode() in text:
                raise ArtifactError(f"{file.relative_to(folder)} names {place}: a sample goes to other machines")
