"""What heuristics suggest, from which sign, and how sure they say they are."""

from __future__ import annotations

from typing import Any

import pytest
from labels_by_hand import a_chat, answer, user

from kt_lib.labelling.questions import questions_from
from kt_lib.labelling.suggestions import ASSUMED, ASSUMPTION, suggest_attempts, suggest_edit, suggest_pattern
from kt_lib.labels import Suggestion
from kt_lib.records import AcceptedCall, Attempt, Check, Difference, Message, Pattern, Rating, Task, ToolCall, ToolSpec
from kt_lib.tasks_from_chats import tasks_from_conversations

REQUEST = user("u1", "Show me the free disk space on this machine.")
PROSE = "To see the free disk space, run:\n\n```bash\ndf -h\n```"
DF = ToolCall(name="bash", arguments={"command": "df -h"})
LS = ToolCall(name="bash", arguments={"command": "ls"})


def suggested(kind: str, *messages: Message, leaf: str | None = None, subject: str | None = None) -> list[Suggestion]:
    asked = questions_from([a_chat(*messages, leaf=leaf)], kinds=[kind])
    (question,) = [one for one in asked if subject in (None, one.subject)]
    return list(question.suggestions)


def by_origin(found: Any) -> dict[str, str]:
    return {one.origin: one.verdict for one in found}


def test_a_turn_without_any_sign_gets_no_suggestion() -> None:
    assert suggested("turn", REQUEST, answer("a1", "u1", PROSE)) == []
    assert suggested("turn", REQUEST, answer("a1", "u1", PROSE), user("u2", "And on web02?", "a1")) == []


@pytest.mark.parametrize(
    ("rating", "verdict", "score"),
    [
        (Rating(value=1), "yes", "rated"),
        (Rating(value=-1, reason="wrong"), "no", "rated"),
        (Rating(value=1, score=9), "yes", "rated"),
        (Rating(value=1, score=2), "yes", "rated, thumb and score at odds"),
        (Rating(value=-1, score=8), "no", "rated, thumb and score at odds"),
    ],
)
def test_a_rating_suggests_what_the_user_thought(rating: Rating, verdict: str, score: str) -> None:
    rated = answer("a1", "u1", PROSE).model_copy(update={"rating": rating})
    (found,) = suggested("turn", REQUEST, rated)
    assert (found.verdict, found.origin, found.score) == (verdict, "rating", ASSUMED[score])
    assert found.because.endswith(ASSUMPTION)


def test_the_reason_of_a_rating_is_told() -> None:
    rated = answer("a1", "u1", PROSE).model_copy(update={"rating": Rating(value=-1, score=2, reason="not_factual")})
    assert suggested("turn", REQUEST, rated)[0].because == f"rated (bad, 2 of 10: not_factual); {ASSUMPTION}"


def test_the_next_words_and_a_second_answer_are_signs() -> None:
    messages = (
        REQUEST,
        answer("a1", "u1", "Run `df`."),
        user("u2", "No, that is wrong.", "a1"),
        answer("a2", "u1", PROSE),
    )
    found = suggested("turn", *messages, leaf="a2", subject="a1")
    assert by_origin(found) == {"follow_up": "no", "regenerated": "no"}
    assert by_origin(suggested("turn", *messages, leaf="a2", subject="a2")) == {"regenerated": "yes"}
    assert [one.origin for one in found] == ["follow_up", "regenerated"], "most trusted first"


def test_a_no_to_the_answers_own_question_is_no_word_on_the_answer() -> None:
    asked = answer("a1", "u1", f"{PROSE}\n\nIs there anything else I can do?")
    assert suggested("turn", REQUEST, asked, user("u2", "No, thank you.", "a1")) == []
    assert by_origin(suggested("turn", REQUEST, asked, user("u2", "Perfect, that worked.", "a1"))) == {
        "follow_up": "yes"
    }


def test_of_two_answers_the_one_that_was_kept_or_rated_better_is_suggested() -> None:
    first, second = answer("a1", "u1", "Run `df`.", rating=-1), answer("a2", "u1", PROSE)
    assert by_origin(suggested("preference", REQUEST, first, second, leaf="a2")) == {
        "rating": "second", "regenerated": "second",
    }  # fmt: skip
    confirmed = user("u2", "Perfect, that worked.", "a1")
    found = suggested("preference", REQUEST, answer("a1", "u1", "Run `df`."), confirmed, second, leaf="u2")
    assert by_origin(found) == {"follow_up": "first", "regenerated": "first"}


def test_the_schema_speaks_for_and_against_a_reading() -> None:
    fits = suggested("reading", REQUEST, answer("a1", "u1", PROSE))
    assert [(one.verdict, one.origin, one.score) for one in fits] == [("yes", "checker", ASSUMED["fits the schema"])]
    task = task_with(Check(rule="exact", evidence="none"))
    broken = ToolCall(name="bash", arguments={"line": "df"})
    found = suggest_attempts(paired(task, DF, broken), task)
    assert [(one.verdict, one.origin) for one in found] == [("first", "checker")]


def task_with(check: Check) -> Task:
    (task,) = tasks_from_conversations([a_chat(REQUEST, answer("a1", "u1", PROSE))])
    return task.model_copy(update={"check": check})


def paired(task: Task, chat: ToolCall, agent: ToolCall, right: str = "") -> Difference:
    def attempt(mode: str, call: ToolCall) -> Attempt:
        outcome = "unverified" if not right else "correct" if right == mode else "wrong"
        return Attempt.model_validate(
            {"task_id": task.id, "mode": mode, "model": "toy", "output": "x", "calls": [call], "outcome": outcome}
        )

    return Difference(task_id=task.id, cell="unverified", chat=attempt("chat", chat), agent=attempt("agent", agent))


def test_the_agents_call_speaks_for_a_reading_when_it_is_the_same() -> None:
    chat = a_chat(REQUEST, answer("a1", "u1", PROSE))
    task = task_with(Check(rule="exact", evidence="none"))
    for agent, verdict in ((DF, "yes"), (LS, "no")):
        (question,) = questions_from([chat], differences=[paired(task, DF, agent)], kinds=["reading"])
        assert by_origin(question.suggestions)["agent"] == verdict


def test_between_chat_and_agent_the_checker_decides_by_the_evidence_there_is() -> None:
    accepted = (AcceptedCall(name="bash", arguments={"command": ["ls"]}),)
    task = task_with(Check(rule="exact", accepted=accepted, evidence="rating"))
    (found,) = suggest_attempts(paired(task, DF, LS, right="agent"), task)
    assert (found.verdict, found.origin) == ("second", "checker")
    (tie,) = suggest_attempts(paired(task, DF, DF), task)
    assert tie.verdict == "tie"
    without = task_with(Check(rule="exact", evidence="none"))
    assert suggest_attempts(paired(without, DF, LS), without) == ()


@pytest.mark.parametrize(
    ("draft", "final", "verdict", "sign"),
    [
        ("Run df.", "Run  df.\n", "same", "only space changed"),
        (" ".join(map(str, range(200))), " ".join(map(str, range(199))), "same", "a word or so changed"),
        ("Run df to see it all.", "Run df -h to see it all.", "yes", "changed"),
        ("Ask someone else about it.", "Run `df -h`; the last column names the disk.", "yes", "written anew"),
    ],
)
def test_the_size_of_an_edit_suggests_whether_it_improves(draft: str, final: str, verdict: str, sign: str) -> None:
    (found,) = suggest_edit(draft, final)
    assert (found.verdict, found.origin, found.score) == (verdict, "edit_size", ASSUMED[sign])


def test_a_pattern_seen_often_is_trusted_more() -> None:
    pattern = Pattern(id="p", kind="tool_selection", tool="bash", template="bash(<command>)", support=3, successes=0)
    often = suggest_pattern(pattern.model_copy(update={"support": 30}))
    assert often[0].score > suggest_pattern(pattern)[0].score > 0.5


def test_a_tool_with_a_schema_of_its_own_is_held_to_it() -> None:
    strict = ToolSpec(name="bash", parameters={"type": "object", "required": ["host"], "properties": {"host": {}}})
    task = task_with(Check(rule="exact", evidence="none")).model_copy(update={"tools": (strict,)})
    assert suggest_attempts(paired(task, DF, LS), task) == ()
