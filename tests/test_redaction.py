"""Redaction: what is found and left of a planted set, the way back, and linear time on hostile text."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_secrets import HARMLESS, MIX, NUMBERS, PLANTED

from kt_lib.redaction import Redaction, redact


def share_found(lines: list[tuple[str, str, str]]) -> float:
    """The share whose secret, and nothing else, gave way to a placeholder of its kind."""
    right = [
        redact(line.format(secret)).text == line.format(secret).replace(secret, f"<{kind.upper()}_1>")
        for kind, line, secret in lines
    ]
    return sum(right) / len(right)


def test_at_least_95_in_100_planted_secrets_are_taken_out_whole_and_nothing_around_them() -> None:
    assert len(PLANTED) >= 100
    assert share_found(PLANTED) >= 0.95


def test_every_planted_secret_of_a_form_said_to_be_found_is_gone_from_the_text() -> None:
    found = [(line.format(secret), secret) for _, line, secret in PLANTED[:-4]]
    assert [line for line, secret in found if secret in redact(line).text] == []


@pytest.mark.parametrize("line", ["Call me at {} after six.", "phone: {}", '{{"phone": "{}"}}'])
def test_phone_numbers_of_24_countries_are_found_beside_a_word_for_telephones(line: str) -> None:
    assert len(NUMBERS) == 72
    assert share_found([("phone", line, number) for number in NUMBERS]) >= 0.98


def test_most_phone_numbers_are_found_with_nothing_said_about_them() -> None:
    # what is missed is a bare run of digits, or groups that are as well a sum of money: they need a word beside them
    assert share_found([("phone", "{} is where I can be found.", number) for number in NUMBERS]) >= 0.70


def test_dates_addresses_ids_prices_and_code_are_left_alone() -> None:
    lines = HARMLESS.splitlines()
    eaten = [line for line in lines if redact(line).text != line]
    assert len(lines) >= 110
    assert len(eaten) <= 1, eaten


def test_of_made_up_long_numbers_one_in_forty_passes_for_a_card_and_none_for_an_account() -> None:
    made_up = random.Random(0)
    ids = ["".join(made_up.choices("0123456789", k=16)) for _ in range(10_000)]
    hashes = ["".join(made_up.choices("0123456789ABCDEF", k=32)) for _ in range(10_000)]
    assert sum(redact(one).text != one for one in ids) / len(ids) < 0.03
    assert [one for one in hashes if redact(one).text != one] == []


def test_the_same_secret_has_the_same_placeholder_and_every_place_is_counted() -> None:
    redacted = redact("bob@example.com, ann@example.com, bob@example.com, phone 4155550123")
    assert redacted.text == "<EMAIL_1>, <EMAIL_2>, <EMAIL_1>, phone <PHONE_1>"
    assert redacted.counts == {"email": 3, "phone": 1}


def test_a_placeholder_already_in_the_text_is_never_given_out_again() -> None:
    text = "<EMAIL_1> wrote to bob@example.com"
    redaction = Redaction(text)
    assert redaction.redact(text) == "<EMAIL_1> wrote to <EMAIL_2>"
    assert redaction.restore("<EMAIL_1> and <EMAIL_2>") == "<EMAIL_1> and bob@example.com"


def test_a_member_named_for_a_secret_is_taken_out_whole_whatever_its_value_looks_like() -> None:
    redaction = Redaction()
    value = {"password": 'my "dog" Rex', "phone": 4155550123, "to": ["a@example.com"], "n": 3, "on": True, "z": None}
    assert redaction.redact_json(value) == {
        "password": "<PASSWORD_1>",
        "phone": "<PHONE_1>",
        "to": ["<EMAIL_1>"],
        "n": 3,
        "on": True,
        "z": None,
    }


def test_keys_of_objects_are_redacted_only_when_asked() -> None:
    value = {"bob@example.com": "x"}
    assert Redaction().redact_json(value) == value
    assert Redaction().redact_json(value, keys=True) == {"<EMAIL_1>": "x"}


def test_what_would_break_a_json_text_stays_a_placeholder() -> None:
    redaction = Redaction()
    key = "-----BEGIN PRIVATE KEY-----\n" + MIX + "\n-----END PRIVATE KEY-----"
    assert redaction.redact(key) == "<PRIVATE_KEY_1>"
    assert redaction.restore('{"key": "<PRIVATE_KEY_1>"}') == '{"key": "<PRIVATE_KEY_1>"}'


pieces = st.sampled_from(
    [secret for _, _, secret in PLANTED] + ["\n", '"', ":", "=", "@", "password", "phone ", "<EMAIL_1>", "token: "]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces | st.text(max_size=8), max_size=12).map(" ".join))
def test_redacting_again_changes_nothing(text: str) -> None:
    once = redact(text).text
    assert redact(once).text == once


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces | st.text(max_size=8), max_size=12).map("".join))
def test_restoring_gives_the_text_back_except_what_cannot_stand_in_json(text: str) -> None:
    redaction = Redaction(text)
    restored = redaction.restore(redaction.redact(text))
    if not any(character in text for character in '"\\\n') and text.isprintable():
        assert restored == text


UNITS = [
    *("a", "a@", "a.", "@a.", "a@a.a-", "+1", "+1 ", "1-", "0 1", "(1", "415-", "1.", "00 ", "555 555 "),
    *("eyJ", "eyJaaaaaaaaa.", "sk-", "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "://a:", "a://:", "http://a:a"),
    *("password", "password=", "password='", "password: ", 'token="\\', "--password ", "token is ", "phone me at "),
    *(
        "phone",
        "call ",
        "Bearer ",
        "authorization: ",
        "-u a:",
        " -u ",
        "\\",
        "xoxb-",
        "SG.",
        "AKIA",
        "4111 ",
        "4",
        "DE89 3704 ",
        "DE89",
        "<EMAIL_1>",
        "%40a",
    ),
]


@pytest.mark.parametrize("unit", UNITS)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    # the slowest takes a quarter of a second; a quadratic pattern would take many minutes
    started = time.process_time()
    redact(unit * (250_000 // len(unit)) + "!")
    assert time.process_time() - started < 5


@pytest.mark.parametrize("unit", ["a", "a@", "password='", "-----BEGIN PRIVATE KEY-----", "0 1", "eyJ"])
def test_a_megabyte_of_hostile_text_takes_seconds(unit: str) -> None:
    started = time.process_time()
    redact(unit * (1_000_000 // len(unit)) + "!")
    assert time.process_time() - started < 20
