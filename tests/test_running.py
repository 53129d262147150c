"""A run: finished steps are reused, changed ones redone with the reason, failures kept with their page."""

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import tiny_workspace as tiny

from kt_lib.errors import ConsentRequired, ParameterError, RunbookError, StepFailed, WorkspaceBusy
from kt_lib.workspace import Request

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("workspace")
    tiny.make(root)
    return root, tiny.go(root)


def test_the_first_run_runs_every_step_and_writes_what_they_made(finished):
    root, result = finished
    assert tiny.statuses(result) == dict.fromkeys(("01_first", "02_second", "03_third"), "finished")
    assert json.loads((root / "outputs" / "report.json").read_text())["total"] == 6
    assert (root / "outputs" / "index.html").is_file()


def test_each_step_keeps_its_parameters_reads_writes_and_times(finished):
    root, result = finished
    second = tiny.steps(root, result)["02_second"]
    assert second.parameters["factor"] == 2
    assert set(second.reads) >= {"numbers", "weights"}
    assert second.writes["multiplied"].rows == 3
    assert second.metrics["total"] == 6
    assert second.seconds > 0
    assert second.cpu_seconds > 0


def test_a_second_run_with_nothing_changed_does_nothing(finished):
    root, _ = finished
    again = tiny.go(root)
    assert not again.changed
    assert set(tiny.statuses(again).values()) <= {"finished", "reused"}


def test_a_changed_parameter_reruns_only_what_depends_on_it(finished):
    root, _ = finished
    told = tiny.Told()
    result = tiny.go(root, told=told, overrides={"factor": 3})
    assert tiny.statuses(result) == {"01_first": "reused", "02_second": "finished", "03_third": "finished"}


def test_another_machine_is_asked_about_before_anything_runs(tmp_path, monkeypatch):
    tiny.make(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://203.0.113.9/v1")
    told = tiny.Told()
    with pytest.raises(ConsentRequired, match=r"02_second would send requests to 203\.0\.113\.9.*--allow-remote"):
        tiny.go(tmp_path, told=told, overrides={"model": "openai:other"})
    assert told.ended == {}
    assert not list((tmp_path / "outputs").glob("runs/*"))


def test_the_plan_says_why_a_step_would_run(finished):
    root, _ = finished
    plan = {one.notebook: one for one in tiny.workspace(root).plan(Request(overrides={"factor": 5}))}
    assert "factor" in "; ".join(plan["02_second"].why)


def test_another_model_reruns_the_steps_that_use_it(finished):
    root, _ = finished
    told = tiny.Told()
    result = tiny.go(root, digest="d2", told=told)
    assert tiny.statuses(result)["01_first"] == "reused"
    assert tiny.statuses(result)["02_second"] == "finished"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [({"factr": 2}, "factr"), ({"factor": -1}, "factor"), ({"factor": "many"}, "factor")],
)
def test_wrong_parameters_are_refused_before_any_kernel_starts(finished, overrides, said):
    root, _ = finished
    before = sorted((root / "outputs" / "runs").iterdir())
    with pytest.raises(ParameterError, match=said) as refused:
        tiny.go(root, overrides=overrides)
    assert refused.value.exit_code == 2
    assert sorted((root / "outputs" / "runs").iterdir()) == before


@pytest.mark.parametrize(
    "text",
    [
        tiny.RUNBOOK.replace("02_second", "02_secnd"),
        tiny.RUNBOOK + "name: twice\n",
        tiny.RUNBOOK.replace("steps:", "stepz:"),
        tiny.RUNBOOK + "  - notebook: 01_first\n",
        "- just a list\n",
        "name: [broken\n",
    ],
)
def test_a_wrong_runbook_is_refused_with_exit_code_2(tmp_path, text):
    tiny.make(tmp_path, text)
    with pytest.raises(RunbookError) as refused:
        tiny.go(tmp_path)
    assert refused.value.exit_code == 2


def test_a_failing_notebook_names_step_cell_cause_page_and_the_way_on(tmp_path):
    tiny.make(tmp_path)
    tiny.write_second(tmp_path, ["raise ValueError('no such luck')"])
    with pytest.raises(StepFailed) as failed:
        tiny.go(tmp_path)
    words = str(failed.value)
    assert "\n" not in words
    for part in ("02_second", "cell", "no such luck", ".html", "kt run"):
        assert part in words
    page = re.search(r"\S+\.html", words).group()
    assert (Path(page) if Path(page).is_absolute() else Path.cwd() / page).is_file()
    tiny.write_second(tmp_path)
    assert tiny.statuses(tiny.go(tmp_path))["01_first"] == "reused"


def test_a_kernel_that_dies_fails_the_step(tmp_path):
    tiny.make(tmp_path)
    tiny.write_second(tmp_path, ["import os\nos._exit(9)"])
    with pytest.raises(StepFailed, match="02_second"):
        tiny.go(tmp_path)


def test_a_step_with_nothing_to_do_is_skipped_with_its_reason_and_so_is_what_needs_it(tmp_path):
    tiny.make(tmp_path)
    tiny.write_first(tmp_path, ["step.skip('no local weights')", "step.write('numbers', [])", "step.keep('weights')"])
    third = tiny.notebook(["step.write_text('report.html', step.params.title)"], "title = 'x'", "ThirdParams")
    (tmp_path / "notebooks" / "03_third.ipynb").write_text(third)
    result = tiny.go(tmp_path)
    records = tiny.steps(tmp_path, result)
    assert records["01_first"].status == "skipped"
    assert "no local weights" in records["01_first"].reason
    assert tiny.statuses(result)["02_second"] == "skipped"


def test_two_at_once_the_second_says_who_holds_the_workspace(tmp_path):
    tiny.make(tmp_path)
    held = tiny.workspace(tmp_path)
    code = textwrap.dedent(
        f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        import tiny_workspace as tiny
        from kt_lib.errors import WorkspaceBusy
        try:
            tiny.go(Path({str(tmp_path)!r}))
        except WorkspaceBusy as busy:
            print(busy)
        """
    )
    with held.hold("kt run --by-the-test"):
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "kt run --by-the-test" in ran.stdout
    with held.hold("again"), pytest.raises(WorkspaceBusy), tiny.workspace(tmp_path).hold("third"):
        pass
