"""Preference pairs of what people and schemas said: which, from whose word, and which are left out."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from chats_by_hand import DISK, RESTART, call, chain, conversation, message, result

from kt_lib.branches import JUDGED_BOTH_WAYS, PASSED_OVER
from kt_lib.calls.protocol import read_agent
from kt_lib.evidence_pairs import PairsFromEvidence, evidence_pairs, untaught
from kt_lib.prompts import AGENT_PROMPTS
from kt_lib.records import ChatMessage, Completion, Conversation, Edit, PreferencePair, Provenance, Rating, SftRow
from kt_lib.sources.ingesting import ingest
from kt_lib.sources.store import Store

DATA = Path(__file__).parents[2] / "shared" / "data"
ASKED = message("user", "u", None, "How full is web01?")


def answer(key: str, *parts: Any, parent: str = "u", **more: Any) -> Any:
    return message("assistant", key, parent, *parts, **more)


def pairs_of(*chats: Conversation, edits: Any = ()) -> PairsFromEvidence:
    return evidence_pairs(chats, edits, protocol="json", source="own chats")


def only_pair(*messages: Any, **more: Any) -> PreferencePair:
    found = pairs_of(conversation(*messages, **more))
    assert found.left_out == {}
    (pair,) = found.pairs
    return pair


def written(**arguments: Any) -> str:
    return json.dumps({"tool": "disk_usage", "params": arguments})


def test_of_two_answers_to_one_request_the_one_rated_good_is_chosen() -> None:
    good, bad = answer("a", "It is 81% full.", rating=1), answer("b", "No idea.", rating=-1)
    pair = only_pair(ASKED, good, bad, consent=True)
    assert [one.content for one in pair.prompt] == ["How full is web01?"]
    assert (pair.chosen, pair.rejected, pair.basis) == ("It is 81% full.", "No idea.", "worse_answer")
    assert pair.evidence == "rated good against rated bad; chats.json, item 3"
    assert (pair.source, pair.licence, pair.consent, pair.task_id) == ("own chats", "MIT", True, "c")


def test_a_follow_up_is_a_word_too() -> None:
    good, bad = answer("a", "It is 81% full."), answer("b", "It is web02.")
    said = (message("user", "x", "a", "Perfect, that worked."), message("user", "y", "b", "That's wrong."))
    pair = only_pair(ASKED, good, bad, *said)
    assert pair.chosen == "It is 81% full."
    assert pair.evidence.startswith("confirmed by the follow-up against corrected by the follow-up")


def test_calls_are_pairs_of_the_agents_protocol_and_the_checker_names_the_failure() -> None:
    good = answer("a", call("disk_usage", host="web01"), rating=1)
    pairs = [
        only_pair(ASKED, good, answer("b", part, rating=-1), tools=(DISK, RESTART))
        for part in (call("disk_usage", host="web02"), call("restart", service="web01"), "Which host?", "Run `df -h`.")
    ]
    assert {pair.chosen for pair in pairs} == {written(host="web01")}
    assert [pair.basis for pair in pairs] == [
        "wrong_argument", "wrong_tool", "abstained", "instructions_instead_of_action",
    ]  # fmt: skip
    assert all(pair.prompt[0].content.startswith(AGENT_PROMPTS["plain"]) for pair in pairs)


def test_answers_that_begin_alike_are_compared_where_they_differ() -> None:
    steps = (call("disk_usage", "1", host="web01"), result("81%", "1"))
    good = answer("a", *steps, "It is 81% full.", rating=1)
    bad = answer("b", *steps, call("disk_usage", "2", host="web01"), result("81%", "2"), "81%.", rating=-1)
    pair = only_pair(ASKED, good, bad, tools=(DISK,))
    assert [one.role for one in pair.prompt] == ["system", "user", "assistant", "tool"]
    assert (pair.chosen, pair.rejected) == ("It is 81% full.", written(host="web01"))
    assert pair.basis == "unneeded_call"


def test_branches_may_part_after_a_tools_result() -> None:
    begun = chain(
        ("user", "How full is web01?"), ("assistant", call("disk_usage", host="web01")), ("tool", result("81%"))
    )
    good, bad = answer("a", "81%.", parent="m2", rating=1), answer("b", "18%.", parent="m2", rating=-1)
    pair = only_pair(*begun, good, bad, tools=(DISK,))
    assert (pair.prompt[-1].content, pair.chosen, pair.rejected) == ("81%", "81%.", "18%.")


def test_a_bad_answer_is_used_once_however_many_good_ones_there_are() -> None:
    good = [answer(f"a{at}", f"It is {at}% full.", rating=1) for at in range(3)]
    bad = [answer(f"b{at}", f"No idea {at}.", rating=-1) for at in range(4)]
    found = pairs_of(conversation(ASKED, *good, *bad)).pairs
    assert sorted(pair.rejected for pair in found) == [f"No idea {at}." for at in range(4)]
    assert len({pair.chosen for pair in found}) == 3


def test_a_bad_answer_alone_gives_no_pair_and_is_counted() -> None:
    why = {"a bad answer without a good one beside it": 1}
    assert pairs_of(conversation(ASKED, answer("b", "No idea.", rating=-1))).left_out == why
    assert pairs_of(conversation(ASKED, answer("a", "81%."), answer("b", "No idea.", rating=-1))).left_out == why


def test_by_native_calling_a_pair_is_of_words_alone_and_one_with_a_call_in_it_is_counted() -> None:
    chats = [
        conversation(ASKED, answer("a", good, rating=1), answer("b", bad, rating=-1), tools=(DISK,), name=str(bad))
        for good, bad in (
            (call("disk_usage", host="web01"), call("disk_usage", host="web02")),
            (call("disk_usage", host="web01"), "I do not know."),
            ("Which disk?", call("disk_usage", host="web01")),
            ("Which disk?", "No idea."),
        )
    ]
    found = evidence_pairs(chats, (), protocol="native", source="own chats")
    assert [(pair.chosen, pair.rejected, pair.tools) for pair in found.pairs] == [("Which disk?", "No idea.", (DISK,))]
    assert found.left_out == {"a native call, which a pair of texts cannot say": 3}


def test_no_pair_rejects_at_a_place_what_a_row_teaches_there() -> None:
    (pair,) = pairs_of(conversation(ASKED, answer("a", "81%.", rating=1), answer("b", "No idea.", rating=-1))).pairs
    well, so = ChatMessage(role="user", content="Well?"), ChatMessage(role="assistant", content="81%.")
    system, worse = ChatMessage(role="system", content="Be kind."), ChatMessage(role="assistant", content="No idea. ")
    row = SftRow(
        messages=(system, *pair.prompt, worse, well, so), learn="all", kind="conversation", task_id="r", basis="rated"
    )
    assert untaught([pair], [row]) == ([], {"its worse side is learned from a row": 1})
    assert untaught([pair], [row.model_copy(update={"learn": "last"})]) == ([pair], {})
    assert untaught([pair], [row.model_copy(update={"messages": row.messages[1:2] + row.messages[-1:]})]) == (
        [pair],
        {},
    )


def test_an_answer_judged_both_ways_is_on_no_side_of_a_pair() -> None:
    torn = answer("a", call("disk_usage", host="web01")).model_copy(
        update={"rating": Rating(value=0, reason=JUDGED_BOTH_WAYS)}
    )
    bad = answer("b", call("disk_usage", host="web02"), rating=-1)
    found = pairs_of(conversation(ASKED, torn, bad, tools=(DISK,)))
    assert (found.pairs, found.left_out) == ((), {JUDGED_BOTH_WAYS: 1, "a bad answer without a good one beside it": 1})
    assert pairs_of(conversation(ASKED, torn, tools=(DISK,))).left_out == {JUDGED_BOTH_WAYS: 1}


@pytest.mark.parametrize("host", [5, None])
def test_a_call_that_does_not_fit_its_tool_is_worse_than_one_beside_it_that_does(host: Any) -> None:
    fits, misfit = answer("a", call("disk_usage", host="web01")), answer("b", call("disk_usage", host=host))
    pair = only_pair(ASKED, fits, misfit, tools=(DISK,))
    assert (pair.chosen, pair.rejected, pair.basis) == (written(host="web01"), written(host=host), "wrong_argument")
    assert pair.evidence.startswith("a call that fits its tool against a call that does not fit its tool")


def test_a_call_that_was_refused_and_then_made_rightly_is_a_pair_at_the_first_place() -> None:
    chat = chain(
        ("user", "How full is web01?"),
        ("assistant", call("disk_usage", server="web01")),
        ("tool", result("host is required")),
        ("assistant", call("disk_usage", host="web01")),
        ("tool", result("81%")),
        ("assistant", "81%."),
    )
    pair = only_pair(*chat, tools=(DISK,))
    assert [one.role for one in pair.prompt] == ["system", "user"]
    assert (pair.chosen, pair.rejected) == (written(host="web01"), written(server="web01"))
    assert pair.evidence.startswith("a call that did not fit its tool, and the next one, which did")


def an_edit(original: str, final: str, **more: Any) -> Edit:
    source = Provenance(file="chats.json", sha256="0", format="openwebui.export", place="item 3, event 7")
    return Edit(id=original, source=source, original=original, final=final, **more)


def test_an_edited_draft_is_the_worse_side_where_its_place_is_known() -> None:
    chat = conversation(*chain(("user", "How full is web01?"), ("assistant", "It is 81% full.")))
    found = pairs_of(chat, edits=[an_edit("81 i think", "It is 81% full.", agent="small"), an_edit("a", "Elsewhere.")])
    (pair,) = found.pairs
    assert (pair.chosen, pair.rejected, pair.basis) == ("It is 81% full.", "81 i think", "edited_draft")
    assert pair.evidence == "kept in place of small's draft; chats.json, item 3"
    assert found.left_out == {"an edit whose place in a conversation is not known": 1}


def test_words_that_stand_twice_are_edits_in_their_order_or_none() -> None:
    chat = conversation(*chain(("user", "One?"), ("assistant", "Yes."), ("user", "Two?"), ("assistant", "Yes.")))
    both = pairs_of(chat, edits=[an_edit("no", "Yes."), an_edit("never", "Yes.")])
    assert [(pair.prompt[-1].content, pair.rejected) for pair in both.pairs] == [("One?", "no"), ("Two?", "never")]
    assert pairs_of(chat, edits=[an_edit("no", "Yes.")]).left_out == {"an edit whose words stand in several places": 1}


def test_what_was_picked_among_suggestions_is_better_than_those_passed_over() -> None:
    shown = Rating(value=0, reason=PASSED_OVER)
    picked, after = answer("a", "Which host?"), message("user", "x", "a", "web01")
    others = [answer(key, text).model_copy(update={"rating": shown}) for key, text in (("b", "Bye."), ("c", "Why?"))]
    found = pairs_of(conversation(ASKED, picked, after, *others, leaf="x"))
    assert [(pair.chosen, pair.rejected) for pair in found.pairs] == [("Which host?", "Bye."), ("Which host?", "Why?")]
    assert {pair.evidence for pair in found.pairs} == {"picked among suggestions; chats.json, item 3"}
    assert {pair.basis for pair in found.pairs} == {"passed_over_suggestion"}


@pytest.mark.parametrize(
    ("good", "bad", "why"),
    [
        ("It is 81% full.", "it is 81% full!", "nothing to tell apart"),
        (
            call("disk_usage", host="web01"),
            call("disk_usage", host="Web01"),
            "the checker finds no fault in the worse side",
        ),
        (call("disk_usage", host=1), "Hm.", "the better side is no model: a call that does not fit its tool"),
        ('{"tool": "disk_usage"}', "Hm.", "the better side is no model: words that read as a broken call"),
    ],
)
def test_what_teaches_nothing_or_wrongly_is_left_out_with_its_reason(good: Any, bad: Any, why: str) -> None:
    found = pairs_of(conversation(ASKED, answer("a", good, rating=1), answer("b", bad, rating=-1), tools=(DISK,)))
    assert (found.pairs, found.left_out) == ((), {why: 1})


def test_pairs_that_contradict_each_other_are_both_left_out_and_the_same_is_said_once() -> None:
    def rated(name: str, **ratings: int) -> Conversation:
        said = {"yes": "It is 81% full.", "no": "No idea.", "so": "About so much."}
        return conversation(
            ASKED, *(answer(f"{name}{key}", said[key], rating=one) for key, one in ratings.items()), name=name
        )

    found = pairs_of(
        rated("x", yes=1, no=-1), rated("y", no=1, yes=-1), rated("z", yes=1, so=-1), rated("w", yes=1, so=-1)
    )
    assert [(pair.chosen, pair.rejected) for pair in found.pairs] == [("It is 81% full.", "About so much.")]
    assert found.left_out == {"contradicted by another pair": 2, "said already": 1}


def test_no_secret_comes_into_a_pair_and_both_sides_call_it_the_same() -> None:
    asked = message("user", "u", None, "Mail bob@example.org and ann@example.org.")
    good, bad = answer("a", "ann@example.org has it.", rating=1), answer("b", "I wrote to bob@example.org.", rating=-1)
    pair = only_pair(asked, good, bad)
    assert (pair.prompt[0].content, pair.chosen) == ("Mail <EMAIL_1> and <EMAIL_2>.", "<EMAIL_2> has it.")
    assert pair.rejected == "I wrote to <EMAIL_1>."


@pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not beside the checkout")
@pytest.mark.parametrize(("name", "least"), [("taskmaster4", 225), ("nl2bash", 570), ("star", 4800), ("openwebui", 0)])
def test_real_evidence_gives_pairs_that_the_checker_tells_apart(name: str, least: int, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    ingest([DATA / name], store)
    found = pairs_of(*store.read(Conversation), edits=list(store.read(Edit)))
    assert len(found.pairs) >= least
    for pair in found.pairs:
        assert pair.chosen != pair.rejected
        assert pair.evidence.count(";") == 1
        if pair.prompt[0].content.startswith(AGENT_PROMPTS["plain"]):
            assert read_agent(Completion(text=pair.chosen), (), "json").failure is None
    basis = Counter(pair.basis for pair in found.pairs)
    assert name != "taskmaster4" or basis["wrong_argument"] > 100
    said = {(pair.prompt, pair.chosen, pair.rejected) for pair in found.pairs}
    assert not [one for one in said if (one[0], one[2], one[1]) in said]
