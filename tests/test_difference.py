"""Attempts, pairs and tables: what counts, what is only shown, and nothing lost in between."""

from __future__ import annotations

import pytest

from kt_lib.difference import (
    attempt,
    by,
    cells,
    failure_changes,
    failure_counts,
    information,
    pair,
    rate,
    table,
    transfer_pool,
)
from kt_lib.errors import ArtifactError, ModelError
from kt_lib.records import (
    AcceptedCall,
    Attempt,
    ChatMessage,
    Check,
    Completion,
    Mode,
    Outcome,
    Record,
    Request,
    Task,
    ToolCall,
    Usage,
)


class Said(Record):
    """A judgement, as a checker gives it."""

    calls: tuple[ToolCall, ...] = ()
    outcome: Outcome = "correct"
    failure: str | None = None
    detail: str | None = None


def a_task(name: str, *, evidence: str = "answer_key", category: str = "disk", tool: str = "bash") -> Task:
    check = Check.model_validate(
        {"rule": "exact", "accepted": [AcceptedCall(name=tool)] if tool else [], "evidence": evidence}
    )
    return Task(id=name, messages=(ChatMessage(role="user", content=name),), check=check, category=category)


def an_attempt(task: str, outcome: Outcome, mode: Mode = "chat", failure: str | None = None) -> Attempt:
    return Attempt(task_id=task, mode=mode, model="m", outcome=outcome, failure=failure)


def ask(task: Task) -> Request:
    return Request(messages=task.messages)


def test_every_task_is_put_once_in_one_batch_and_keeps_its_order() -> None:
    batches: list[list[Request]] = []

    def complete(requests: list[Request]) -> list[Completion]:
        batches.append(requests)
        return [
            Completion(text=request.messages[0].content, usage=Usage(prompt_tokens=3), seconds=0.5)
            for request in requests
        ]

    tasks = [a_task("b"), a_task("a")]
    made = attempt(
        tasks, complete, ask, lambda task, completion: Said(), mode="agent", model="m@1", protocol="json", lever="sft"
    )
    assert [len(batch) for batch in batches] == [2]
    assert [(one.task_id, one.output) for one in made] == [("b", "b"), ("a", "a")]
    assert (made[0].model, made[0].mode, made[0].protocol, made[0].lever) == ("m@1", "agent", "json", "sft")
    assert (made[0].usage.prompt_tokens, made[0].seconds) == (3, 0.5)


def test_no_tasks_ask_nothing() -> None:
    def refuse(requests: list[Request]) -> list[Completion]:
        raise AssertionError("nothing was to be asked")

    assert attempt([], refuse, ask, lambda task, completion: Said(), mode="chat", model="m") == []


def test_a_model_that_drops_a_completion_is_an_error_and_not_a_shift_of_all_answers() -> None:
    with pytest.raises(ModelError, match="1 completions to 2 requests"):
        attempt(
            [a_task("a"), a_task("b")], lambda requests: [Completion()], ask, lambda *_: Said(), mode="chat", model="m"
        )


def test_a_failed_completion_is_an_error_whatever_the_judge_says_of_its_text() -> None:
    failed = Completion(finish="error", error="HTTP 500: out of memory")
    made = attempt([a_task("a")], lambda _: [failed], ask, lambda *_: Said(), mode="chat", model="m")
    assert (made[0].outcome, made[0].detail, made[0].calls) == ("error", "HTTP 500: out of memory", ())


def test_a_task_without_evidence_is_unverified_and_only_its_form_can_be_faulted() -> None:
    task = a_task("a", evidence="none")
    for judged, failure in [
        (Said(outcome="correct", calls=(ToolCall(name="bash"),)), None),
        (Said(outcome="wrong", failure="wrong_tool"), None),
        (Said(outcome="malformed", failure="code_fence", detail="a fence"), "code_fence"),
    ]:
        (made,) = attempt(
            [task], lambda _: [Completion()], ask, lambda *_, judged=judged: judged, mode="agent", model="m"
        )
        assert (made.outcome, made.failure) == ("unverified", failure)
        assert made.calls == judged.calls


def test_the_raw_output_holds_native_calls_too() -> None:
    native = Completion(
        text="Looking.", tool_calls=(ToolCall(name="df", arguments={"host": "web01"}),), unreadable_calls=('{"host": ',)
    )
    (made,) = attempt([a_task("a")], lambda _: [native], ask, lambda *_: Said(), mode="agent", model="m")
    assert made.output == 'Looking.\n{"arguments":{"host":"web01"},"name":"df"}\n{"host": '


OUTCOMES: list[tuple[Outcome, Outcome, str]] = [
    ("correct", "correct", "both"),
    ("correct", "malformed", "chat_only"),
    ("wrong", "correct", "agent_only"),
    ("abstained", "wrong", "neither"),
    ("correct", "error", "incomplete"),
    ("error", "error", "incomplete"),
    ("unverified", "unverified", "unverified"),
    ("unverified", "error", "unverified"),
]


def test_outcomes_fall_into_the_six_cells_and_only_four_enter_the_table() -> None:
    chat = [an_attempt(str(number), one) for number, (one, _, _) in enumerate(OUTCOMES)]
    agent = [an_attempt(str(number), other, "agent") for number, (_, other, _) in enumerate(OUTCOMES)]
    pairs = pair(chat, agent[::-1])
    assert [one.cell for one in pairs] == [cell for _, _, cell in OUTCOMES]
    counted = table(pairs)
    assert (counted.both, counted.first_only, counted.second_only, counted.neither) == (1, 1, 1, 1)
    assert (counted.first.errors, counted.second.errors) == (1, 2)
    assert cells(pairs)["unverified"] == 2
    assert sum(cells(pairs).values()) == len(OUTCOMES)
    assert [one.task_id for one in transfer_pool(pairs)] == ["1"]


def test_swapping_chat_and_agent_mirrors_the_table() -> None:
    chat = [an_attempt(str(number), one) for number, (one, _, _) in enumerate(OUTCOMES)]
    agent = [an_attempt(str(number), other) for number, (_, other, _) in enumerate(OUTCOMES)]
    there, back = table(pair(chat, agent)), table(pair(agent, chat))
    assert back.difference == -there.difference
    assert (back.first, back.second) == (there.second, there.first)


def test_a_task_on_one_side_only_or_twice_on_a_side_is_not_left_out_in_silence() -> None:
    with pytest.raises(ArtifactError, match="one side only"):
        pair([an_attempt("a", "correct")], [])
    with pytest.raises(ArtifactError, match="twice on the agent side"):
        pair([an_attempt("a", "correct")], [an_attempt("a", "correct"), an_attempt("a", "wrong")])


def test_tables_by_group_add_up_to_the_whole() -> None:
    tasks = [a_task("1", category="disk"), a_task("2", category="logs", tool="tail"), a_task("3", tool="")]
    pairs = pair([an_attempt(task.id, "correct") for task in tasks], [an_attempt(task.id, "wrong") for task in tasks])
    assert {name: one.n for name, one in by(pairs, tasks, "category").items()} == {"disk": 2, "logs": 1}
    assert list(by(pairs, tasks, "tool")) == ["(no call)", "bash", "tail"]
    assert list(by(pairs, tasks, "novelty")) == ["(none)"]
    assert {name: one.n for name, one in by(pairs, tasks, lambda task: [task.id, "all"]).items()}["all"] == 3
    with pytest.raises(KeyError):
        by(pairs, tasks[:2], "category")


def test_rates_leave_errors_and_unverified_out_and_count_errors_beside() -> None:
    made = [an_attempt(str(n), outcome) for n, outcome in enumerate(["correct", "malformed", "error", "unverified"])]
    assert (rate(made).value, rate(made).n, rate(made).errors) == (0.5, 2, 1)
    assert rate(made, "malformed").value == 0.5
    assert rate([]).value is None


def test_failure_classes_are_counted_before_and_after() -> None:
    before = [
        an_attempt("1", "malformed", failure="wrong_key"),
        an_attempt("2", "malformed", failure="wrong_key"),
        an_attempt("3", "wrong", failure="wrong_tool"),
        an_attempt("4", "unverified", failure="code_fence"),
    ]
    after = [an_attempt("1", "wrong", failure="loop"), an_attempt("2", "malformed", failure="wrong_key")]
    assert failure_counts(before) == {"wrong_key": 2, "wrong_tool": 1}
    assert failure_changes(before, after) == {"wrong_key": (2, 1), "wrong_tool": (1, 0), "loop": (0, 1)}


def test_what_each_side_had_to_go_on_is_said_in_words() -> None:
    agent = an_attempt("1", "correct", "agent").model_copy(update={"protocol": "json", "lever": "few_shot:3"})
    tasks = [a_task("1").model_copy(update={"information": "schema given"})]
    assert information([agent], tasks) == (
        "strict JSON protocol, with few_shot:3; information in the tasks: schema given"
    )
    assert information([an_attempt("1", "correct")], [a_task("1")]).startswith("plain answer")
