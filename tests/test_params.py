"""Parameters: nothing unknown, nothing missing, nothing out of bounds, and a message that names every fault."""

import pytest

from kt_lib.errors import ParameterError
from kt_lib.params import (
    NOTEBOOKS,
    ImproveParams,
    InputPath,
    KnowledgeParams,
    Permission,
    TrainParams,
    marked,
    validated,
)


def test_text_from_yaml_or_the_command_line_becomes_a_number():
    assert validated(KnowledgeParams, {"min_support": "3"}, "here").min_support == 3


def test_every_fault_is_told_at_once_with_where_the_values_came_from():
    with pytest.raises(ParameterError) as refused:
        validated(TrainParams, {"recipe": "embedded", "seed": -1, "epochs": 2}, "runbook.yaml")
    said = str(refused.value)
    assert said.startswith("runbook.yaml: ")
    for part in ("'epochs'", "'seed' is -1", "'local_base' has no value"):
        assert part in said
    assert "'recipe'" not in said
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("model", NOTEBOOKS.values(), ids=lambda model: model.__name__)
def test_no_parameter_has_a_default_and_every_name_is_an_identifier(model):
    for name, field in model.model_fields.items():
        assert field.is_required(), name
        assert name.isidentifier(), name


@pytest.mark.parametrize("value", ["nan", "inf", float("inf")])
def test_a_number_that_is_none_is_refused(value):
    fields = dict.fromkeys(ImproveParams.model_fields, 1) | {"alpha": value}
    with pytest.raises(ParameterError, match="alpha"):
        validated(ImproveParams, fields, "here")


def test_paths_and_permissions_are_marked():
    assert marked(NOTEBOOKS["01_ingest"], InputPath) == ("source",)
    assert marked(NOTEBOOKS["06_improve"], Permission) == ("allow_remote", "max_calls")
