"""What each notebook can be told: one frozen model per notebook, without defaults.

A value comes from the command line, the runbook (`with:`) or `params/<notebook>.yaml`, in that order; by hand it is
what the notebook's `parameters` cell says. A field marked `InputPath` names files whose content counts as an input of
the step; one marked `Permission` allows something without changing the result, and is no part of a step's key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from kt_lib.errors import ParameterError
from kt_lib.labels import QuestionKind
from kt_lib.mixes import Sources as MixSources


class _Mark:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


InputPath = _Mark("InputPath")
Permission = _Mark("Permission")


def _one_is_a_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Sources = Annotated[tuple[str, ...], BeforeValidator(_one_is_a_list), InputPath]
Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_one_is_a_list)]
ModelName = Annotated[str, Field(min_length=1, max_length=200)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Share = Annotated[float, Field(ge=0, le=1)]
Margin = Annotated[float, Field(gt=0, lt=1)]
TaskCount = Annotated[int, Field(ge=0, le=1_000_000)]
CallCap = Annotated[int, Field(ge=0, le=100_000_000), Permission]
AllowRemote = Annotated[bool, Permission]
LearningRate = Annotated[float, Field(gt=0, le=1)]
ProtocolName = Literal["json", "native"]


class NotebookParams(BaseModel):
    """The parameters of one notebook: frozen, every name known, no defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class IngestParams(NotebookParams):
    """01_ingest."""

    source: Sources
    """Files or folders to read; empty means the shipped sample and the embedded world."""
    seed: Seed
    """Seed of the generated tasks."""
    train_tasks: TaskCount
    """Tasks of the embedded world to learn from."""
    dev_tasks: TaskCount
    """Tasks of the embedded world to choose levers on."""
    test_tasks: TaskCount
    """Held-out tasks of the embedded world for the verdict."""
    guard_tasks: TaskCount
    """Held-out tasks of each guard set."""


class LabelParams(NotebookParams):
    """02_label."""

    annotator: Annotated[str, Field(max_length=100)]
    """Who labels; empty means KT_ANNOTATOR, or the user of this machine."""
    annotators: Names
    """Who shares the questions; nobody means that everybody gets all of them."""
    overlap: Share
    """Share of the questions that every annotator gets, so that agreement can be measured."""
    kinds: Annotated[tuple[QuestionKind, ...], BeforeValidator(_one_is_a_list)]
    """What to ask about."""
    order: Literal["uncertain", "disagreement", "diverse", "as_is"]
    """What to ask first."""
    hide_suggestions: bool
    """Whether suggestions are out of sight at the start."""
    threshold: Share
    """Score from which suggestions can be accepted many at once."""
    audit_share: Share
    """Share of those that comes back to be looked at."""
    seed: Seed
    """Seed of what is drawn."""


class DifferenceParams(NotebookParams):
    """03_difference."""

    model: ModelName
    """Model by name: `embedded`, `ollama:<model>`, `openai:<model>`."""
    protocol: ProtocolName
    """How agent calls are made."""
    allow_remote: AllowRemote
    """Consent to send requests to a host that is not this machine."""
    max_calls: CallCap
    """Most calls to a remote model in this step."""


class KnowledgeParams(NotebookParams):
    """04_knowledge."""

    min_support: Annotated[int, Field(ge=1, le=1000)]
    """Times a pattern must have been seen."""


class ImproveParams(NotebookParams):
    """06_improve."""

    model: ModelName
    """Model by name."""
    protocol: ProtocolName
    """How agent calls are made."""
    few_shot: Annotated[int, Field(ge=0, le=16)]
    """Examples in a few-shot prompt; 0 leaves the lever out."""
    prompts: Names
    """Prompt variants to try, by name."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)]
    """Level of the paired test after Holm."""
    allow_remote: AllowRemote
    """Consent to send requests to a host that is not this machine."""
    max_calls: CallCap
    """Most calls to a remote model in this step."""


class DatasetsParams(NotebookParams):
    """07_datasets."""

    model: ModelName
    """Model by name: rows are measured by its own tokenizer where its weights are here."""
    local_base: Annotated[str, InputPath]
    """Folder of base weights for a served model; empty means the embedded model's own, or none."""
    protocol: ProtocolName
    """How agent calls are made."""
    max_rows: Annotated[int, Field(ge=1, le=10_000_000)]
    """SFT rows in all, of which the mix takes its shares."""
    mix: MixSources
    """What is asked of each source: a share of `max_rows` (0.4) or a count of rows (80)."""
    scale_to: Annotated[str, Field(max_length=100)]
    """Source by which a smaller mix keeps its shares; empty leaves the others as they are."""
    variations: Annotated[int, Field(ge=0, le=40)]
    """Variations of each of the eight documented errors."""
    max_pairs: Annotated[int, Field(ge=0, le=10_000_000)]
    """Most preference pairs."""
    leak_check: Annotated[float, Field(gt=0, le=1)]
    """Similarity at and above which a training row counts as a leak of an evaluation task."""
    seed: Seed
    """Seed of what is drawn."""


class TrainParams(NotebookParams):
    """08_train."""

    model: ModelName
    """Model by name."""
    local_base: Annotated[str, InputPath]
    """Folder of base weights for a served model; empty means the embedded model's own, or none."""
    recipe: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
    """Shipped recipe by name: `embedded`, `qlora-7b-to-32b`."""
    recipe_file: Annotated[str, InputPath]
    """A recipe of your own, a YAML file; empty means the shipped one."""
    sft: dict[str, Any]
    """What is other than in the recipe's SFT, by the engine's names: `{num_train_epochs: 1}`."""
    dpo: dict[str, Any]
    """What is other than in its DPO; `{num_train_epochs: 0}` leaves DPO out."""
    ablations: Names
    """Sources or kinds of rows to learn alone beside the whole mix, so that one sees what each does."""
    seed: Seed
    """Seed of training."""


class EvaluateParams(NotebookParams):
    """09_evaluate."""

    model: ModelName
    """Model by name."""
    protocol: ProtocolName
    """How agent calls are made."""
    local_base: Annotated[str, InputPath]
    """Folder of base weights for a served model; empty means the embedded model's own, or none."""
    few_shot: Annotated[int, Field(ge=0, le=16)]
    """Examples in the few-shot prompt that stands beside training."""
    source: Sources
    """Where the tasks came from; without any, guards can draw more from the embedded world."""
    margin: Margin
    """Most that a guard may lose, in 0..1."""
    guard_bound: TaskCount
    """Most tasks a guard may draw to reach 80% power."""
    persona_tasks: TaskCount
    """Made-up conversations that measure the voice."""
    judge: Annotated[str, Field(max_length=200)]
    """Model that judges the voice too, by name as `kt label judge --model`; empty means none."""
    judge_calls: Annotated[int, Field(ge=1, le=1_000_000)]
    """Most requests to the judge; what is beyond them counts as an error, and is asked when the step runs again."""
    allow_remote: AllowRemote
    """Consent to send requests to a host that is not this machine."""
    seed: Seed
    """Seed of the tasks a guard draws."""


class ReleaseParams(NotebookParams):
    """10_release."""

    model: ModelName
    """Model by name."""
    protocol: ProtocolName
    """How agent calls are made."""
    local_base: Annotated[str, InputPath]
    """Folder of base weights for a served model; empty means the embedded model's own, or none."""
    promote: bool
    """Whether a version that passes the gate becomes the champion."""
    record_by_hand: Annotated[bool, Permission]
    """Whether the notebook run by hand may record its version, and promote it; `kt run` always records."""


class PlaygroundParams(NotebookParams):
    """playground."""

    version: Annotated[str, Field(max_length=200)]
    """Version or model to begin with; empty is what people get."""
    protocol: ProtocolName
    """How agent calls are made."""
    persona: Annotated[str, Field(max_length=100)]
    """Role or persona to begin with; empty for none."""
    profile: Annotated[str, Field(max_length=200)]
    """Profile to begin with; empty for none."""
    message: Annotated[str, Field(min_length=1, max_length=20_000)]
    """What is said where nobody is there to say something."""
    annotator: Annotated[str, Field(max_length=100)]
    """Who judges; empty means KT_ANNOTATOR, or the user of this machine."""
    allow_remote: AllowRemote
    """Consent to send requests to a host that is not this machine."""
    max_calls: CallCap
    """Most calls to a remote model."""


class ReportParams(NotebookParams):
    """14_report."""

    title: Annotated[str, Field(min_length=1, max_length=200)]
    """Title of the page."""
    audience: Literal["public", "team", "private"]
    """Whose words may be in it: public none, team excerpts, private all."""


Params = TypeVar("Params", bound=NotebookParams)

NOTEBOOKS: dict[str, type[NotebookParams]] = {
    "01_ingest": IngestParams,
    "02_label": LabelParams,
    "03_difference": DifferenceParams,
    "04_knowledge": KnowledgeParams,
    "06_improve": ImproveParams,
    "07_datasets": DatasetsParams,
    "08_train": TrainParams,
    "09_evaluate": EvaluateParams,
    "10_release": ReleaseParams,
    "14_report": ReportParams,
    "playground": PlaygroundParams,
}


def validated(model: type[Params], values: Mapping[str, Any], where: str) -> Params:
    """`values` as `model`, or a `ParameterError` that names every fault; `where` says where the values came from."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        faults = "; ".join(_fault(one["type"], one["loc"], one["msg"], one["input"]) for one in error.errors())
        raise ParameterError(f"{where}: {faults}") from None


def marked(model: type[NotebookParams], mark: _Mark) -> tuple[str, ...]:
    """Names of the fields that carry `mark` (`InputPath` or `Permission`)."""
    return tuple(name for name, field in model.model_fields.items() if mark in field.metadata)


def _fault(kind: str, loc: tuple[int | str, ...], message: str, value: Any) -> str:
    name = ".".join(str(part) for part in loc) or "(all)"
    if kind == "extra_forbidden":
        return f"unknown parameter {name!r}"
    if kind == "missing":
        return f"parameter {name!r} has no value"
    return f"parameter {name!r} is {value!r}: {message[0].lower()}{message[1:]}"
