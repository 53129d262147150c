"""What the newest finished run of a workspace wrote, for commands that go on from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from kt_lib.records import Record

AnyRecord = TypeVar("AnyRecord", bound="Record")


def rows_of_newest_run(root: Path, name: str, type_: type[AnyRecord]) -> list[AnyRecord]:
    """The rows called `name` that the newest finished run of a workspace wrote; none where there are none."""
    from kt_lib.artifacts import read_rows
    from kt_lib.history import inputs_from, newest_finished, step_of

    runs = root / "outputs" / "runs"
    run = newest_finished(runs)
    for place in run.steps if run else ():
        record = step_of(runs, place)
        found = record and inputs_from(runs / str(place.folder), record).get(name)
        if found:
            return list(read_rows(Path(found.path), type_, found.artifact))
    return []
