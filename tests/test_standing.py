"""The labels that stand: one for each question, never by a coin."""

from __future__ import annotations

from labels_by_hand import label

from kt_lib.labels import Label, Question, Side
from kt_lib.records import ToolCall
from kt_lib.standing import question_id, reading_id, standing

QUESTION = Question(
    id=question_id("turn", "m1"), kind="turn", subject="m1", group="c", sides=(Side(name="chat", text="x"),)
)
OTHER = QUESTION.model_copy(update={"id": question_id("turn", "m2"), "subject": "m2"})
DF = ToolCall(name="bash", arguments={"command": "df -h"})


def verdicts(*labels: Label) -> list[str]:
    return [one.answer.verdict for one in standing(labels).labels]


def test_what_most_annotators_say_stands_and_their_number_is_known() -> None:
    given = [label(QUESTION, "yes", "ann", 1), label(QUESTION, "no", "bob", 2), label(QUESTION, "yes", "cyd", 3)]
    found = standing(given)
    assert [(one.answer.verdict, one.number) for one in found.labels] == [("yes", 3)]
    assert found.agreeing == {QUESTION.id: 2}
    assert found.tied == ()


def test_annotators_who_contradict_each_other_evenly_leave_no_label_and_it_is_said() -> None:
    found = standing([label(QUESTION, "yes", "ann"), label(QUESTION, "no", "bob", 2), label(OTHER, "no", "bob", 3)])
    assert [one.question for one in found.labels] == [OTHER.id]
    assert found.tied == (QUESTION.id,)


def test_what_was_settled_stands_over_any_majority() -> None:
    given = [label(QUESTION, "yes", name, at) for at, name in enumerate(("ann", "bob", "cyd"), start=1)]
    assert verdicts(*given, label(QUESTION, "no", "lead", 4, origin="settled")) == ["no"]


def test_settled_labels_come_first() -> None:
    questions = sorted([QUESTION, OTHER], key=lambda one: one.id)
    given = [label(questions[0], "yes"), label(questions[1], "no", number=2, origin="settled")]
    assert [one.question for one in standing(given).labels] == [questions[1].id, questions[0].id]


def test_a_skipped_question_has_no_label() -> None:
    assert verdicts(label(QUESTION, "skipped", text="not mine to say")) == []
    assert verdicts(label(QUESTION, "skipped", "ann"), label(QUESTION, "no", "bob", 2)) == ["no"]


def test_different_corrections_are_different_answers() -> None:
    one = label(QUESTION, "corrected", "ann", 1, calls=[DF])
    other = label(QUESTION, "corrected", "bob", 2, calls=[])
    assert standing([one, other]).tied == (QUESTION.id,)


def test_the_digest_counts_what_is_said_and_not_when_by_whom_or_how_fast() -> None:
    first = standing([label(QUESTION, "yes", "ann", 1, seconds=3.0)])
    assert first.digest == standing([label(QUESTION, "yes", "bob", 77, seconds=90.0, note="sure", flagged=True)]).digest
    assert first.digest != standing([label(QUESTION, "no", "ann", 1)]).digest
    assert first.digest != standing([]).digest
    assert standing([]).digest == standing([label(QUESTION, "skipped")]).digest
    assert first.digest != standing([label(QUESTION, "yes", "ann", 1, origin="settled")]).digest
    assert first.digest != standing([label(QUESTION, "yes", "ann", 1, origin="bulk")]).digest
    assert first.digest == standing([label(QUESTION, "yes", "ann", 1, origin="accepted")]).digest
    tied = standing([label(QUESTION, "yes", "ann"), label(QUESTION, "no", "bob", 2)])
    assert tied.digest != standing([]).digest


def test_a_reading_is_another_question_when_other_calls_are_read_from_the_same_words() -> None:
    other = ToolCall(name="bash", arguments={"command": "df"})
    assert reading_id("m1", [DF]) != reading_id("m1", [other])
    assert reading_id("m1", [DF]) == reading_id("m1", [DF.model_copy(update={"id": "c9", "read_from": "Run `df -h`"})])
