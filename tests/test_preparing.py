"""From sources to rows that may be learned from: every step is counted, and says why a row fell out."""

from __future__ import annotations

from collections.abc import Sequence

from tiny_base import task

from kt_lib.datafiles.lengths import Length, Ruler, estimate
from kt_lib.preparing import prepared, prepared_pairs
from kt_lib.records import ChatMessage, PreferencePair, SftRow, Task


def row(asked: str, answer: str = "Done and dusted.", **more: object) -> SftRow:
    messages = (ChatMessage(role="user", content=asked), ChatMessage(role="assistant", content=answer))
    return SftRow.model_validate({"messages": messages, "kind": "agent_call", "task_id": "t", "basis": "b"} | more)


def words(rows: Sequence[object]) -> list[Length]:
    return [Length(len(" ".join(one.content for one in each.messages).split())) for each in rows]  # type: ignore[attr-defined]


RULER = Ruler(name="words", reads=12, measure=words)  # type: ignore[arg-type]


def held_out(asked: str) -> Task:
    return task(1, part="test").model_copy(update={"messages": (ChatMessage(role="user", content=asked),)})


def test_each_step_counts_what_fell_out_and_why() -> None:
    sources = {
        "calls": [row("restart the mail daemon on oak"), row("how full is the disk of elm")],
        "chats": [
            row("restart the mail daemon on oak"),
            row("please keep this to yourself", consent=False),
            row("list the users of birch", "word " * 20),
        ],
    }
    ready = prepared(sources, [held_out("how full is the disk of elm")], 0.95, RULER)
    told = {step.step: (step.rows, sum(step.left_out.values())) for step in ready.funnel}
    assert list(told.values()) == [(5, 0), (4, 1), (3, 1), (2, 1), (1, 1)]
    assert ready.sources == {"calls": [sources["calls"][0].model_copy(update={"source": "calls"})], "chats": []}
    assert "the people in it did not agree" in ready.funnel[1].left_out
    assert any("12 tokens" in why for why in ready.funnel[4].left_out)


def test_the_same_request_under_another_form_of_prompt_is_no_copy() -> None:
    again = row("restart the mail daemon on oak", kind="other_format")
    ready = prepared({"calls": [row("restart the mail daemon on oak")], "other_formats": [again]}, [], 0.95, estimate())
    assert [len(rows) for rows in ready.sources.values()] == [1, 1]


def test_a_row_that_the_models_template_refuses_is_left_out_with_its_words() -> None:
    refusing = Ruler(name="strict", reads=100, measure=lambda rows: [Length(0, "roles must alternate") for _ in rows])
    ready = prepared({"calls": [row("hello there")]}, [], 0.95, refusing)
    assert ready.funnel[-1].left_out == {"the model's template refuses it: roles must alternate": 1}


def pair(asked: str, chosen: str, rejected: str, **more: object) -> PreferencePair:
    told = {"task_id": "t", "basis": "b", "evidence": "e", "chosen": chosen, "rejected": rejected}
    return PreferencePair.model_validate({"prompt": [{"role": "user", "content": asked}], **told} | more)


def test_pairs_fall_out_where_nobody_agreed_or_another_pair_or_a_row_or_the_evaluation_stands_against_them() -> None:
    given = [
        pair("restart the mail daemon on oak", "yes", "no"),
        pair("restart the mail daemon on oak", "yes", "no", task_id="again"),
        pair("please keep this to yourself", "yes", "no", consent=False),
        pair("who is on duty", "Ann", "Bob"),
        pair("who is on duty", "Bob", "Ann"),
        pair("list the users of birch", "ann, bob", "bob, ann"),
        pair("how full is the disk of elm", "half", "quite"),
    ]
    rows = [row("list the users of birch", "bob, ann"), row("restart the mail daemon on oak", "no", kind="chat_replay")]
    kept, funnel = prepared_pairs(given, rows, [held_out("how full is the disk of elm")], 0.95)
    assert kept == given[:1]
    assert [step.rows for step in funnel] == [7, 6, 3, 2, 2, 1]
