"""The gate: better on the target, and not worse on any guard, each with n, discordance and power."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from kt_lib.power import guard_needs, guard_power
from kt_lib.records import Attempt, PairedTable, Rate, Score, Verdict
from kt_lib.statistics import discordance, guard_word, judge, not_worse, paired, wilson

ENOUGH_POWER = 0.8
Draw = Callable[[int], PairedTable]
"""The paired table of base and candidate on the first n tasks of a suite, more of them drawn where needed."""


def score(attempts: Sequence[Attempt], variant: str, suite: str, outcome: str = "correct") -> Score:
    """The share of attempts with an outcome: `success` for `correct`, else under the outcome's own name."""
    ran = [attempt for attempt in attempts if attempt.outcome not in ("error", "unverified")]
    rate: Rate = wilson(
        sum(attempt.outcome == outcome for attempt in ran),
        len(ran),
        sum(attempt.outcome == "error" for attempt in attempts),
    )
    mode = attempts[0].mode if attempts else "agent"
    metric = "success" if outcome == "correct" else outcome
    return Score(variant=variant, mode=mode, suite=suite, metric=metric, rate=rate)


def paired_table(base: Sequence[Attempt], candidate: Sequence[Attempt]) -> PairedTable:
    """First = base, second = candidate, over the tasks that ran on both sides."""
    other: Mapping[str, Attempt] = {attempt.task_id: attempt for attempt in candidate}
    ran = [
        (first.outcome == "correct", other[first.task_id].outcome == "correct")
        for first in base
        if first.task_id in other and not {first.outcome, other[first.task_id].outcome} & {"error", "unverified"}
    ]
    return paired([first for first, _ in ran], [second for _, second in ran])


def target(variant: str, table: PairedTable, margin: float, alpha: float = 0.05) -> Verdict:
    """The verdict on what was to be improved: passed when the paired test and its interval say better."""
    better = table.p_value < alpha and table.low > 0
    words = "better" if better else judge(table, margin)
    reason = f"{table.in_points}, p {table.p_value:.2g}"
    return verdict(variant, "target", table, words, better, margin, reason)


def guard(variant: str, suite: str, draw: Draw, start: int, bound: int, margin: float) -> Verdict:
    """The verdict on something that must not be lost: passed when the loss is surely within the margin.

    A guard without 80% power draws more tasks, up to `bound`, whichever way it points so far: looking first and drawing
    only after a failure would let a true loss of the margin through in 4 to 5% of cases instead of 2.5 (simulated).
    Proven better, or surely worse, is decided as it stands. Still undecided does not pass.
    """
    table = draw(start)
    while not decided(table, margin) and guard_power(table, margin) < ENOUGH_POWER and table.n < bound:
        more = min(bound, max(guard_needs(table, margin), table.n + 50))
        grown = draw(more)
        if grown.n <= table.n:
            break
        table = grown
    passed = not_worse(table, margin)
    words = judge(table, margin)
    reason = f"{table.in_points} on {table.n} tasks"
    reason += "" if passed else ": the margin is not surely kept"
    if passed and words == "worse":
        words, reason = "not_worse", f"{reason}: {guard_word(table, margin)}"
    return verdict(variant, suite, table, words, passed, margin, reason)


def decided(table: PairedTable, margin: float) -> bool:
    """Whether more tasks are not worth drawing: proven better, or lost by more than the margin for sure."""
    return table.n > 0 and (judge(table, margin) == "better" or table.high <= -margin)


def verdict(
    variant: str, suite: str, table: PairedTable, words: str, passed: bool, margin: float, reason: str
) -> Verdict:
    """The row for one suite."""
    return Verdict(
        variant=variant,
        suite=suite,
        table=table,
        verdict=cast("type", words),
        passed=passed,
        margin=margin,
        discordance=discordance(table),
        power=guard_power(table, margin),
        needed=guard_needs(table, margin),
        reason=reason,
    )


def passes(verdicts: Sequence[Verdict], variant: str) -> bool:
    """Whether a variant passed the target and every guard."""
    own = [row for row in verdicts if row.variant == variant]
    return bool(own) and all(row.passed for row in own) and any(row.suite == "target" for row in own)


def cheaper_or_better(sft: Sequence[Attempt], dpo: Sequence[Attempt], alpha: float = 0.05) -> str:
    """Which of two trainings is a candidate: the cheaper one, unless DPO is proven better on dev tasks."""
    table = paired_table(sft, dpo)
    return "sft+dpo" if table.n and table.p_value < alpha and table.difference > 0 else "sft"
