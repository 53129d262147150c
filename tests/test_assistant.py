"""The four figures of an assistant, counted by hand on small sets, and new against current on the same tasks."""

from __future__ import annotations

from typing import Any

import pytest

from kt_lib.assistant import METRICS, Comparison, assistant_scores, compared, how_answered, needs_context, persona_of
from kt_lib.personas import PERSONAS
from kt_lib.records import AcceptedCall, Attempt, ChatMessage, Check, Score, Task, ToolCall, ToolSpec
from kt_lib.statistics import newcombe_paired, wilson

READ = ToolSpec(
    name="files.read",
    parameters={"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
)
EXECUTIVE = next(one for one in PERSONAS if one.name == "executive brief")
DUE = Check(rule="exact", accepted=(AcceptedCall(name="files.read", arguments={"path": ["a"]}),), evidence="answer_key")
NEVER = Check(rule="never", evidence="answer_key")


def task(number: int, system: str = "", **more: Any) -> Task:
    turns = (ChatMessage(role="system", content=system),) if system else ()
    asked = ChatMessage(role="user", content=f"how long is file {number}")
    return Task(id=f"task {number}", messages=(*turns, asked), tools=(READ,), **{"check": DUE, **more})


def attempt(number: int, outcome: str = "correct", **more: Any) -> Attempt:
    return Attempt(task_id=f"task {number}", model="embedded", outcome=outcome, **{"mode": "agent", **more})


def calls(name: str = "files.read", **arguments: Any) -> dict[str, Any]:
    return {"calls": (ToolCall(name=name, arguments=arguments),), "output": "a call"}


def figure(scores: list[Score], metric: str, suite: str = "assistant", mode: str = "agent") -> Score:
    return next(one for one in scores if (one.metric, one.suite, one.mode) == (metric, suite, mode))


def test_tool_format_counts_calls_that_can_be_read_and_fit_a_schema_right_or_not() -> None:
    attempts = [
        attempt(1, **calls(path="a")),
        attempt(2, "wrong", **calls(path="b")),
        attempt(3, "correct", **calls("files_read", path="a")),  # a server that cannot write the dot
        attempt(4, "wrong", **calls(path=3)),
        attempt(5, "wrong", **calls("rm", path="a")),
        attempt(6, "abstained", output="It is long."),
        attempt(7, "malformed", output='{"action": "files.read"}'),
        attempt(8, "error"),
        attempt(9, "correct", output="Hello."),  # no call is due: not counted
    ]
    tasks = [task(number) for number in range(1, 9)] + [task(9, check=NEVER)]
    found = figure(assistant_scores("sft", attempts, tasks), "tool_format")
    assert found.rate == wilson(3, 7, errors=1)
    assert found.variant == "sft"


def test_tool_format_is_no_figure_of_a_chat() -> None:
    scores = assistant_scores("base", [attempt(1, mode="chat", output="Read `a`.")], [task(1)])
    assert {score.metric for score in scores} == {"task_success"}


def test_context_retention_counts_the_tasks_that_need_an_earlier_turn() -> None:
    tasks = [task(1, kind="multi_turn"), task(2, tags=("context",)), task(3), task(4, kind="multi_turn")]
    assert [needs_context(one) for one in tasks] == [True, True, False, True]
    attempts = [attempt(1), attempt(2, "wrong"), attempt(3, "wrong"), attempt(4, "unverified")]
    assert figure(assistant_scores("base", attempts, tasks), "context_retention").rate == wilson(1, 2)


def test_persona_adaptation_counts_plain_answers_to_a_named_persona_and_no_calls() -> None:
    told = f"You are an agent.\n{EXECUTIVE.words}"
    long = "The file that you asked for was looked at and it turned out that it has forty lines, which is quite a lot."
    attempts = [
        attempt(1, output="TL;DR: forty lines."),
        attempt(2, output=long),
        attempt(3, **calls(path="a")),
        attempt(4, "malformed", output='{"action": "files.read"}'),
        attempt(5, "wrong", output=""),
        attempt(6, output="I am so sorry, I apologise."),
        attempt(7, "unverified", output='{"action": "files.read"}', failure="wrong_key"),
    ]
    attempts += [attempt(8, output='{", "tool.'), attempt(9, output="`.")]
    tasks = [task(number, told) for number in (1, 2, 3, 4, 5, 7, 8, 9)] + [task(6)]
    assert [persona_of(one) for one in tasks] == ["executive brief"] * 8 + [None]
    assert figure(assistant_scores("base", attempts, tasks), "persona_adaptation").rate == wilson(1, 2)


def test_where_words_are_due_an_answer_without_any_is_counted_as_not_right() -> None:
    told = f"You are an agent.\n{EXECUTIVE.words}"
    attempts = [
        attempt(1, output="TL;DR: forty lines."),
        attempt(2, **calls(path="a")),
        attempt(3, "malformed", output='{"action": "files.read"}'),
        attempt(4, "unverified", output='{", "tool.'),
        attempt(5, "error"),
    ]
    tasks = [task(number, told, check=NEVER) for number in range(1, 6)]
    rate = figure(assistant_scores("base", attempts, tasks), "persona_adaptation").rate
    assert rate == wilson(1, 4, errors=1)
    assert how_answered(attempts) == {
        "in words": 1,
        "a call": 1,
        "a malformed call": 1,
        "no words": 1,
        "failed to run": 1,
    }


def test_new_against_current_in_the_voice_says_how_many_answered_in_words_at_all() -> None:
    tasks = [task(number, EXECUTIVE.words, check=NEVER) for number in range(1, 4)]
    current = [attempt(number, output="TL;DR: forty lines.") for number in range(1, 4)]
    new = [current[0], attempt(2, **calls(path="a")), attempt(3, "malformed")]
    found = next(one for one in compared(current, new, tasks, margin=0.05) if one.metric == "persona_adaptation")
    assert (found.table.n, found.table.first_only) == (3, 2)
    assert "current: 3 in words; new: 1 in words, 1 a call, 1 a malformed call" in found.reason


def test_a_comparison_says_how_many_tasks_it_leaves_out() -> None:
    current, new, tasks = sides(4, 0, 0, 0)
    broken = [new[0].model_copy(update={"outcome": "error"}), *new[1:]]
    found = success(compared(current, broken, tasks, margin=0.05))
    assert "on 3 tasks" in found.reason
    assert found.reason.endswith("; not counted on both sides: 1")


def test_in_chat_prose_with_a_call_in_it_is_still_an_answer() -> None:
    said = attempt(
        1, mode="chat", output="I will now execute the following command: `cat a`", **{"calls": calls()["calls"]}
    )
    scores = assistant_scores("base", [said], [task(1, EXECUTIVE.words)])
    assert figure(scores, "persona_adaptation", mode="chat").rate == wilson(0, 1)


def test_every_figure_stands_by_category_too_and_the_categories_add_up() -> None:
    tasks = [task(number, category="disk" if number % 3 else "logs") for number in range(1, 10)]
    attempts = [attempt(number, "correct" if number % 2 else "wrong", **calls(path="a")) for number in range(1, 10)]
    scores = assistant_scores("base", attempts, tasks)
    for metric in ("tool_format", "task_success"):
        whole, parts = figure(scores, metric), [figure(scores, metric, f"assistant/{one}") for one in ("disk", "logs")]
        assert [one.rate.n for one in parts] == [6, 3]
        assert whole.rate.n == sum(one.rate.n for one in parts)
    assert figure(scores, "task_success", "assistant/logs").rate == wilson(2, 3)


def test_each_figure_says_what_it_counts() -> None:
    assert [metric.name for metric in METRICS] == [
        "tool_format",
        "context_retention",
        "persona_adaptation",
        "task_success",
    ]
    assert all(metric.rule.startswith("of ") for metric in METRICS)


# --- new against current ---------------------------------------------------------------------------------------------


def sides(both: int, lost: int, won: int, neither: int) -> tuple[list[Attempt], list[Attempt], list[Task]]:
    outcomes = [("correct", "correct")] * both + [("correct", "wrong")] * lost
    outcomes += [("wrong", "correct")] * won + [("wrong", "wrong")] * neither
    current = [attempt(number, first, **calls(path="a")) for number, (first, _) in enumerate(outcomes)]
    new = [attempt(number, second, **calls(path="a")) for number, (_, second) in enumerate(outcomes)]
    return current, new, [task(number) for number in range(len(outcomes))]


def success(found: list[Comparison]) -> Comparison:
    return next(one for one in found if one.metric == "task_success")


@pytest.mark.parametrize(
    ("counts", "word", "swapped"),
    [
        ((50, 5, 40, 5), "win", "loss"),
        ((280, 2, 3, 15), "equivalent", "equivalent"),
        ((10, 2, 3, 5), "inconclusive", "inconclusive"),
        ((260, 10, 22, 8), "win", "loss"),
        ((260, 14, 22, 4), "inconclusive", "inconclusive"),
    ],
)
def test_new_against_current_is_one_word_and_swapping_the_sides_mirrors_it(
    counts: tuple[int, int, int, int], word: str, swapped: str
) -> None:
    current, new, tasks = sides(*counts)
    found = success(compared(current, new, tasks, margin=0.05))
    assert (found.word, found.table.n) == (word, sum(counts))
    assert (found.table.low, found.table.high) == newcombe_paired(*counts)
    assert success(compared(new, current, tasks, margin=0.05)).word == swapped
    assert ("would tell" in found.reason) == (word == "inconclusive")


def test_equal_calls_are_the_same_in_form_however_many_are_right() -> None:
    current, new, tasks = sides(100, 0, 200, 0)
    form = next(one for one in compared(current, new, tasks, margin=0.05) if one.metric == "tool_format")
    assert (form.word, form.table.both) == ("equivalent", 300)


def test_only_tasks_that_ran_on_both_sides_are_compared() -> None:
    current, new, tasks = sides(5, 0, 3, 0)
    broken = [new[0].model_copy(update={"outcome": "error"}), *new[1:-1]]
    assert success(compared(current, broken, tasks, margin=0.05)).table.n == 6
    assert compared(current, [], tasks, margin=0.05) == []
