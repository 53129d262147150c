"""Each notebook by hand in real JupyterLab, on the shipped sample: it runs to its end and its plots are drawn."""

import json

import pytest
from browser import chromium, lab, set_parameters, workspace  # noqa: F401

from kt_lib.ledger import open_ledger
from kt_lib.params import NOTEBOOKS

pytest.importorskip("trl", reason="by hand 08_train trains: it needs the `train` extra")

pytestmark = pytest.mark.browser

QUICK = {"08_train": {"sft": {"num_train_epochs": 1}}, "09_evaluate": {"guard_bound": 12, "persona_tasks": 5}}
"""Other values than the notebook's own, as a person writes them, for the sake of the test's time."""
PLOTS = {
    "03_difference": 3,
    "04_knowledge": 1,
    "06_improve": 1,
    "07_datasets": 1,
    "08_train": 1,
    "09_evaluate": 2,
    "10_release": 1,
}
"""Notebooks with plots, and how many at least."""


@pytest.fixture(scope="module", params=NOTEBOOKS)
def ran(request, lab):  # noqa: F811
    if request.param in QUICK:
        set_parameters(lab.root / "notebooks" / f"{request.param}.ipynb", **QUICK[request.param])
    notebook = lab.open(request.param)
    lab.asked.clear()
    notebook.run_all(120)
    yield request.param, notebook
    notebook.page.close()


def test_a_notebook_runs_top_to_bottom_without_an_error(ran):
    name, notebook = ran
    assert notebook.errors() == []
    said = notebook.page.locator(".jp-OutputArea-output", has_text=f"{name} by hand.").inner_text()
    assert ("Reads no run." if name == "01_ingest" else "Reads the shipped sample") in said


def test_its_plots_are_drawn_and_no_request_leaves(ran, lab):  # noqa: F811
    name, notebook = ran
    plots = notebook.page.locator(".jp-RenderedPlotly")
    assert plots.count() >= PLOTS.get(name, 0)
    for at in range(plots.count()):
        plots.nth(at).locator(".main-svg").first.wait_for(timeout=20_000)
    assert lab.asked == []


def test_after_a_reload_of_the_saved_page_the_plots_are_still_there(lab):  # noqa: F811
    notebook = lab.open("06_improve")
    notebook.run_all(120)
    notebook.page.locator(".main-svg").first.wait_for(timeout=20_000)
    notebook.save()
    notebook.page.wait_for_timeout(1000)
    notebook.page.reload()
    notebook.wait_ready()
    lab.asked.clear()
    assert notebook.page.locator(".jp-RenderedPlotly img, .jp-RenderedPlotly .main-svg").count() >= 1
    assert lab.asked == []
    saved = json.loads((lab.root / "notebooks" / "06_improve.ipynb").read_text())
    assert len(json.dumps(saved)) < 1_000_000
    notebook.page.close()


def test_another_value_in_the_parameters_cell_and_running_again_is_all_it_takes(lab):  # noqa: F811
    notebook = lab.open("04_knowledge")
    notebook.run_all(120)
    few = patterns(lab.root)
    notebook.page.evaluate(
        """() => window.jupyterapp.shell.currentWidget.content.widgets
          .find(w => w.model.type === 'code').model.sharedModel.setSource('min_support = 1')"""
    )
    notebook.menu("Edit", "Clear Outputs of All Cells")
    notebook.run_all(120)
    assert notebook.errors() == []
    assert patterns(lab.root) > few
    notebook.page.close()


def patterns(root):
    return (root / "outputs" / "scratch" / "04_knowledge" / "patterns.jsonl").read_bytes().count(b"\n")


def test_by_hand_no_version_is_recorded_or_promoted_unasked(lab):  # noqa: F811
    notebook = lab.open("10_release")
    notebook.run_all(120)
    assert notebook.errors() == []
    with open_ledger(lab.root / "outputs" / "state") as ledger:
        assert ledger.versions() == []
        assert ledger.champion() is None
    assert not list((lab.root / "outputs" / "state").rglob("*.safetensors"))
    notebook.page.close()
    path = lab.root / "notebooks" / "10_release.ipynb"
    set_parameters(path, record_by_hand=True)
    notebook = lab.open("10_release")
    notebook.run_all(120)
    assert notebook.errors() == []
    with open_ledger(lab.root / "outputs" / "state") as ledger:
        assert len(ledger.versions()) == 1
    notebook.page.close()
