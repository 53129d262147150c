"""Preference pairs from labels: the better side chosen, in the form it is asked in, and nothing held out in them."""

from __future__ import annotations

from typing import Any

import pytest
from labels_by_hand import a_chat, answer, label, user

from kt_lib.labelled_pairs import LabelledPairs, labelled_pairs, labels_first
from kt_lib.labelling.questions import questions_from
from kt_lib.labels import Label, Question
from kt_lib.prompts import CHAT_PROMPT
from kt_lib.records import Attempt, Conversation, Difference, MessagePart, PreferencePair, Task, ToolCall
from kt_lib.tasks import chats_to_learn_from, own_tasks, parts_of_chats
from kt_lib.tasks_from_chats import tasks_from_conversations

REQUEST = user("u1", "Show me the free disk space on this machine.")
PROSE = "To see the free disk space, run:\n\n```bash\ndf -h\n```"
DF = ToolCall(name="bash", arguments={"command": "df -h"}, read_from="df -h")
CALL = '{"tool": "bash", "params": {"command": "df -h"}}'
OTHER_CALL = '{"tool": "bash", "params": {"command": "ls"}}'
NEAR = "asks what an evaluation task asks, or nearly"


def pairs(
    asked: list[Question],
    *labels: Label,
    tasks: tuple[Task, ...] = (),
    training: frozenset[str] = frozenset({"c"}),
    **more: Any,
) -> LabelledPairs:
    agreeing = more.get("agreeing", {one.question: 1 for one in labels})
    return labelled_pairs(asked, labels, agreeing, tasks, training, more.get("protocol", "json"), 0.9)


def only(found: LabelledPairs) -> PreferencePair:
    assert found.left_out == {}
    (pair,) = found.pairs
    return pair


def siblings() -> list[Question]:
    one, two = answer("a1", "u1", "It depends.", created=1.0), answer("a2", "u1", "Look at the settings.", created=2.0)
    return questions_from([a_chat(REQUEST, one, two)], kinds=["preference"])


@pytest.mark.parametrize(("verdict", "chosen"), [("first", "It depends."), ("second", "Look at the settings.")])
def test_the_better_of_two_chat_answers_is_chosen_under_the_chat_prompt(verdict: str, chosen: str) -> None:
    asked = siblings()
    pair = only(pairs(asked, label(asked[0], verdict)))
    assert pair.chosen == chosen
    assert {pair.chosen, pair.rejected} == {"It depends.", "Look at the settings."}
    assert pair.prompt[0].content.startswith(CHAT_PROMPT)
    assert (pair.prompt[-1].content, pair.basis) == (REQUEST.text, "label")


def test_a_pair_says_how_many_annotators_stand_behind_it() -> None:
    asked = siblings()
    (one, two, settled, bulk) = (
        only(pairs(asked, label(asked[0], "first"))),
        only(pairs(asked, label(asked[0], "first"), agreeing={asked[0].id: 2})),
        only(pairs(asked, label(asked[0], "first", origin="settled"))),
        only(pairs(asked, label(asked[0], "first", origin="bulk"))),
    )
    assert [pair.evidence for pair in (one, two, settled, bulk)] == [
        "label: 1 annotator",
        "label: 2 annotators",
        "label: 1 annotator, settled",
        "label: 1 annotator, accepted in bulk",
    ]


def test_a_tie_and_a_label_of_another_kind_give_no_pair() -> None:
    asked = siblings()
    assert pairs(asked, label(asked[0], "tie")) == LabelledPairs(pairs=(), left_out={})
    (turn, *_) = questions_from([a_chat(REQUEST, answer("a1", "u1", PROSE))], kinds=["turn"])
    assert pairs([turn], label(turn, "yes")) == LabelledPairs(pairs=(), left_out={})


def test_labels_on_conversations_out_of_the_train_part_teach_nothing() -> None:
    asked = siblings()
    found = pairs(asked, label(asked[0], "first"), training=frozenset())
    assert found == LabelledPairs(pairs=(), left_out={"not in the train part": 1})


def test_the_part_of_a_chat_is_the_one_its_tasks_have() -> None:
    words = [f"Show me the free disk space on node{n} in rack {n}." for n in range(60)]
    chats = [a_chat(user("u1", text), answer("a1", "u1", PROSE), name=text) for text in words]
    tasks = own_tasks(tasks_from_conversations(chats), chats, 3)
    training = chats_to_learn_from(parts_of_chats(chats, tasks, 3))
    assert training == {task.group for task in tasks if task.part == "train"}
    assert 10 < len(training) < 40
    assert chats_to_learn_from(parts_of_chats(chats, tasks, None)) == {chat.id for chat in chats}


def test_a_pair_whose_request_is_an_evaluation_task_is_left_out_although_its_own_chat_is_for_training() -> None:
    asked = siblings()
    twin = user("u1", "show me the free disk space, on this machine")
    (task,) = tasks_from_conversations([a_chat(twin, answer("a9", "u1", PROSE), name="other chat")])
    assert task.part == "test"
    found = pairs(asked, label(asked[0], "first"), tasks=(task,))
    assert found == LabelledPairs(pairs=(), left_out={NEAR: 1})
    learned = task.model_copy(update={"part": "train"})
    assert len(pairs(asked, label(asked[0], "first"), tasks=(learned,)).pairs) == 1


def test_requests_without_a_word_in_them_are_told_apart_from_evaluation_tasks_too() -> None:
    ask_less = user("u1", "??")
    one, two = answer("a1", "u1", "What?", created=1.0), answer("a2", "u1", "Yes?", created=2.0)
    asked = questions_from([a_chat(ask_less, one, two)], kinds=["preference"])
    (task,) = tasks_from_conversations([a_chat(ask_less, answer("a9", "u1", PROSE), name="other chat")])
    assert pairs(asked, label(asked[0], "first"), tasks=(task,)).left_out == {NEAR: 1}


def edited(asked_before: bool = True) -> list[Question]:
    first = (REQUEST,) if asked_before else ()
    parent = "u1" if asked_before else None
    message = answer("a1", "u1", "Run df -h.", edited_from="Run df.").model_copy(update={"parent_id": parent})
    return questions_from([a_chat(*first, message)], kinds=["edit"])


@pytest.mark.parametrize(("verdict", "chosen"), [("yes", "Run df -h."), ("no", "Run df.")])
def test_an_edit_that_improves_is_chosen_over_its_draft_and_one_that_harms_is_not(verdict: str, chosen: str) -> None:
    asked = edited()
    assert only(pairs(asked, label(asked[0], verdict))).chosen == chosen


def test_an_edit_that_changes_nothing_or_whose_request_is_unknown_gives_no_pair() -> None:
    assert pairs(edited(), label(edited()[0], "same")).pairs == ()
    found = pairs(edited(False), label(edited(False)[0], "yes"))
    assert found.left_out == {"what was asked is not known": 1}


def against(agent: str, chat: str = PROSE, calls: tuple[ToolCall, ...] = (DF,)) -> list[Question]:
    (task,) = tasks_from_conversations([a_chat(REQUEST, answer("a1", "u1", PROSE))])
    sides = [
        Attempt.model_validate(
            {"task_id": task.id, "mode": mode, "model": "toy", "output": output, "calls": made, "outcome": "unverified"}
        )
        for mode, output, made in (("chat", chat, calls), ("agent", agent, ()))
    ]
    difference = Difference(task_id=task.id, cell="unverified", chat=sides[0], agent=sides[1])
    return questions_from(tasks=[task], differences=[difference], kinds=["preference"])


def test_what_chat_did_better_is_learned_as_the_call_an_agent_has_to_write() -> None:
    asked = against("I cannot do that.")
    pair = only(pairs(asked, label(asked[0], "first")))
    assert (pair.chosen, pair.rejected) == (CALL, "I cannot do that.")
    assert '{"tool": name, "params": {...}}' in pair.prompt[0].content
    assert pair.prompt[-1].content == REQUEST.text


def test_a_better_call_of_the_agent_is_chosen_over_the_chats() -> None:
    asked = against(OTHER_CALL)
    pair = only(pairs(asked, label(asked[0], "second")))
    assert (pair.chosen, pair.rejected) == (OTHER_CALL, CALL)
    told = against(OTHER_CALL, chat="Look around.", calls=())
    assert only(pairs(told, label(told[0], "second"))).rejected == "Look around."


def test_by_native_calling_no_pair_of_texts_is_made_of_calls() -> None:
    asked = against("I cannot do that.")
    found = pairs(asked, label(asked[0], "first"), protocol="native")
    assert found == LabelledPairs(pairs=(), left_out={"a native call, which a pair of texts cannot say": 1})


@pytest.mark.parametrize(
    ("asked", "verdict", "why"),
    [
        (against('{"tool": "bash", "params": '), "second", "the better answer is malformed"),
        (
            against(OTHER_CALL, chat="Open a shell.", calls=()),
            "first",
            "the better answer tells what to do and makes no call",
        ),
        (
            against(OTHER_CALL, calls=(DF.model_copy(update={"arguments": {"line": "df"}}),)),
            "first",
            "the better answer's call does not fit its schema",
        ),
        (against(CALL), "first", "nothing to tell apart"),
    ],
)
def test_an_agent_is_never_taught_a_malformed_answer_or_words_in_place_of_a_call(
    asked: list[Question], verdict: str, why: str
) -> None:
    assert pairs(asked, label(asked[0], verdict)) == LabelledPairs(pairs=(), left_out={why: 1})


def test_answers_that_used_tools_are_compared_by_their_calls_and_never_by_what_the_results_said() -> None:
    def with_call(key: str, command: str, created: float) -> Any:
        call = ToolCall(name="bash", arguments={"command": command}, id="x")
        parts = (MessagePart(kind="tool_call", call=call), MessagePart(kind="text", text=f"{key} says 12 GB"))
        return answer(key, "u1", parts, created=created)

    chat = a_chat(REQUEST, with_call("a1", "df -h", 1.0), with_call("a2", "ls", 2.0))
    asked = questions_from([chat], kinds=["preference"])
    pair = only(pairs(asked, label(asked[0], "first")))
    assert (pair.chosen, pair.rejected) == (CALL, OTHER_CALL)
    mixed: Conversation = a_chat(
        REQUEST, with_call("a1", "df -h", 1.0), answer("a2", "u1", "12 GB, I guess.", created=2.0)
    )
    asked = questions_from([mixed], kinds=["preference"])
    found = pairs(asked, label(asked[0], "first"))
    assert found.left_out == {"one answer called tools and the other did not": 1}


def test_a_label_on_something_that_is_gone_is_counted_and_gives_no_pair() -> None:
    asked = siblings()
    assert pairs([], label(asked[0], "first")).left_out == {"no longer asked": 1}


def test_pairs_of_people_stand_first_and_are_not_said_twice() -> None:
    asked = siblings()
    found = pairs(asked, label(asked[0], "first"))
    own = found.pairs[0]
    same = own.model_copy(update={"basis": "invalid_json"})
    other = same.model_copy(update={"rejected": "something else"})
    assert labels_first(found, [same, other], 9) == [own, other]
    assert labels_first(found, [other], 1) == [own]
