"""Which part of the split a conversation belongs to, and which texts are near copies of others (leakage)."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from kt_lib.errors import SetupError
from kt_lib.records import Part, Record

if TYPE_CHECKING:
    from datasketch import MinHash

_ORDER: tuple[Part, ...] = ("train", "dev", "test")
_WORD = re.compile(r"\w+")
_PERMUTATIONS = 128
_LOOSENING = 0.75
"""The LSH looks for pairs this much less alike than asked, to hardly miss one; each is then measured exactly."""


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

    One row a text, with its nearest. Candidates come from MinHash LSH (datasketch), the similarity is exact. Memory and
    time grow with the number of texts, not of pairs. `SetupError` for a threshold outside 0..1.
    """
    if not 0 < threshold <= 1:
        raise SetupError(f"a threshold of {threshold} is no similarity: give one above 0 and at most 1")
    from datasketch import MinHashLSH

    held = [shingles(text) for text in against]
    index = MinHashLSH(threshold=max(threshold * _LOOSENING, 0.05), num_perm=_PERMUTATIONS)
    first_of: dict[frozenset[str], int] = {}
    for number, said in enumerate(held):
        # Equal texts are found by their shingles alone; one of them in the index is enough.
        if said and first_of.setdefault(said, number) == number:
            index.insert(number, _minhash(said))
    found = []
    for number, text in enumerate(texts):
        said = shingles(text)
        if said:
            nearest = _nearest(said, held, [first_of[said]] if said in first_of else index.query(_minhash(said)))
            if nearest is not None and nearest[0] >= threshold:
                found.append(NearDuplicate(index=number, against=nearest[1], similarity=nearest[0]))
    return found


def _nearest(said: frozenset[str], held: Sequence[frozenset[str]], numbers: Iterable[int]) -> tuple[float, int] | None:
    scored = ((len(said & held[number]) / len(said | held[number]), -number) for number in numbers)
    best = max(scored, default=None)
    return None if best is None else (best[0], -best[1])


def _minhash(said: frozenset[str]) -> MinHash:
    from datasketch import MinHash

    minhash = MinHash(num_perm=_PERMUTATIONS, seed=1)
    minhash.update_batch([shingle.encode("utf-8", "surrogatepass") for shingle in said])
    return minhash
