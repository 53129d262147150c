"""How far annotators agree beyond chance: Cohen's kappa for two, Krippendorff's alpha for any number, with gaps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from kt_lib.records import Rate, Record
from kt_lib.statistics import wilson

ENOUGH = 2 / 3
"""Below this Krippendorff (2004, p. 241) takes no conclusion from data."""
_REPLICATES = 1000
Floats = NDArray[np.float64]

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
    return _one(_kappa, _kappa_rows(list(zip(first, second, strict=True))))


def krippendorff_alpha(items: Sequence[Ratings]) -> float | None:
    """Krippendorff's alpha for names (nominal data); items rated once say nothing.

    alpha = 1 - (n - 1) * sum of off-diagonal coincidences / sum over c != k of n_c n_k; Krippendorff (2011),
    "Computing Krippendorff's Alpha-Reliability". None where no item is rated twice, or all ratings are the same.
    """
    return _one(_alpha, _alpha_rows(_rated_twice(items)))


def percent_agreement(items: Sequence[Ratings]) -> Rate:
    """The share of items rated at least twice on which everybody says the same, with its Wilson interval."""
    twice = _rated_twice(items)
    same = sum(len({one for one in ratings if one is not None}) == 1 for ratings in twice)
    return wilson(same, len(twice))


def kappa(items: Sequence[Ratings], groups: Sequence[str] | None = None, seed: int = 1) -> Coefficient:
    """Cohen's kappa of two annotators over the items that both rated, with its interval."""
    return _with_interval(items, _kappa_rows, _kappa, groups, seed)


def alpha(items: Sequence[Ratings], groups: Sequence[str] | None = None, seed: int = 1) -> Coefficient:
    """Krippendorff's alpha over the items with its interval; items of one group are drawn together."""
    return _with_interval(items, _alpha_rows, _alpha, groups, seed)


# --- a coefficient is a function of sums over items, so that a thousand replicates are one product of matrices -------


def _rated_twice(items: Sequence[Ratings]) -> list[Ratings]:
    return [ratings for ratings in items if sum(one is not None for one in ratings) >= 2]


def _counts(items: Sequence[Sequence[str | None]]) -> Floats:
    """How often each name stands in each item: (items, names)."""
    names = {name: at for at, name in enumerate(sorted({one for item in items for one in item if one is not None}))}
    found = np.zeros((len(items), len(names)))
    for row, item in enumerate(items):
        for one in item:
            if one is not None:
                found[row, names[one]] += 1
    return found


def _alpha_rows(items: Sequence[Ratings]) -> Floats:
    """For each item its disagreement, and how often each name stands in it."""
    counts = _counts(items)
    rated = counts.sum(axis=1, keepdims=True)
    off_diagonal = (counts * (rated - counts)).sum(axis=1, keepdims=True) / np.maximum(rated - 1, 1)
    return np.hstack([off_diagonal, counts])


def _alpha(sums: Floats) -> Floats:
    disagreement, totals = sums[:, 0], sums[:, 1:]
    n = totals.sum(axis=1)
    found: Floats = 1 - (n - 1) * disagreement / _or_nan(n**2 - (totals**2).sum(axis=1))
    return found


def _kappa_rows(items: Sequence[Ratings]) -> Floats:
    """For each item 1, whether both say the same, and what the first and the second say, each by name."""
    sides = _counts([*([first] for first, _ in items), *([second] for _, second in items)])
    first, second = sides[: len(items)], sides[len(items) :]
    ones = np.ones((len(items), 1))
    return np.hstack([ones, (first * second).sum(axis=1, keepdims=True), first, second])


def _kappa(sums: Floats) -> Floats:
    n = _or_nan(sums[:, 0])
    names = (sums.shape[1] - 2) // 2
    expected = (sums[:, 2 : 2 + names] * sums[:, 2 + names :]).sum(axis=1) / n**2
    found: Floats = (sums[:, 1] / n - expected) / _or_nan(1 - expected)
    return found


def _or_nan(values: Floats) -> Floats:
    return np.where(values == 0, np.nan, values)


def _one(coefficient: Callable[[Floats], Floats], rows: Floats) -> float | None:
    value = float(coefficient(rows.sum(axis=0, keepdims=True))[0]) if len(rows) else math.nan
    return None if math.isnan(value) else value


def _with_interval(
    items: Sequence[Ratings],
    rows_of: Callable[[Sequence[Ratings]], Floats],
    coefficient: Callable[[Floats], Floats],
    groups: Sequence[str] | None,
    seed: int,
) -> Coefficient:
    twice = [at for at, ratings in enumerate(items) if sum(one is not None for one in ratings) >= 2]
    rows = rows_of([items[at] for at in twice])
    value = _one(coefficient, rows)
    if value is None:
        return Coefficient(value=None, low=None, high=None, n=len(twice))
    clusters = _sums_by([groups[at] if groups is not None else str(at) for at in twice], rows)
    found = _replicates(clusters, coefficient, seed) if len(clusters) > 1 else np.array([])
    low, high = (float(one) for one in np.percentile(found, [2.5, 97.5])) if len(found) else (None, None)
    return Coefficient(value=value, low=low, high=high, n=len(twice))


def _sums_by(groups: Sequence[str], rows: Floats) -> Floats:
    """The rows of each group added up, in the order in which groups first stand: (groups, columns)."""
    places = {group: at for at, group in enumerate(dict.fromkeys(groups))}
    found = np.zeros((len(places), rows.shape[1]))
    np.add.at(found, [places[group] for group in groups], rows)
    return found


def _replicates(clusters: Floats, coefficient: Callable[[Floats], Floats], seed: int) -> Floats:
    count = len(clusters)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=_REPLICATES)
    found = coefficient(drawn @ clusters)
    return found[~np.isnan(found)]
