"""How a gain is proven: rates with intervals, paired tables, tests, power and the words of a verdict."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist
from typing import Any, Literal

from kt_lib.records import PairedTable, Rate

VerdictWord = Literal["better", "worse", "equivalent", "not_worse", "inconclusive"]

Z = NormalDist().inv_cdf(0.975)
"""The 97.5% point of the normal distribution: every interval here is a 95% one, two-sided."""
ALPHA = 0.05


# --- rates -----------------------------------------------------------------------------------------------------------


def wilson(successes: int, n: int, errors: int = 0) -> Rate:
    """The share `successes / n` with its 95% Wilson score interval; `errors` are carried along, never counted in `n`.

    Raises ValueError unless 0 <= successes <= n. With n = 0 the value and the bounds are None.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} tasks is not a share")
    if n == 0:
        return Rate(value=None, low=None, high=None, n=0, errors=errors)
    low, high = _wilson_bounds(successes / n, n)
    return Rate(value=successes / n, low=float(low), high=float(high), n=n, errors=errors)


def _wilson_bounds(share: Any, n: Any) -> tuple[Any, Any]:
    """Wilson 1927; numbers or arrays. The ends are put exactly on 0 and 1 where rounding misses them."""
    import numpy as np

    centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * np.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    low = np.where(share == 0, 0.0, np.minimum(np.maximum(centre - half, 0.0), share))
    high = np.where(share == 1, 1.0, np.maximum(np.minimum(centre + half, 1.0), share))
    return low, high


def per_task(outcomes: Iterable[tuple[str, float]]) -> dict[str, float]:
    """(task id, 0..1) rows with repeats -> the mean of each task: a task repeated often weighs no more than another."""
    values: dict[str, list[float]] = defaultdict(list)
    for task, value in outcomes:
        values[task].append(float(value))
    return {task: math.fsum(seen) / len(seen) for task, seen in values.items()}


# --- two sides on the same tasks -------------------------------------------------------------------------------------


def paired_counts(
    both: int, first_only: int, second_only: int, neither: int, *, first_errors: int = 0, second_errors: int = 0
) -> PairedTable:
    """The 2x2 table with rates, Newcombe's paired interval for second minus first, and McNemar's mid-p.

    With no tasks the difference is 0 within (-1, 1) and p is 1: nothing is known. Errors are shown, never counted.
    """
    n = both + first_only + second_only + neither
    low, high = newcombe_paired(both, first_only, second_only, neither)
    return PairedTable(
        both=both,
        first_only=first_only,
        second_only=second_only,
        neither=neither,
        first=wilson(both + first_only, n, first_errors),
        second=wilson(both + second_only, n, second_errors),
        difference=(second_only - first_only) / n if n else 0.0,
        low=low,
        high=high,
        p_value=mcnemar_mid_p(first_only, second_only),
    )


def paired(first: Sequence[bool], second: Sequence[bool]) -> PairedTable:
    """Two rows of outcomes on the same tasks in the same order -> their table. ValueError when lengths differ."""
    pairs = [(bool(a), bool(b)) for a, b in zip(first, second, strict=True)]
    return paired_counts(
        pairs.count((True, True)), pairs.count((True, False)), pairs.count((False, True)), pairs.count((False, False))
    )


def mcnemar_mid_p(b: int, c: int) -> float:
    """McNemar's mid-p of discordant counts: 2 x binomial CDF of the smaller at 1/2, less its mass. Fagerland 2013."""
    from scipy.stats import binom

    if min(b, c) < 0:
        raise ValueError(f"counts cannot be negative: {b}, {c}")
    smaller = min(b, c)
    return min(1.0, float(2 * binom.cdf(smaller, b + c, 0.5) - binom.pmf(smaller, b + c, 0.5)))


def newcombe_paired(both: int, first_only: int, second_only: int, neither: int) -> tuple[float, float]:
    """95% interval of second minus first, in -1..1: Newcombe 1998 (Stat Med 17:2635), method 10.

    Square-and-add of the two Wilson intervals, their correlation taken with Newcombe's continuity correction where it
    is positive and as 0 where a margin is empty. With no tasks: (-1, 1).
    """
    if min(both, first_only, second_only, neither) < 0:
        raise ValueError("counts cannot be negative")
    if both + first_only + second_only + neither == 0:
        return -1.0, 1.0
    low, high = _newcombe_bounds(both, first_only, second_only, neither)
    return float(low), float(high)


def _newcombe_bounds(both: Any, first_only: Any, second_only: Any, neither: Any) -> tuple[Any, Any]:
    import numpy as np

    e, f, g, h = (np.asarray(count, dtype=float) for count in (both, first_only, second_only, neither))
    n = e + f + g + h
    first, second = (e + f) / n, (e + g) / n
    low_1, high_1 = _wilson_bounds(first, n)
    low_2, high_2 = _wilson_bounds(second, n)
    margins = (e + f) * (g + h) * (e + g) * (f + h)
    cross = e * h - f * g
    corrected = np.where(cross > 0, np.maximum(cross - n / 2, 0.0), cross)
    phi = np.where(margins > 0, corrected / np.sqrt(np.where(margins > 0, margins, 1.0)), 0.0)
    difference = (g - f) / n

    def reach(a: Any, b: Any) -> Any:
        return np.sqrt(np.maximum(a * a - 2 * phi * a * b + b * b, 0.0))

    low = difference - reach(second - low_2, high_1 - first)
    high = difference + reach(high_2 - second, first - low_1)
    return np.maximum(low, -1.0), np.minimum(high, 1.0)


def discordance(table: PairedTable) -> float:
    """The share of tasks on which the sides differ, 0..1; 0 when there are none."""
    return (table.first_only + table.second_only) / table.n if table.n else 0.0


def mean_difference(
    first: Iterable[tuple[str, float]],
    second: Iterable[tuple[str, float]],
    clusters: Mapping[str, str] | None = None,
    *,
    seed: int,
) -> tuple[float, float, float]:
    """(second minus first, low, high) over the tasks of both sides, for repeated attempts.

    Each task's repeats are averaged first; then a 95% bootstrap over `clusters` (task id -> conversation; each task
    its own cluster when None). ValueError when no task is on both sides.
    """
    a, b = per_task(first), per_task(second)
    tasks = sorted(a.keys() & b.keys())
    groups = [(clusters or {}).get(task, task) for task in tasks]
    return cluster_bootstrap([b[task] - a[task] for task in tasks], groups, seed=seed)


def cluster_bootstrap(
    values: Sequence[float], clusters: Sequence[str], *, seed: int, resamples: int = 2000, confidence: float = 0.95
) -> tuple[float, float, float]:
    """(mean, low, high) of `values` by the percentile bootstrap that draws whole clusters.

    The order of rows does not matter. ValueError when there are no values or the lengths differ.
    """
    import numpy as np

    groups: dict[str, list[float]] = defaultdict(list)
    for value, cluster in zip(values, clusters, strict=True):
        groups[cluster].append(float(value))
    if not groups:
        raise ValueError("a bootstrap needs at least one value")
    ordered = [groups[name] for name in sorted(groups)]
    sums = np.array([math.fsum(group) for group in ordered])
    sizes = np.array([len(group) for group in ordered], dtype=float)
    draws = np.random.default_rng(seed).multinomial(len(ordered), [1 / len(ordered)] * len(ordered), size=resamples)
    means = (draws @ sums) / (draws @ sizes)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return math.fsum(sums) / float(sizes.sum()), float(low), float(high)


# --- many looks, many tests ------------------------------------------------------------------------------------------


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given."""
    if not p_values:
        return []
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(list(p_values), method="holm")[1]]


def log_e_process(wins: int, losses: int) -> float:
    """log E of the paired e-process over discordant wins and losses: betaln(1+w, 1+l) - betaln(1, 1) + (w+l) ln 2."""
    if min(wins, losses) < 0:
        raise ValueError(f"counts cannot be negative: {wins}, {losses}")
    log_beta = math.lgamma(1 + wins) + math.lgamma(1 + losses) - math.lgamma(2 + wins + losses)
    return log_beta + (wins + losses) * math.log(2)


def e_process(wins: int, losses: int) -> float:
    """Evidence against "the sides are equal" that survives looking after every task: stop at E >= 20 for 5%."""
    log_e = log_e_process(wins, losses)
    return math.exp(log_e) if log_e < 700 else math.inf


# --- the verdict -----------------------------------------------------------------------------------------------------


def not_worse(table: PairedTable, margin: float) -> bool:
    """Whether a guard passes: the second side is not worse than the first by `margin` (0..1) or more, at 95%."""
    return table.n > 0 and table.low > -margin


def judge(table: PairedTable, margin: float) -> VerdictWord:
    """What the table says of the second side, in one word.

    better and worse: interval and mid-p both exclude no difference. Otherwise equivalent: the interval lies inside
    +-margin; not_worse: above -margin; inconclusive: neither (`tasks_needed` says how many would decide). A side can
    be `worse` by less than the margin: whether a guard passes is `not_worse`.
    """
    if table.n == 0:
        return "inconclusive"
    if table.p_value < ALPHA and table.low > 0:
        return "better"
    if table.p_value < ALPHA and table.high < 0:
        return "worse"
    if not not_worse(table, margin):
        return "inconclusive"
    return "equivalent" if table.high < margin else "not_worse"


def guard_word(table: PairedTable, margin: float) -> str:
    """What `judge` says as a reader of guards sees it: a proven loss that lets the guard pass is called just that."""
    word = judge(table, margin)
    within = word == "worse" and not_worse(table, margin)
    return "worse by less than the margin" if within else word.replace("_", " ")


# --- power -----------------------------------------------------------------------------------------------------------


def noninferiority_power(n: int, discordance: float, margin: float, rate: float | None = None) -> float:
    """The chance that `n` tasks show "not worse by `margin`" when there is no true difference.

    `discordance` is the share of tasks on which the sides differ. Without `rate`: the normal approximation,
    Phi(margin / sqrt(discordance / n) - 1.96), optimistic where discordance is under .05. With `rate` (the share of the
    other tasks that both sides solve): exact, by enumeration of the rule "Newcombe lower bound > -margin".
    """
    _check_shares(discordance, margin)
    if n <= 0:
        return 0.0
    if rate is not None:
        return _exact_power(n, discordance, margin, rate)
    if n < _fewest(margin):
        return 0.0
    return 1.0 if discordance == 0 else NormalDist().cdf(margin / math.sqrt(discordance / n) - Z)


def _exact_power(n: int, discordance: float, margin: float, rate: float) -> float:
    import numpy as np
    from scipy.stats import binom

    power = 0.0
    for count, chance in enumerate(binom.pmf(np.arange(n + 1), n, discordance)):
        if chance < 1e-12:
            continue
        losses = np.arange(count + 1)
        both = np.round((n - count) * rate)
        low, _ = _newcombe_bounds(both, losses, count - losses, n - count - both)
        power += float(chance) * float(np.sum(binom.pmf(losses, count, 0.5) * (low > -margin)))
    return min(1.0, power)


def tasks_needed(
    discordance: float, margin: float, power: float = 0.8, rate: float | None = None, more_than: int = 0
) -> int:
    """Tasks, more than `more_than`, for `noninferiority_power` of at least `power`, with or without `rate` as there."""
    _check_shares(discordance, margin)
    z = Z + NormalDist().inv_cdf(power)
    n = max(math.ceil(z * z * discordance / margin**2), _fewest(margin), more_than + 1)
    while rate is not None and _exact_power(n, discordance, margin, rate) < power:
        n += max(1, n // 100)
    return n


def _fewest(margin: float) -> int:
    """Fewer tasks than this cannot pass even when no task differs: z^2 / (n + z^2), Newcombe's reach, is the margin."""
    return math.floor(Z * Z * (1 - margin) / margin) + 1


def _check_shares(discordance: float, margin: float) -> None:
    if not (0 <= discordance <= 1 and 0 < margin < 1):
        raise ValueError(f"discordance {discordance} must be in 0..1 and margin {margin} between 0 and 1")
