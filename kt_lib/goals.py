"""The goals the product shows for itself: reached, not reached, or not yet decidable at this n."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kt_lib.records import PairedTable, Rate, Verdict


def goals(
    agent_before: Rate,
    agent_after: Rate,
    gap_before: PairedTable,
    gap_after: PairedTable | None,
    malformed_before: Rate,
    malformed_after: Rate,
    verdicts: Sequence[Verdict],
) -> list[dict[str, Any]]:
    """Each goal with what was measured before and after, its state, and how the state was decided."""
    guards = [row for row in verdicts if row.suite != "target"]
    return [
        goal("agent success on held-out tasks: 90%, lower bound above 85%", agent_before, agent_after, reached(
            agent_after, agent_after.value is not None and agent_after.value >= 0.9 and (agent_after.low or 0) > 0.85,
            (agent_after.high or 0) < 0.9)),
        goal("malformed output: 5%, upper bound 8%", malformed_before, malformed_after, reached(
            malformed_after, malformed_after.value is not None and malformed_after.value <= 0.05
            and (malformed_after.high or 1) <= 0.08, (malformed_after.low or 0) > 0.05)),
        {
            "goal": "gap between chat and agent: 3 points",
            "before": f"{-100 * gap_before.difference:.1f} points" if gap_before.n else "not measured",
            "after": f"{-100 * gap_after.difference:.1f} points" if gap_after else "not measured yet",
            "state": "not measured yet" if gap_after is None else within(-gap_after.difference, -gap_after.high, -gap_after.low, 0.03),
        },
        {
            "goal": "`chat only` pool transferred: 70%",
            "before": f"{gap_before.first_only} tasks",
            "after": f"{gap_after.first_only} tasks left" if gap_after else "not measured yet",
            "state": transferred(gap_before, gap_after),
        },
        {
            "goal": "chat ability lost by training: at most 5 points on any guard",
            "before": "",
            "after": ", ".join(f"{row.suite} {100 * row.table.difference:+.1f}" for row in guards) or "not measured yet",
            "state": ("reached" if all(row.passed for row in guards) else "not reached") if guards else "not measured yet",
        },
        *({"goal": name, "before": "", "after": "", "state": "not measured yet"} for name in (
            "agent tasks done locally: 80%", "manual editing time: halved", "remote (teacher) calls: halved",
            "acceptance of drafts: 75, 85, 90%", "user satisfaction: rising")),
    ]  # fmt: skip


def goal(name: str, before: Rate, after: Rate, state: str) -> dict[str, Any]:
    """A goal about a rate."""
    return {"goal": name, "before": in_percent(before), "after": in_percent(after), "state": state}


def reached(rate: Rate, yes: bool, no: bool) -> str:
    """The state of a goal from what the interval allows."""
    if rate.value is None:
        return "not measured yet"
    return "reached" if yes else "not reached" if no else "not yet decidable at this n"


def within(value: float, low: float, high: float, bound: float) -> str:
    """The state of a goal that a number with its interval be at most `bound`."""
    return "reached" if high <= bound else "not reached" if low > bound else "not yet decidable at this n"


def transferred(before: PairedTable, after: PairedTable | None) -> str:
    """Whether at least 70% of the tasks that only chat could do are now done by the agent."""
    if after is None or before.first_only == 0:
        return "not measured yet"
    return "reached" if after.first_only <= 0.3 * before.first_only else "not reached"


def in_percent(rate: Rate) -> str:
    """A rate with its interval."""
    if rate.value is None:
        return "not measured yet"
    return f"{100 * rate.value:.1f}% ({100 * (rate.low or 0):.1f} to {100 * (rate.high or 0):.1f})"
