"""A notebook's step by hand: checked parameters, inputs from the newest finished run, artifacts in scratch."""

import json

import pytest
import tiny_workspace as tiny
from tiny_params import FirstParams, SecondParams

from kt_lib.errors import ArtifactError, ParameterError, SetupError
from kt_lib.records import Rate, Usage
from kt_lib.runs import StepSkipped, open_step, with_absolute_paths, workspace_root

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def by_hand(tmp_path, monkeypatch):
    tiny.make(tmp_path)
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.delenv("KT_STEP", raising=False)
    monkeypatch.delenv("KT_STATE", raising=False)
    return tmp_path


def first(**changed):
    return open_step(FirstParams, {"count": 2, "source": [], "pause": 0, "unrelated": object(), **changed})


def test_a_step_by_hand_writes_to_the_scratch_folder(by_hand):
    step = first()
    assert step.write("numbers", [Usage(prompt_tokens=1)]) == 1
    assert (by_hand / "outputs" / "scratch" / "FirstParams" / "numbers.jsonl").is_file()
    assert step.state == by_hand / "outputs" / "state"


def test_a_step_by_hand_reads_the_newest_finished_run(by_hand):
    tiny.go(by_hand)
    step = open_step(SecondParams, {"factor": 1, "model": "toy", "allow_remote": False})
    assert step.read_all("numbers", Usage) == [Usage(prompt_tokens=number) for number in range(3)]
    assert (step.path("weights") / "b.txt").read_text() == "b"
    assert step.metrics_of("01_first") == {"count": 3}


def test_what_no_run_wrote_is_told_with_what_to_do(by_hand):
    step = first()
    assert not step.has("no_such")
    with pytest.raises(ArtifactError, match=r"'no_such'.*kt run"):
        step.read_all("no_such", Usage)


@pytest.mark.parametrize(("changed", "said"), [({"count": -1}, "count"), ({"count": "many"}, "count")])
def test_a_wrong_parameter_in_the_cell_is_refused(by_hand, changed, said):
    with pytest.raises(ParameterError, match=said):
        first(**changed)


def test_a_metric_is_a_number_a_record_or_json_and_never_nan(by_hand):
    import numpy

    step = first()
    step.metric("rate", Rate(value=0.5, low=0.1, high=0.9, n=4))
    step.metric("numpy", numpy.float64(0.25))
    step.metric("nested", {"rates": [Rate(value=None, low=None, high=None, n=0)]})
    kept = json.loads((step.folder / "produced.json").read_text())["metrics"]
    assert kept["rate"]["n"] == 4
    assert kept["numpy"] == 0.25
    assert kept["nested"]["rates"][0]["value"] is None
    with pytest.raises(ArtifactError, match="broken"):
        step.metric("broken", float("nan"))


def test_skipping_ends_the_notebook_with_its_reason(by_hand):
    step = first()
    with pytest.raises(StepSkipped, match="no local weights"):
        step.skip("no local weights")
    assert json.loads((step.folder / "produced.json").read_text())["skipped"] == "no local weights"


def test_input_paths_become_absolute_from_the_workspace_on(by_hand):
    params = first(source=["chats.json", "/abs/x.json"]).params
    assert params.source == (str(by_hand / "chats.json"), "/abs/x.json")
    assert with_absolute_paths(params, by_hand) == params


def test_a_folder_without_a_workspace_above_it_is_told(tmp_path, monkeypatch):
    import kt_lib.runs

    monkeypatch.setattr(kt_lib.runs, "__file__", str(tmp_path / "lib" / "runs.py"))
    with pytest.raises(SetupError, match="no workspace"):
        workspace_root(tmp_path)


def test_a_folder_that_may_rightly_hold_nothing_says_why_and_another_must_hold_something(by_hand):
    step = first()
    step.folder_for("dpo")
    kept = step.keep("dpo", empty="There are no pairs.")
    assert (kept / "README.md").read_text() == "There are no pairs.\n"
    step.folder_for("sft")
    with pytest.raises(ArtifactError, match="nothing to keep"):
        step.keep("sft")
