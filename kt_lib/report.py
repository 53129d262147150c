"""The report: `report.json` and its twin `report.html`, one page that opens anywhere without a network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kt_lib.artifacts import write_whole
from kt_lib.difference import failure_changes, pair, table
from kt_lib.figures import (
    dataset_mix,
    failure_classes,
    lever_ladder,
    paired_matrix,
    rates_with_intervals,
    training_curve,
)
from kt_lib.history import StepRecord
from kt_lib.pages import write_page
from kt_lib.records import Attempt, Rate, Task
from kt_lib.report_data import Evidence, cases, summary


def evidence_of(steps: Sequence[StepRecord], tasks: Iterable[Task], before: Iterable[Attempt], **made: Any) -> Evidence:
    """Everything the report is made of: the records, and what the steps before said in their metrics.

    `made` holds what a skipped step may not have written (`Evidence` names it); the reasons are kept.
    """
    metrics = {record.notebook: record.metrics for record in steps}
    skipped = [f"{record.notebook}: {record.reason}" for record in steps if record.status == "skipped"]
    return Evidence(
        tasks=tuple(tasks),
        before=tuple(before),
        **{name: tuple(records) for name, records in made.items()},
        candidate=metrics.get("09_evaluate", {}).get("candidate"),
        mix=metrics.get("07_datasets", {}).get("mix") or {},
        leakage=metrics.get("07_datasets", {}).get("leakage") or {},
        ingest=metrics.get("01_ingest", {}).get("totals") or {},
        steps={
            record.notebook: {
                "seconds": round(record.seconds, 2),
                "cpu_seconds": round(record.cpu_seconds, 2),
                "status": record.status,
                "reason": record.reason,
            }
            for record in steps
        },
        why_no_after="; ".join(skipped),
    )


def write_report(folder: Path, evidence: Evidence, title: str, pages: Mapping[str, str], run: str) -> dict[str, Any]:
    """Writes `report.json` and `report.html` below `folder`; gives the JSON value.

    `pages` holds the page of each step, relative to where the report will stand.
    """
    said = summary(evidence)
    write_whole(folder / "report.json", json.dumps(said, indent=1, ensure_ascii=False))
    drawn = figures(evidence, said)
    values = {"title": title, "said": said, "cases": cases(evidence), "pages": pages, "run": run}
    write_page(folder / "report.html", "report.html.j2", drawn, **values)
    return said


def figures(evidence: Evidence, said: Mapping[str, Any]) -> dict[str, Any]:
    """The figures by the name of their slot, as plotly's JSON values."""
    main = {task.id for task in evidence.tasks if task.part == "test" and task.kind == "main"}
    before = [row for row in evidence.before if row.task_id in main]
    after = [row for row in evidence.after if row.lever == evidence.candidate and row.task_id in main]
    chat, agent = ([row for row in before if row.mode == mode] for mode in ("chat", "agent"))
    new_chat, new_agent = ([row for row in after if row.mode == mode] for mode in ("chat", "agent"))
    drawn = {
        "matrix-before": paired_matrix(table(pair(chat, agent)), "Before"),
        "failures": failure_classes(failure_changes(agent, new_agent), "Failures of the agent, before and after"),
    }
    if new_chat and new_agent:
        drawn["matrix-after"] = paired_matrix(table(pair(new_chat, new_agent)), "After")
    if evidence.improvements:
        drawn["levers"] = lever_ladder(
            [row for row in evidence.improvements if row.failure == "all"], "Gain on dev tasks, in points"
        )
    if said["held_out"]:
        rates = {row["variant"]: Rate(**{k: v for k, v in row.items() if k != "variant"}) for row in said["held_out"]}
        drawn["variants"] = rates_with_intervals(rates, "Agent success on the same held-out tasks")
    if evidence.adapters:
        drawn["curve"] = training_curve(evidence.adapters, "Loss by step")
    if evidence.mix:
        drawn["mix"] = dataset_mix(evidence.mix, "What the model learned from")
    return {name: json.loads(figure.to_json()) for name, figure in drawn.items()}
