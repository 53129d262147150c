"""Text from outside within Markdown: no mark in it means anything, and no fence in it ends the fence around it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from kt_lib.showing import shown

_MARKS = re.compile(r"([\\`*_{}\[\]()#+!|<>~&$@:-])")
_TICKS = re.compile(r"`+")


def plain(value: Any, limit: int = 600) -> str:
    """A text on one line in which no mark means anything."""
    return _MARKS.sub(r"\\\1", " ".join(shown(str(value), limit).split()))


def fenced(text: str) -> str:
    """A text as it is, in a fence longer than any run of backticks in it. It must have been made fit to be shown."""
    longest = max((len(run) for run in _TICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in GitHub's form of texts that were made plain; nothing where there are no rows."""
    lines = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *lines]) if lines else ""
