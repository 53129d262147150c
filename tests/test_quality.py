"""The quality of a conversation: every factor with its reason, and what the score is worth where people rated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chats_by_hand import DISK, call, chain, conversation, message, result

from kt_lib.quality.score import FACTORS, Reason, good_enough, quality
from kt_lib.quality.worth import Separation, separation, worth
from kt_lib.records import Conversation, MessagePart
from kt_lib.sources.ingesting import ingest
from kt_lib.sources.store import Store

DATA = Path(__file__).parents[2] / "shared" / "data"
BROKEN = MessagePart(kind="tool_call", text="{host: ", well_formed=False)
LONG = "It is full because the logs of the mail server were never rotated since the first of May."


def a_chat(*said: tuple[Any, ...], tools: Any = (DISK,), **more: Any) -> Conversation:
    return conversation(*chain(*said, **more), tools=tools)


GOOD = a_chat(
    ("user", "How full is /var on web01?"),
    ("assistant", call("disk_usage", host="web01")),
    ("tool", result("81% of /var")),
    ("assistant", "The folder /var on web01 is 81% full."),
    rating=1,
)


def reason(chat: Conversation, name: str) -> Reason:
    (found,) = [one for one in quality(chat).reasons if one.name == name]
    return found


def test_a_good_chat_is_worth_one_and_each_reason_says_what_was_seen() -> None:
    found = quality(GOOD)
    assert found.score == 1.0
    assert {one.name for one in found.reasons} == set(FACTORS)
    assert all(one.why and one.weight > 0 for one in found.reasons)


def test_the_score_is_the_mean_of_the_reasons_by_their_weights() -> None:
    found = quality(a_chat(("user", "Hi"), ("assistant", "I'm sorry, I cannot help with that."), rating=-1))
    whole = sum(one.weight for one in found.reasons)
    assert found.score == pytest.approx(sum(one.weight * one.value for one in found.reasons) / whole, abs=1e-4)
    assert found.score < 0.6


def test_peoples_word_can_be_held_out() -> None:
    bad = a_chat(("user", "Hi"), ("assistant", "Hello!"), rating=-1)
    assert quality(bad).score < quality(bad, without=["said_by_people"]).score == 1.0


@pytest.mark.parametrize(
    ("factor", "said", "value", "why"),
    [
        ("turns_complete", [("user", "Hi"), ("assistant", "Hello!"), ("user", "And?")], 0.5, "1 of 2"),
        (
            "turns_complete",
            [("user", "Hi"), ("assistant", call("disk_usage", host="a")), ("tool", result("1%"))],
            0,
            "0 of 1",
        ),
        ("calls_fit", [("user", "a?"), ("assistant", call("disk_usage", host=5))], 0, "not of type 'string'"),
        ("calls_fit", [("user", "a?"), ("assistant", BROKEN)], 0, "cannot be read"),
        (
            "values_grounded",
            [("user", "How full is web01?"), ("assistant", call("disk_usage", host="db9"))],
            0,
            "'db9'",
        ),
        ("values_grounded", [("user", "Host 15?"), ("assistant", call("disk_usage", host="5"))], 0, "'5'"),
        ("names_kept", [("user", "Delete 'old logs' in /srv/x"), ("assistant", "rm -r /srv/x")], 0.5, "'old logs'"),
        (
            "results_answered",
            [("user", "a?"), ("assistant", call("disk_usage", host="a")), ("assistant", "1%")],
            0,
            "lack",
        ),
        ("answers_say_something", [("user", "Hi"), ("assistant", "I'm unable to help.")], 0, "declines"),
        ("nothing_repeated", [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "b")], 0.5, "1 of 2"),
        ("ends_whole", [("user", "Hi"), ("assistant", "```bash\ndf -h")], 0, "never closed"),
        ("ends_whole", [("user", "Hi"), ("assistant", "You should look at the")], 0, "middle of a sentence"),
        ("plainly_spoken", [("user", "Hi"), ("assistant", "As an AI I like it.")], 0, "nobody says"),
        ("length_sane", [("user", "Hi"), ("assistant", "word " * 900)], 0, "900 words"),
        ("language_kept", [("user", "Сколько места на диске?"), ("assistant", LONG)], 0, "0 of 1"),
        (
            "said_by_people",
            [("user", "a?"), ("assistant", "b."), ("user", "That's wrong."), ("assistant", "c.")],
            0,
            "0 of 1",
        ),
    ],
)
def test_each_fault_is_seen_by_its_factor_and_told(factor: str, said: list[Any], value: float, why: str) -> None:
    found = reason(a_chat(*said), factor)
    assert found.value == value
    assert why in found.why


@pytest.mark.parametrize(
    ("asked", "answered", "value"),
    [
        ("How do I see what is in this folder?", "Mit dem Befehl `ls`, und die Größe ist auch zu sehen.", 0),
        ("Wie sehe ich, was in dem Ordner ist?", "Mit dem Befehl `ls`, und die Größe ist auch zu sehen.", 1),
        ("Translate: the dog is on the table and it sleeps", "Der Hund schläft.", 1),
        ("磁盘还剩多少空间请告诉我谢谢", "The disk is full and you have to delete the logs.", 0),
    ],
)
def test_an_answer_is_in_the_language_of_the_question_as_far_as_it_can_be_told(
    asked: str, answered: str, value: float
) -> None:
    assert reason(a_chat(("user", asked), ("assistant", answered)), "language_kept").value == value


def test_what_does_not_apply_is_not_counted() -> None:
    names = {one.name for one in quality(a_chat(("user", "Hi"), ("assistant", "Hello!"), tools=())).reasons}
    assert not names & {"calls_fit", "values_grounded", "results_answered", "said_by_people", "names_kept"}


def test_a_chat_without_an_answer_is_worth_nothing() -> None:
    assert quality(a_chat(("user", "Hi"), tools=())).score == 0.0
    assert quality(conversation(message("assistant", "a", None, "Hello!"))).score == 0.0


def test_ends_without_a_full_stop_and_repeated_small_talk_further_on_are_no_faults() -> None:
    talk = a_chat(
        ("user", "espresso please"), ("assistant", "sure, what size would you like that in"), ("user", "one more"),
        ("assistant", "ok, which?"), ("user", "latte"), ("assistant", "sure, what size would you like that in"),
    )  # fmt: skip
    assert (reason(talk, "ends_whole").value, reason(talk, "nothing_repeated").value) == (1.0, 1.0)


def test_the_branch_that_would_be_learned_is_judged_unless_another_is_named() -> None:
    asked = message("user", "u", None, "How full is web01?")
    good, bad = message("assistant", "good", "u", "81%.", rating=1), message("assistant", "bad", "u", "Hm.", rating=-1)
    chat = conversation(asked, good, bad)
    assert reason(chat, "said_by_people").value == 1.0
    assert quality(chat, "bad").score < quality(chat).score == quality(chat, "good").score


def test_what_is_not_good_enough_is_counted_by_what_weighs_most_against_it() -> None:
    bad = a_chat(("user", "Hi"), ("assistant", "I'm unable to help."), rating=-1)
    kept, left_out = good_enough([GOOD, bad], 0.7)
    assert kept == [GOOD]
    assert left_out == {"quality below 0.7, most of all for said_by_people": 1}


def scored(*values: tuple[bool, float]) -> list[tuple[str, bool, float]]:
    return [(f"chat {at}", good, value) for at, (good, value) in enumerate(values)]


def test_a_score_that_tells_all_apart_has_an_area_of_one_and_a_constant_one_of_a_half() -> None:
    apart = scored(*[(True, 0.9)] * 20, *[(False, 0.1)] * 20)
    found = separation("score", apart, seed=1)
    assert (found.auc, found.low, found.high, found.good, found.bad) == (1.0, 1.0, 1.0, 20, 20)
    assert found.verdict == "predicts"
    flat = separation("score", scored(*[(True, 0.5)] * 20, *[(False, 0.5)] * 20), seed=1)
    assert (flat.auc, flat.verdict) == (0.5, "predicts nothing that can be told from chance")
    turned = separation("score", [(chat, not good, value) for chat, good, value in apart], seed=1)
    assert (turned.auc, turned.verdict) == (0.0, "predicts the opposite")


def test_the_area_counts_pairs_with_ties_half() -> None:
    found = separation("score", scored((True, 0.9), (True, 0.5), (False, 0.5), (False, 0.7)), seed=1)
    assert found.auc == pytest.approx((1 + 1 + 0.5 + 0) / 4)
    assert found.verdict.startswith("too few to tell")


def test_within_conversations_only_answers_to_one_request_are_compared() -> None:
    rows = [("a", True, 0.2), ("a", False, 0.1), ("b", True, 0.9), ("b", False, 0.8), ("c", False, 1.0)]
    assert separation("score", rows, seed=1, within=True).auc == 1.0
    assert separation("score", rows, seed=1).auc == pytest.approx(3 / 6)


def test_without_good_and_bad_answers_nothing_is_measured() -> None:
    assert separation("score", scored((True, 1.0)), seed=1).auc is None
    assert separation("score", [], seed=1).verdict == "cannot be measured: it takes good and bad answers"


def test_peoples_word_is_not_in_the_score_that_is_held_against_it() -> None:
    chats = [a_chat(("user", "Hi"), ("assistant", "Hello!"), rating=value) for value in [1, -1] * 15]
    found = worth([chat.model_copy(update={"id": str(number)}) for number, chat in enumerate(chats)])
    assert (found.overall.auc, found.overall.good, found.overall.bad) == (0.5, 15, 15)
    assert "said_by_people" not in {one.name for one in found.factors}


@pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not beside the checkout")
@pytest.mark.parametrize(
    ("name", "good", "bad", "predicts"),
    [("taskmaster4", 1094, 258, True), ("nl2bash", 552, 1660, True), ("star", 235, 41, False)],
)
def test_what_the_score_is_worth_on_real_ratings(
    name: str, good: int, bad: int, predicts: bool, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    ingest([DATA / name], store)
    found: Separation = worth(store.read(Conversation)).overall
    assert (found.good, found.bad) == (good, bad)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= (found.auc or 0) <= found.high
    assert (found.verdict == "predicts") is predicts, "a finding of the day it was measured: state the new one"
