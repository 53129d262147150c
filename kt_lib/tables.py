"""Tables as notebooks show them: whole texts that wrap, words to the left, figures to the right, nothing disguised."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

from kt_lib.records import PairedTable, Rate
from kt_lib.showing import shown

LONGEST = 1000
"""Characters of a text that a cell shows."""


class Table:
    """Rows under column names; a notebook shows it as HTML, everything else as text."""

    def __init__(self, rows: Iterable[Mapping[str, Any]], limit: int = LONGEST) -> None:
        self._rows = [dict(row) for row in rows]
        self._columns = list(dict.fromkeys(name for row in self._rows for name in row))
        self._limit = limit

    def __repr__(self) -> str:
        if not self._rows:
            return "No rows."
        lines = [self._columns, *([self._said(row, name) for name in self._columns] for row in self._rows)]
        flat = [[" ".join(text.split()) for text in line] for line in lines]
        widths = [max(len(line[at]) for line in flat) for at in range(len(self._columns))]
        padded = (zip(line, widths, strict=True) for line in flat)
        return "\n".join("  ".join(text.ljust(width) for text, width in line).rstrip() for line in padded)

    def _repr_html_(self) -> str:
        if not self._rows:
            return "<p>No rows.</p>"
        head = "".join(f'<th style="text-align:left">{html.escape(shown(name))}</th>' for name in self._columns)
        body = "".join(f"<tr>{''.join(self._cell(row, name) for name in self._columns)}</tr>\n" for row in self._rows)
        return f'<table class="dataframe"><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>'

    def _cell(self, row: Mapping[str, Any], name: str) -> str:
        value = row.get(name)
        side = "right" if isinstance(value, (int, float)) and not isinstance(value, bool) else "left"
        style = f"text-align:{side};white-space:pre-wrap;vertical-align:top"
        return f'<td style="{style}">{html.escape(self._said(row, name))}</td>'

    def _said(self, row: Mapping[str, Any], name: str) -> str:
        return in_words(row.get(name), self._limit)


def in_words(value: Any, limit: int = LONGEST) -> str:
    """A value as a reader sees it: a rate with its interval, a difference in points, `yes` and `no`, text redacted."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, Rate):
        return rate_in_words(value)
    if isinstance(value, PairedTable):
        return value.in_points
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(in_words(one, limit) for one in value) or "none"
    return shown(str(value), limit)


def rate_in_words(rate: Rate) -> str:
    """`97.8% (88.4 to 99.6, n 45)`."""
    if rate.value is None or rate.low is None or rate.high is None:
        return "not measured"
    return f"{rate.value:.1%} ({100 * rate.low:.1f} to {100 * rate.high:.1f}, n {rate.n:,})"
