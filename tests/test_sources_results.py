"""Agent results: trajectories with a reward, InterCode items, suite reports and traces, BFCL rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kt_lib.records import Attempt, Conversation, Provenance, SetAside, Task
from kt_lib.sources.found import Found, SuiteReport, Unusable
from kt_lib.sources.ingesting import ingest
from kt_lib.sources.intercode import intercode_from
from kt_lib.sources.store import Store
from kt_lib.sources.suites import report_from, trace_from
from kt_lib.sources.trajectories import trajectory_from

SOURCE = Provenance(file="results.json", sha256="0" * 64, format="trajectory", place="item 1")
BFCL = Path(__file__).resolve().parents[2] / "shared" / "data" / "bfcl"
CALL = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "df -h"}'}}
MESSAGES = [
    {"role": "system", "content": "You run commands."},
    {"role": "user", "content": "how full is the disk?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "78%"},
    {"role": "assistant", "content": "It is 78% full."},
]
TOOLS = [{"type": "function", "function": {"name": "bash", "parameters": {"type": "object"}}}]


def trajectory(**more: Any) -> Found:
    return trajectory_from({"messages": MESSAGES, "reward": 1.0, "tools": TOOLS, **more}, SOURCE)


def test_a_trajectory_is_a_conversation_a_task_and_an_attempt() -> None:
    found = trajectory(model="qwen2.5:7b")
    task, attempt, chat = found.tasks[0], found.attempts[0], found.conversations[0]
    assert [message.role for message in task.messages] == ["system", "user"]
    assert [tool.name for tool in task.tools] == ["bash"]
    assert [one.arguments for one in task.check.accepted] == [{"command": ["df -h"]}]
    assert (attempt.task_id, attempt.outcome, attempt.model) == (task.id, "correct", "qwen2.5:7b")
    assert (attempt.output, [call.name for call in attempt.calls]) == ("It is 78% full.", ["bash"])
    kinds = [part.kind for message in chat.messages for part in message.parts]
    assert kinds == ["text", "text", "tool_call", "tool_result", "text"]


@pytest.mark.parametrize(
    ("reward", "outcome"),
    [(1, "correct"), (True, "correct"), ("1.0", "correct"), ([0, 1], "correct"), (0.99, "wrong"), (False, "wrong")],
)
def test_only_the_full_reward_is_right(reward: Any, outcome: str) -> None:
    found = trajectory(reward=reward)
    assert found.attempts[0].outcome == outcome
    assert bool(found.tasks[0].check.accepted) == (outcome == "correct")


@pytest.mark.parametrize("reward", ["good", [], {}, float("nan")])
def test_a_reward_that_is_no_number_cannot_be_used(reward: Any) -> None:
    with pytest.raises(Unusable, match="not a number"):
        trajectory(reward=reward)


def test_tau_bench_trials_are_attempts_at_one_task_with_its_own_key() -> None:
    info = {"task": {"instruction": "x", "actions": [{"name": "cancel_order", "kwargs": {"order_id": "7"}}]}}
    trials = [
        trajectory_from({"task_id": 3, "trial": trial, "reward": 0.0, "traj": MESSAGES, "info": info}, SOURCE)
        for trial in (0, 1)
    ]
    assert trials[0].tasks == trials[1].tasks
    assert trials[0].tasks[0].check.evidence == "answer_key"
    assert [one.arguments for one in trials[0].tasks[0].check.accepted] == [{"order_id": ["7"]}]
    assert trials[0].attempts != trials[1].attempts


def test_messages_as_json_text_are_read() -> None:
    assert trajectory(messages=json.dumps(MESSAGES)).conversations == trajectory().conversations


def item(*steps: tuple[str, float], **more: Any) -> dict[str, Any]:
    history = {"actions": [action for action, _ in steps], "rewards": [reward for _, reward in steps]}
    summary = {"max_reward": max((reward for _, reward in steps), default=0.0), "turns_max": 10}
    return {"environment": "ic_sql", "query": "How many?", "turn_history": history, "summary": summary, **more}


def intercode(value: dict[str, Any], file: str = "ic_sql_multiturn_gpt-4_10_turns.json") -> Found:
    return intercode_from(value, SOURCE.model_copy(update={"file": file}), "sql")


def test_an_intercode_item_is_right_with_the_full_reward_only() -> None:
    right = intercode(item(("execute[SHOW TABLES]", 0.0), ("```sql\nSELECT 1\n```", 1.0), ("Sorry!", 1.0)))
    assert right.attempts[0].outcome == "correct"
    assert [call.arguments for call in right.attempts[0].calls] == [{"query": "SHOW TABLES"}, {"query": "SELECT 1"}]
    assert [one.arguments for one in right.tasks[0].check.accepted] == [{"query": ["SELECT 1"]}]
    assert right.tasks[0].check.evidence == "recorded_result"
    wrong = intercode(item(("I apologize", 0.67)))
    assert (wrong.attempts[0].outcome, wrong.attempts[0].calls, wrong.tasks[0].check.accepted) == ("wrong", (), ())


def test_the_same_query_is_the_same_task_and_the_name_says_what_was_given() -> None:
    plain = intercode(item(("SELECT 2", 0.0)))
    given = intercode(item(("SELECT 1", 1.0), query="How  many?"), "ic_sql_multiturn_gpt-3.5-1_turns_handicap.json")
    assert plain.tasks[0].id == given.tasks[0].id
    assert (plain.attempts[0].lever, given.attempts[0].lever) == ("none", "schema given")
    assert (plain.attempts[0].model, given.attempts[0].model) == ("gpt-4", "gpt-3.5")


@pytest.mark.parametrize("broken", [{"query": ""}, {"summary": None, "turn_history": {}}, {"query": 5}])
def test_an_intercode_item_that_says_too_little_cannot_be_used(broken: dict[str, Any]) -> None:
    with pytest.raises(Unusable, match=r"no query|no reward"):
        intercode(item(("SELECT 1", 1.0), **broken))


def test_accepted_calls_that_a_later_file_brings_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path / "ingest")
    for number, value in enumerate([item(("SELECT 2", 0.0)), item(("SELECT 1", 1.0)), item(("SELECT 2", 0.0))]):
        path = tmp_path / str(number) / "ic_sql_multiturn_gpt-4_10_turns.json"
        path.parent.mkdir()
        path.write_text(json.dumps({"0": value}))
        ingest([path], store)
    (task,) = store.read(Task)
    assert [one.arguments for one in task.check.accepted] == [{"query": ["SELECT 1"]}]
    assert len(list(store.read(Attempt))) == 2


REPORT = {
    "model": "granite4:3b",
    "timestamp": "2026-01-02T03:04:05",
    "temperature": 0.2,
    "summary": {
        "overall_score": 71.5,
        "passed": False,
        "tier_scores": {"1": 90, "2": 70.5, "3": "n/a"},
        "dimension_averages": {"tool_selection": 80, "parameters": 60},
    },
    "tier_details": {
        "1": {"tasks": [{"id": "t1", "prompt": "list agents", "passed": True, "score": 90}, {"id": "t2"}]}
    },
}


def test_a_report_keeps_its_scores_and_the_tasks_it_names() -> None:
    found = report_from(REPORT, SOURCE)
    report = found.reports[0]
    assert (report.model, report.overall, report.passed) == ("granite4:3b", 71.5, False)
    assert (report.tiers, report.dimensions) == ({"1": 90, "2": 70.5}, {"tool_selection": 80, "parameters": 60})
    assert [(one.outcome, one.model) for one in found.attempts] == [("correct", "granite4:3b")]
    assert found.tasks[0].messages[0].content == "list agents"


def test_a_report_without_rows_about_tasks_is_stored_as_a_report(tmp_path: Path) -> None:
    path, store = tmp_path / "report.json", Store(tmp_path / "ingest")
    path.write_text(json.dumps({**REPORT, "tier_details": {"1": {"score": 90}}}, indent=2))
    totals = ingest([path], store).totals
    assert (totals.records_in, totals.stored, totals.reports, totals.attempts) == (1, 1, 1, 0)
    assert next(store.read(SuiteReport)).details == {"1": {"score": 90}}


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        ({"status": "passed"}, "correct"),
        ({"status": "failed"}, "wrong"),
        ({"status": "success"}, "unverified"),
        ({"status": "success", "error": "connection lost"}, "error"),
    ],
)
def test_a_trace_line_is_judged_by_a_verdict_only(data: dict[str, Any], outcome: str) -> None:
    said = {"model": "m", "prompt": "do it", "response": "done", "tools_used": ["bash", {"name": "think"}], **data}
    line = {
        "timestamp": "x",
        "entry_type": "run",
        "task_id": "t",
        "agent_type": "coder",
        "data": {**said, "duration_ms": 50},
    }
    attempt = trace_from(line, SOURCE).attempts[0]
    assert (attempt.outcome, attempt.seconds) == (outcome, 0.05)
    assert [call.name for call in attempt.calls] == ["bash", "think"]


def question(number: int) -> dict[str, Any]:
    tool = {"name": "add", "description": "", "parameters": {"type": "dict", "properties": {"a": {"type": "integer"}}}}
    return {"id": f"simple_python_{number}", "question": [[{"role": "user", "content": "add 1"}]], "function": [tool]}


def answer_key(number: int) -> dict[str, Any]:
    return {"id": f"simple_python_{number}", "ground_truth": [{"add": {"a": [number]}}]}


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize("where", ["beside", "given", "nowhere"])
def test_bfcl_rows_find_their_answers_beside_them_or_where_it_is_said(tmp_path: Path, where: str) -> None:
    pytest.importorskip("kt_lib.calls.bfcl", reason="the mapping of BFCL rows is not there")
    questions = lines(tmp_path / "BFCL_v4_simple_python.json", question(0), question(1))
    folder = tmp_path / ("possible_answer" if where == "beside" else "keys")
    key = lines(folder / questions.name, answer_key(1), answer_key(0)) if where != "nowhere" else None
    store = Store(tmp_path / "ingest")
    totals = ingest([questions], store, answers=key if where == "given" else None).totals
    tasks = list(store.read(Task))
    assert (totals.tasks, totals.set_aside) == (2, 0)
    values = [[one.arguments for one in task.check.accepted] for task in tasks]
    assert values == ([[], []] if where == "nowhere" else [[{"a": [0]}], [{"a": [1]}]])
    assert {task.check.evidence for task in tasks} == {"none" if where == "nowhere" else "answer_key"}
    assert tasks[1].source is not None
    assert tasks[1].source.place == "line 2"


@pytest.mark.skipif(not BFCL.is_dir(), reason=f"the supplied data is not at {BFCL}")
def test_every_supplied_bfcl_row_is_a_task_or_set_aside_with_its_reason(tmp_path: Path) -> None:
    store = Store(tmp_path / "ingest")
    report = ingest(sorted(BFCL.glob("*.json")), store)
    assert (report.totals.records_in, report.totals.tasks, report.totals.set_aside) == (1440, 1240, 200)
    (problem,) = report.problems
    assert "BFCL_v4_multi_turn_base.json" in problem
    assert all(row.source.file == "BFCL_v4_multi_turn_base.json" and row.reason for row in store.read(SetAside))
    assert list(store.read(Conversation)) == []
