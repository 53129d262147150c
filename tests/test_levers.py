"""Levers, examples and patterns: kept only where a paired test on other tasks says so."""

from kt_lib.calls.writing import write_calls
from kt_lib.fewshot import covering, nearest
from kt_lib.levers import best_lever, by_task, cheap_levers, judge_levers, usual_failures
from kt_lib.patterns import examples_from, generalise, patterns_from
from kt_lib.records import Attempt, Task, ToolCall
from kt_lib.world.suite import make_tasks


def right_call(task: Task) -> ToolCall:
    accepted = task.check.accepted[0]
    return ToolCall(name=accepted.name, arguments={name: values[0] for name, values in accepted.arguments.items()})


def attempt(task: Task, right: bool, mode: str = "agent", lever: str = "none", failure: str = "wrong_key") -> Attempt:
    calls = (right_call(task),) if right and task.check.accepted else ()
    return Attempt(
        task_id=task.id, mode=mode, model="toy", lever=lever, output=write_calls(calls) if calls else "words",
        calls=calls, outcome="correct" if right else "malformed", failure=None if right else failure,
    )  # fmt: skip


MAIN = make_tasks(1, "dev", "main", 60)
SILENT = make_tasks(1, "dev", "not_calling", 40)


def judged(after_main, after_silent):
    before = by_task([*(attempt(t, False) for t in MAIN), *(attempt(t, True) for t in SILENT)])
    after = by_task(
        [
            *(attempt(t, right) for t, right in zip(MAIN, after_main, strict=True)),
            *(attempt(t, right) for t, right in zip(SILENT, after_silent, strict=True)),
        ]
    )
    (row,) = judge_levers([*MAIN, *SILENT], before, {"few_shot:3": after}, {}, 0.05)
    return row


def test_a_proven_gain_is_kept():
    row = judged([True] * 40 + [False] * 20, [True] * 40)
    assert row.kept
    assert row.after > row.before
    assert row.low > 0
    assert best_lever([row]) == row


def test_no_gain_is_not_kept_and_says_so():
    row = judged([False] * 60, [True] * 40)
    assert not row.kept
    assert "no proven gain" in row.reason
    assert best_lever([row]) is None


def test_a_lever_that_calls_where_none_is_due_is_not_kept():
    row = judged([True] * 60, [False] * 40)
    assert not row.kept
    assert "calls where none is due" in row.reason


def test_failure_classes_are_made_from_training_tasks_alone():
    train = make_tasks(1, "train", "main", 30)
    others = make_tasks(1, "dev", "main", 30)
    usual = usual_failures(
        train, [*(attempt(t, False) for t in train), *(attempt(t, False, failure="loop") for t in others)]
    )
    assert set(usual.values()) == {"wrong_key"}
    assert set(usual) == {task.category for task in train}


def test_levers_go_from_cheap_to_dear():
    assert [lever.name for lever in cheap_levers(["strict"], 3)] == ["constrained", "prompt:strict", "few_shot:3"]


def test_examples_come_from_right_answers_to_training_tasks_with_arguments_in_the_schemas_order():
    train = make_tasks(1, "train", "main", 20)
    wrong, turned = train[0], train[1]
    call = right_call(turned)
    reversed_call = call.model_copy(update={"arguments": dict(reversed(call.arguments.items()))})
    attempts = [attempt(task, task is not wrong, mode="chat") for task in train]
    attempts[1] = attempts[1].model_copy(update={"calls": (reversed_call,)})
    examples = {example.task_id: example for example in examples_from([*train, *MAIN], attempts)}
    assert wrong.id not in examples
    assert list(examples[turned.id].calls[0].arguments) == list(call.arguments)
    assert set(examples) <= {task.id for task in train}


def test_an_answer_without_independent_evidence_teaches_nothing():
    task = make_tasks(1, "train", "main", 1)[0]
    unverified = task.model_copy(update={"check": task.check.model_copy(update={"evidence": "none"})})
    assert examples_from([unverified], [attempt(task, True, mode="chat")]) == []


def test_what_is_alike_stays_and_what_changes_is_a_slot():
    assert generalise(["rm /a/x", "rm /b/y"], "command") == "rm <command_2>"
    assert generalise(["df -h", "df -h"], "command") == "df -h"
    assert generalise(["web1", "db2"], "agent_id") == "<agent_id>"


def test_patterns_need_support():
    train = make_tasks(1, "train", "main", 80)
    examples = examples_from(train, [attempt(task, True, mode="chat") for task in train])
    few, many = patterns_from(examples, set(), 3), patterns_from(examples, set(), 10)
    assert all(pattern.support >= 3 for pattern in few)
    assert len(many) < len(few)


def test_few_shot_examples_cover_tools_or_lie_near():
    train = make_tasks(1, "train", "main", 120)
    examples = examples_from(train, [attempt(task, True, mode="chat") for task in train])
    assert len({example.calls[0].name for example in covering(examples, 5)}) == 5
    same = nearest(examples, 2)(train[0])
    assert same[-1].task_id == train[0].id
