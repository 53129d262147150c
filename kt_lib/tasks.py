"""The tasks of one's own chats and files, shared out between learning, choosing and proving."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from kt_lib.records import Conversation, Part, Record, Task
from kt_lib.splits import part_of

SHARES: dict[Part, float] = {"train": 0.4, "dev": 0.2, "test": 0.4}

RECORDED = "recorded"
"""Tag of tasks that came with results."""

OWN_CHAT = "own chat"
"""Tag of tasks taken from chats."""


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


def by_evidence(tasks: Iterable[Task]) -> dict[str, int]:
    """How many of the tasks taken from chats stand on whose word."""
    return dict(Counter(task.check.evidence for task in tasks if OWN_CHAT in task.tags).most_common())


def lacking_evidence(tasks: Iterable[Task], tied: Sequence[str] = ()) -> str:
    """How many tasks from chats nobody vouched for, and what would make them count, in words."""
    found = by_evidence(tasks)
    whole, lacking = sum(found.values()), found.get("none", 0)
    if not whole:
        return "No task came from a chat: no answer in them implies a tool call."
    told = f"{lacking} of {whole} tasks from chats lack evidence"
    told += ": label them (`kt label`, or notebook 02) and they count." if lacking else ": each counts."
    if tied:
        told += f" Annotators contradict each other evenly on {len(tied)} question(s): settle them."
    return told


def chats_to_learn_from(parts: Iterable[ChatPart]) -> frozenset[str]:
    """The conversations in the train part."""
    return frozenset(one.chat for one in parts if one.part == "train")
