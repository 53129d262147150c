"""A declared mix: what is asked, what there is, and what stands in it."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kt_lib.mixes import Mix
from kt_lib.mixing import mixed
from kt_lib.records import ChatMessage, SftRow


def rows(source: str, count: int) -> list[SftRow]:
    return [
        SftRow(
            messages=(ChatMessage(role="user", content=f"{source} {at}"), ChatMessage(role="assistant", content="ok")),
            kind=source,
            task_id=f"{source}-{at}",
            basis="made up",
            source=source,
        )
        for at in range(count)
    ]


def drawn(mix: Mix, **pools: int) -> Counter[str]:
    return Counter(row.source for row in mixed(mix, {name: rows(name, count) for name, count in pools.items()}).rows)


def test_shares_and_counts_are_met_where_there_is_enough() -> None:
    mix = Mix(name="both", rows=100, sources={"chat": 0.4, "calls": 0.5, "corrections": 10})
    assert drawn(mix, chat=500, calls=500, corrections=80) == {"chat": 40, "calls": 50, "corrections": 10}


@pytest.mark.parametrize(
    ("whole", "sources", "asked"),
    [
        (7, {"a": 0.5, "b": 0.5}, {"a": 4, "b": 3}),
        (10, {"a": 0.15, "b": 0.15, "c": 0.7}, {"a": 2, "b": 1, "c": 7}),
        (100, {"a": 0.29, "b": 0.71}, {"a": 29, "b": 71}),
        (1, {"a": 0.2, "b": 0.2, "c": 0.2}, {"a": 1, "b": 0, "c": 0}),
        (7, {"a": 0.5, "b": 9}, {"a": 4, "b": 9}),
    ],
)
def test_shares_are_whole_rows_by_the_largest_remainder_and_never_more_than_there_are(
    whole: int, sources: dict[str, float], asked: dict[str, int]
) -> None:
    assert Mix.model_validate({"name": "m", "rows": whole, "sources": sources}).asked(whole) == asked


@given(st.integers(1, 2000), st.lists(st.integers(1, 99), min_size=1, max_size=7))
def test_shares_that_add_up_to_one_ask_for_exactly_the_mixs_rows(whole: int, weights: list[int]) -> None:
    sources = {str(at): weight / sum(weights) for at, weight in enumerate(weights)}
    assert sum(Mix.model_validate({"name": "m", "rows": whole, "sources": sources}).asked(whole).values()) == whole


def test_an_absent_source_leaves_its_share_empty_and_says_so() -> None:
    mix = Mix(name="short", rows=100, sources={"toucan": 0.5, "calls": 0.5})
    found = mixed(mix, {"calls": rows("calls", 500)})
    assert Counter(row.source for row in found.rows) == {"calls": 50}
    toucan = found.lines[0]
    assert (toucan.asked, toucan.available, toucan.used) == (50, 0, 0)
    assert toucan.note == "absent: its share stays empty"


def test_a_short_source_is_not_filled_from_elsewhere() -> None:
    mix = Mix(name="short", rows=100, sources={"chat": 0.5, "calls": 0.5})
    found = mixed(mix, {"chat": rows("chat", 20), "calls": rows("calls", 500)})
    assert Counter(row.source for row in found.rows) == {"chat": 20, "calls": 50}
    assert "30 short" in found.lines[0].note


def test_over_sampling_repeats_every_row_before_any_stands_there_a_third_time() -> None:
    mix = Mix(name="over", rows=10, sources={"calls": {"count": 25, "repeat": 3}})
    found = mixed(mix, {"calls": rows("calls", 10)})
    often = Counter(row.task_id for row in found.rows)
    assert sum(often.values()) == 25
    assert set(often.values()) == {2, 3}
    assert found.lines[0].repeated == 15


def test_a_smaller_whole_keeps_its_shares_where_the_mix_names_what_it_scales_to() -> None:
    mix = Mix(name="own", rows=1000, scale_to="calls", sources={"calls": 0.5, "chat": 0.5})
    assert drawn(mix, calls=30, chat=900) == {"calls": 30, "chat": 30}


def test_the_same_mix_of_the_same_rows_has_the_same_digest_and_another_seed_another() -> None:
    pools = {"calls": rows("calls", 50)}
    one, two = (mixed(Mix(name="m", rows=20, seed=seed, sources={"calls": 1.0}), pools) for seed in (1, 2))
    assert one == mixed(Mix(name="m", rows=20, seed=1, sources={"calls": 1.0}), pools)
    assert one.digest != two.digest


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 300),
    st.dictionaries(st.sampled_from("abcd"), st.tuples(st.integers(0, 90), st.integers(1, 4)), min_size=1),
    st.dictionaries(st.sampled_from("abcde"), st.integers(0, 60)),
)
def test_no_source_gives_more_than_asked_nor_a_row_more_often_than_allowed(
    whole: int, asked: dict[str, tuple[int, int]], there: dict[str, int]
) -> None:
    mix = Mix(name="any", rows=whole, sources={k: {"count": n, "repeat": r} for k, (n, r) in asked.items()})
    found = mixed(mix, {name: rows(name, count) for name, count in there.items()})
    often = Counter(row.task_id for row in found.rows)
    for line in found.lines:
        count, repeat = asked[line.name]
        assert line.used == min(count, there.get(line.name, 0) * repeat)
        assert all(often[f"{line.name}-{at}"] <= repeat for at in range(60))
    assert sum(line.used for line in found.lines) == len(found.rows)


@pytest.mark.parametrize(
    ("sources", "scale_to", "says"),
    [
        ({"a": 0.7, "b": 0.5}, None, "add up to 1.2"),
        ({"a": 0.5, "b": 0.5000001}, None, "add up to 1.0000001:"),
        ({"a": {"share": 0.2, "count": 5}}, None, "one of the two"),
        ({"a": 0.2}, "b", "names 'b'"),
        ({"a": 20}, "a", "no source with a share"),
    ],
)
def test_a_mix_that_cannot_be_is_refused_in_words(sources: dict[str, object], scale_to: str | None, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Mix.model_validate({"name": "m", "rows": 10, "scale_to": scale_to, "sources": sources})
