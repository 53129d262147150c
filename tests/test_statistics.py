"""Known answers, mirror laws and false-positive rates of `kt_lib.statistics` and `kt_lib.power`."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint

from kt_lib.power import superiority_needed, superiority_power, unpaired_needed
from kt_lib.statistics import (
    cluster_bootstrap,
    discordance,
    e_process,
    holm,
    judge,
    log_e_process,
    mcnemar_mid_p,
    mean_difference,
    newcombe_paired,
    noninferiority_power,
    not_worse,
    paired,
    paired_counts,
    per_task,
    tasks_needed,
    wilson,
)

counts = st.tuples(*[st.integers(0, 400)] * 4)
some_counts = counts.filter(any)


# --- known answers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        ((1, 1, 7, 12), 0.026, 0.507),  # Bentur 2009, in Fagerland, Lydersen and Laake 2014: -0.507 to -0.026
        ((59, 6, 16, 80), 0.005, 0.119),  # Cavo 2012, ibidem
        ((14, 5, 0, 22), -0.226, -0.011),  # Altman et al. 2000, Statistics with confidence, table 6.2
    ],
)
def test_newcombe_gives_the_published_intervals(table: tuple[int, ...], low: float, high: float) -> None:
    assert newcombe_paired(*table) == pytest.approx((low, high), abs=6e-4)


def test_newcombe_agrees_with_statsmodels_where_it_has_the_method() -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    theirs = getattr(proportion, "confint_proportions_paired", None)
    if theirs is None:
        pytest.skip("this statsmodels has no confint_proportions_paired")
    for e, f, g, h in [(130, 97, 15, 76), (21, 4, 124, 169), (43, 0, 1, 0), (5, 9, 7, 1)]:
        low, high = theirs([[e, f], [g, h]])
        assert newcombe_paired(e, f, g, h) == pytest.approx((-high, -low), abs=1e-9)


@pytest.mark.parametrize(("b", "c", "p"), [(1, 7, 0.0391), (6, 16, 0.0347), (0, 0, 1.0), (5, 5, 1.0)])
def test_mid_p_gives_fagerlands_values(b: int, c: int, p: float) -> None:
    assert mcnemar_mid_p(b, c) == pytest.approx(p, abs=5e-5)


@given(st.integers(0, 300), st.integers(1, 300))
@settings(deadline=None)
def test_wilson_is_the_wilson_of_scipy_and_statsmodels(successes: int, n: int) -> None:
    successes = min(successes, n)
    ours = wilson(successes, n)
    theirs = binomtest(successes, n).proportion_ci(method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert (ours.low, ours.high) == pytest.approx(proportion_confint(successes, n, method="wilson"), abs=1e-9)


def test_the_figures_for_power_are_those_of_the_design() -> None:
    assert [unpaired_needed(*rates) for rates in [(0.4, 0.8), (0.6, 0.9), (0.25, 0.05), (0.7, 0.8), (0.7, 0.85)]] == [
        23, 32, 49, 294, 121,
    ]  # fmt: skip
    assert [superiority_needed(0.10, share) for share in (0.15, 0.20, 0.30)] == [116, 155, 234]
    assert [superiority_needed(0.05, share) for share in (0.10, 0.20, 0.30)] == [312, 626, 940]
    assert [tasks_needed(share, 0.05) for share in (0.1, 0.2, 0.3)] == [314, 628, 942]
    assert round(noninferiority_power(300, 0.1, 0.05), 2) == 0.78
    assert round(noninferiority_power(300, 0.2, 0.05), 2) == 0.49


def test_exact_power_agrees_with_the_approximation_where_many_tasks_differ_and_is_lower_where_few_do() -> None:
    for share, n in [(0.1, 300), (0.2, 300), (0.3, 942)]:
        assert noninferiority_power(n, share, 0.05, rate=0.5) == pytest.approx(
            noninferiority_power(n, share, 0.05), abs=0.01
        )
    assert noninferiority_power(100, 0.02, 0.05) > 0.9
    assert noninferiority_power(100, 0.02, 0.05, rate=0.9) < 0.7


def test_exact_power_is_what_a_simulation_of_the_rule_finds() -> None:
    rng = np.random.default_rng(7)
    n, share, rate, runs = 200, 0.15, 0.8, 1500
    discordant = rng.binomial(n, share, runs)
    losses = rng.binomial(discordant, 0.5)
    both = np.round((n - discordant) * rate).astype(int)
    passed = [
        not_worse(paired_counts(int(e), int(f), int(d - f), int(n - d - e)), 0.05)
        for e, f, d in zip(both, losses, discordant, strict=True)
    ]
    assert np.mean(passed) == pytest.approx(noninferiority_power(n, share, 0.05, rate=rate), abs=0.035)


def test_as_many_tasks_as_needed_have_the_power_asked_for() -> None:
    for share in (0.0, 0.02, 0.1, 0.3):
        assert noninferiority_power(tasks_needed(share, 0.05), share, 0.05) >= 0.8
        assert noninferiority_power(tasks_needed(share, 0.05, rate=0.9), share, 0.05, rate=0.9) >= 0.8
    assert superiority_power(superiority_needed(0.1, 0.2), 0.1, 0.2) >= 0.8
    assert superiority_power(superiority_needed(0.1, 0.2) - 1, 0.1, 0.2) < 0.8


def test_no_discordant_task_still_needs_enough_tasks_to_pass() -> None:
    needed = tasks_needed(0.0, 0.05)
    assert not_worse(paired_counts(needed, 0, 0, 0), 0.05)
    assert not not_worse(paired_counts(needed - 1, 0, 0, 0), 0.05)
    assert noninferiority_power(needed - 1, 0.0, 0.05) == 0


def test_the_e_process_has_its_closed_form_and_does_not_overflow() -> None:
    assert e_process(0, 0) == pytest.approx(1)
    assert e_process(1, 0) == pytest.approx(1)
    assert e_process(10, 0) == pytest.approx(2**10 / 11)
    assert e_process(0, 10) == e_process(10, 0)
    assert e_process(5000, 0) == math.inf
    assert log_e_process(5000, 0) == pytest.approx(5000 * math.log(2) - math.log(5001))


def test_holm_steps_down_and_keeps_the_order() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []


# --- laws ------------------------------------------------------------------------------------------------------------


@given(counts)
@settings(deadline=None)
def test_swapping_the_sides_mirrors_the_table_and_the_verdict(cells: tuple[int, int, int, int]) -> None:
    e, f, g, h = cells
    there, back = paired_counts(e, f, g, h), paired_counts(e, g, f, h)
    assert back.difference == -there.difference
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=1e-12)
    assert back.p_value == there.p_value
    mirrored = {"better": "worse", "worse": "better", "equivalent": "equivalent"}
    if judge(there, 0.05) in mirrored:
        assert judge(back, 0.05) == mirrored[judge(there, 0.05)]


@given(some_counts)
@settings(deadline=None)
def test_intervals_hold_the_estimate_and_stay_in_bounds(cells: tuple[int, int, int, int]) -> None:
    table = paired_counts(*cells)
    assert -1 <= table.low <= table.difference <= table.high <= 1
    for rate in (table.first, table.second):
        assert rate.value is not None
        assert rate.low is not None
        assert rate.high is not None
        assert 0 <= rate.low <= rate.value <= rate.high <= 1
    assert 0 <= table.p_value <= 1
    assert table.n == sum(cells)
    assert 0 <= discordance(table) <= 1


@given(st.lists(st.tuples(st.booleans(), st.booleans())), st.randoms())
@settings(deadline=None)
def test_the_order_of_rows_does_not_matter(rows: list[tuple[bool, bool]], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert paired([a for a, _ in rows], [b for _, b in rows]) == paired(
        [a for a, _ in shuffled], [b for _, b in shuffled]
    )


@given(some_counts, st.integers(2, 20))
@settings(deadline=None)
def test_more_of_the_same_narrows_the_interval(cells: tuple[int, int, int, int], times: int) -> None:
    once, often = paired_counts(*cells), paired_counts(*(count * times for count in cells))
    assert often.high - often.low <= once.high - once.low + 1e-9


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_win_and_a_loss_more_never_raise_the_evidence_against_a_tie(wins: int, losses: int) -> None:
    assert log_e_process(wins, losses) == pytest.approx(log_e_process(losses, wins))
    if wins == losses:
        assert log_e_process(wins, losses) <= 1e-9


# --- nothing, and what is refused ------------------------------------------------------------------------------------


def test_no_tasks_say_nothing() -> None:
    assert wilson(0, 0, errors=3).value is None
    assert wilson(0, 0, errors=3).errors == 3
    table = paired_counts(0, 0, 0, 0)
    assert (table.difference, table.low, table.high, table.p_value) == (0, -1, 1, 1)
    assert judge(table, 0.05) == "inconclusive"
    assert not not_worse(table, 0.05)
    assert noninferiority_power(0, 0.1, 0.05) == 0


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="not a share"):
        wilson(5, 4)
    with pytest.raises(ValueError, match="negative"):
        newcombe_paired(1, -1, 0, 0)
    with pytest.raises(ValueError, match="negative"):
        mcnemar_mid_p(-1, 2)
    with pytest.raises(ValueError, match=r"shorter|longer"):
        paired([True], [True, False])
    with pytest.raises(ValueError, match="at least one value"):
        cluster_bootstrap([], [], seed=1)
    with pytest.raises(ValueError, match="discordant"):
        superiority_needed(0.3, 0.2)
    with pytest.raises(ValueError, match="told apart"):
        unpaired_needed(0.5, 0.5)
    with pytest.raises(ValueError, match="margin"):
        tasks_needed(0.1, 0.0)


# --- verdicts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "word"),
    [
        ((200, 10, 60, 30), "better"),
        ((200, 60, 10, 30), "worse"),
        ((590, 4, 4, 2), "equivalent"),
        ((250, 12, 19, 19), "not_worse"),
        ((20, 3, 3, 4), "inconclusive"),
    ],
)
def test_the_verdict_has_the_word_of_the_design(cells: tuple[int, int, int, int], word: str) -> None:
    assert judge(paired_counts(*cells), 0.05) == word


def test_a_difference_within_the_margin_can_be_worse_and_still_pass_the_guard() -> None:
    table = paired_counts(1900, 40, 15, 45)
    assert judge(table, 0.05) == "worse"
    assert not_worse(table, 0.05)


# --- repeats and clusters --------------------------------------------------------------------------------------------


def test_repeats_are_averaged_per_task_first() -> None:
    assert per_task([("a", True), ("a", False), ("b", True)]) == {"a": 0.5, "b": 1.0}
    rows = [("often", 0.0)] * 98 + [("once", 1.0)]
    estimate, _, _ = mean_difference(rows, [("often", 0.0), ("once", 0.0)], seed=3)
    assert estimate == -0.5


def test_rows_of_one_conversation_count_as_one_cluster() -> None:
    values = [1.0] * 50 + [0.0] * 50
    alone = cluster_bootstrap(values, [str(row) for row in range(100)], seed=5)
    together = cluster_bootstrap(values, ["x"] * 50 + ["y"] * 50, seed=5)
    assert alone[0] == together[0] == 0.5
    assert alone[2] - alone[1] < 0.25
    assert together[1:] == (0.0, 1.0)


def test_the_bootstrap_is_repeatable_and_does_not_see_the_order_of_rows() -> None:
    values, clusters = [row % 7 / 7 for row in range(60)], [str(row % 23) for row in range(60)]
    there = cluster_bootstrap(values, clusters, seed=11)
    assert there == cluster_bootstrap(values[::-1], clusters[::-1], seed=11)
    assert there != cluster_bootstrap(values, clusters, seed=12)


# --- false positives -------------------------------------------------------------------------------------------------


def test_without_a_true_difference_the_verdict_is_better_or_worse_in_about_one_run_in_twenty() -> None:
    rng = np.random.default_rng(20)
    discordant = rng.binomial(150, 0.2, size=1500)
    wins = rng.binomial(discordant, 0.5)
    words = [
        judge(paired_counts(80, int(d - w), int(w), int(70 - d)), 0.05) for d, w in zip(discordant, wins, strict=True)
    ]
    assert 0.02 <= np.mean([word in ("better", "worse") for word in words]) <= 0.06


def test_looking_after_every_task_rings_rarely_for_the_e_process_and_often_for_mcnemar() -> None:
    rng = np.random.default_rng(4)
    runs, tasks = 300, 300
    steps = rng.choice([1, -1, 0], p=[0.1, 0.1, 0.8], size=(runs, tasks))
    wins, losses = (steps == 1).cumsum(axis=1), (steps == -1).cumsum(axis=1)
    cells = sorted({*zip(wins.ravel().tolist(), losses.ravel().tolist(), strict=True)})
    rings_e = {cell: e_process(*cell) >= 20 for cell in cells}
    rings_p = {cell: mcnemar_mid_p(*cell) < 0.05 for cell in cells}
    paths = [[*zip(w.tolist(), ll.tolist(), strict=True)] for w, ll in zip(wins, losses, strict=True)]
    assert np.mean([any(rings_e[cell] for cell in path) for path in paths]) <= 0.05
    assert np.mean([any(rings_p[cell] for cell in path) for path in paths]) >= 0.15
