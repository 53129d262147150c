"""The shipped sample: whole, small, of today's record types, and read only where no run has finished."""

from pathlib import Path

import pytest
import tiny_workspace as tiny

from kt_lib import records
from kt_lib.artifacts import folder_digest, read_rows
from kt_lib.assistant import Comparison
from kt_lib.by_hand import SAMPLE, context_by_hand
from kt_lib.errors import ArtifactError
from kt_lib.history import newest_finished, step_of
from kt_lib.labels import Label
from kt_lib.leakage import LeakageReport
from kt_lib.mixing import FunnelStep, SourceLine
from kt_lib.notebook import read_notebook
from kt_lib.params import NOTEBOOKS
from kt_lib.runbook import load_runbook, prepare
from kt_lib.sample.packing import REPORT, RUNBOOK, pack, refuse_places
from kt_lib.tasks import ChatPart

ROOT = Path(__file__).parents[1]
STEPS = [step.notebook for step in load_runbook(ROOT / "runbook.yaml").steps]
KINDS = {
    "conversations": records.Conversation,
    "parts": ChatPart,
    "edits": records.Edit,
    "recorded_attempts": records.Attempt,
    "set_aside": records.SetAside,
    "tasks": records.Task,
    "attempts": records.Attempt,
    "differences": records.Difference,
    "examples": records.Example,
    "patterns": records.Pattern,
    "improvements": records.Improvement,
    "profiles": records.Profile,
    "sft_rows": records.SftRow,
    "preference_pairs": records.PreferencePair,
    "mix": SourceLine,
    "funnel": FunnelStep,
    "leakage": LeakageReport,
    "adapters": records.Adapter,
    "attempts_after": records.Attempt,
    "scores": records.Score,
    "verdicts": records.Verdict,
    "ablation_verdicts": records.Verdict,
    "comparisons": Comparison,
    "versions": records.ModelVersion,
    "labels": Label,
}


def sample_steps():
    run = newest_finished(SAMPLE)
    return {place.notebook: (SAMPLE / place.folder, step_of(SAMPLE, place)) for place in run.steps}


@pytest.mark.parametrize("notebook", STEPS)
def test_the_sample_has_every_artifact_that_a_notebook_writes_so_make_it_anew_with_kt_sample(notebook):
    _, record = sample_steps()[notebook]
    writes = read_notebook(ROOT / "notebooks" / f"{notebook}.ipynb").writes
    assert set(record.writes) == {name for name in writes if not name.startswith(REPORT)}


@pytest.mark.parametrize("notebook", STEPS)
def test_every_record_of_the_sample_is_of_todays_type(notebook):
    folder, record = sample_steps()[notebook]
    for name, artifact in record.writes.items():
        if artifact.kind == "rows":
            assert len(list(read_rows(folder / artifact.file, KINDS[name], artifact))) == artifact.rows
        elif artifact.kind == "folder":
            assert folder_digest(folder / artifact.file) == artifact.sha256
        else:
            assert (folder / artifact.file).stat().st_size == artifact.bytes


def test_the_sample_is_small():
    assert sum(file.stat().st_size for file in SAMPLE.rglob("*") if file.is_file()) < 2_000_000


def test_the_samples_runbook_has_the_steps_and_the_shared_values_of_the_main_one():
    main, small = load_runbook(ROOT / "runbook.yaml"), load_runbook(ROOT / RUNBOOK)
    assert [step.notebook for step in small.steps] == [step.notebook for step in main.steps]
    assert small.with_ == main.with_
    prepare(small, ROOT, NOTEBOOKS, {})


def test_by_hand_the_sample_is_read_where_no_run_has_finished_and_it_says_so(tmp_path):
    context = context_by_hand("03_difference", tmp_path, tmp_path / "state")
    tasks = sample_steps()["01_ingest"][1].writes["tasks"].rows
    assert f"Reads the shipped sample, a small run of {tasks} tasks" in context.by_hand
    assert "Writes to outputs/scratch/03_difference" in context.by_hand
    assert set(context.inputs) == set(sample_steps()["01_ingest"][1].writes), "only what stands before it"


def test_a_finished_run_takes_the_samples_place(tmp_path):
    tiny.make(tmp_path)
    result = tiny.go(tmp_path)
    context = context_by_hand("02_second", tmp_path, tmp_path / "state")
    assert f"Reads run {result.run.id}" in context.by_hand
    assert set(context.inputs) == {"numbers", "weights"}


def test_without_run_and_sample_it_says_that_nothing_is_read(tmp_path):
    context = context_by_hand("02_second", tmp_path, tmp_path / "state", sample=tmp_path / "none")
    assert context.by_hand.startswith("Reads nothing: no run has finished here, `kt run` makes one.")
    assert not context.inputs


def test_a_packed_run_is_read_as_any_run_without_its_reports(tmp_path):
    tiny.make(tmp_path / "there")
    result = tiny.go(tmp_path / "there")
    pack(tmp_path / "there" / "outputs" / "runs", result.run, tmp_path / "packed")
    context = context_by_hand("03_third", tmp_path, tmp_path / "state", sample=tmp_path / "packed")
    assert set(context.inputs) == {"numbers", "weights", "multiplied"}
    assert all(Path(one.path).exists() for one in context.inputs.values())
    assert [step.metrics for step in context.steps] == [{"count": 3}, {"total": 6}]
    after = context_by_hand("no_such", tmp_path, tmp_path / "state", sample=tmp_path / "packed")
    assert "report.html" not in after.inputs


def test_a_sample_that_names_a_place_on_this_machine_is_refused(tmp_path):
    (tmp_path / "step.json").write_text('{"source": "/home/ann/chats.json"}')
    refuse_places(tmp_path, ("/home/eve", "/"))
    with pytest.raises(ArtifactError, match=r"step\.json names /home/ann"):
        refuse_places(tmp_path, ("/home/ann",))


def test_the_shipped_sample_names_no_place_of_where_it_was_made():
    text = b"".join(file.read_bytes() for file in SAMPLE.rglob("*.json*"))
    for place in (b"/tmp/tmp", b"/root/", str(ROOT).encode()):
        assert place not in text
