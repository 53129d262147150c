"""How far annotators agree beyond chance: Cohen's kappa for two, Krippendorff's alpha for any number, with gaps."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from kt_lib.records import Rate, Record
from kt_lib.statistics import wilson

ENOUGH = 2 / 3
"""Below this Krippendorff (2004, p. 241) takes no conclusion from data."""
_REPLICATES = 1000

Ratings = Sequence[str | None]
"""What each annotator said of one item, in the order of the annotators; None where one did not rate it."""


class Coefficient(Record):
    """A coefficient of agreement with its bootstrap interval."""

    value: float | None
    """1 is perfect, 0 is chance; None where it is not defined (no item rated twice, or one answer only)."""
    low: float | None
    """95% lower bound (percentile bootstrap over groups of items)."""
    high: float | None
    """95% upper bound."""
    n: int
    """Items that at least two annotators rated."""

    @property
    def warning(self) -> str:
        """What to be told about, empty when there is nothing."""
        if self.value is None:
            return "not defined: no item has two ratings, or all of them are the same"
        return "" if self.value >= ENOUGH else f"below {ENOUGH:.3f}: not enough to rely on"


def cohen_kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Cohen's kappa of two raters over the same items: (po - pe) / (1 - pe), Cohen (1960), Educ. Psychol. Meas. 20:37.

    None without items, and where both always say the same one thing. ValueError for sides of different length.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} ratings against {len(second)}: both raters must rate the same items")
    n = len(first)
    if not n:
        return None
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / n
    counts, others = Counter(first), Counter(second)
    expected = sum(counts[name] * others[name] for name in counts) / n**2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def krippendorff_alpha(items: Sequence[Ratings]) -> float | None:
    """Krippendorff's alpha for names (nominal data); items rated once say nothing.

    alpha = 1 - (n - 1) * sum of off-diagonal coincidences / sum over c != k of n_c n_k; Krippendorff (2011),
    "Computing Krippendorff's Alpha-Reliability". None where no item is rated twice, or all ratings are the same.
    """
    disagreements, totals = 0.0, Counter[str]()
    for ratings in items:
        counts = Counter(rating for rating in ratings if rating is not None)
        rated = counts.total()
        if rated >= 2:
            totals.update(counts)
            disagreements += sum(count * (rated - count) for count in counts.values()) / (rated - 1)
    n = totals.total()
    expected = n**2 - sum(count**2 for count in totals.values())
    return 1 - (n - 1) * disagreements / expected if expected else None


def percent_agreement(items: Sequence[Ratings]) -> Rate:
    """The share of items rated at least twice on which everybody says the same, with its Wilson interval."""
    rated = [[one for one in ratings if one is not None] for ratings in items]
    twice = [ratings for ratings in rated if len(ratings) >= 2]
    return wilson(sum(len(set(ratings)) == 1 for ratings in twice), len(twice))


def kappa(items: Sequence[Ratings], groups: Sequence[str] | None = None, seed: int = 1) -> Coefficient:
    """Cohen's kappa of two annotators over the items that both rated, with its interval."""

    def coefficient(chosen: Sequence[Ratings]) -> float | None:
        both = [(first, second) for first, second in chosen if first is not None and second is not None]
        return cohen_kappa([first for first, _ in both], [second for _, second in both])

    return _with_interval(items, coefficient, groups, seed)


def alpha(items: Sequence[Ratings], groups: Sequence[str] | None = None, seed: int = 1) -> Coefficient:
    """Krippendorff's alpha over the items with its interval; items of one group are drawn together."""
    return _with_interval(items, krippendorff_alpha, groups, seed)


def _with_interval(
    items: Sequence[Ratings],
    coefficient: Callable[[Sequence[Ratings]], float | None],
    groups: Sequence[str] | None,
    seed: int,
) -> Coefficient:
    twice = [at for at, ratings in enumerate(items) if sum(one is not None for one in ratings) >= 2]
    value = coefficient([items[at] for at in twice])
    clusters: dict[str, list[Ratings]] = defaultdict(list)
    for at in twice:
        clusters[groups[at] if groups is not None else str(at)].append(items[at])
    found = _replicates(list(clusters.values()), coefficient, seed) if value is not None and len(clusters) > 1 else []
    low, high = (float(one) for one in np.percentile(found, [2.5, 97.5])) if found else (None, None)
    return Coefficient(value=value, low=low, high=high, n=len(twice))


def _replicates(
    clusters: Sequence[Sequence[Ratings]], coefficient: Callable[[Sequence[Ratings]], float | None], seed: int
) -> list[float]:
    draws = np.random.default_rng(seed).integers(len(clusters), size=(_REPLICATES, len(clusters)))
    found = (coefficient([item for at in draw for item in clusters[at]]) for draw in draws)
    return [value for value in found if value is not None]
