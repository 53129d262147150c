"""The tasks of one's own chats and files, shared out between learning, choosing and proving."""

from __future__ import annotations

from collections.abc import Iterable

from kt_lib.records import Conversation, Part, Record, Task
from kt_lib.splits import part_of

SHARES: dict[Part, float] = {"train": 0.4, "dev": 0.2, "test": 0.4}

RECORDED = "recorded"
"""Tag of tasks that came with results."""


class ChatPart(Record):
    """The part of the split that a conversation belongs to, whether it gave tasks or not."""

    chat: str
    """The conversation's id."""
    part: Part
    """Its part: labels on others than those of `train` teach nothing."""


def parts_of_chats(chats: Iterable[Conversation], seed: int | None) -> list[ChatPart]:
    """The part of each conversation, as `own_tasks` decides it; all of the sample's (seed None) are for training."""
    return [ChatPart(chat=chat.id, part="train" if seed is None else part_of(chat.id, SHARES, seed)) for chat in chats]


def own_tasks(tasks: Iterable[Task], seed: int) -> list[Task]:
    """The tasks that can be put to a model, with their parts: all of one conversation or template go to the same part.

    Tasks of recorded results stay out: what worked is known of them, what counts as right is not.
    """
    return [
        task.model_copy(update={"part": part_of(task.group or task.id, SHARES, seed)})
        for task in tasks
        if RECORDED not in task.tags
    ]
