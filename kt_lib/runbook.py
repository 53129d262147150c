"""Runbooks: read strictly, checked whole before anything runs, and put in order."""

from __future__ import annotations

import difflib
import graphlib
import operator
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from kt_lib.errors import ParameterError, RunbookError
from kt_lib.history import StepRecord
from kt_lib.notebook import Notebook, read_notebook
from kt_lib.params import NotebookParams, validated
from kt_lib.yaml_files import read_yaml


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, use_attribute_docstrings=True)


class RunbookStep(_Strict):
    """One line of a runbook."""

    notebook: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]
    """Notebook, without `.ipynb`."""
    with_: Annotated[dict[str, JsonValue], Field(alias="with")] = {}
    """Values for this step alone."""
    when: str | None = None
    """`<notebook>.<metric>`, optionally compared: `08_train.rows > 0`; false records the step as skipped."""
    minutes: Annotated[float, Field(gt=0)] | None = None
    """Time limit of this notebook."""


class Runbook(_Strict):
    """A runbook as written."""

    name: Annotated[str, Field(min_length=1)]
    """What it does, in a line."""
    with_: Annotated[dict[str, JsonValue], Field(alias="with")] = {}
    """Values shared by the notebooks that declare them."""
    minutes: Annotated[float, Field(gt=0)] = 120
    """Time limit of each notebook."""
    steps: Annotated[tuple[RunbookStep, ...], Field(min_length=1)]
    """The steps."""


class PreparedStep:
    """A step with its notebook's facts, its checked parameters and its condition."""

    def __init__(self, notebook: Notebook, params: NotebookParams, when: When | None, minutes: float) -> None:
        self.notebook, self.params, self.when, self.minutes = notebook, params, when, minutes
        self.before: frozenset[str] = frozenset()
        self.writers: dict[str, str] = {}

    @property
    def name(self) -> str:
        """The notebook's name."""
        return self.notebook.name


_WHEN = re.compile(r"\s*(not\s+)?([A-Za-z0-9_]+)\.([A-Za-z0-9_.]+)\s*(?:(==|!=|>=|<=|>|<)\s*(.+?)\s*)?")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


class When:
    """A step's condition on a metric (or `status`) of an earlier step."""

    def __init__(self, text: str) -> None:
        match = _WHEN.fullmatch(text)
        if not match:
            raise RunbookError(f"`when: {text}` is not `<notebook>.<metric>`, alone or compared with a value")
        negated, self.notebook, self.metric, self._compare, right = match.groups()
        self.text, self._negated = text, bool(negated)
        self._right = yaml.safe_load(right) if right is not None else None

    def holds(self, record: StepRecord | None) -> tuple[bool, str]:
        """Whether it holds given the step it asks about (None: that step did not run), and why not, in words."""
        if self.metric == "status":
            value: Any = record.status if record else "skipped"
        elif record is None or record.status == "skipped":
            reason = f": {record.reason}" if record and record.reason else ""
            return self._negated, f"when {self.text}: {self.notebook} was skipped{reason}"
        else:
            value = record.metrics.get(self.metric)
        try:
            true = _COMPARE[self._compare](value, self._right) if self._compare else bool(value)
        except TypeError:
            raise RunbookError(f"`when: {self.text}` cannot compare {value!r} with {self._right!r}") from None
        return true != self._negated, f"when {self.text}: it is {value!r}"


def load_runbook(path: Path) -> Runbook:
    """The runbook at `path`. Raises `RunbookError` for broken YAML, equal keys, unknown keys and wrong types."""
    return _checked(Runbook, read_yaml(path, "runbook", RunbookError), path)


def prepare(
    runbook: Runbook,
    root: Path,
    models: Mapping[str, type[NotebookParams]],
    overrides: Mapping[str, JsonValue],
) -> list[PreparedStep]:
    """Every step, checked and in an order in which each comes after what it reads.

    `models` gives the parameters of each notebook; `overrides` come from the command line. Raises `RunbookError` or
    `ParameterError`; no kernel has started by then.
    """
    names = [step.notebook for step in runbook.steps]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RunbookError(f"the runbook has {', '.join(twice)} more than once")
    for name in names:
        if name not in models or not (root / "notebooks" / f"{name}.ipynb").is_file():
            raise RunbookError(f"the runbook names notebook {name!r}, which does not exist{_meant(name, models)}")
    used = {name: models[name] for name in names}
    _refuse_unknown("the runbook's `with:`", runbook.with_, used)
    _refuse_unknown("the command line", overrides, used)
    steps = [_prepared(step, runbook, root, models[step.notebook], overrides) for step in runbook.steps]
    return _in_order(steps)


def _prepared(
    step: RunbookStep, runbook: Runbook, root: Path, model: type[NotebookParams], overrides: Mapping[str, JsonValue]
) -> PreparedStep:
    notebook = read_notebook(root / "notebooks" / f"{step.notebook}.ipynb")
    path = root / "params" / f"{step.notebook}.yaml"
    own = read_yaml(path, "parameter file", RunbookError) if path.is_file() else {}
    if not isinstance(own, dict):
        raise ParameterError(f"{path} must hold `name: value` lines")
    shared = {name: value for name, value in runbook.with_.items() if name in model.model_fields}
    both = sorted(set(own) & set(shared))
    if both:
        raise ParameterError(f"{', '.join(both)} stands in {path} and in the runbook's `with:`: keep one")
    given = {name: value for name, value in overrides.items() if name in model.model_fields}
    values = {**own, **shared, **step.with_, **given}
    params = validated(model, values, f"{step.notebook} (params/{step.notebook}.yaml, runbook, command line)")
    if set(notebook.parameters) != set(model.model_fields):
        odd = ", ".join(sorted(set(notebook.parameters) ^ set(model.model_fields)))
        raise RunbookError(f"{step.notebook}: its parameters cell and {model.__name__} differ in {odd}")
    return PreparedStep(notebook, params, When(step.when) if step.when else None, step.minutes or runbook.minutes)


def _in_order(steps: list[PreparedStep]) -> list[PreparedStep]:
    by_name = {step.name: step for step in steps}
    writers: dict[str, list[str]] = {}
    for step in steps:
        for name in step.notebook.writes:
            writers.setdefault(name, []).append(step.name)
    graph: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
    for position, step in enumerate(steps):
        step.writers = _writers_for(step, writers)
        step.before = _before(step, steps[:position], by_name)
        graph.add(step.name, *step.before)
    try:
        graph.prepare()
    except graphlib.CycleError as error:
        raise RunbookError(f"the runbook runs in a circle: {' -> '.join(error.args[1])}") from None
    ordered: list[PreparedStep] = []
    ready: list[str] = []
    while graph.is_active():
        ready = sorted([*ready, *graph.get_ready()], key=list(by_name).index)
        ordered.append(by_name[ready.pop(0)])
        graph.done(ordered[-1].name)
    return ordered


def _writers_for(step: PreparedStep, writers: Mapping[str, list[str]]) -> dict[str, str]:
    """The step that writes each artifact this one reads."""
    found: dict[str, str] = {}
    for name in sorted(step.notebook.reads | step.notebook.optional):
        others = [writer for writer in writers.get(name, []) if writer != step.name]
        if len(others) > 1:
            raise RunbookError(f"{step.name} reads {name!r}, which {' and '.join(others)} both write")
        if not others and name in step.notebook.reads:
            raise RunbookError(f"{step.name} reads {name!r}, which no step of the runbook writes")
        if others:
            found[name] = others[0]
    return found


def _before(step: PreparedStep, above: list[PreparedStep], by_name: Mapping[str, PreparedStep]) -> frozenset[str]:
    """The steps that must come before this one."""
    asked = set(step.notebook.asks) | ({step.when.notebook} if step.when else set())
    for name in sorted(asked):
        if name not in by_name:
            raise RunbookError(f"{step.name} asks about {name!r}, no step of the runbook{_meant(name, by_name)}")
    all_above = {one.name for one in above} if step.notebook.sees_all else set()
    return frozenset(asked | all_above | set(step.writers.values()))


def _refuse_unknown(where: str, values: Mapping[str, Any], models: Mapping[str, type[NotebookParams]]) -> None:
    known = {name for model in models.values() for name in model.model_fields}
    for name in values:
        if name not in known:
            raise ParameterError(f"{where}: no notebook of the runbook has a parameter {name!r}{_meant(name, known)}")


def _meant(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, [str(one) for one in known], n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _checked(model: type[Runbook], value: Any, path: Path) -> Runbook:
    if not isinstance(value, dict):
        raise RunbookError(f"{path} must hold `name:`, `with:` and `steps:`")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = (f"`{'.'.join(map(str, one['loc']))}`: {one['msg']}" for one in error.errors())
        raise RunbookError(f"{path}: {'; '.join(faults)}") from None
