"""Agreement: published values, missing ratings, and laws that hold for any ratings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kt_lib.agreement import alpha, cohen_kappa, kappa, krippendorff_alpha, percent_agreement


def table(*cells: tuple[str, str, int]) -> tuple[list[str], list[str]]:
    """Two raters' answers from a table of counts."""
    first = [a for a, _, count in cells for _ in range(count)]
    return first, [b for _, b, count in cells for _ in range(count)]


def items(*coders: str) -> list[list[str | None]]:
    """Items from one string of ratings per coder; a dot or a star is a missing one."""
    return [[None if one in ".*" else one for one in ratings] for ratings in zip(*coders, strict=True)]


def test_kappa_of_cohens_own_example() -> None:
    # Cohen (1960), table 2, 200 diagnoses by two judges: kappa .492.
    counts = ((88, 10, 2), (14, 40, 6), (18, 10, 12))
    cells = [(a, b, counts[i][j]) for i, a in enumerate("snb") for j, b in enumerate("snb")]
    assert cohen_kappa(*table(*cells)) == pytest.approx(0.492, abs=5e-4)


def test_kappa_of_fifty_grant_proposals() -> None:
    # The textbook example of 50 proposals, two readers: 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no gives 0.40.
    assert cohen_kappa(*table(("y", "y", 20), ("y", "n", 5), ("n", "y", 10), ("n", "n", 15))) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("cells", "value"),
    # The same share of agreement (60 of 100) with other margins: (.60 - .54) / .46 and (.60 - .46) / .54.
    [((45, 15, 25, 15), 0.1304), ((25, 35, 5, 35), 0.2593)],
)
def test_kappa_falls_with_the_margins_at_the_same_agreement(cells: tuple[int, ...], value: float) -> None:
    names = (("y", "y"), ("y", "n"), ("n", "y"), ("n", "n"))
    rated = table(*((a, b, count) for (a, b), count in zip(names, cells, strict=True)))
    assert cohen_kappa(*rated) == pytest.approx(value, abs=5e-5)


def test_alpha_of_krippendorffs_two_coders_and_two_values() -> None:
    # Krippendorff (2011), section A: ten items, alpha 0.095.
    assert krippendorff_alpha(items("0100000000", "1110010100")) == pytest.approx(0.095, abs=5e-4)


def test_alpha_of_krippendorffs_two_coders_and_five_values() -> None:
    # Krippendorff (2011), section B: twelve items, alpha 0.692.
    assert krippendorff_alpha(items("aabbdcccedda", "babbbccceddd")) == pytest.approx(0.692, abs=5e-4)


def test_alpha_of_krippendorffs_four_coders_with_missing_ratings() -> None:
    # Krippendorff (2011), section C: four observers, twelve units, missing data; nominal alpha 0.743.
    coders = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
    assert krippendorff_alpha(items(*coders)) == pytest.approx(0.743, abs=5e-4)


RATED = st.lists(st.tuples(*[st.sampled_from(["x", "y", "z", None])] * 3), max_size=30)


@given(RATED)
def test_alpha_minds_neither_the_order_of_items_nor_that_of_annotators_nor_the_names(data: list[tuple]) -> None:
    value = krippendorff_alpha(data)
    renamed = {"x": "1", "y": "2", "z": "3", None: None}
    for other in (data[::-1], [one[::-1] for one in data], [tuple(renamed[r] for r in one) for one in data]):
        assert krippendorff_alpha(other) == pytest.approx(value)


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("xyz")), max_size=30))
def test_kappa_is_the_same_from_either_side(pairs: list[tuple[str, str]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    assert cohen_kappa(first, second) == pytest.approx(cohen_kappa(second, first))


def test_what_is_not_defined_is_none_and_said_so() -> None:
    assert cohen_kappa([], []) is None
    assert cohen_kappa(["y", "y"], ["y", "y"]) is None
    assert krippendorff_alpha([["y", None], [None, "n"]]) is None
    nothing = alpha([["y", None]])
    assert (nothing.value, nothing.low, nothing.n) == (None, None, 0)
    assert "not defined" in nothing.warning
    assert percent_agreement([]).value is None


def test_an_interval_holds_its_value_and_is_wider_when_items_come_in_groups() -> None:
    data = items("yynnyynnyyny" * 4, "yynnyynynnyy" * 4)
    free, grouped = kappa(data), kappa(data, groups=[f"g{at % 4}" for at in range(len(data))])
    assert free.low is not None
    assert free.high is not None
    assert free.value is not None
    assert free.low < free.value < free.high
    assert grouped.n == free.n == 48
    assert alpha(data).warning.startswith("below 0.667")
    assert grouped != free
