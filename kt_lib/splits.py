"""Which part of the split a conversation belongs to, and which texts are near copies of others (leakage)."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import cache, partial

from kt_lib.errors import SetupError
from kt_lib.records import Part, Record

_ORDER: tuple[Part, ...] = ("train", "dev", "test")
_WORD = re.compile(r"\w+")
_WORD_OR_MARK = re.compile(r"\w+|[^\w\s]")


class NearDuplicate(Record):
    """A text and the most similar of the texts it was held against."""

    index: int
    """Which of the texts."""
    against: int
    """Which of the texts it was held against."""
    similarity: float
    """Jaccard similarity of their shingles, 0..1."""


def part_of(group: str, shares: Mapping[Part, float], seed: int) -> Part:
    """The part of the split that a conversation or group belongs to: always the same for one group, shares and seed.

    `shares` are relative sizes; parts that are left out get nothing. A group's draw does not hang on which other groups
    there are, so new data never moves old data across. `SetupError` for shares that are negative or all zero.
    """
    sizes = [float(shares.get(part, 0.0)) for part in _ORDER]
    total = sum(sizes)
    if any(size < 0 or not math.isfinite(size) for size in sizes) or total <= 0 or set(shares) - set(_ORDER):
        raise SetupError(
            f"shares {dict(shares)} are no split: give train, dev and test numbers, at least one above zero"
        )
    draw = (
        int.from_bytes(hashlib.sha256(f"{seed}\n{group}".encode("utf-8", "surrogatepass")).digest()[:8], "big") / 2**64
    )
    reached = 0.0
    for part, size in zip(_ORDER, sizes, strict=True):
        reached += size / total
        if size and draw < reached:
            return part
    return next(part for part, size in reversed(list(zip(_ORDER, sizes, strict=True))) if size)


def normalised(text: str) -> str:
    """A text without what does not make it another: case, accents' encoding, punctuation and white space."""
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def shingles(text: str) -> frozenset[str]:
    """The runs of three words in a normalised text, its ends marked; an empty set for a text without words."""
    words = _WORD.findall(normalised(text))
    if not words:
        return frozenset()
    padded = ["\n", *words, "\n"]
    return frozenset(" ".join(padded[start : start + 3]) for start in range(len(padded) - 2))


def near_duplicates(texts: Sequence[str], against: Sequence[str], threshold: float) -> list[NearDuplicate]:
    """The texts that are at least `threshold` alike (Jaccard over three-word shingles) to one they are held against.

    One row a text, with its nearest; none is missed. `SetupError` for a threshold outside 0..1.
    """
    said, held = _numbered(texts, against)
    index = _Alike(threshold)
    for number, one in enumerate(held):
        index.add(number, one)
    found = []
    for number, one in enumerate(said):
        scored = ((similarity, -other) for other, similarity in index.to(one))
        if nearest := max(scored, default=None):
            found.append(NearDuplicate(index=number, against=-nearest[1], similarity=nearest[0]))
    return found


def standing_within(
    requests: Sequence[str], texts: Sequence[str], threshold: float, fewest: int
) -> list[NearDuplicate]:
    """Each request that stands in a text, whatever stands around it: `index` is the request, `against` the text.

    `similarity` is its containment: the share, at least `threshold`, of its runs of three words that are in the text
    too (Broder 1997). A request of fewer than `fewest` words, three at least, says too little to be looked for.
    """
    wanted = [_runs(text) if len(normalised(text).split()) >= max(fewest, 3) else frozenset() for text in requests]
    seen = Counter(run for one in wanted for run in one)
    begun: dict[str, list[int]] = {}
    for number, one in enumerate(wanted):
        # A text that holds so much of it holds one of these, its rarest (as in `_Alike`).
        for run in sorted(one, key=lambda run: (seen[run], run))[: _first_of(len(one), threshold)]:
            begun.setdefault(run, []).append(number)
    found = []
    for at, text in enumerate(texts):
        said = _runs(text)
        for number in sorted({number for run in begun.keys() & said for number in begun[run]}):
            share = len(wanted[number] & said) / len(wanted[number])
            if share >= threshold:
                found.append(NearDuplicate(index=number, against=at, similarity=share))
    return found


def _runs(text: str) -> frozenset[str]:
    """The runs of three words in a text, wherever it begins and ends."""
    words = normalised(text).split()
    return frozenset(map(" ".join, zip(words, words[1:], words[2:], strict=False)))


def _first_of(count: int, threshold: float) -> int:
    """How many of `count` things are one more than may be missing."""
    # a hair below, lest rounding makes a whole number of shared shingles one too many
    return count - math.ceil(threshold * count - 1e-9) + 1 if count else 0


def duplicate_groups(texts: Sequence[str], threshold: float) -> list[tuple[int, ...]]:
    """The groups of texts that hang together: each at least `threshold` alike to another one of its group.

    Groups of two and more, by their numbers; texts without words are in none. `SetupError` as for `near_duplicates`.
    """
    (said,) = _numbered(texts)
    index, joined = _Alike(threshold), Joined(len(texts))
    for number, one in enumerate(said):
        for other, _ in index.to(one, known=partial(joined.together, number)):
            joined.join(number, other)
        index.add(number, one)
    return [group for group in joined.groups() if len(group) > 1]


def copies(texts: Sequence[str], threshold: float, answers: Sequence[str] | None = None) -> list[NearDuplicate]:
    """The texts that are at least `threshold` alike to an earlier one that is itself no copy, with the nearest such.

    What is left when they are taken out holds no two alike. Where `answers` are given, one to each text, these must be
    as much alike too, by words and marks: in a command a mark is what matters. `SetupError` as for `near_duplicates`.
    """
    (said,) = _numbered(texts)
    index, found = _Alike(threshold), []
    marked = cache(lambda number: _marked(answers[number] if answers else ""))
    for number, one in enumerate(said):
        scored = [
            (similarity, -other)
            for other, similarity in index.to(one)
            if _jaccard(marked(number), marked(other)) >= threshold
        ]
        if nearest := max(scored, default=None):
            found.append(NearDuplicate(index=number, against=-nearest[1], similarity=nearest[0]))
        else:
            index.add(number, one)
    return found


def _marked(text: str) -> frozenset[tuple[str, ...]]:
    """The runs of three words or marks in a text."""
    tokens = ["\n", *_WORD_OR_MARK.findall(unicodedata.normalize("NFKC", text).casefold()), "\n"]
    return frozenset(zip(tokens, tokens[1:], [*tokens[2:], ""], strict=False))


def _jaccard(one: Set[object], other: Set[object]) -> float:
    return len(one & other) / len(one | other)


class Joined:
    """Things that are joined two by two, and the groups that this makes (union-find)."""

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def join(self, one: int, other: int) -> None:
        """Put two things, and all that each is joined with, into one group."""
        first, second = sorted((self.first(one), self.first(other)))
        self._above[second] = first

    def first(self, one: int) -> int:
        """The smallest number in the group of `one`."""
        while self._above[one] != one:
            self._above[one] = self._above[self._above[one]]
            one = self._above[one]
        return one

    def together(self, one: int, other: int) -> bool:
        """Whether two things are in one group."""
        return self.first(one) == self.first(other)

    def groups(self) -> list[tuple[int, ...]]:
        """Every group, by the numbers in it, ascending."""
        found: dict[int, list[int]] = {}
        for number in range(len(self._above)):
            found.setdefault(self.first(number), []).append(number)
        return [tuple(group) for group in found.values()]


def _numbered(*lists: Sequence[str]) -> list[list[tuple[int, ...]]]:
    """Each text's shingles as ascending numbers, the rarest shingle of all these texts having the smallest."""
    said = [[shingles(text) for text in texts] for texts in lists]
    seen = Counter(shingle for sets in said for one in sets for shingle in one)
    ranked = sorted(seen, key=lambda shingle: (seen[shingle], shingle))
    number_of = {shingle: number for number, shingle in enumerate(ranked)}
    return [[tuple(sorted(number_of[shingle] for shingle in one)) for one in sets] for sets in said]


class _Alike:
    """Sets of numbered shingles, found again by a set that is at least `threshold` alike; none is missed.

    Two sets that are so much alike share one of the few rarest of each (prefix filtering, Chaudhuri et al. 2006): only
    these are looked up, and every candidate is then measured exactly.
    """

    def __init__(self, threshold: float) -> None:
        if not 0 < threshold <= 1:
            raise SetupError(f"a threshold of {threshold} is no similarity: give one above 0 and at most 1")
        self._threshold = threshold
        self._numbers: dict[tuple[int, ...], int] = {}
        self._sets: list[tuple[int, frozenset[int]]] = []
        self._holding: dict[int, list[int]] = {}

    def add(self, number: int, said: tuple[int, ...]) -> None:
        """Keep a set under its number; an empty one, or one that is there already, is not kept again."""
        if not said or said in self._numbers:
            return
        self._numbers[said] = number
        place = len(self._sets)
        self._sets.append((number, frozenset(said)))
        for shingle in self._rarest(said):
            self._holding.setdefault(shingle, []).append(place)

    def to(self, said: tuple[int, ...], known: Callable[[int], bool] | None = None) -> Iterator[tuple[int, float]]:
        """The number and the similarity of every set that is alike; of one that is the same, only this one.

        Sets of which `known` says so are not measured.
        """
        if said in self._numbers:
            yield self._numbers[said], 1.0
            return
        own, seen = frozenset(said), set[int]()
        for shingle in self._rarest(said):
            places = self._holding.get(shingle, ())
            yield from self._measured(own, [place for place in places if place not in seen], known)
            seen.update(places)

    def _measured(
        self, own: frozenset[int], places: Sequence[int], known: Callable[[int], bool] | None
    ) -> Iterator[tuple[int, float]]:
        for place in places:
            number, other = self._sets[place]
            if known is not None and known(number):
                continue
            if min(len(own), len(other)) >= self._threshold * max(len(own), len(other)):
                shared = len(own & other)
                similarity = shared / (len(own) + len(other) - shared)
                if similarity >= self._threshold:
                    yield number, similarity

    def _rarest(self, said: tuple[int, ...]) -> tuple[int, ...]:
        return said[: _first_of(len(said), self._threshold)]
