"""A chat answer in parts: sentences, code spans and fences, each with its place in the text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

_FENCE = re.compile(
    r"^([ \t]*)(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n]*\n(.*?)(?:^[ \t]*\2[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL
)
_INLINE = re.compile(r"(?<!`)(`{1,2})(?!`)([^\n]+?)(?<!`)\1(?!`)")
_QUOTED = re.compile(r"\"([^\"\n]{1,400})\"|“([^”\n]{1,400})”|(?<![\w])'([^'\n]{1,400})'(?!\w)")
_BOLD = re.compile(r"\*\*([^*\n]{1,200})\*\*|__([^_\n]{1,200})__")
_LINE_BREAK = re.compile(r"\n[ \t]*(?=\n|[-*+•][ \t]|\d+[.)][ \t]|#{1,6}[ \t]|>)|\n(?=[ \t]*\n)")
_END = re.compile(r"[.!?]+[\"')\]*_]*(?=\s|$)")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|vs|approx|dr|mr|ms|mrs|st|no)\.$", re.IGNORECASE)
CODE = "\ufffc"
"""Stands for each character of code in masked text, so that no cue is found inside code."""


@dataclass(frozen=True)
class Span:
    """A marked piece of text."""

    start: int
    end: int
    value: str
    kind: str
    """code, fence, quote or bold."""
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
        found = _FENCE.finditer(self.text + "\n")
        return [Span(m.start(), min(m.end(), len(self.text)), m[4], "fence", m[3].lower()) for m in found]

    @cached_property
    def codes(self) -> list[Span]:
        """Inline code spans."""
        bare = _blot(self.text, self.fences)
        return [Span(m.start(), m.end(), m[2].strip(), "code") for m in _INLINE.finditer(bare)]

    @cached_property
    def masked(self) -> str:
        """The text with code and fences blotted out; newlines stay."""
        return _blot(_blot(self.text, self.fences), self.codes)

    @cached_property
    def marked(self) -> list[Span]:
        """Code, quoted and bold pieces in order: what an answer sets off as a value."""
        quotes = [
            Span(m.start(), m.end(), (m[1] or m[2] or m[3]).strip(), "quote") for m in _QUOTED.finditer(self.masked)
        ]
        bolds = [Span(m.start(), m.end(), (m[1] or m[2]).strip(), "bold") for m in _BOLD.finditer(self.masked)]
        plain = [span for span in (*quotes, *bolds) if span.value and CODE not in span.value]
        return sorted([*self.codes, *plain], key=lambda span: span.start)

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
        return next((sentence for sentence in self.sentences if sentence.start <= place < sentence.end), None)

    def lead_of(self, fence: Span) -> list[Sentence]:
        """The sentences of the paragraph right before a fence, with nothing but space between."""
        before = [sentence for sentence in self.sentences if sentence.end <= fence.start]
        if not before or any(other.start >= before[-1].end and other.end <= fence.start for other in self.fences):
            return []
        return [sentence for sentence in before if sentence.paragraph == before[-1].paragraph]

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
