"""Join two files of recorded results on the query, one pair a query, and put them into the paired table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from kt_lib.recorded.reading import RecordedFile, RecordedResult
from kt_lib.records import PairedTable, Record
from kt_lib.statistics import paired


class RecordedPair(Record):
    """One query on both sides."""

    query: str
    """The request."""
    chat: RecordedResult
    """The chat side's result."""
    agent: RecordedResult
    """The agent side's result."""


class Join(Record):
    """Two files joined: what is paired, and what is not."""

    pairs: tuple[RecordedPair, ...]
    """One pair for each query that stands in both files, in the chat file's order."""
    unmatched_chat: int
    """Queries that only the chat file has."""
    unmatched_agent: int
    """Queries that only the agent file has."""
    duplicates_chat: int
    """Further results of a query already seen in the chat file; the first counts."""
    duplicates_agent: int
    """The same in the agent file."""
    conflicting: int
    """Of these, results that say otherwise than the first."""


def join(chat: RecordedFile, agent: RecordedFile) -> Join:
    """Pair the files on the query: task numbers mean different tasks in different files.

    Where a file has a query twice, its first result counts, so that no task weighs more than another.
    """
    first_chat, repeats_chat, conflicts_chat = _first_of_each(chat)
    first_agent, repeats_agent, conflicts_agent = _first_of_each(agent)
    pairs = [
        RecordedPair(query=key, chat=result, agent=first_agent[key])
        for key, result in first_chat.items()
        if key in first_agent
    ]
    return Join(
        pairs=tuple(pairs),
        unmatched_chat=len(first_chat) - len(pairs),
        unmatched_agent=len(first_agent) - len(pairs),
        duplicates_chat=repeats_chat,
        duplicates_agent=repeats_agent,
        conflicting=conflicts_chat + conflicts_agent,
    )


def _first_of_each(file: RecordedFile) -> tuple[dict[str, RecordedResult], int, int]:
    first: dict[str, RecordedResult] = {}
    repeats = conflicts = 0
    for result in file.results:
        kept = first.setdefault(result.key, result)
        if kept is not result:
            repeats += 1
            conflicts += kept.success != result.success
    return first, repeats, conflicts


def table(joined: Join) -> PairedTable:
    """The paired table with first = chat and second = agent; success is the full reward."""
    return paired([one.chat.success for one in joined.pairs], [one.agent.success for one in joined.pairs])


def by(joined: Join, key: Callable[[RecordedPair], str]) -> dict[str, PairedTable]:
    """A table for each group of pairs, in the order the groups are met."""
    groups: dict[str, list[RecordedPair]] = defaultdict(list)
    for one in joined.pairs:
        groups[key(one)].append(one)
    return {
        name: paired([one.chat.success for one in rows], [one.agent.success for one in rows])
        for name, rows in groups.items()
    }
