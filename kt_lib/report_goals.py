"""The goals the product shows for itself: reached, not reached, or not yet decidable at this n, from intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from kt_lib.difference import rate
from kt_lib.records import Attempt, PairedTable, Rate, Record, Task, Verdict
from kt_lib.statistics import paired_counts, wilson

State = Literal["reached", "not reached", "not yet decidable at this n", "not measured yet"]
UNMEASURED = (
    ("agent tasks done locally", "", "80%"),
    ("manual editing time", "", "halved"),
    ("remote (teacher) calls", "", "halved"),
    ("acceptance of drafts", "70%", "75, 85, 90%"),
    ("user satisfaction", "measured", "rising"),
)
"""(figure, from, to) of the goals that nothing measures yet."""


class Goal(Record):
    """One goal with what was measured."""

    figure: str
    """What is measured."""
    start: str
    """Where it starts from, in words."""
    target: str
    """What is to be reached, in words."""
    unit: Literal["share", "points", ""] = ""
    """What value and interval are: a share of 1, or a difference of shares."""
    value: float | None = None
    """What was measured."""
    low: float | None = None
    """95% lower bound."""
    high: float | None = None
    """95% upper bound."""
    n: int = 0
    """Tasks."""
    state: State = "not measured yet"
    """Whether it is reached."""


class Measured(Record):
    """What the goals are judged on; what was not measured is None."""

    agent: Rate | None = None
    """Agent success on held-out tasks."""
    calls: Rate | None = None
    """Right calls (name and arguments) where a call is due."""
    malformed: Rate | None = None
    """Malformed outputs of the agent."""
    gap: PairedTable | None = None
    """first = chat, second = agent."""
    transferred: Rate | None = None
    """Share of the `chat only` pool that the agent now does."""
    failures: PairedTable | None = None
    """Agent before and after, all tasks."""
    simple_failures: PairedTable | None = None
    """The same on tasks of difficulty 1 and 2."""
    guards: tuple[Verdict, ...] = ()
    """The guards' verdicts."""


def goals(measured: Measured) -> list[Goal]:
    """Every goal of the product with its state at this n."""
    return [
        _share("agent success on held-out tasks", "40%", "80%", measured.agent, least=0.8),
        _share("agent success on held-out tasks", "80%", "90%, lower bound above 85%", measured.agent, 0.9, bound=0.85),
        _gap("10 points", measured.gap, 0.10),
        _gap("3 points", measured.gap, 0.03),
        _share(
            "tool-call accuracy (name and arguments)",
            "60%",
            "90% on at least 300 tasks, lower bound 85%",
            measured.calls,
            0.9,
            bound=0.85,
            tasks=300,
        ),
        _malformed(measured.malformed),
        _share("`chat only` pool transferred", "none", "70%", measured.transferred, least=0.7),
        _fewer("30% fewer on simple tasks", measured.simple_failures, 0.3),
        _fewer("50% fewer overall", measured.failures, 0.5),
        _kept(measured.guards),
        *(Goal(figure=figure, start=start, target=target) for figure, start, target in UNMEASURED),
    ]


def _share(
    figure: str, start: str, target: str, rate: Rate | None, least: float, *, bound: float | None = None, tasks: int = 0
) -> Goal:
    """At least this share; the lower bound must reach `bound` (the share itself where none is named)."""
    if rate is None or rate.value is None or rate.low is None or rate.high is None:
        return Goal(figure=figure, start=start, target=target)
    if rate.value >= least and rate.low >= (least if bound is None else bound) and rate.n >= tasks:
        state: State = "reached"
    else:
        state = "not reached" if rate.high < least else "not yet decidable at this n"
    return _goal(figure, start, target, rate, state)


def _malformed(rate: Rate | None) -> Goal:
    words = ("malformed output", "25%", "5%, upper bound 8% on at least 320 tasks")
    if rate is None or rate.value is None or rate.low is None or rate.high is None:
        return Goal(figure=words[0], start=words[1], target=words[2])
    reached = rate.value <= 0.05 and rate.high <= 0.08 and rate.n >= 320
    return _goal(
        *words, rate, "reached" if reached else "not reached" if rate.low > 0.05 else "not yet decidable at this n"
    )


def _goal(figure: str, start: str, target: str, rate: Rate, state: State) -> Goal:
    known = {"value": rate.value, "low": rate.low, "high": rate.high, "n": rate.n}
    return Goal.model_validate(
        {"figure": figure, "start": start, "target": target, "unit": "share", "state": state, **known}
    )


def _gap(target: str, table: PairedTable | None, most: float) -> Goal:
    start = "40 points" if most == 0.10 else "10 points"
    if table is None or table.n == 0:
        return Goal(figure="gap, chat minus agent", start=start, target=target)
    low, high = -table.high, -table.low
    state: State = "reached" if high <= most else "not reached" if low > most else "not yet decidable at this n"
    return Goal(
        figure="gap, chat minus agent",
        start=start,
        target=target,
        unit="points",
        value=-table.difference,
        low=low,
        high=high,
        n=table.n,
        state=state,
    )


def _fewer(target: str, table: PairedTable | None, least: float) -> Goal:
    found = None if table is None else relative_reduction(table)
    if table is None or found is None:
        return Goal(figure="agent failures, share that is gone", start="before", target=target)
    value, low, high = found
    state: State = "reached" if low >= least else "not reached" if high < least else "not yet decidable at this n"
    return Goal(
        figure="agent failures, share that is gone",
        start="before",
        target=target,
        unit="share",
        value=value,
        low=low,
        high=high,
        n=table.n,
        state=state,
    )


def relative_reduction(table: PairedTable, seed: int = 1, resamples: int = 4000) -> tuple[float, float, float] | None:
    """(1 - failures after / failures before, low, high) by a 95% percentile bootstrap over tasks; first = before.

    None where nothing failed before.
    """
    import numpy as np

    failed, failed_after = table.second_only + table.neither, table.first_only + table.neither
    if failed == 0:
        return None
    cells = np.array([table.both, table.first_only, table.second_only, table.neither])
    draws = np.random.default_rng(seed).multinomial(table.n, cells / table.n, size=resamples)
    before, after = draws[:, 2] + draws[:, 3], draws[:, 1] + draws[:, 3]
    some = before > 0
    low, high = np.quantile(1 - after[some] / before[some], [0.025, 0.975])
    return 1 - failed_after / failed, float(low), float(high)


def _kept(guards: Sequence[Verdict]) -> Goal:
    """The guard that lost most, for all of them must hold."""
    words = {"figure": "ability lost by training, worst guard set", "start": "", "target": "at most 5 points"}
    if not guards:
        return Goal.model_validate(words)
    worst = min(guards, key=lambda one: one.table.low)
    tables = [one.table for one in guards]
    state: State = "not yet decidable at this n"
    if all(table.n and table.low > -0.05 for table in tables):
        state = "reached"
    elif any(table.n and table.high < -0.05 for table in tables):
        state = "not reached"
    known = {"value": -worst.table.difference, "low": -worst.table.high, "high": -worst.table.low, "n": worst.table.n}
    figure = f"ability lost by training, worst guard set ({worst.suite.replace('_', ' ')})"
    return Goal.model_validate({**words, **known, "figure": figure, "unit": "points", "state": state})


# --- figures that only the goals need --------------------------------------------------------------------------------


def right_calls(attempts: Sequence[Attempt], tasks: Mapping[str, Task]) -> Rate:
    """Right calls among the tasks where a call is due."""
    return rate(one for one in attempts if tasks[one.task_id].check.rule != "never")


def transferred(pool: Sequence[str], after: Mapping[str, Attempt]) -> Rate:
    """Of the tasks that only the chat could do, the share that the agent does now; one that did not run is an error."""
    ran = [after[task] for task in pool if task in after and after[task].outcome not in ("error", "unverified")]
    return wilson(sum(one.outcome == "correct" for one in ran), len(ran), len(pool) - len(ran))


def before_and_after(before: Mapping[str, Attempt], after: Mapping[str, Attempt]) -> PairedTable:
    """first = the agent before, second = after, over the tasks that ran on both sides."""
    ran = [
        (before[task].outcome == "correct", after[task].outcome == "correct")
        for task in before
        if task in after and not {before[task].outcome, after[task].outcome} & {"error", "unverified"}
    ]
    return paired_counts(
        ran.count((True, True)), ran.count((True, False)), ran.count((False, True)), ran.count((False, False))
    )
