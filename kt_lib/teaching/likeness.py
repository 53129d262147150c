"""Whether a conversation is like one that was kept before, or like an evaluation task: growing, one at a time."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from kt_lib.leakage import masked, request, said
from kt_lib.records import ChatMessage, Task
from kt_lib.splits import shingles

Shingles = frozenset[str]


_TOKEN = re.compile(r"[A-Za-z0-9]+")


class Likeness:
    """What must not be written a second time: the evaluation tasks, and every conversation that was kept.

    threshold: Jaccard over three-word shingles of what the user says, digits masked, from which two are alike.
    """

    def __init__(self, held_out: Iterable[Task], threshold: float) -> None:
        self.threshold = threshold
        self._held, self._kept = _Known(), _Known()
        self._names: dict[str, set[str]] = defaultdict(set)
        for task in held_out:
            self._held.add(_words(task.messages))
            for name in task.entities:
                self._names[(_TOKEN.findall(name) or [name])[0]].add(name)

    def fault(self, messages: Sequence[ChatMessage]) -> tuple[str, str] | None:
        """Reason and detail where the conversation is like something known; None where it is new."""
        words = _words(messages)
        if (near := self._held.nearest(words)) >= self.threshold:
            return "like an evaluation task", f"similarity {near:.2f}"
        if self._names_in(said(messages)):
            return "like an evaluation task", "it holds a name made up for an evaluation task"
        if (near := self._kept.nearest(words)) >= self.threshold:
            return "like another conversation", f"similarity {near:.2f} to one that was written before"
        return None

    def keep(self, messages: Sequence[ChatMessage]) -> None:
        """Counts a conversation among what is known."""
        self._kept.add(_words(messages))

    def _names_in(self, text: str) -> bool:
        """Whether a made-up name stands in a text as a whole word."""
        known = (name for token in set(_TOKEN.findall(text)) for name in self._names.get(token, ()) if name in text)
        return any(re.search(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", text) for name in known)


class _Known:
    """Sets of shingles, found again by what they share: each is measured exactly, and none is missed."""

    def __init__(self) -> None:
        self._sizes: list[int] = []
        self._holding: dict[str, list[int]] = defaultdict(list)

    def add(self, words: Shingles) -> None:
        for shingle in words:
            self._holding[shingle].append(len(self._sizes))
        self._sizes.append(len(words))

    def nearest(self, words: Shingles) -> float:
        """The similarity of the most alike, 0..1."""
        shared = Counter(number for shingle in words for number in self._holding.get(shingle, ()))
        return max((both / (len(words) + self._sizes[number] - both) for number, both in shared.items()), default=0.0)


def _words(messages: Sequence[ChatMessage]) -> Shingles:
    return shingles(masked(request(messages), ()))
