"""Whether a conversation is like one that was kept before, or like an evaluation task: growing, one at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from kt_lib.leakage import masked, request, said
from kt_lib.records import ChatMessage, Task
from kt_lib.splits import shingles

Shingles = frozenset[str]


class Likeness:
    """What must not be written a second time: the evaluation tasks, and every conversation that was kept.

    threshold: Jaccard over three-word shingles of what the user says, digits masked, from which two are alike.
    """

    def __init__(self, held_out: Iterable[Task], threshold: float) -> None:
        tasks = list(held_out)
        self.threshold = threshold
        self._held = [words for task in tasks if (words := _words(task.messages))]
        self._names = sorted({name for task in tasks for name in task.entities})
        self._kept: list[Shingles] = []

    def fault(self, messages: Sequence[ChatMessage]) -> tuple[str, str] | None:
        """Reason and detail where the conversation is like something known; None where it is new."""
        words = _words(messages)
        if (near := self._nearest(words, self._held)) >= self.threshold:
            return "like an evaluation task", f"similarity {near:.2f}"
        text = said(messages)
        for name in self._names:
            if name in text and re.search(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", text):
                return "like an evaluation task", "it holds a name made up for an evaluation task"
        if (near := self._nearest(words, self._kept)) >= self.threshold:
            return "like another conversation", f"similarity {near:.2f} to one that was written before"
        return None

    def keep(self, messages: Sequence[ChatMessage]) -> None:
        """Counts a conversation among what is known."""
        self._kept.append(_words(messages))

    def _nearest(self, words: Shingles, known: Sequence[Shingles]) -> float:
        # A pair of very different sizes cannot be alike: most pairs are told apart by that alone.
        near = (
            len(words & other) / len(words | other)
            for other in known
            if min(len(words), len(other)) >= self.threshold * max(len(words), len(other), 1)
        )
        return max(near, default=0.0)


def _words(messages: Sequence[ChatMessage]) -> Shingles:
    return shingles(masked(request(messages), ()))
