"""What may be learned and what may be shared, by licence and by the people's word."""

from __future__ import annotations

from typing import Any

import pytest

from kt_lib.permissions import enforce, permitted, said_in_confidence
from kt_lib.records import ChatMessage, PreferencePair, Provenance, SftRow


def row(
    licence: str | None = "MIT", consent: bool | None = None, source: str = "toucan", private: bool = False
) -> SftRow:
    said = (ChatMessage(role="user", content="Hi"), ChatMessage(role="assistant", content="Hello!"))
    about: dict[str, Any] = {"kind": "conversation", "task_id": "c", "basis": "as recorded"}
    return SftRow(messages=said, source=source, licence=licence, consent=consent, private=private, **about)


def test_what_people_did_not_agree_to_is_neither_learned_nor_shared_whoever_allows_it() -> None:
    for purpose in ("train", "share"):
        assert permitted(row(consent=False), purpose, allow=["toucan", "MIT"]) == "the people in it did not agree"


def test_everything_else_may_be_learned_on_this_machine() -> None:
    for licence in (None, "MIT", "CC-BY-NC-4.0", "Private, do not copy"):
        assert permitted(row(licence), "train") is None


@pytest.mark.parametrize(
    "licence", ["MIT", "apache-2.0", "CC-BY-4.0", "CC BY 4.0", "cc-by-sa-4.0", "MIT OR CC-BY-NC-4.0", "BSD-3-Clause"]
)
def test_a_licence_that_permits_it_is_enough_to_share_a_public_set(licence: str) -> None:
    assert permitted(row(licence), "share") is None


@pytest.mark.parametrize(
    ("licence", "why"),
    [
        (None, "no licence is stated"),
        ("CC-BY-NC-4.0", "CC-BY-NC-4.0 forbids commercial use"),
        ("cc-by-nd-4.0", "CC-BY-ND-4.0 forbids what is derived from it"),
        ("MIT AND CC-BY-NC-SA-3.0", "CC-BY-NC-SA-3.0 forbids commercial use"),
        ("BUSL-1.1", "BUSL-1.1 is not known to permit sharing"),
        ("All rights reserved", "'All rights reserved' is no licence by its SPDX name"),
        ("unknown", "'unknown' is no licence by its SPDX name"),
    ],
)
def test_nothing_is_shared_whose_licence_does_not_say_so_unless_somebody_answers_for_it(
    licence: str | None, why: str
) -> None:
    assert permitted(row(licence), "share") == why
    assert permitted(row(licence), "share", allow=["toucan"]) is None
    assert licence is None or permitted(row(licence), "share", allow=[licence]) is None


def test_what_people_said_in_confidence_is_shared_only_where_they_agreed_whatever_licence_and_source() -> None:
    for source in ("curated", "team chats", "toucan"):
        assert permitted(row(source=source, private=True), "share") == "nobody says that the people in it agreed"
        assert permitted(row(source=source, private=True, consent=True), "share") is None
        assert permitted(row(source=source), "share") is None
    assert permitted(row("CC-BY-NC-4.0", consent=True, private=True), "share") == "CC-BY-NC-4.0 forbids commercial use"


def test_whoever_answers_for_a_licence_does_not_answer_for_people() -> None:
    assert permitted(row(private=True), "share", allow=["MIT"]) == "nobody says that the people in it agreed"
    assert permitted(row(private=True), "share", allow=["toucan"]) is None


@pytest.mark.parametrize(
    ("form", "private"), [("openwebui.chat", True), ("claude.chat", True), ("star.dialogue", False)]
)
def test_chats_as_people_export_them_are_said_in_confidence_and_published_collections_are_not(
    form: str, private: bool
) -> None:
    assert said_in_confidence(Provenance(file="f", sha256="", format=form, place="item 1")) is private


def test_what_is_left_out_is_counted_by_reason() -> None:
    rows = [row(), row(None), row(None), row(consent=False)]
    kept, left_out = enforce(rows, "share")
    assert kept == rows[:1]
    assert left_out == {"no licence is stated": 2, "the people in it did not agree": 1}


def test_pairs_are_held_to_the_same() -> None:
    pair = PreferencePair(
        prompt=row().messages[:1], chosen="a", rejected="b", task_id="t", basis="x", evidence="y", consent=False
    )
    assert enforce([pair], "train") == ([], {"the people in it did not agree": 1})


@pytest.mark.parametrize(
    "licence",
    [
        "(MIT OR Apache-2.0) AND CC-BY-NC-4.0",
        "CC-BY-NC-4.0 AND (CC-BY-ND-4.0 OR MIT)",
        "LicenseRef-Secret AND (MIT OR GPL-3.0-only)",
    ],
)
def test_what_must_hold_together_is_not_opened_by_an_alternative_within_it(licence: str) -> None:
    assert permitted(row(licence=licence, source="web"), "share")
