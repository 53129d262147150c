"""Rows and pairs: made of the model's own answers, checked on both sides, and near to no evaluation task."""

from __future__ import annotations

import json
from typing import Literal

import pytest
from tiny_base import as_agent, as_chat, example, prose_of, sft_row, task

from kt_lib.attempts import answers_rightly
from kt_lib.deduplication import without_near
from kt_lib.errors import LeakageError
from kt_lib.leakage import measure_leakage, refuse_leaks
from kt_lib.records import Attempt, ChatMessage, Check, Example, Outcome, PreferencePair, SftRow, Task
from kt_lib.rows import agent_rows, format_pairs, other_format_rows, own_sources, replay_rows

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


def test_each_right_call_is_learned_under_another_form_of_prompt_too_and_still_passes() -> None:
    examples = [example(task(at)) for at in range(16)]
    rows = other_format_rows(examples, TASKS, as_agent)
    plain = agent_rows(examples, TASKS, as_agent)
    assert len(rows) == 16
    renamed = [at for at, one in enumerate(rows) if one.messages[-1] != plain[at].messages[-1]]
    assert len(renamed) == 8 + 2, "every second one, and those whose turn it is"
    for at in renamed:
        name = json.loads(rows[at].messages[-1].content)["tool"]
        assert name != "remote_bash"
        assert f"{name}(" in rows[at].messages[0].content


def test_own_rows_are_shared_out_by_the_names_that_a_mix_uses() -> None:
    call = sft_row(task(1))
    silent = call.model_copy(update={"kind": "no_call"})
    found = own_sources([call, silent], [call], [])
    assert {name: len(rows) for name, rows in found.items()} == {
        "calls": 1, "no_call": 1, "chat_replay": 1, "other_formats": 0,
    }  # fmt: skip


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


def test_a_conversation_that_goes_on_after_what_an_evaluation_task_asks_is_a_leak_too() -> None:
    row = row_saying("how full are the disks of gorse nine and its neighbour")
    later = (ChatMessage(role="user", content="and now tell me a joke"), ChatMessage(role="assistant", content="No."))
    longer = row.model_copy(update={"messages": (*row.messages, *later), "learn": "all"})
    asked = held_out("how full are the disks of gorse nine and its neighbour")
    assert "prompt" in {leak.kind for leak in measure_leakage([asked], [longer], [], [], 0.95).leaks}
    assert without_near([longer], [asked], 0.95)[0] == []


def test_a_name_leaks_from_a_rejected_answer_and_from_the_systems_words_as_well() -> None:
    secret = held_out("what is up with gorse-9", "gorse-9")
    pair = PreferencePair(
        prompt=(ChatMessage(role="user", content="which one?"),), chosen="oak-1", rejected="gorse-9", task_id="t",
        basis="b", evidence="e",
    )  # fmt: skip
    told = row_saying("which one?")
    told = told.model_copy(
        update={"messages": (ChatMessage(role="system", content="You run gorse-9."), *told.messages)}
    )
    report = measure_leakage([secret], [told], [pair], [], 0.95)
    assert {leak.kind for leak in report.leaks} == {"entity"}
    assert without_near([pair], [secret], 0.95)[0] == []
    assert without_near([told], [secret], 0.95)[0] == []


TRIANGLE = "Calculate the area of a triangle with base 10 units and height 5 units"


def turns(*said: str) -> tuple[ChatMessage, ...]:
    """What the user and the assistant say in turn; words that begin with `system:` are the prompt's."""
    told = [one.removeprefix("system:") for one in said if one.startswith("system:")]
    talk = [one for one in said if not one.startswith("system:")]
    return (
        *(ChatMessage(role="system", content=one) for one in told),
        *(ChatMessage(role="assistant" if at % 2 else "user", content=one) for at, one in enumerate(talk)),
    )


def talk(*said: str, learn: Literal["last", "all"] = "all") -> SftRow:
    return SftRow(messages=turns(*said), kind="conversation", task_id="t", basis="b", learn=learn)


@pytest.mark.parametrize("learn", ["last", "all"])
@pytest.mark.parametrize(
    "said",
    [
        ("hi", "Hello.", TRIANGLE, "25"),
        ("hi", "Hello.", f"Please, {TRIANGLE.lower()}.", "25"),
        ("hi", "Hello.", TRIANGLE, "25", "thanks, and the capital of France?", "Paris"),
        ("give me an exercise", f"{TRIANGLE}: the answer is 25."),
        ("system:Example: " + TRIANGLE + " -> 25", "go on", "ok"),
    ],
)
def test_what_an_evaluation_task_asks_is_found_wherever_it_stands_in_a_row(
    said: tuple[str, ...], learn: Literal["last", "all"]
) -> None:
    row, asked = talk(*said, learn=learn), held_out(TRIANGLE)
    assert {leak.task_id for leak in measure_leakage([asked], [row], [], [], 0.95).leaks} == {asked.id}
    assert without_near([row], [asked], 0.95)[0] == []


def test_a_pair_leaks_what_is_asked_after_other_words_and_what_one_of_its_answers_quotes() -> None:
    after = PreferencePair(
        prompt=turns("hi", "Hello.", TRIANGLE), chosen="25", rejected="24", task_id="t", basis="b", evidence="e"
    )
    quoting = after.model_copy(update={"prompt": turns("an exercise?"), "rejected": f"{TRIANGLE}?"})
    for pair in (after, quoting):
        assert measure_leakage([held_out(TRIANGLE)], [], [pair], [], 0.95).leaks
        assert without_near([pair], [held_out(TRIANGLE)], 0.95)[0] == []


def test_a_follow_up_is_compared_with_what_led_to_it_and_says_nothing_alone() -> None:
    asked = held_out("Is the mail relay of the old office up?").model_copy(
        update={"messages": turns("Is the mail relay of the old office up?", "Yes.", "and the new one?")}
    )
    alone = [talk("Is the printer up?", "No.", "and the new one?", "Yes."), talk("and the new one?", "Which one?")]
    whole = talk("hi", "Hello.", "is the mail relay of the old office up", "No idea.", "and the new one", "Yes.")
    assert without_near([*alone, whole], [asked], 0.95)[0] == alone
    found = measure_leakage([asked], [*alone, whole], [], [], 0.95).leaks
    assert {leak.row.split(",")[0] for leak in found} == {"sft row 2 (task t)"}


def test_a_few_words_are_a_leak_as_the_whole_request_and_not_in_passing() -> None:
    asked = held_out("are you there")
    passing = [talk("hi", "Hello.", "are you there", "Yes."), talk("I wonder, are you there at all?", "Yes.")]
    assert without_near([*passing, talk("Are you there?", "Yes.")], [asked], 0.95)[0] == passing
