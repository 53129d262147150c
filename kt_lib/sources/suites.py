"""Reports and traces of agent test suites."""

from __future__ import annotations

from typing import Any

from kt_lib.records import Attempt, ChatMessage, Check, Outcome, Provenance, Task, ToolCall, content_id
from kt_lib.sources.fields import dict_of, json_value, list_of, number_of, seconds_of, shown, text_of, text_or_none
from kt_lib.sources.found import Found, SuiteReport, Unusable

_OUTCOMES: dict[str, Outcome] = {
    "passed": "correct", "pass": "correct", "correct": "correct", "failed": "wrong", "fail": "wrong", "wrong": "wrong",
    "error": "error", "timeout": "error", "exception": "error",
}  # fmt: skip


def report_from(report: dict[str, Any], source: Provenance) -> Found:
    """A report -> its scores by tier and dimension, and an attempt for every task that its details name."""
    summary = dict_of(report.get("summary"))
    model = text_or_none(report.get("model"))
    if model is None:
        raise Unusable("a suite report that does not name its model")
    details = dict_of(report.get("tier_details"))
    passed = summary.get("passed")
    kept = SuiteReport(
        id=content_id("report", model, report.get("timestamp"), json_value(summary), json_value(details)),
        source=source,
        model=model,
        created=seconds_of(report.get("timestamp")),
        temperature=number_of(report.get("temperature")),
        overall=number_of(summary.get("overall_score")),
        passed=passed if isinstance(passed, bool) else None,
        tiers=_scores(summary.get("tier_scores")),
        dimensions=_scores(summary.get("dimension_averages")),
        details={shown(tier): json_value(said) for tier, said in details.items()},
    )
    rows = [(shown(tier), row) for tier, said in details.items() for row in _rows(said)]
    both = [found for tier, row in rows if (found := _row(row, tier, model, source))]
    return Found(reports=(kept,), tasks=tuple(task for task, _ in both), attempts=tuple(attempt for _, attempt in both))


def _scores(raw: Any) -> dict[str, float]:
    return {shown(key): number for key, value in dict_of(raw).items() if (number := number_of(value)) is not None}


def _rows(said: Any) -> list[dict[str, Any]]:
    """The rows about single tasks within what a tier says: any list of objects in it."""
    lists = [said] if isinstance(said, list) else [value for value in dict_of(said).values() if isinstance(value, list)]
    return [row for rows in lists for row in rows if isinstance(row, dict)]


def _row(row: dict[str, Any], tier: str, model: str, source: Provenance) -> tuple[Task, Attempt] | None:
    name = next((shown(row[key]) for key in ("task_id", "test_id", "id", "name", "test") if row.get(key)), "")
    passed = next((row[key] for key in ("passed", "success", "correct") if isinstance(row.get(key), bool)), None)
    if not name or passed is None:
        return None
    prompt = next((text_of(row[key]) for key in ("prompt", "query", "question", "input") if row.get(key)), "") or name
    task = _task(name, prompt, f"tier {tier}", source)
    output = next((shown(row[key]) for key in ("response", "output", "answer") if row.get(key)), "")
    score = number_of(row.get("score"))
    attempt = Attempt(
        task_id=task.id,
        mode="agent",
        model=model,
        output=output,
        outcome="correct" if passed else "wrong",
        detail=f"the suite says {'passed' if passed else 'failed'}"
        + (f", score {score:g}" if score is not None else ""),
    )
    return task, attempt


def _task(name: str, prompt: str, category: str, source: Provenance, role: str = "EXECUTOR") -> Task:
    return Task(
        id=content_id("suite", name, prompt),
        messages=(ChatMessage(role="user", content=prompt),),
        check=Check(rule="any", evidence="recorded_result"),
        role=role,
        category=category,
        group=content_id("suite", name),
        information="as the suite recorded it; its answer key is not in the report",
        tags=("recorded", name[:80]),
        source=source,
    )


def trace_from(line: dict[str, Any], source: Provenance) -> Found:
    """A line of a suite's trace -> a task and an attempt; without a verdict in its status it stays unverified."""
    data = dict_of(line.get("data"))
    task_id, prompt = text_of(line.get("task_id")), text_of(data.get("prompt"))
    if not task_id or not prompt:
        raise Unusable("a trace line that is about no task: no `task_id` or no `data.prompt`")
    role = text_of(line.get("agent_type")).upper() or "EXECUTOR"
    task = _task(task_id, prompt, text_or_none(line.get("entry_type")) or "trace", source, role)
    error = text_or_none(data.get("error"))
    status = text_of(data.get("status")).lower()
    outcome: Outcome = "error" if error else _OUTCOMES.get(status, "unverified")
    milliseconds = number_of(data.get("duration_ms")) or 0.0
    attempt = Attempt(
        task_id=task.id,
        mode="agent",
        model=text_or_none(data.get("model")) or "unknown",
        output=shown(data.get("response")),
        calls=tuple(filter(None, map(_used, list_of(data.get("tools_used"))))),
        outcome=outcome,
        detail=error or f"status {status or 'not stated'}, recorded {shown(line.get('timestamp'))[:40]}",
        seconds=max(milliseconds, 0.0) / 1000,
    )
    return Found(tasks=(task,), attempts=(attempt,))


def _used(raw: Any) -> ToolCall | None:
    name = text_or_none(raw.get("name") or raw.get("tool")) if isinstance(raw, dict) else text_or_none(raw)
    if name is None:
        return None
    arguments = dict_of(raw.get("arguments") or raw.get("params")) if isinstance(raw, dict) else {}
    return ToolCall(name=name, arguments={key: json_value(value) for key, value in arguments.items()})
