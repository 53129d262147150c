"""Rows and pairs: made of the model's own answers, checked on both sides, and near to no evaluation task."""

from __future__ import annotations

import json

import pytest
from tiny_base import as_agent, as_chat, example, prose_of, sft_row, task

from kt_lib.attempts import answers_rightly
from kt_lib.errors import LeakageError
from kt_lib.leakage import measure_leakage, refuse_leaks
from kt_lib.records import Attempt, ChatMessage, Check, Example, Outcome, SftRow, Task
from kt_lib.rows import agent_rows, counts, dataset_card, format_pairs, mix, replay_rows

TASKS = {one.id: one for one in (task(at) for at in range(40))}


def passes(one: Task, text: str) -> bool:
    return answers_rightly(one, text, "json")


def attempt(at: int, output: str, outcome: Outcome, failure: str | None = None) -> Attempt:
    return Attempt(
        task_id=task(at).id, mode="agent", model="toy", output=output, outcome=outcome, failure=failure, protocol="json"
    )


def test_an_agent_row_asks_as_the_evaluation_does_and_answers_in_the_schemas_order() -> None:
    (row,) = agent_rows([example(task(3))], TASKS, as_agent)
    assert row.messages[:-1] == as_agent(task(3)).messages
    answer = json.loads(row.messages[-1].content)
    assert list(answer) == ["tool", "params"]
    assert list(answer["params"]) == ["agent_id", "command"]
    assert passes(task(3), row.messages[-1].content)
    assert row.kind == "agent_call"


def test_where_no_call_is_due_the_row_teaches_the_plain_answer() -> None:
    silent = task(5, kind="not_calling")
    right = Example(
        task_id=silent.id, messages=silent.messages, tools=silent.tools, calls=(), answer="Hello.", verified=("x", "y")
    )
    (row,) = agent_rows([right], {silent.id: silent}, as_agent)
    assert (row.kind, row.messages[-1].content) == ("no_call", "Hello.")


def test_only_right_chat_answers_on_training_tasks_are_replayed() -> None:
    held_out = task(9, part="test")
    chat = [
        attempt(1, prose_of(task(1)), "correct"),
        attempt(2, "Run `rm -rf`.", "wrong"),
        attempt(9, prose_of(held_out), "correct").model_copy(update={"task_id": held_out.id}),
    ]
    (row,) = replay_rows(chat, {**TASKS, held_out.id: held_out}, as_chat)
    assert row.task_id == task(1).id
    assert row.messages[-1].content == prose_of(task(1))


def test_the_mix_keeps_its_shares_and_leaves_a_short_one_short() -> None:
    calls = [sft_row(task(at)) for at in range(30)]
    silent = [row.model_copy(update={"kind": "no_call"}) for row in calls[:2]]
    replay = [row.model_copy(update={"kind": "chat_replay"}) for row in calls]
    rows = mix([*calls, *silent], replay, {"chat_replay": 0.4, "no_call": 0.1}, 60, seed=1)
    found = counts(rows, [])
    assert found == {"agent_call": 30, "chat_replay": 24, "no_call": 2}, (
        "six no-call rows were asked for, two are there"
    )
    assert rows == mix([*calls, *silent], replay, {"chat_replay": 0.4, "no_call": 0.1}, 60, seed=1)


def test_a_pair_sets_the_right_call_against_the_models_own_failure() -> None:
    own = '{"action": "remote_bash", "params": {}}'
    (pair,) = format_pairs([attempt(4, own, "malformed", "wrong_key")], [example(task(4))], TASKS, as_agent, passes, 9)
    assert pair.rejected == own
    assert pair.basis == "wrong_key"
    assert pair.prompt == as_agent(task(4)).messages
    assert passes(task(4), pair.chosen)
    assert not passes(task(4), pair.rejected)


@pytest.mark.parametrize(
    ("output", "outcome"),
    [
        ("", "malformed"),  # nothing to reject
        (sft_row(task(4)).messages[-1].content, "wrong"),  # the checker says it is right
        ("whatever", "error"),  # it never ran
        ("whatever", "unverified"),
    ],
)
def test_a_pair_whose_sides_the_checker_does_not_tell_apart_is_left_out(output: str, outcome: Outcome) -> None:
    assert format_pairs([attempt(4, output, outcome)], [example(task(4))], TASKS, as_agent, passes, 9) == []


def test_a_call_where_none_was_due_is_set_against_the_plain_answer() -> None:
    silent = task(5).model_copy(update={"check": Check(rule="never", evidence="answer_key")})
    right = example(task(5)).model_copy(update={"calls": (), "answer": "You are welcome."})
    tried = attempt(5, '{"tool": "none", "params": {}}', "malformed", "tool_none").model_copy(
        update={"task_id": silent.id}
    )
    (pair,) = format_pairs([tried], [right], {silent.id: silent}, as_agent, passes, 9)
    assert (pair.chosen, pair.basis) == ("You are welcome.", "tool_none")


def test_a_pair_whose_chosen_side_is_not_right_is_left_out() -> None:
    wrong = example(task(4)).model_copy(update={"calls": example(task(8)).calls})
    assert format_pairs([attempt(4, "{}", "malformed")], [wrong], TASKS, as_agent, passes, 9) == []


# --- leakage ---------------------------------------------------------------------------------------------------------


def row_saying(text: str, task_id: str = "train-main-1") -> SftRow:
    messages = (ChatMessage(role="user", content=text), ChatMessage(role="assistant", content="ok"))
    return SftRow(messages=messages, kind="agent_call", task_id=task_id, basis="planted")


def held_out(text: str, *entities: str) -> Task:
    asked = (ChatMessage(role="user", content=text),)
    return task(7, part="test").model_copy(update={"messages": asked, "entities": entities, "novelty": "phrase"})


def test_rows_with_other_names_and_words_leak_nothing() -> None:
    report = measure_leakage(
        [held_out("how full are the disks of gorse-9", "gorse-9"), *TASKS.values()],
        [sft_row(one) for one in TASKS.values()],
        [],
        [example(task(1))],
        0.95,
    )
    assert (report.leaks, report.evaluation_tasks, report.training_texts) == ((), 1, 41)


@pytest.mark.parametrize(
    ("planted", "kind"),
    [
        ("something else entirely, on gorse-9.", "entity"),
        ("How full are the disks of GORSE 9?", "prompt"),
        ("how full are the disks of maple-17", "template"),
        ("how full are the disks of maple-17, my friend", "near_duplicate"),
    ],
)
def test_a_planted_leak_fails_the_run_and_names_row_and_task(planted: str, kind: str) -> None:
    task_ = held_out("how full are the disks of gorse-9", "gorse-9")
    source = task(1).model_copy(update={"entities": ("maple-17", "gorsen")})
    rows = [row_saying("show the uptime on ocean-1"), row_saying(planted, source.id)]
    report = measure_leakage([task_, source], rows, [], [], 0.3)
    assert kind in {leak.kind for leak in report.leaks}
    with pytest.raises(LeakageError, match=rf"task {task_.id}, .* in sft row 1 \(task {source.id}\)"):
        refuse_leaks(report)


def test_a_name_inside_another_word_is_no_leak() -> None:
    report = measure_leakage([held_out("is ash up", "ash")], [row_saying("open bash on crash-1")], [], [], 0.95)
    assert report.leaks == ()


def test_a_leak_in_a_pair_or_a_few_shot_example_counts_as_well() -> None:
    secret = held_out("what is up with gorse-9", "gorse-9")
    shown = example(task(1)).model_copy(update={"messages": (ChatMessage(role="user", content="reboot gorse-9"),)})
    report = measure_leakage([secret], [], [], [shown], 0.95)
    assert [leak.row for leak in report.leaks] == [f"example 0 (task {task(1).id})"]


def test_the_card_counts_what_is_in_the_dataset() -> None:
    rows = [sft_row(task(at)) for at in range(3)]
    card = dataset_card(rows, [], measure_leakage([], rows, [], [], 0.95))
    assert "3 SFT rows and 0 preference pairs" in card
    assert "| agent_call | 3 |" in card
    assert "0 leak(s)" in card
