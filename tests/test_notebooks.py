"""Notebooks: one story each, nothing hidden in them, parameters that agree with their model and their files."""

import ast
import json
from pathlib import Path

import pytest
import yaml

from kt_lib.params import NOTEBOOKS, Permission, marked
from kt_lib.records import Record
from kt_lib.runbook import load_runbook, prepare

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "notebooks").glob("*.ipynb"))
BY_HAND = {"playground"}
"""Notebooks that are no step of a run."""
BANNED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Try, ast.While, ast.Lambda)


def cells(file: Path) -> list[dict]:
    return json.loads(file.read_text())["cells"]


def code(file: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in cells(file) if cell["cell_type"] == "code"]


def parameters(file: Path) -> set[str]:
    (cell,) = [c for c in cells(file) if "parameters" in c["metadata"].get("tags", [])]
    return {target.id for node in ast.parse("".join(cell["source"])).body for target in node.targets}


def test_every_notebook_has_its_parameters_and_the_runbook_runs_them_all_in_order():
    names = [file.stem for file in FILES]
    assert names == sorted(NOTEBOOKS)
    assert [step.notebook for step in load_runbook(ROOT / "runbook.yaml").steps] == [
        n for n in names if n not in BY_HAND
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_notebook_begins_with_its_question_and_what_it_reads_and_writes(file):
    first = "".join(cells(file)[0]["source"])
    assert first.startswith("# ")
    assert first.count("\n# ") == 0
    assert "**Reads**" in first
    assert "**Writes**" in first


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_notebook_defines_nothing_and_its_cells_are_short(file):
    for source in code(file):
        assert len(source.splitlines()) <= 15, source
        found = [type(node).__name__ for node in ast.walk(ast.parse(source)) if isinstance(node, BANNED)]
        assert not found, source


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_notebook_is_committed_without_outputs(file):
    for cell in cells(file):
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_parameters_cell_model_and_files_name_the_same_values(file):
    model = NOTEBOOKS[file.stem]
    assert parameters(file) == set(model.model_fields)
    shared = set(load_runbook(ROOT / "runbook.yaml").with_)
    own = set(yaml.safe_load((ROOT / "params" / f"{file.stem}.yaml").read_text()) or {})
    assert not own & shared, "a value stands in one place"
    assert set(model.model_fields) <= own | shared
    assert own <= set(model.model_fields)


def test_the_parameters_cell_says_what_the_batch_says():
    steps = prepare(load_runbook(ROOT / "runbook.yaml"), ROOT, NOTEBOOKS, {})
    for step in steps:
        file = ROOT / "notebooks" / f"{step.name}.ipynb"
        (cell,) = [c for c in cells(file) if "parameters" in c["metadata"].get("tags", [])]
        by_hand: dict = {}
        exec("".join(cell["source"]), by_hand)
        batch = step.params.model_dump(mode="json")
        assert {name: by_hand[name] for name in batch} == batch, file.stem


def test_permissions_are_no_part_of_a_steps_key():
    assert set(marked(NOTEBOOKS["03_difference"], Permission)) == {"allow_remote", "max_calls"}


def test_every_field_of_every_record_and_parameter_is_explained():
    def kinds(base):
        return [kind for direct in base.__subclasses__() for kind in (direct, *kinds(direct))]

    records = [kind for kind in kinds(Record) if kind.__module__ == "kt_lib.records"]
    for model in (*NOTEBOOKS.values(), *records):
        unexplained = [name for name, field in model.model_fields.items() if not field.description]
        assert not unexplained, (model.__name__, unexplained)
