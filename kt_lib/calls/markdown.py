"""A chat answer in parts: sentences, code spans and fences, each with its place in the text."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise

_FENCE = re.compile(
    r"^([ \t]*)(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n]*\n(.*?)(?:^[ \t]*\2[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL
)
_INLINE = re.compile(r"(?<!`)(`{1,2})(?!`)([^\n]+?)(?<!`)\1(?!`)")
_LINE_BREAK = re.compile(r"\n[ \t]*(?=\n|[-*+•][ \t]|\d+[.)][ \t]|#{1,6}[ \t]|>)|\n(?=[ \t]*\n)")
_END = re.compile(r"[.!?]+[\"')\]*_]*(?=\s|$)")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|vs|approx|dr|mr|ms|mrs|st|no)\.$", re.IGNORECASE)
MOST_PLACES = 200
"""Most code spans, fences, mentions and the like that are looked at in one answer."""
CODE = "\ufffc"
"""Stands for each character of code in masked text, so that no cue is found inside code."""


@dataclass(frozen=True)
class Span:
    """A marked piece of text."""

    start: int
    end: int
    value: str
    kind: str
    """code or fence."""
    language: str = ""


@dataclass(frozen=True)
class Sentence:
    """A sentence, or the lead-in of a list or fence; `masked` has its code blotted out, place by place."""

    start: int
    end: int
    masked: str
    paragraph: int
    item: bool
    """Whether it stands in a list item."""


class Answer:
    """A chat answer, taken apart once."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def fences(self) -> list[Span]:
        """Fenced blocks; `value` is the body."""
        found = islice(_FENCE.finditer(self.text + "\n"), MOST_PLACES)
        return [Span(m.start(), min(m.end(), len(self.text)), m[4], "fence", m[3].lower()) for m in found]

    @cached_property
    def codes(self) -> list[Span]:
        """Inline code spans."""
        bare = _blot(self.text, self.fences)
        found = islice(_INLINE.finditer(bare), MOST_PLACES)
        return [Span(m.start(), m.end(), m[2].strip(), "code") for m in found]

    @cached_property
    def masked(self) -> str:
        """The text with code and fences blotted out; newlines stay."""
        return _blot(_blot(self.text, self.fences), self.codes)

    @cached_property
    def sentences(self) -> list[Sentence]:
        """Sentences in order. A fence ends the sentence before it."""
        sentences: list[Sentence] = []
        for paragraph, (start, end) in enumerate(self._lines()):
            item = re.match(r"[ \t>]*(?:[-*+•]|\d+[.)])[ \t]", self.masked[start:end]) is not None
            for first, last in _cut(self.masked, start, end):
                sentences.append(Sentence(first, last, self.masked[first:last], paragraph, item))
        return sentences

    def sentence_at(self, place: int) -> Sentence | None:
        """The sentence that covers a place."""
        at = bisect_right(self._starts, place) - 1
        return self.sentences[at] if at >= 0 and place < self.sentences[at].end else None

    def before(self, place: int) -> list[Sentence]:
        """The last sentences that end before a place, at most twenty."""
        at = bisect_right(self._starts, place)
        return [sentence for sentence in self.sentences[max(0, at - 20) : at] if sentence.end <= place]

    def lead_of(self, fence: Span) -> list[Sentence]:
        """The sentences of the paragraph right before a fence, with nothing but space between."""
        before = self.before(fence.start)
        if not before or any(other.start >= before[-1].end and other.end <= fence.start for other in self.fences):
            return []
        return [sentence for sentence in before if sentence.paragraph == before[-1].paragraph]

    @cached_property
    def _starts(self) -> list[int]:
        return [sentence.start for sentence in self.sentences]

    def _lines(self) -> list[tuple[int, int]]:
        edges = {0, len(self.text)}
        edges.update(match.start() for match in _LINE_BREAK.finditer(self.masked))
        for fence in self.fences:
            edges.update((fence.start, fence.end))
        ordered = sorted(edges)
        covered = {(fence.start, fence.end) for fence in self.fences}
        pairs = pairwise(ordered)
        return [(a, b) for a, b in pairs if (a, b) not in covered and self.masked[a:b].strip()]


def _blot(text: str, spans: list[Span]) -> str:
    parts: list[str] = []
    at = 0
    for span in spans:
        parts.append(text[at : span.start])
        parts.append("".join("\n" if letter == "\n" else CODE for letter in text[span.start : span.end]))
        at = span.end
    parts.append(text[at:])
    return "".join(parts)


def _cut(masked: str, start: int, end: int) -> list[tuple[int, int]]:
    cuts: list[tuple[int, int]] = []
    first = start
    for found in _END.finditer(masked, start, end):
        before = masked[first : found.end()]
        if _ABBREVIATION.search(before) or re.fullmatch(r"[\s>]*\d+\.", before):
            continue
        cuts.append((first, found.end()))
        first = found.end()
    if masked[first:end].strip():
        cuts.append((first, end))
    return [cut for cut in cuts if masked[cut[0] : cut[1]].strip()]
