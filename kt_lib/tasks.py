"""The tasks of one's own chats and files, shared out between learning, choosing and proving."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from kt_lib.leakage import WITHIN, last_said, request
from kt_lib.records import ChatMessage, Conversation, Part, Record, Task
from kt_lib.splits import Joined, duplicate_groups, near_duplicates, part_of, standing_within

SHARES: dict[Part, float] = {"train": 0.4, "dev": 0.2, "test": 0.4}

ALIKE = 0.8
"""Similarity from which two requests are one: below what any leakage check here asks, so that it finds nothing."""

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


def parts_of_chats(chats: Sequence[Conversation], tasks: Sequence[Task], seed: int | None) -> list[ChatPart]:
    """The part of each conversation, as `own_tasks` decides it; all of the sample's (seed None) are for training."""
    if seed is None:
        return [ChatPart(chat=chat.id, part="train") for chat in chats]
    first = first_of_copies(tasks, chats)
    return [ChatPart(chat=chat.id, part=part_of(first[chat.id], SHARES, seed)) for chat in chats]


def own_tasks(tasks: Iterable[Task], chats: Sequence[Conversation], seed: int) -> list[Task]:
    """The tasks that can be put to a model, with their parts: all of one conversation or template go to the same part.

    So do those of its copies and near copies under other ids, `chats` included, or what is learned from one would be
    asked of another. Tasks of recorded results stay out: what worked is known of them, what counts as right is not.
    """
    known = list(tasks)
    first = first_of_copies(known, chats)
    return [
        task.model_copy(update={"part": part_of(first[task.group or task.id], SHARES, seed)})
        for task in known
        if RECORDED not in task.tags
    ]


def first_of_copies(tasks: Iterable[Task], chats: Iterable[Conversation]) -> dict[str, str]:
    """For each conversation or template, the smallest id among those that ask nearly the same; mostly its own.

    Two ask the same where a task of one is `ALIKE` to a task of the other, or all that the user says in one is to all
    said in the other; so does a chat which begins with what a task asks, and a chat or task in which that is asked, or
    stands, after other words: all that `measure_leakage` would find. A chat that has no copy therefore stays in its
    part whatever else comes, and so does one that grows.
    """
    tasks, chats = list(tasks), list(chats)
    said = [
        *((task.group or task.id, request(task.messages)) for task in tasks),
        *((chat.id, asked[-1]) for chat in chats if (asked := _asked_so_far(chat))),
    ]
    requests = [request(task.messages) for task in tasks]
    begun = [(chat.id, text) for chat in chats for text in _asked_so_far(chat)[:-1]]
    begun += [(name, text) for name, messages in _talks(tasks, chats) for text in last_said(messages).values()]
    near = near_duplicates([text for _, text in begun], requests, ALIKE)
    within = standing_within(requests, [text for _, text in said], ALIKE, WITHIN)
    both = [(said[one.index][0], said[one.against][0]) for one in within]
    said += [begun[one.index] for one in near]
    ids = sorted({name for name, _ in said} | {chat.id for chat in chats})
    place = {name: number for number, name in enumerate(ids)}
    joined = Joined(len(ids))
    for group in duplicate_groups([text for _, text in said], ALIKE):
        for number in group[1:]:
            joined.join(place[said[group[0]][0]], place[said[number][0]])
    for one, other in both:
        joined.join(place[one], place[other])
    return {name: ids[joined.first(number)] for number, name in enumerate(ids)}


def _talks(tasks: Sequence[Task], chats: Sequence[Conversation]) -> list[tuple[str, list[ChatMessage]]]:
    """What each task and each chat's open branch holds of the user's words, by the id it is grouped under."""
    found = [(task.group or task.id, [one for one in task.messages if one.role == "user"]) for task in tasks]
    told = ((chat.id, [one.text for one in chat.branch() if one.role == "user"]) for chat in chats)
    return found + [(name, [ChatMessage(role="user", content=text) for text in texts]) for name, texts in told]


def _asked_so_far(chat: Conversation) -> list[str]:
    """What the user has said after each of their messages in the branch that was left open, as leakage compares it."""
    words = [message.text for message in chat.branch() if message.role == "user"]
    return ["\n".join(words[: number + 1]) for number in range(len(words))]


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
