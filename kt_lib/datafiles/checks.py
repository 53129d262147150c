"""Whether a dataset may be trained on: every row by itself, the rows to one another, how many and how varied they are.

A finding names its row and what to do. An error is what would teach the wrong thing or stop the training; a warning is
what somebody should look at.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence

from kt_lib.datafiles.diversity import Diversity, diversity
from kt_lib.datafiles.entries import Dataset, Entry
from kt_lib.datafiles.lengths import Length, Ruler, TrainingRow
from kt_lib.datafiles.rules import Severity, faults_of
from kt_lib.leakage import request
from kt_lib.records import ChatMessage, PreferencePair, Record, SetAside, SftRow, ToolSpec, UnpairedRow, canonical_json

FEWEST = 50
"""Rows that a dataset should have at least."""
DISTINCT = 0.5
"""Share of requests that should stay different when masked."""
_WHOLE = "the whole file"


class Finding(Record):
    """One thing that is wrong, or to be looked at."""

    rule: str
    """The rule, in a word or two."""
    severity: Severity
    """error or warning."""
    place: str
    """Row or line."""
    what: str
    """What is wrong."""
    remedy: str
    """What to do."""


class Findings(Record):
    """What was found in a dataset, and what was measured on the way."""

    name: str
    """The dataset."""
    sft_rows: int
    """Conversations to learn from."""
    pairs: int
    """Preference pairs."""
    unpaired: int
    """Answers judged by themselves."""
    set_aside: int
    """Rows that could not be read."""
    diversity: Diversity
    """How varied the requests are."""
    measured_by: str
    """What lengths are measured by."""
    max_length: int | None
    """The most tokens a row may have; None where nothing says so."""
    longest: int
    """Tokens of the longest row."""
    findings: tuple[Finding, ...]
    """Errors first, each in the order of the file."""

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def passed(self) -> bool:
        """Whether the dataset may be trained on."""
        return not self.errors


def validate(
    dataset: Dataset,
    *,
    ruler: Ruler,
    max_length: int | None = None,
    fewest: int = FEWEST,
    distinct: float = DISTINCT,
) -> Findings:
    """Every rule held against a dataset. Rows longer than `max_length`, where it is given, are errors.

    Without it they are warnings from what the ruler's model reads on, because nobody chose that model.
    """
    usable = [(entry, entry.row) for entry in dataset.entries if not isinstance(entry.row, SetAside)]
    rows = [row for _, row in usable]
    lengths = ruler.measure(rows)
    varied = diversity([request(_prompt(row)) for row in rows])
    findings = [
        *_unreadable(dataset.entries),
        *_count(len(rows), fewest),
        *_variety(varied, distinct),
        *_row_findings(usable),
        *_length_findings(usable, lengths, ruler, max_length),
        *_relations(usable),
        *_note_findings(dataset.entries),
    ]
    findings.sort(key=lambda finding: finding.severity != "error")
    return Findings(
        name=dataset.name,
        sft_rows=len(dataset.rows),
        pairs=len(dataset.pairs),
        unpaired=len(dataset.unpaired),
        set_aside=len(dataset.set_aside),
        diversity=varied,
        measured_by=ruler.name,
        max_length=max_length or ruler.reads,
        longest=max((length.tokens for length in lengths), default=0),
        findings=tuple(findings),
    )


_Usable = Sequence[tuple[Entry, TrainingRow]]


def _prompt(row: TrainingRow) -> tuple[ChatMessage, ...]:
    return row.messages if isinstance(row, SftRow) else row.prompt


# --- the file as a whole ---------------------------------------------------------------------------------------------


def _unreadable(entries: Sequence[Entry]) -> Iterator[Finding]:
    for entry in entries:
        if isinstance(entry.row, SetAside):
            remedy = "mend the row, or take it out: it is not trained on"
            yield Finding(rule="format", severity="error", place=entry.place, what=entry.row.reason, remedy=remedy)


def _count(found: int, fewest: int) -> Iterator[Finding]:
    if found < fewest:
        what = f"{found} usable rows, and at least {fewest} are asked for"
        remedy = "add rows; if so few are meant, say so with `--fewest`"
        yield Finding(rule="too few rows", severity="error", place=_WHOLE, what=what, remedy=remedy)


def _variety(varied: Diversity, distinct: float) -> Iterator[Finding]:
    if varied.n and varied.share < distinct:
        often = "; ".join(f"{count} times {text[:60]!r}" for text, count in varied.commonest)
        what = (
            f"{varied.distinct} of {varied.n} requests ({varied.share:.0%}) are different once digits, quoted text,"
            f" paths, hosts and names are masked, and at least {distinct:.0%} are asked for: {often}"
        )
        remedy = "write requests in other words, not only with other names; or say with `--distinct` what is enough"
        yield Finding(rule="little variety", severity="error", place=_WHOLE, what=what, remedy=remedy)


def _note_findings(entries: Sequence[Entry]) -> Iterator[Finding]:
    places: dict[str, dict[str, None]] = defaultdict(dict)
    for entry in entries:
        for note in entry.notes:
            places[note][entry.place] = None
    for note, where in places.items():
        first = next(iter(where))
        place = first if len(where) == 1 else f"{first} and {len(where) - 1} more"
        remedy = "nothing, if it is not needed for training"
        yield Finding(rule="not kept", severity="warning", place=place, what=note, remedy=remedy)


# --- rows ------------------------------------------------------------------------------------------------------------


def _row_findings(usable: _Usable) -> Iterator[Finding]:
    seen: dict[str, tuple[str, ...]] = {}
    for entry, row in usable:
        for fault in faults_of(row, seen):
            yield Finding(place=entry.place, **fault._asdict())


def _length_findings(
    usable: _Usable, lengths: Sequence[Length], ruler: Ruler, max_length: int | None
) -> Iterator[Finding]:
    most = max_length or ruler.reads
    severity: Severity = "error" if max_length else "warning"
    for (entry, _), length in zip(usable, lengths, strict=True):
        if length.fault:
            what = f"the chat template refuses the row: {length.fault}"
            remedy = "put its messages in the order that the template asks for, or leave it out"
            yield Finding(rule="chat template", severity="error", place=entry.place, what=what, remedy=remedy)
        elif most and length.tokens > most:
            what = f"{length.tokens:,} tokens by {ruler.name}, and {most:,} fit: its end, the answer, would be cut off"
            remedy = (
                "shorten its conversation or its list of tools, leave it out, or train with a longer `--max-length`"
            )
            yield Finding(rule="too long", severity=severity, place=entry.place, what=what, remedy=remedy)


# --- rows to one another ---------------------------------------------------------------------------------------------


def _relations(usable: _Usable) -> Iterator[Finding]:
    yield from _same_sides(usable)
    yield from _contradictions(usable)
    yield from _repeated(usable)
    yield from _other_answers(usable)


def _same_sides(usable: _Usable) -> Iterator[Finding]:
    for entry, row in usable:
        if isinstance(row, PreferencePair) and _plain(row.chosen) == _plain(row.rejected):
            remedy = "leave the pair out: it prefers nothing"
            yield Finding(
                rule="identical pair",
                severity="error",
                place=entry.place,
                what="chosen and rejected are the same",
                remedy=remedy,
            )


def _contradictions(usable: _Usable) -> Iterator[Finding]:
    """The same answer to the same prompt preferred in one row and rejected in another, or said to be both."""
    good: dict[bytes, str] = {}
    bad: dict[bytes, str] = {}
    for entry, row in usable:
        if isinstance(row, SftRow):
            continue
        asked = _asked(row.prompt, row.tools)
        wanted, unwanted = _judged(row)
        if wanted == unwanted:
            continue
        for side, mine, theirs in ((wanted, good, bad), (unwanted, bad, good)):
            if side is None:
                continue
            key = _key(asked, _plain(side))
            if key in theirs:
                said, other = ("wanted", "rejected") if mine is good else ("rejected", "wanted")
                what = f"the answer {said} here is {other} in {theirs[key]}, to the same prompt: {side[:60]!r}"
                remedy = "decide which of the two is right, and take the other out"
                yield Finding(rule="contradiction", severity="error", place=entry.place, what=what, remedy=remedy)
                break
        for side, mine in ((wanted, good), (unwanted, bad)):
            if side is not None:
                mine.setdefault(_key(asked, _plain(side)), entry.place)


def _judged(row: PreferencePair | UnpairedRow) -> tuple[str | None, str | None]:
    """The answer that a row wants, and the one that it does not want."""
    if isinstance(row, PreferencePair):
        return row.chosen, row.rejected
    return (row.completion, None) if row.label else (None, row.completion)


def _repeated(usable: _Usable) -> Iterator[Finding]:
    first: dict[bytes, str] = {}
    for entry, row in usable:
        answers = [] if isinstance(row, SftRow) else [*map(str, _judged(row))]
        key = _key(type(row).__name__, _asked(_prompt(row), row.tools), *answers)
        if key in first:
            remedy = "keep one of them, unless it is repeated on purpose to count more"
            what = f"the same row as {first[key]}"
            yield Finding(rule="identical rows", severity="warning", place=entry.place, what=what, remedy=remedy)
        first.setdefault(key, entry.place)


def _other_answers(usable: _Usable) -> Iterator[Finding]:
    """Two rows that ask the same and learn different answers: right where both are good, and worth a look."""
    first: dict[bytes, tuple[str, str]] = {}
    for entry, row in usable:
        if not isinstance(row, SftRow) or not row.messages or row.messages[-1].role != "assistant":
            continue
        asked, answer = _asked(row.messages[:-1], row.tools), row.messages[-1].model_dump_json()
        place, known = first.setdefault(_key(asked), (entry.place, answer))
        if known != answer:
            what = f"it answers otherwise than {place} does to the same prompt"
            remedy = "keep both only if both are right"
            yield Finding(rule="other answer", severity="warning", place=entry.place, what=what, remedy=remedy)


def _asked(messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]) -> str:
    said = [[one.role, _plain(one.content), [[c.name, c.arguments] for c in one.tool_calls]] for one in messages]
    return canonical_json([said, sorted(tool.name for tool in tools)])


def _plain(text: str) -> str:
    """A text without differences in white space."""
    return " ".join(text.split())


def _key(*texts: str) -> bytes:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).digest()
