"""The tasks of one's own chats and files, shared out between learning, choosing and proving."""

from __future__ import annotations

from collections.abc import Iterable

from kt_lib.records import Part, Task
from kt_lib.splits import part_of

SHARES: dict[Part, float] = {"train": 0.4, "dev": 0.2, "test": 0.4}


def own_tasks(tasks: Iterable[Task], seed: int) -> list[Task]:
    """The tasks with their parts: all of one conversation or template go to the same part."""
    return [task.model_copy(update={"part": part_of(task.group or task.id, SHARES, seed)}) for task in tasks]
