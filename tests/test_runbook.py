"""A runbook is read strictly, checked whole, and put in an order in which each step comes after what it reads."""

import pytest
import tiny_workspace as tiny
from tiny_params import MODELS

from kt_lib.errors import KtError, ParameterError, RunbookError
from kt_lib.history import StepRecord
from kt_lib.runbook import When, load_runbook, prepare


def prepared(root, overrides=None):
    return prepare(load_runbook(root / "runbook.yaml"), root, MODELS, overrides or {})


def record(status="finished", **metrics):
    return StepRecord(notebook="08_train", run="r", status=status, key="k", fingerprint=None, metrics=metrics)


def test_steps_are_put_in_the_order_of_what_they_read(tmp_path):
    head, _ = tiny.RUNBOOK.split("  - notebook", 1)
    tiny.make(tmp_path, head + "".join(f"  - notebook: {name}\n" for name in ("02_second", "01_first", "03_third")))
    assert [step.name for step in prepared(tmp_path)] == ["01_first", "02_second", "03_third"]


def test_a_value_comes_from_the_command_line_then_the_step_then_the_shared_values_then_the_file(tmp_path):
    tiny.make(tmp_path, tiny.RUNBOOK.replace("- notebook: 02_second", "- notebook: 02_second\n    with: {factor: 4}"))
    assert prepared(tmp_path)[1].params.factor == 4
    assert prepared(tmp_path, {"factor": "5e-1"})[1].params.factor == 0.5
    assert prepared(tmp_path)[1].params.model == "toy"
    assert prepared(tmp_path)[0].params.count == 3


def test_a_number_that_yaml_takes_for_text_is_still_a_number(tmp_path):
    tiny.make(tmp_path)
    (tmp_path / "params" / "02_second.yaml").write_text("factor: 1e-4\n")
    assert prepared(tmp_path)[1].params.factor == 1e-4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("  model: toy", "  model: toy\n  model: other"), "'model' stands twice"),
        (lambda text: text.replace("model: toy", "model: !!python/tuple [1, 2]"), "python/tuple"),
        (lambda text: text.replace("model: toy", "modell: toy"), "did you mean 'model'"),
        (lambda text: text.replace("steps:", "stepz:"), "stepz"),
        (lambda text: text.replace("03_third", "../03_third"), "notebook"),
        (lambda text: text.replace("  - notebook: 01_first\n", ""), "which no step of the runbook writes"),
        (lambda text: text.replace("- notebook: 02_second", "- notebook: 02_second\n    when: total > 3"), "is not"),
        (lambda text: text.replace("- notebook: 01_first", "- notebook: 01_first\n    when: 9.x > 3"), "asks about"),
        (
            lambda text: text.replace("- notebook: 01_first", "- notebook: 01_first\n    when: 02_second.total > 3"),
            "circle",
        ),
        (lambda text: "name: [broken\n", "line"),
        (lambda text: "\x00", "no YAML"),
    ],
)
def test_a_wrong_runbook_is_refused_with_its_fault(tmp_path, change, said):
    tiny.make(tmp_path, change(tiny.RUNBOOK))
    with pytest.raises(KtError, match=said) as refused:
        prepared(tmp_path)
    assert refused.value.exit_code == 2


def test_a_value_may_not_stand_in_the_runbook_and_in_a_file(tmp_path):
    tiny.make(tmp_path)
    (tmp_path / "params" / "02_second.yaml").write_text("factor: 2\nmodel: other\n")
    with pytest.raises(ParameterError, match="model stands in"):
        prepared(tmp_path)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["name = 'numbers'\nstep.read(name, int)"], "cell 4: give `step.read` its name as text"),
        (["this is no python"], "cell 4 is no Python"),
        (["step.read_all('nothing', int)"], "reads 'nothing'"),
        (["step.metrics_of('09_nowhere')"], "asks about '09_nowhere'"),
    ],
)
def test_a_notebook_that_the_plan_cannot_read_is_refused(tmp_path, cells, said):
    tiny.make(tmp_path)
    tiny.write_second(tmp_path, cells)
    with pytest.raises(RunbookError, match=said):
        prepared(tmp_path)


def test_two_steps_may_not_write_what_a_third_one_reads(tmp_path):
    tiny.make(tmp_path)
    tiny.write_third(tmp_path, ["step.write('numbers', [])"])
    with pytest.raises(RunbookError, match=r"'numbers', which 01_first and 03_third both write"):
        prepared(tmp_path)


def test_a_parameters_cell_that_differs_from_its_model_is_refused(tmp_path):
    tiny.make(tmp_path)
    made = tiny.notebook(tiny.SECOND, "factor = 1.0\nmodel = 'toy'\nfaktor = 1", "SecondParams")
    (tmp_path / "notebooks" / "02_second.ipynb").write_text(made)
    with pytest.raises(RunbookError, match="differ in allow_remote, faktor"):
        prepared(tmp_path)


@pytest.mark.parametrize(
    ("text", "of", "holds"),
    [
        ("08_train.rows > 0", record(rows=3), True),
        ("08_train.rows > 0", record(rows=0), False),
        ("08_train.rows", record(), False),
        ("not 08_train.rows", record(), True),
        ("08_train.name == sft", record(name="sft"), True),
        ("08_train.rows > 0", record("skipped"), False),
        ("08_train.status == skipped", record("skipped"), True),
        ("08_train.status == finished", None, False),
    ],
)
def test_a_condition_asks_about_a_value_of_an_earlier_step(text, of, holds):
    assert When(text).holds(of)[0] is holds


def test_a_condition_on_a_skipped_step_says_why_that_was_skipped():
    skipped = record("skipped").model_copy(update={"reason": "no local weights"})
    assert "08_train was skipped: no local weights" in When("08_train.rows > 0").holds(skipped)[1]
