"""Advice follows from how a model fails, and names only what there is: classes, sources and fields."""

from __future__ import annotations

from importlib.resources import files

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kt_lib.calls.failures import DESCRIPTIONS, MALFORMED
from kt_lib.corrections.correction import MISCOUNTED
from kt_lib.corrections.patterns import PATTERNS
from kt_lib.errors import KtError
from kt_lib.recipe_advice import advice
from kt_lib.recipes import recipe

CLASSES = [*DESCRIPTIONS, MISCOUNTED]


def test_the_most_frequent_weakness_comes_first_with_its_share_and_interval() -> None:
    first, second = advice({"wrong_key": 30, "code_fence": 10, "lost_context": 20}, 100)
    assert first.failures == {"wrong_key": 30, "code_fence": 10}
    assert (first.share.value, first.share.n) == (0.4, 100)
    assert first.share.low < 0.4 < first.share.high
    assert second.failures == {"lost_context": 20}
    assert "corrections" in first.data
    assert "sft.max_length" in second.parameters


def test_where_nothing_failed_nothing_is_advised() -> None:
    assert advice({}, 100) == []
    assert advice({"wrong_key": 0}, 100) == []


def test_what_training_cannot_mend_is_said_to_be_none_of_its_business() -> None:
    (only,) = advice({"timeout": 3}, 10)
    assert (only.data, only.parameters) == ({}, {})
    assert "not a matter of training" in only.why


def test_a_class_nobody_knows_and_more_failures_than_attempts_are_refused() -> None:
    with pytest.raises(KtError, match=r"no failure class is called wrong_kee: there are abstained"):
        advice({"wrong_kee": 1}, 10)
    with pytest.raises(KtError, match="11 failures of 10 attempts"):
        advice({"wrong_key": 11}, 10)


@given(st.dictionaries(st.sampled_from(CLASSES), st.integers(0, 50)))
def test_every_failure_is_counted_in_exactly_one_weakness(failures: dict[str, int]) -> None:
    found = advice(failures, 2000)
    counted = [(name, count) for one in found for name, count in one.failures.items()]
    assert dict(counted) == {name: count for name, count in failures.items() if count}
    assert len(counted) == len(dict(counted))
    shares = [one.share.value for one in found]
    assert shares == sorted(shares, reverse=True)


def test_every_class_source_pattern_and_field_that_is_named_is_there() -> None:
    mix = yaml.safe_load((files("kt_lib") / "shipped_mixes" / "documented.yaml").read_text())
    large = recipe("qlora-7b-to-32b")
    whole = advice(dict.fromkeys(CLASSES, 1), len(CLASSES))
    assert set().union(*(one.failures for one in whole)) == set(CLASSES)
    assert set(whole[0].failures) == MALFORMED
    for one in whole:
        assert set(one.data) <= set(mix["sources"])
        for path in one.parameters:
            value = large
            for name in path.split("."):
                value = getattr(value, name)
    said = " ".join(words for one in whole for words in one.data.values())
    assert all(pattern in said for pattern in PATTERNS)
