"""Plots: the figures they show, one form for all, nothing that a page cannot carry."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from report_records import levers, run_of

from kt_lib import figures, figures_of_training
from kt_lib.difference import by, table
from kt_lib.pages import stylesheet
from kt_lib.records import Improvement, PairedTable, Verdict
from kt_lib.statistics import paired_counts, wilson

DATA = run_of(60)
IMPROVEMENTS: list[Any] = list(levers(""))
FIGURES: dict[str, Callable[[], Any]] = {
    "matrix": lambda: figures.paired_matrix(table(DATA.before), "Before"),
    "rates": lambda: figures.rates_with_intervals({"base": wilson(5, 9)}, "Rates", {"base": figures.BEFORE}),
    "failures": lambda: figures.failure_classes({"wrong_key": (9, 1)}, "Failures"),
    "levers": lambda: figures.lever_ladder(IMPROVEMENTS, "Levers"),
    "curve": lambda: figures_of_training.training_curve(DATA.adapters, "Loss"),
    "mix": lambda: figures_of_training.dataset_mix({"agent_call": 9, "chat_replay": 3, "pair: wrong_key": 2}, "Rows"),
    "ablation": lambda: figures_of_training.ablation({"sft": DATA.verdicts}, "Ablation"),
    "gap": lambda: figures.gap_by(by(DATA.before, DATA.tasks, "category"), "Gap"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_plot_has_a_title_no_background_of_its_own_and_is_plain_json(name: str) -> None:
    drawn = json.loads(FIGURES[name]().to_json())
    assert drawn["layout"]["title"]["text"]
    assert drawn["layout"]["paper_bgcolor"] == "rgba(0,0,0,0)"
    assert drawn["layout"]["font"]["color"] == figures.INK
    assert drawn["data"]
    assert "bdata" not in json.dumps(drawn)


@pytest.mark.parametrize(
    "empty",
    [
        lambda: figures.paired_matrix(paired_counts(0, 0, 0, 0), "Nothing"),
        lambda: figures.rates_with_intervals({"none": wilson(0, 0)}, "Nothing"),
        lambda: figures.failure_classes({}, "Nothing"),
        lambda: figures.lever_ladder([], "Nothing"),
        lambda: figures_of_training.training_curve([], "Nothing"),
        lambda: figures_of_training.dataset_mix({}, "Nothing"),
        lambda: figures_of_training.ablation({}, "Nothing"),
        lambda: figures.gap_by({}, "Nothing"),
    ],
)
def test_a_plot_of_nothing_is_still_a_plot(empty: Callable[[], Any]) -> None:
    assert empty().layout.title.text.startswith("Nothing")


def test_the_matrix_shows_each_cell_with_its_share() -> None:
    heat = figures.paired_matrix(paired_counts(40, 50, 4, 6), "Before").data[0]
    assert [list(row) for row in heat.z] == [[4, 6], [40, 50]]
    assert heat.text[1][1] == "<b>50</b><br>50%"


def test_an_interval_reaches_from_its_lower_to_its_upper_bound() -> None:
    rate = wilson(45, 60)
    points = figures.rates_with_intervals({"base": rate}, "Rates").data[0]
    assert rate.value is not None
    assert points.x[0] - points.error_x.arrayminus[0] == pytest.approx(100 * (rate.low or 0))
    assert points.x[0] + points.error_x.array[0] == pytest.approx(100 * (rate.high or 0))


def test_a_kept_lever_stands_out_and_the_classes_are_named_in_words() -> None:
    rows = [one for one in IMPROVEMENTS if isinstance(one, Improvement)]
    points = figures.lever_ladder(rows, "Levers").data[0]
    colours = dict(zip(points.y, points.marker.color, strict=True))
    assert colours["constrained"] == figures.AFTER
    assert colours["prompt:steps"] == figures.QUIET
    assert "constrained, wrong key" in colours


def test_before_alone_needs_no_legend_and_after_brings_one() -> None:
    assert not figures.failure_classes({"loop": (3, 0)}, "F").layout.showlegend
    assert figures.failure_classes({"loop": (3, 1)}, "F").layout.showlegend


def test_the_widest_gap_stands_first() -> None:
    points = figures.gap_by({"a": paired_counts(5, 1, 1, 3), "b": paired_counts(1, 8, 0, 1)}, "Gap").data[0]
    assert [name[0] for name in points.y] == ["b", "a"]


def test_plots_and_pages_share_their_colours() -> None:
    sheet = stylesheet()
    names = {"--chat": figures.CHAT, "--before": figures.BEFORE, "--after": figures.AFTER, "--quiet": figures.QUIET}
    assert [name for name, colour in names.items() if f"{name}: {colour}" not in sheet] == []


def judged(training: str, **tables: PairedTable) -> list[Verdict]:
    """Verdicts of one training, passed where nothing is lost."""
    return [
        DATA.verdicts[0].model_copy(
            update={"variant": training, "suite": suite, "table": one, "passed": one.low > -0.05, "margin": 0.05}
        )
        for suite, one in tables.items()
    ]


def test_a_training_stands_beside_the_base_of_its_own_tasks_though_another_one_was_put_to_more() -> None:
    few, more = paired_counts(20, 4, 8, 28), paired_counts(30, 9, 13, 68)
    trainings = {
        "sft": judged("sft", target=few, multi_turn=few),
        "sft:corrections": judged("sft:corrections", target=few, multi_turn=more),
    }
    points = figures_of_training.ablation(trainings, "Change from the base").data[0]
    told = dict(zip(points.y, points.x, strict=True))
    assert list(told) == [
        "target, sft (n = 60)",
        "target, sft:corrections (n = 60)",
        "multi turn, sft (n = 60)",
        "multi turn, sft:corrections (n = 120)",
    ]
    assert told["multi turn, sft:corrections (n = 120)"] == pytest.approx(100 * more.difference)
    assert points.x[3] - points.error_x.arrayminus[3] == pytest.approx(100 * more.low)


def test_zero_and_what_a_guard_may_lose_are_marked_and_what_did_not_pass_stands_out() -> None:
    lost = judged("sft", multi_turn=paired_counts(20, 8, 4, 28), plain_chat=paired_counts(900, 1, 9, 20))
    drawn = figures_of_training.ablation({"sft": lost}, "Change from the base")
    assert [line.x0 for line in drawn.layout.shapes] == [-5.0]
    assert drawn.layout.xaxis.zeroline
    assert list(drawn.data[0].marker.color) == [figures.BEFORE, figures.AFTER]


@pytest.mark.parametrize(("steps", "plots"), [(9, 1), (10, 0)])
def test_a_growing_curve_is_drawn_anew_in_its_place_and_gives_way_at_the_end(steps: int, plots: int) -> None:
    import nbclient
    import nbformat

    cell = nbformat.v4.new_code_cell(
        "import time\nfrom kt_lib import figures_of_training as drawing\ndrawing.REDRAWN = 0.02\n"
        "told = drawing.live_curve('SFT')\n"
        f"for at in range(1, {steps + 1}):\n    time.sleep(0.05)\n    told(at, 10, 1 / at)"
    )
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbclient.NotebookClient(notebook, timeout=60).execute()
    shown = [out for out in cell.outputs if "application/vnd.plotly.v1+json" in out.get("data", {})]
    assert len(shown) == plots
