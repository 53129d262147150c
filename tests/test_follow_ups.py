"""What a follow-up says, measured on labelled messages; a false confirmation is the costly mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kt_lib.follow_ups import follow_up_says

LABELLED = Path(__file__).parent / "data" / "follow_ups.jsonl"


def rows(part: str) -> list[tuple[str, str]]:
    read = [json.loads(line) for line in LABELLED.read_bytes().split(b"\n") if line]
    return [(row["text"], row["label"]) for row in read if row["part"] == part]


@pytest.mark.parametrize("part", ["dev", "held_out"])
def test_confirmations_are_found_and_hardly_ever_made_up(part: str) -> None:
    labelled = rows(part)
    assert len(labelled) >= 60
    said = [(follow_up_says(text), label) for text, label in labelled]
    confirmed = [label for guess, label in said if guess == "confirms"]
    assert confirmed.count("confirms") / len(confirmed) >= 0.98
    assert confirmed.count("confirms") / [label for _, label in labelled].count("confirms") >= 0.9
    assert sum(guess == label for guess, label in said) / len(said) >= 0.9


@pytest.mark.parametrize(
    "text",
    [
        "I wish that worked", "None of it worked", "it is running out of memory", "I doubt it works", "Is it working?",
        "it works only for root", "that fixed the typo but not the bug", "Perfect storm: everything is down",
        "Thanks for nothing", "thanks", "", "if it works I will tell you", "exactly what I did not want",
        "that's the one that failed", "It's not perfect", "correct the typo please", "imperfect", "networked",
        "fixed it myself, your command was wrong",
        "Tuesday instead, that is fine",
        "That's it for now, bye",
        "No problem, I will order there then!",
        "Work. The office on 5th street.",
        "that works, book it",
    ],
)  # fmt: skip
def test_doubt_negation_questions_and_bare_thanks_confirm_nothing(text: str) -> None:
    assert follow_up_says(text) != "confirms"


def test_only_the_opening_counts() -> None:
    assert (
        follow_up_says("Perfect. " + "Now list the files of every project. " * 20 + "The last one failed.")
        == "confirms"
    )
    assert follow_up_says("Now list the files of every project. " * 20 + "Perfect.") == "neither"


@given(st.text())
def test_any_text_gets_an_answer(text: str) -> None:
    assert follow_up_says(text) in ("confirms", "refutes", "neither")
