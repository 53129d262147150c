"""What the report says, as one JSON value: every figure computed here from the run's artifacts, none typed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kt_lib.difference import by, failure_changes, pair, rate, table
from kt_lib.gate import paired_table
from kt_lib.goals import goals
from kt_lib.pages import shown
from kt_lib.records import (
    Adapter,
    Attempt,
    Difference,
    Improvement,
    ModelVersion,
    PairedTable,
    Rate,
    Record,
    Score,
    Task,
    Verdict,
)

CASES = 10


class Evidence(Record):
    """Everything a report is made of; what a skipped step did not write is empty."""

    tasks: tuple[Task, ...]
    """Every task."""
    before: tuple[Attempt, ...]
    """Attempts of the base, in chat and as an agent."""
    after: tuple[Attempt, ...] = ()
    """Attempts after training and with levers on held-out tasks."""
    candidate: str | None = None
    """The variant of `after` that was put to the gate."""
    improvements: tuple[Improvement, ...] = ()
    """What the levers gave on dev tasks."""
    scores: tuple[Score, ...] = ()
    """Scores by variant."""
    verdicts: tuple[Verdict, ...] = ()
    """The gate's verdicts."""
    adapters: tuple[Adapter, ...] = ()
    """Trainings."""
    versions: tuple[ModelVersion, ...] = ()
    """The version made in this run."""
    mix: dict[str, int] = {}
    """Training rows by kind."""
    leakage: dict[str, Any] = {}
    """The leakage report."""
    ingest: dict[str, Any] = {}
    """Totals of the ingest."""
    steps: dict[str, dict[str, Any]] = {}
    """seconds, cpu_seconds, status and reason by step."""
    why_no_after: str = ""
    """Why there is no after, where there is none."""


def summary(evidence: Evidence) -> dict[str, Any]:
    """The report as JSON: rates `{value, low, high, n}`, paired tables, levers, guards, versions, seconds.

    *Before* and *after* share prompt, protocol and unconstrained decoding; *after* is the promoted version, or the
    candidate that the gate refused (`after_is` says which). Absent figures are null.
    """
    main = {task.id for task in evidence.tasks if task.part == "test" and task.kind == "main"}
    chat = [row for row in evidence.before if row.mode == "chat" and row.task_id in main]
    agent = [row for row in evidence.before if row.mode == "agent" and row.task_id in main]
    new = [row for row in evidence.after if row.lever == evidence.candidate and row.task_id in main]
    new_agent, new_chat = ([row for row in new if row.mode == mode] for mode in ("agent", "chat"))
    first = pair(chat, agent)
    second = pair(new_chat, new_agent) if new_agent and new_chat else []
    promoted = any(version.promoted for version in evidence.versions)
    return {
        "chat_success": plain(rate(chat)),
        "agent_success_before": plain(rate(agent)),
        "agent_success_after": plain(rate(new_agent)) if new_agent else None,
        "malformed_before": plain(rate(agent, "malformed")),
        "malformed_after": plain(rate(new_agent, "malformed")) if new_agent else None,
        "chat_success_after": plain(rate(new_chat)) if new_chat else None,
        "gap_before": gap(table(first)),
        "gap_after": gap(table(second)) if second else None,
        "gain": gap(paired_table(agent, new_agent)) if new_agent else None,
        "after_is": ("promoted version" if promoted else "candidate, not promoted") if new_agent else None,
        "why_no_after": evidence.why_no_after,
        "paired": {"before": cells(table(first)), "after": cells(table(second)) if second else None},
        "unverified": sum(row.cell == "unverified" for row in first),
        "failures": {name: list(pair_) for name, pair_ in failure_changes(agent, new_agent).items()},
        "guards": [guard_row(row) for row in evidence.verdicts if row.suite != "target"],
        "target": [guard_row(row) for row in evidence.verdicts if row.suite == "target"],
        "levers": [row.model_dump() | {"reason": shown(row.reason)} for row in evidence.improvements],
        "held_out": held_out(evidence.scores),
        "by_tool": groups(first, evidence.tasks, "tool"),
        "by_novelty": novelty(evidence.scores, evidence.candidate),
        "dataset": evidence.mix,
        "leakage": evidence.leakage,
        "ingest": evidence.ingest,
        "adapters": [row.model_dump(exclude={"losses"}) for row in evidence.adapters],
        "versions": [row.model_dump(exclude={"scores", "verdicts"}) for row in evidence.versions],
        "goals": goals(rate(agent), rate(new_agent), table(first), table(second) if second else None,
                       rate(agent, "malformed"), rate(new_agent, "malformed"), evidence.verdicts),
        "steps": evidence.steps,
        "seconds": {name: step["seconds"] for name, step in evidence.steps.items()},
        "cpu_seconds": {name: step["cpu_seconds"] for name, step in evidence.steps.items()},
    }  # fmt: skip


def plain(measured: Rate) -> dict[str, Any]:
    """A rate as JSON."""
    return measured.model_dump()


def gap(paired: PairedTable) -> dict[str, Any]:
    """Second minus first with its interval: for chat and agent, the gap is negative where the agent falls behind."""
    return {
        "value": paired.difference,
        "low": paired.low,
        "high": paired.high,
        "n": paired.n,
        "p_value": paired.p_value,
    }


def cells(paired: PairedTable) -> dict[str, int]:
    """The four cells by name; first = chat, second = agent."""
    return {
        "both": paired.both,
        "chat_only": paired.first_only,
        "agent_only": paired.second_only,
        "neither": paired.neither,
    }


def guard_row(row: Verdict) -> dict[str, Any]:
    """A verdict as JSON, with base and candidate rates."""
    known = row.model_dump(exclude={"table"})
    return known | {
        "n": row.table.n,
        "before": plain(row.table.first),
        "after": plain(row.table.second),
        "difference": row.table.difference,
        "low": row.table.low,
        "high": row.table.high,
        "reason": shown(row.reason),
    }


def held_out(scores: Sequence[Score]) -> list[dict[str, Any]]:
    """Success of every variant as an agent on the same held-out tasks."""
    return [
        {"variant": row.variant, **plain(row.rate)}
        for row in scores
        if (row.mode, row.suite, row.metric) == ("agent", "main", "success")
    ]


def novelty(scores: Sequence[Score], candidate: str | None) -> list[dict[str, Any]]:
    """Agent success by what was never seen: the frame, the phrase or both; names never were."""
    return [
        {"variant": row.variant, "novelty": row.suite.removeprefix("main/"), **plain(row.rate)}
        for row in scores
        if row.mode == "agent" and row.metric == "success" and row.suite.startswith("main/")
        and row.variant in ("base", candidate)
    ]  # fmt: skip


def groups(differences: Sequence[Difference], tasks: Sequence[Task], key: str) -> dict[str, dict[str, Any]]:
    """The gap before by group."""
    return {name: gap(found) for name, found in by(differences, tasks, key).items()}


def cases(evidence: Evidence) -> list[dict[str, str]]:
    """One case of each failure class of the agent before, side by side: asked, chat, before, after."""
    tasks: Mapping[str, Task] = {task.id: task for task in evidence.tasks}
    chat = {row.task_id: row for row in evidence.before if row.mode == "chat"}
    after = {row.task_id: row for row in evidence.after if row.lever == evidence.candidate and row.mode == "agent"}
    found: dict[str, dict[str, str]] = {}
    for row in evidence.before:
        task = tasks.get(row.task_id)
        if row.mode != "agent" or not row.failure or not task or task.part != "test" or task.kind != "main":
            continue
        new = after.get(row.task_id)
        if row.failure not in found or (
            found[row.failure]["after_outcome"] != "correct" and new and new.outcome == "correct"
        ):
            found[row.failure] = {
                "failure": row.failure,
                "asked": shown("\n".join(message.content for message in task.messages if message.role == "user")),
                "chat": shown(chat[row.task_id].output) if row.task_id in chat else "",
                "before": shown(row.output),
                "after": shown(new.output) if new else "",
                "after_outcome": new.outcome if new else "",
            }
    return list(found.values())[:CASES]
