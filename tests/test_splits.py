"""Splits: one group, one part; near copies are found, and nothing else is."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kt_lib.errors import SetupError
from kt_lib.records import Part
from kt_lib.splits import (
    Joined,
    copies,
    duplicate_groups,
    near_duplicates,
    normalised,
    part_of,
    shingles,
    standing_within,
)

SHARES: dict[Part, float] = {"train": 0.7, "dev": 0.1, "test": 0.2}


@given(st.text(), st.integers(0, 5))
def test_a_group_always_falls_into_the_same_part(group: str, seed: int) -> None:
    assert part_of(group, SHARES, seed) == part_of(group, dict(reversed(SHARES.items())), seed)


def test_parts_have_the_sizes_asked_for() -> None:
    parts = [part_of(f"chat-{number}", SHARES, 7) for number in range(5000)]
    for part, share in SHARES.items():
        assert abs(parts.count(part) / 5000 - share) < 0.02


def test_another_seed_splits_otherwise() -> None:
    groups = [f"chat-{number}" for number in range(200)]
    assert [part_of(group, SHARES, 1) for group in groups] != [part_of(group, SHARES, 2) for group in groups]


def test_a_part_without_a_share_gets_nothing() -> None:
    assert {part_of(f"g{number}", {"train": 1.0, "test": 0.0}, 0) for number in range(300)} == {"train"}


@pytest.mark.parametrize("shares", [{}, {"train": 0.0}, {"train": -1.0, "test": 2.0}, {"train": float("nan")}])
def test_shares_that_are_no_split_are_refused(shares: dict[Part, float]) -> None:
    with pytest.raises(SetupError, match="no split"):
        part_of("chat", shares, 0)


def test_a_near_copy_is_found_with_its_original() -> None:
    against = ["restart nginx on the web server web01 now", "show me the disk usage of db-2, please, in percent"]
    found = near_duplicates(["Show me the disk usage of DB-2 please in percent!", "who won the match"], against, 0.8)
    assert [(one.index, one.against, one.similarity) for one in found] == [(0, 1, 1.0)]


def test_texts_that_share_words_in_another_order_are_no_copies() -> None:
    assert near_duplicates(["web01 on nginx restart"], ["restart nginx on web01"], 0.5) == []


def test_empty_texts_are_nobodys_copies() -> None:
    assert near_duplicates(["", "!!"], ["", "?"], 0.5) == []


def test_a_threshold_outside_its_range_is_refused() -> None:
    with pytest.raises(SetupError, match="threshold"):
        near_duplicates(["a"], ["a"], 1.5)


@given(st.lists(st.text(alphabet="ab c", max_size=30), max_size=8), st.lists(st.text(alphabet="ab c"), max_size=8))
def test_what_is_found_is_as_alike_as_is_said(texts: list[str], against: list[str]) -> None:
    for one in near_duplicates(texts, against, 0.6):
        first, second = shingles(texts[one.index]), shingles(against[one.against])
        assert one.similarity == len(first & second) / len(first | second) >= 0.6


@given(st.lists(st.text(alphabet="abc ", min_size=1), min_size=1, max_size=8))
def test_every_exact_copy_is_found(texts: list[str]) -> None:
    worded = [number for number, text in enumerate(texts) if normalised(text)]
    assert [one.index for one in near_duplicates(texts, texts, 1.0)] == worded


def test_texts_that_hang_together_are_one_group() -> None:
    words = "show me the free disk space of the mail server and of every folder on it now please".split()
    first, second, third = " ".join(words), " ".join([*words, "today"]), " ".join([*words, "today", "ok"])
    assert duplicate_groups([first, "who won", third, second, first.upper()], 0.85) == [(0, 2, 3, 4)]
    assert near_duplicates([first], [third], 0.85) == []


def test_what_is_left_without_the_copies_holds_no_two_alike_and_the_first_stays() -> None:
    words = "show me the free disk space of the mail server and of every folder on it now please".split()
    first, second, third = " ".join(words), " ".join([*words, "today"]), " ".join([*words, "today", "ok"])
    assert [(one.index, one.against) for one in copies([first, second, third, first], 0.85)] == [(1, 0), (3, 0)]


def test_a_copy_has_a_copied_answer_too_where_answers_are_given() -> None:
    words = "show me the free disk space of the mail server and of every folder on it now please"
    texts = [f"{words} {answer}" for answer in ("81%", "82%", "81%")]
    assert [one.index for one in copies(texts, 0.8)] == [1, 2]
    found = copies(texts, 0.8, answers=["it is 81%", "it is 82%", "it is 81%"])
    assert [(one.index, one.against) for one in found] == [(2, 0)]


@given(st.lists(st.text(alphabet="ab c", max_size=40), max_size=12), st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_groups_are_those_that_comparing_all_with_all_gives(texts: list[str], threshold: float) -> None:
    said = [shingles(text) for text in texts]
    joined = Joined(len(texts))
    for one, other in itertools.combinations(range(len(texts)), 2):
        union = said[one] | said[other]
        if said[one] and said[other] and len(said[one] & said[other]) / len(union) >= threshold:
            joined.join(one, other)
    assert duplicate_groups(texts, threshold) == [group for group in joined.groups() if len(group) > 1]
    kept = {number for number, one in enumerate(said) if one} - {one.index for one in copies(texts, threshold)}
    near = near_duplicates([texts[one] for one in sorted(kept)], [texts[one] for one in sorted(kept)], threshold)
    assert all(one.index == one.against for one in near)


@given(
    st.lists(st.text(alphabet="abc ", max_size=16), max_size=6),
    st.lists(st.text(alphabet="abc ", max_size=40), max_size=6),
    st.sampled_from([0.5, 0.8, 1.0]),
)
def test_what_stands_within_a_text_is_what_comparing_all_with_all_gives(
    asked: list[str], texts: list[str], threshold: float
) -> None:
    def runs(text: str) -> set[tuple[str, ...]]:
        words = normalised(text).split()
        return set(zip(words, words[1:], words[2:], strict=False))

    slowly = [
        (at, number, len(runs(one) & runs(text)) / len(runs(one)))
        for at, text in enumerate(texts)
        for number, one in enumerate(asked)
        if len(normalised(one).split()) >= 4 and len(runs(one) & runs(text)) >= threshold * len(runs(one))
    ]
    found = standing_within(asked, texts, threshold, fewest=4)
    assert [(one.against, one.index, one.similarity) for one in found] == slowly
