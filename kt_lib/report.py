"""The report's figures as one JSON value, each computed here from the run's records; the page shows just these."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from kt_lib.difference import by, cells, failure_changes, pair, rate
from kt_lib.records import Difference, ModelVersion, Rate, Score
from kt_lib.report_data import WITHHELD, ReportData
from kt_lib.report_goals import goals
from kt_lib.report_sides import Json, Sides, ablation, assistant, four, gap, gate, measured, verdict
from kt_lib.showing import shown

_LONGEST = 600


def report_text(data: ReportData) -> str:
    """`report.json`."""
    return json.dumps(report_json(data), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def report_json(data: ReportData) -> Json:
    """Every figure of the report.

    Rates are `{value, low, high, n, errors}` in 0..1 with 95% Wilson intervals; gaps are chat minus agent, gains after
    minus before, each with Newcombe's paired interval and McNemar's mid-p. *Before* and *after* share prompt, protocol
    and unconstrained decoding; *after* is the promoted version and null where there is none, with the reason in
    `after`. A candidate that was not promoted has its figures in `candidate`.
    """
    fit: Json = _fit(_figures(data))
    return fit


def _figures(data: ReportData) -> Json:
    sides = Sides(data)
    promoted, trained = data.after.status == "promoted", sides.trained()
    after = trained if promoted else dict.fromkeys(trained)
    return {
        "title": data.title,
        "audience": data.audience,
        "run": data.run,
        "created": data.created,
        "verdict": sentence(data, sides),
        "chat_success": measured(sides.before.first),
        "agent_success_before": measured(sides.before.second),
        "agent_success_after": after["agent_success"],
        "malformed_before": measured(rate(sides.agent.values(), "malformed")),
        "malformed_after": after["malformed"],
        "chat_success_after": after["chat_success"],
        "gap_before": gap(sides.before),
        "gap_after": after["gap"],
        "gain": after["gain"],
        "after": {"status": data.after.status, "reason": data.after.reason, "variant": data.after.variant},
        "candidate": trained if data.after.status == "candidate" else None,
        "paired": {"before": four(sides.before), "after": four(sides.after) if promoted and sides.after else None},
        "not_counted": {
            name: count for name, count in cells(data.before).items() if name in ("unverified", "incomplete")
        },
        "transferred": measured(sides.transferred) if sides.transferred else None,
        "failures": failures(data, sides),
        "guards": [verdict(one) for one in data.verdicts if one.suite != "target"],
        "ablation": ablation(data.ablation),
        "gate": gate(data.ablation),
        "assistant": [assistant(one) for one in data.comparisons],
        "target": next((verdict(one) for one in data.verdicts if one.suite == "target"), None),
        "levers": levers(data),
        "variants": variants(data.scores),
        "by_category": groups(data, sides, "category"),
        "by_novelty": groups(data, sides, "novelty"),
        "by_role": groups(data, sides, "role"),
        "by_tool": groups(data, sides, "tool"),
        "goals": [one.model_dump(mode="json") for one in goals(sides.measured(data))],
        "dataset": dataset(data),
        "training": [one.model_dump(mode="json", exclude={"folder"}) for one in data.adapters],
        "history": history(data.history),
        "lineage": lineage(data),
        "versions": [one.model_dump(mode="json", exclude={"scores", "verdicts"}) for one in data.versions],
        "parameters": {one.notebook: one.parameters for one in data.steps},
        "steps": steps(data),
        "seconds": {one.notebook: one.seconds for one in data.steps},
        "cpu_seconds": {one.notebook: one.cpu_seconds for one in data.steps},
    }


# --- the verdict in words --------------------------------------------------------------------------------------------


def sentence(data: ReportData, sides: Sides) -> str:
    """The verdict in one or two sentences."""
    before = sides.before
    if before.n == 0:
        waiting = sum(one.cell == "unverified" for one in data.before)
        why = f": {waiting} tasks have no independent evidence of what is right" if waiting else ""
        return f"Nothing can be said yet, for no held-out task was scored{why}."
    start = f"On {before.n} held-out tasks the chat is right in {_percent(before.first)}"
    if not sides.new_agent or sides.after is None:
        return (
            f"{start} and the agent in {_percent(before.second)}, a gap of {_points(-before.difference)} points."
            f" There is no after: {data.after.reason}."
        )
    agent = rate(sides.new_agent.values())
    who = "the agent went" if data.after.status == "promoted" else "the candidate, which was not promoted, goes"
    return (
        f"{start}; {who} from {_percent(before.second)} to {_percent(agent)},"
        f" and the gap from {_points(-before.difference)} points to {_points(-sides.after.difference)}."
    )


def _percent(one: Rate) -> str:
    return f"{100 * one.value:.1f}%" if one.value is not None else "no measured share"


def _points(value: float) -> str:
    return f"{100 * value:.1f}".replace("-", "\u2212")


# --- parts -----------------------------------------------------------------------------------------------------------


def failures(data: ReportData, sides: Sides) -> list[Json]:
    """Failure classes of the agent, most frequent before first; `after` is null where there is no after."""
    changes = failure_changes(sides.agent.values(), sides.new_agent.values())
    return [
        {"failure": name, "before": before, "after": after if data.after.agent else None}
        for name, (before, after) in changes.items()
    ]


def levers(data: ReportData) -> list[Json]:
    """What each lever gave on dev tasks: over all of them first, then by failure class."""
    rows = sorted(data.improvements, key=lambda one: one.failure != "all")
    return [
        one.model_dump(mode="json", exclude={"reason"})
        | {"difference": one.after - one.before, "reason": one.reason, "tasks": "dev"}
        for one in rows
    ]


def variants(scores: Sequence[Score]) -> list[Json]:
    """Every variant on the same held-out tasks: success and malformed as an agent, success in chat."""
    found: dict[str, Json] = {}
    wanted = {
        ("agent", "success"): "agent_success",
        ("agent", "malformed"): "malformed",
        ("chat", "success"): "chat_success",
    }
    for one in scores:
        name = wanted.get((one.mode, one.metric))
        if one.suite == "main" and name:
            empty = dict.fromkeys(wanted.values())
            found.setdefault(one.variant, {"variant": one.variant, **empty})[name] = measured(one.rate)
    return list(found.values())


def history(versions: Sequence[ModelVersion]) -> list[Json]:
    """The base and every version as it was released: agent and chat on its held-out tasks, and the gap in points.

    Each was measured in its own run: two rows are no paired comparison. The gap is chat minus agent of one row.
    """
    found: list[Json] = []
    for version in versions:
        rates = {
            (one.variant, one.mode): one.rate
            for one in version.scores
            if one.suite == "main" and one.metric == "success"
        }
        released = next((name for name, mode in rates if mode == "chat" and name != "base"), None)
        sides = [("base", "base")] * (not found) + [(version.version, released or "")]
        for label, variant in sides:
            agent, chat = rates.get((variant, "agent")), rates.get((variant, "chat"))
            if agent and chat and agent.value is not None and chat.value is not None:
                known = {"agent": measured(agent), "chat": measured(chat), "gap": chat.value - agent.value}
                found.append({"version": label, "gate": version.promoted or label == "base", **known})
    return found


def groups(data: ReportData, sides: Sides, key: str) -> list[Json]:
    """Chat, agent before and after by group of tasks, the widest gap before first.

    A tool or a category may be a person's word: withheld tasks are in no such group.
    """
    found = []
    told = {task.id for task in data.tasks if WITHHELD not in task.tags or key in ("role", "novelty")}
    after = [one for one in _after_differences(data, sides) if one.task_id in told]
    later = by(after, data.tasks, key) if after else {}
    for name, paired in by([one for one in data.before if one.task_id in told], data.tasks, key).items():
        if paired.n and name != "(none)":
            new = later[name].second if name in later and later[name].n else None
            found.append(
                {
                    "group": name,
                    "n": paired.n,
                    "chat": measured(paired.first),
                    "agent_before": measured(paired.second),
                    "agent_after": measured(new) if new else None,
                    "gap_before": gap(paired),
                }
            )
    return sorted(found, key=lambda row: -row["gap_before"]["value"])


def _after_differences(data: ReportData, sides: Sides) -> list[Difference]:
    """The chat of before against the agent of after, where both ran."""
    shared = [task for task in sides.chat if task in sides.new_agent]
    return pair((sides.chat[task] for task in shared), (sides.new_agent[task] for task in shared)) if shared else []


def dataset(data: ReportData) -> Json:
    """Rows and pairs by kind, how many tasks they came from, and the leakage that was measured."""
    held = data.leakage
    leakage = held.model_dump(mode="json", exclude={"leaks"}) | {"leaks": len(held.leaks)} if held else None
    return {
        "rows": data.rows,
        "pairs": data.pairs,
        "mix": [one.model_dump(mode="json") for one in data.mix],
        "funnel": [one.model_dump(mode="json") for one in data.funnel],
        "examples": data.examples,
        "train_tasks": data.train_tasks,
        "train_chat_right": data.train_chat_right,
        "tasks": data.task_counts,
        "leakage": leakage,
    }


def lineage(data: ReportData) -> Json:
    """What the digest of a version's data stands for, and what its training was told beside its base.

    A training that ends before DPO learned from no pair.
    """
    told = next((one.parameters for one in data.steps if one.notebook == "08_train"), {})
    empty: tuple[Any, ...] = ("", None, [], {})
    return {
        "rows": sum(data.rows.values()),
        "pairs": sum(data.pairs.values()) if data.after.variant.endswith("dpo") else 0,
        "configuration": {
            name: value for name, value in told.items() if value not in empty and name not in ("model", "local_base")
        },
    }


def steps(data: ReportData) -> Json:
    """Seconds of each step; a step that an earlier run made says so."""
    return {
        one.notebook: {
            "seconds": one.seconds,
            "cpu_seconds": one.cpu_seconds,
            "status": "reused" if one.status == "finished" and one.run != data.run else one.status,
            "reason": one.reason,
            "page": data.pages.get(one.notebook),
        }
        for one in data.steps
    }


def _fit(value: Any) -> Any:
    """A JSON value with its texts, whatever record they came from, made fit to be shown."""
    if isinstance(value, str):
        return shown(value, _LONGEST)
    if isinstance(value, Mapping):
        return {shown(str(key), _LONGEST): _fit(one) for key, one in value.items()}
    return [_fit(one) for one in value] if isinstance(value, list | tuple) else value
