"""Rows of conversations: what is learned of a chat, what of it is left out, and why."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from chats_by_hand import DISK, RESTART, call, chain, conversation, message, result

from kt_lib.branches import JUDGED_BOTH_WAYS
from kt_lib.calls.protocol import read_agent
from kt_lib.conversation_rows import RowsFromChats, conversation_rows
from kt_lib.prompts import AGENT_PROMPTS, list_tools
from kt_lib.records import Completion, Conversation, MessagePart, Protocol, Rating
from kt_lib.sources.ingesting import ingest
from kt_lib.sources.store import Store

DATA = Path(__file__).parents[2] / "shared" / "data"
ASKED = ("user", "How full is web01?")
CALLED = ("assistant", "Let me look.", call("disk_usage", host="web01", unit="GB"))
TOLD = ("tool", result("81% used"))
ANSWERED = ("assistant", "It is 81% full.")


def rows_of(*chats: Conversation, protocol: Protocol = "json") -> RowsFromChats:
    return conversation_rows(chats, protocol=protocol, source="own chats")


def said(found: RowsFromChats) -> list[tuple[str, str]]:
    (row,) = found.rows
    return [(one.role, one.content) for one in row.messages]


def test_a_chat_becomes_one_row_with_everything_in_it_and_where_it_came_from() -> None:
    found = rows_of(conversation(*chain(("user", "Hi"), ("assistant", "Hello!")), system="Be kind.", consent=True))
    assert said(found) == [("system", "Be kind."), ("user", "Hi"), ("assistant", "Hello!")]
    (row,) = found.rows
    assert (row.learn, row.kind, row.task_id, row.source) == ("all", "conversation", "c", "own chats")
    assert (row.licence, row.consent, row.basis) == ("MIT", True, "as recorded; chats.json, item 3")
    assert (found.left_out, found.cut) == ({}, {})


def test_by_the_json_protocol_calls_are_its_text_under_the_agents_own_request() -> None:
    found = rows_of(conversation(*chain(ASKED, CALLED, TOLD, ANSWERED), tools=(RESTART, DISK), system="Be brief."))
    prompt = f"{AGENT_PROMPTS['plain']}\n{list_tools((RESTART, DISK))}\nBe brief."
    written = json.dumps({"tool": "disk_usage", "params": {"host": "web01", "unit": "GB"}})
    assert said(found) == [
        ("system", prompt),
        ("user", "How full is web01?"),
        ("assistant", written),
        ("tool", "81% used"),
        ("assistant", "It is 81% full."),
    ]
    assert found.rows[0].messages[3].name == "disk_usage"
    assert (found.rows[0].kind, found.rows[0].tools) == ("agent_call", ())


def test_by_native_calling_calls_stay_calls_and_the_tools_stay_with_the_row() -> None:
    (row,) = rows_of(conversation(*chain(ASKED, CALLED, TOLD, ANSWERED), tools=(DISK,)), protocol="native").rows
    assert row.tools == (DISK,)
    assert [one.name for one in row.messages[1].tool_calls] == ["disk_usage"]
    assert row.messages[1].content == "Let me look."


def test_calls_and_results_within_one_message_are_told_apart_in_their_order() -> None:
    both = message(
        "assistant", "a", "u", "First.", call("disk_usage", "1", host="a"), result("1%", "1"), "Next.",
        call("disk_usage", "2", host="b"), result("2%", "2"), "Both are fine.",
    )  # fmt: skip
    found = rows_of(conversation(message("user", "u", None, "How full are a and b?"), both, tools=(DISK,)))
    assert [(role, text) for role, text in said(found)[2:]] == [
        ("assistant", '{"tool": "disk_usage", "params": {"host": "a"}}'),
        ("tool", "1%"),
        ("assistant", '{"tool": "disk_usage", "params": {"host": "b"}}'),
        ("tool", "2%"),
        ("assistant", "Both are fine."),
    ]


def test_a_chat_whose_source_names_no_tools_is_offered_those_it_called() -> None:
    (row,) = rows_of(conversation(*chain(ASKED, CALLED, TOLD, ANSWERED)), protocol="native").rows
    assert [tool.name for tool in row.tools] == ["disk_usage"]


@pytest.mark.parametrize(
    ("chat", "tools", "kind"),
    [
        ([("user", "Hi"), ("assistant", "Hello!")], (), "conversation"),
        (
            [("user", "Hi"), ("assistant", "Hello!"), ("user", "Bye"), ("assistant", "Bye!")],
            (),
            "conversation_multi_turn",
        ),
        ([("user", "Hi"), ("assistant", "Hello!")], (DISK,), "no_call"),
        ([ASKED, CALLED], (DISK,), "agent_call"),
    ],
)
def test_rows_are_named_for_what_they_teach(chat: list[Any], tools: Any, kind: str) -> None:
    assert [row.kind for row in rows_of(conversation(*chain(*chat), tools=tools)).rows] == [kind]


BROKEN = MessagePart(kind="tool_call", text="{host: ", well_formed=False)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"parts": ["It is empty."], "rating": -1}, "rated bad"),
        ({"parts": ["It is"], "status": "unfinished"}, "a turn without end"),
        ({"parts": ["It is"], "status": "failed"}, "a turn that failed"),
        ({"parts": []}, "no answer"),
        ({"parts": [BROKEN]}, "a call that cannot be read"),
        ({"parts": [call("disk_usage", host=5)]}, "a call that does not fit its tool"),
        ({"parts": [call("reboot", host="a")]}, "a call that does not fit its tool"),
        ({"parts": ['{"action": "disk_usage", "params": {"host": "a"}}']}, "words that read as a broken call"),
        ({"parts": [call("disk_usage", host="a"), result("1%")]}, "no answer after the tool's result"),
    ],
)
def test_a_branch_ends_before_what_must_not_be_learned(bad: dict[str, Any], why: str) -> None:
    parts = bad.pop("parts")
    begun = chain(ASKED, CALLED, TOLD, ANSWERED, ("user", "And db1?"))
    bad_one = message("assistant", "bad", "m4", *parts, **bad)
    found = rows_of(conversation(*begun, bad_one, tools=(DISK,)))
    assert said(found)[-1] == ("assistant", "It is 81% full.")
    assert (found.cut, found.left_out) == ({why: 1}, {})
    only = rows_of(conversation(begun[0], bad_one.model_copy(update={"parent_id": "m0"}), tools=(DISK,)))
    assert (only.rows, only.left_out) == ((), {why: 1})


def test_an_answer_that_the_user_calls_wrong_is_not_learned_but_one_that_asks_and_hears_no_is() -> None:
    wrong = chain(
        ("user", "Which host?"), ("assistant", "It is web02."), ("user", "That's wrong."), ("assistant", "Sorry.")
    )
    assert rows_of(conversation(*wrong)).left_out == {"corrected by the follow-up": 1}
    asks = chain(
        ("user", "Restart it"), ("assistant", "Now?"), ("user", "No, I said at noon."), ("assistant", "At noon.")
    )
    assert len(rows_of(conversation(*asks)).rows[0].messages) == 4


def test_a_call_without_its_result_is_learned_at_the_end_only() -> None:
    assert len(rows_of(conversation(*chain(ASKED, CALLED), tools=(DISK,))).rows) == 1
    found = rows_of(conversation(*chain(ASKED, CALLED, ("user", "Well?"), ("assistant", "81%.")), tools=(DISK,)))
    assert found.left_out == {"a call that nothing answers": 1}


def test_one_result_may_answer_several_calls() -> None:
    both = ("assistant", call("disk_usage", host="a"), call("disk_usage", host="b"))
    found = rows_of(conversation(*chain(ASKED, both, TOLD, ANSWERED), tools=(DISK,)))
    assert [role for role, _ in said(found)] == ["system", "user", "assistant", "tool", "assistant"]
    named = ("assistant", call("disk_usage", "1", host="a"), call("disk_usage", "2", host="b"))
    found = rows_of(conversation(*chain(ASKED, named, ("tool", result("81%", "1")), ANSWERED), tools=(DISK,)))
    assert found.left_out == {"a call that nothing answers": 1}


def test_where_the_open_answer_was_rated_bad_the_good_one_beside_it_is_learned() -> None:
    asked = message("user", "u", None, "How full is web01?")
    good, bad = (
        message("assistant", "good", "u", "81%.", rating=1),
        message("assistant", "bad", "u", "No idea.", rating=-1),
    )
    found = rows_of(conversation(asked, good, bad))
    assert said(found)[-1] == ("assistant", "81%.")
    assert found.rows[0].basis.startswith("rated good; ")


def test_where_the_source_names_no_open_branch_the_last_message_ends_it() -> None:
    talk = chain(("user", "Hi"), ("assistant", "Hello!"))
    for leaf in (None, "gone"):
        assert said(rows_of(conversation(*talk, leaf=leaf))) == [("user", "Hi"), ("assistant", "Hello!")]
    assert rows_of(conversation(*talk).model_copy(update={"messages": ()})).left_out == {"nobody asks anything": 1}


def test_a_talk_rated_bad_as_a_whole_gives_no_row() -> None:
    talk = chain(("user", "Hi"), ("assistant", "Hello!"), ("user", "Bye"), ("assistant", "Bye!"), rating=-1)
    found = rows_of(conversation(*talk, format="star.dialogue"))
    assert (found.rows, found.left_out) == ((), {"the whole talk was rated bad": 1})


def test_where_only_the_last_answer_was_judged_it_alone_is_learned() -> None:
    talk = chain(ASKED, ("assistant", "Which disk?"), ("user", "The first."), ("assistant", "81%."), rating=1)
    found = rows_of(conversation(*talk, format="taskmaster.action"))
    (row,) = found.rows
    assert (row.learn, len(row.messages)) == ("last", 4)
    assert row.basis.startswith("rated good; ")


def test_where_only_the_last_answer_was_judged_and_it_cannot_be_learned_nothing_is() -> None:
    talk = chain(ASKED, ("assistant", "Which disk?"), ("user", "The first."), ("assistant", "81%."), rating=-1)
    found = rows_of(conversation(*talk, format="taskmaster.action"))
    assert (found.rows, found.left_out, found.cut) == ((), {"rated bad": 1}, {})


def test_the_basis_says_whose_word_it_is_of_everything_that_is_learned() -> None:
    talk = [ASKED, ("assistant", "Which disk?"), ("user", "The first."), ("assistant", "81%.")]
    (mixed,) = rows_of(conversation(*chain(*talk, rating=1))).rows
    assert mixed.basis == "some as recorded, some rated good; chats.json, item 3"
    (whole,) = rows_of(conversation(*chain(*talk, rating=1), format="star.dialogue")).rows
    assert whole.basis == "the whole talk rated good; chats.json, item 3"


def test_an_answer_called_bad_in_one_conversation_is_not_learned_from_another() -> None:
    bad = conversation(*chain(ASKED, ("assistant", "No idea. "), rating=-1), name="bad")
    again = [("user", "Well?"), ("assistant", "81%.")]
    same = conversation(*chain(ASKED, ("assistant", "No idea."), *again), name="same")
    other = conversation(*chain(("user", "How full is db1?"), ("assistant", "No idea."), *again), name="other")
    found = rows_of(bad, same, other)
    assert [row.task_id for row in found.rows] == ["other"]
    assert found.left_out == {"rated bad": 1, "an answer in it is called bad in another conversation": 1}


def test_what_was_called_bad_may_stand_before_the_one_answer_that_is_learned() -> None:
    bad = conversation(*chain(ASKED, ("assistant", "No idea."), rating=-1), format="taskmaster.action", name="bad")
    talk = chain(ASKED, ("assistant", "No idea."), ("user", "Well?"), ("assistant", "81%."), rating=1)
    found = rows_of(bad, conversation(*talk, format="taskmaster.action", name="good"))
    assert [(row.task_id, row.learn) for row in found.rows] == [("good", "last")]


def test_an_answer_judged_both_ways_is_not_learned_and_a_good_one_beside_it_is() -> None:
    asked, torn = chain(ASKED, ("assistant", "No idea."))
    torn = torn.model_copy(update={"rating": Rating(value=0, reason=JUDGED_BOTH_WAYS)})
    assert rows_of(conversation(asked, torn)).left_out == {JUDGED_BOTH_WAYS: 1}
    good = message("assistant", "good", "m0", "81%.", rating=1)
    assert said(rows_of(conversation(asked, good, torn)))[-1] == ("assistant", "81%.")


def test_a_system_prompt_that_lists_the_tools_in_another_form_gives_way_to_the_agents_own() -> None:
    foreign = 'You have functions: [{"name": "disk_usage", "parameters": {}}]. Answer as [f(x=1)].'
    found = rows_of(conversation(*chain(ASKED, CALLED), tools=(DISK,), system=foreign))
    assert "[f(x=1)]" not in said(found)[0][1]
    assert said(found)[0][1].endswith(list_tools((DISK,)))


def test_no_secret_comes_into_a_row() -> None:
    talk = chain(
        ("user", "Mail ann@example.org the key ghp_0123456789abcdefghijABCDEFGHIJ012345"),
        ("assistant", call("send", to="ann@example.org", password="hunter2-Correct")),
    )
    for protocol in ("json", "native"):
        text = rows_of(conversation(*talk, system="Ask bob@example.org"), protocol=protocol).model_dump_json()
        assert not [one for one in ("ann@", "bob@", "ghp_01", "hunter2") if one in text]
        assert "<EMAIL_1>" in text


@pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not beside the checkout")
@pytest.mark.parametrize(
    ("name", "chats", "least"), [("star", 284, 230), ("taskmaster4", 845, 800), ("openwebui", 33, 30)]
)
def test_real_chats_become_rows_whose_every_call_reads_by_the_protocol(
    name: str, chats: int, least: int, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    ingest([DATA / name], store)
    known = list(store.read(Conversation))
    found = rows_of(*known)
    assert len(found.rows) + sum(found.left_out.values()) == len(known) == chats
    assert len(found.rows) >= least
    kinds = Counter(row.kind for row in found.rows)
    assert kinds["agent_call"] > len(found.rows) / 2
    for row in found.rows:
        assert row.messages[-1].role == "assistant"
        if row.kind == "agent_call":
            answers = [one.content for one in row.messages if one.role == "assistant"]
            readings = [read_agent(Completion(text=text), (), "json") for text in answers]
            assert not [reading.detail for reading in readings if reading.failure]
            assert any(reading.calls for reading in readings)
