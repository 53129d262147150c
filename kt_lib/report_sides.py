"""The sides that a report compares, and rates, gaps, gains and verdicts as JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kt_lib.assistant import Comparison
from kt_lib.difference import rate, table
from kt_lib.records import PairedTable, Rate, Task, Verdict
from kt_lib.report_data import ReportData
from kt_lib.report_goals import Measured, before_and_after, right_calls, transferred
from kt_lib.versions import refusal, worded

Json = dict[str, Any]


class Sides:
    """The sides that are compared: chat and agent before, agent and chat after, all on the same held-out tasks."""

    def __init__(self, data: ReportData) -> None:
        self.tasks: Mapping[str, Task] = {task.id: task for task in data.tasks}
        self.chat = {one.task_id: one.chat for one in data.before}
        self.agent = {one.task_id: one.agent for one in data.before}
        self.new_agent = {one.task_id: one for one in data.after.agent}
        self.new_chat = {one.task_id: one for one in data.after.chat}
        self.before = table(data.before)
        # Against the chat of before: what training did to the chat is a guard, and must not close the gap by itself.
        self.after = before_and_after(self.chat, self.new_agent) if self.new_agent else None
        self.gain = before_and_after(self.agent, self.new_agent) if self.new_agent else None
        self.pool = [one.task_id for one in data.before if one.cell == "chat_only"]
        self.transferred = transferred(self.pool, self.new_agent) if self.new_agent else None

    def trained(self) -> Json:
        """The trained model's figures; null each where there is none."""
        own = before_and_after(self.new_chat, self.new_agent) if self.new_chat and self.new_agent else None
        return {
            "agent_success": measured(rate(self.new_agent.values())) if self.new_agent else None,
            "malformed": measured(rate(self.new_agent.values(), "malformed")) if self.new_agent else None,
            "chat_success": measured(rate(self.new_chat.values())) if self.new_chat else None,
            "gap": gap(self.after) if self.after else None,
            "gap_to_own_chat": gap(own) if own else None,
            "gain": gain(self.gain) if self.gain else None,
            "paired": four(self.after) if self.after else None,
        }

    def measured(self, data: ReportData) -> Measured:
        """What the goals are judged on: the promoted version, or the base where none was promoted."""
        promoted = data.after.status == "promoted"
        agent = self.new_agent if promoted else self.agent
        simple = {name: one for name, one in self.agent.items() if self.tasks[name].difficulty <= 2}
        return Measured(
            agent=rate(agent.values()),
            calls=right_calls(list(agent.values()), self.tasks),
            malformed=rate(agent.values(), "malformed"),
            gap=self.after if promoted else self.before,
            transferred=self.transferred if promoted else None,
            failures=self.gain if promoted else None,
            simple_failures=before_and_after(simple, self.new_agent) if promoted else None,
            guards=tuple(one for one in data.verdicts if one.suite != "target") if promoted else (),
        )


def measured(one: Rate) -> Json:
    """A rate with its interval."""
    return one.model_dump(mode="json")


def gap(paired: PairedTable) -> Json:
    """First minus second (chat minus agent): positive where the agent falls behind."""
    if paired.n == 0:
        return {"value": None, "low": None, "high": None, "n": 0, "p_value": None}
    known = {"low": -paired.high, "high": -paired.low, "n": paired.n, "p_value": paired.p_value}
    return {"value": -paired.difference + 0.0, **known}


def gain(paired: PairedTable) -> Json:
    """Second minus first (after minus before)."""
    known = {"low": paired.low, "high": paired.high, "n": paired.n, "p_value": paired.p_value}
    return {"value": paired.difference, **known}


def four(paired: PairedTable) -> dict[str, int]:
    """The paired matrix with first = chat, second = agent."""
    return {
        "both": paired.both,
        "chat_only": paired.first_only,
        "agent_only": paired.second_only,
        "neither": paired.neither,
    }


# --- what the gate and the comparisons say ----------------------------------------------------------------------------


def verdict(one: Verdict) -> Json:
    """A verdict with rates before and after; the difference is after minus before."""
    known = one.model_dump(mode="json", exclude={"table", "reason"})
    paired = one.table
    return known | gain(paired) | {
        "difference": paired.difference,
        "before": measured(paired.first),
        "after": measured(paired.second),
        "words": worded(one),
        "reason": one.reason,
    }  # fmt: skip


def ablation(verdicts: Sequence[Verdict]) -> list[Json]:
    """A row for each suite: each training beside the base on the tasks that both were put to, and whether it passed."""
    found: dict[str, Json] = {}
    for one in verdicts:
        row = found.setdefault(one.suite, {"suite": one.suite, "trainings": []})
        judged = one.model_dump(mode="json", include={"variant", "verdict", "passed"}) | {"words": worded(one)}
        beside = {"base": one.table.first.value, "difference": one.table.difference}
        row["trainings"].append(judged | measured(one.table.second) | beside)
    return list(found.values())


def gate(verdicts: Sequence[Verdict]) -> list[Json]:
    """What the gate says of each training: why it stops it, in words; null where it lets it through."""
    trainings = dict.fromkeys(one.variant for one in verdicts)
    own = {name: [one for one in verdicts if one.variant == name] for name in trainings}
    return [{"variant": name, "refusal": refusal(found)} for name, found in own.items()]


def assistant(one: Comparison) -> Json:
    """One of the four figures before and after, on the same tasks."""
    known = one.model_dump(mode="json", exclude={"table"})
    return known | gain(one.table) | {"before": measured(one.table.first), "after": measured(one.table.second)}
