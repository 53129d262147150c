"""Runs: folders of finished steps, and the `step` that a notebook reads from and writes to."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from kt_lib import artifacts
from kt_lib.artifacts import Artifact
from kt_lib.by_hand import context_by_hand
from kt_lib.errors import ArtifactError, SetupError
from kt_lib.history import PRODUCED_FILE, Context, Input, Produced, StepRecord
from kt_lib.labels import Interaction, Label
from kt_lib.params import NOTEBOOKS, InputPath, NotebookParams, Params, marked, validated
from kt_lib.records import Record
from kt_lib.settings import Settings
from kt_lib.standing import Standing, standing

CONTEXT_VARIABLE = "KT_STEP"

AnyRecord = TypeVar("AnyRecord", bound=Record)
_JSON: TypeAdapter[Any] = TypeAdapter(JsonValue)


class StepSkipped(Exception):
    """Raised by `step.skip`: the notebook is done because there is nothing for it to do."""

    def _render_traceback_(self) -> list[str]:
        return [f"Nothing to do here: {self}"]


class Step(Generic[Params]):
    """A notebook's way in and out: its parameters, what it reads, what it writes."""

    def __init__(self, context: Context, params: Params) -> None:
        self.params = params
        self.run_id = context.run_id
        self.notebook = context.notebook
        self.folder = Path(context.folder)
        self.root = Path(context.root)
        self.state = Path(context.state)
        self._context = context
        self._produced = Produced()

    @property
    def by_hand(self) -> bool:
        """Whether a person runs the notebook, and not `kt run`."""
        return bool(self._context.by_hand)

    def __repr__(self) -> str:
        where = f"by hand. {self._context.by_hand}" if self.by_hand else f"of run {self.run_id}."
        return f"{self.notebook} {where}"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>"

    # --- reading ---

    def has(self, name: str) -> bool:
        """Whether an earlier step wrote artifact `name`; asking makes the artifact optional for this notebook."""
        return name in self._context.inputs

    def read(self, name: str, type_: type[AnyRecord]) -> Iterator[AnyRecord]:
        """Records of artifact `name`, one at a time."""
        one = self._input(name)
        return artifacts.read_rows(Path(one.path), type_, one.artifact)

    def read_all(self, name: str, type_: type[AnyRecord]) -> list[AnyRecord]:
        """Records of artifact `name`, all at once."""
        return list(self.read(name, type_))

    def read_text(self, name: str) -> str:
        """A text artifact."""
        return self.path(name).read_text(encoding="utf-8")

    def path(self, name: str) -> Path:
        """Where artifact `name` (a file or a folder) of an earlier step lies."""
        path = Path(self._input(name).path)
        if not path.exists():
            raise ArtifactError(f"{path} is missing: run `kt run` to make it again")
        return path

    def metrics_of(self, notebook: str) -> dict[str, JsonValue]:
        """Metrics of an earlier step of this run."""
        for record in self._context.steps:
            if record.notebook == notebook:
                return record.metrics
        raise ArtifactError(f"no finished step {notebook!r} before {self.notebook}: run `kt run` first")

    def steps(self) -> tuple[StepRecord, ...]:
        """Every earlier step of this run with its parameters, metrics, seconds and cpu_seconds."""
        return self._context.steps

    def pages(self) -> dict[str, str]:
        """The page of each earlier step, as a path relative to the outputs folder."""
        return self._context.pages

    def labels(self) -> tuple[Label, ...]:
        """What people say, one label for each question: what was settled, else what most annotators say.

        Under `kt run` they are those of the moment the step was decided; by hand those of now.
        """
        return self._standing().labels

    def tied_labels(self) -> tuple[str, ...]:
        """Questions without a label, because as many annotators say one thing as another: settle them."""
        return self._standing().tied

    def agreeing_annotators(self) -> dict[str, int]:
        """By question, how many annotators say what its label says."""
        return self._standing().agreeing

    def interactions(self) -> tuple[Interaction, ...]:
        """Exchanges in the playground that a person judged."""
        return self._standing().interactions

    # --- writing ---

    def write(self, name: str, records: Iterable[Record]) -> int:
        """Write records as artifact `name`; returns how many. It is there whole or not at all."""
        artifact = artifacts.write_rows(self.folder, name, records)
        self._add(writes={name: artifact})
        return artifact.rows or 0

    def write_text(self, name: str, text: str) -> Path:
        """Write a text artifact such as `card.md`; returns its path."""
        self._add(writes={name: artifacts.write_text(self.folder, name, text)})
        return self.folder / name

    def folder_for(self, name: str) -> Path:
        """An empty folder to fill; it becomes artifact `name` with `keep(name)`."""
        path = self.folder / artifacts.checked_name(name)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def keep(self, name: str, empty: str = "") -> Path:
        """Register the folder from `folder_for(name)`, now whole, as an artifact; returns its path.

        Where it may rightly hold nothing, `empty` says why, and stands in it as its README.md.
        """
        if empty and not any(self.folder_for(name).iterdir()):
            artifacts.write_whole(self.folder / name / "README.md", f"{empty}\n")
        self._add(writes={name: artifacts.describe_folder(self.folder, name)})
        return self.folder / name

    def metric(self, name: str, value: Any) -> None:
        """Record a number, a record such as `Rate`, or any JSON value under `name`."""
        plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        try:
            self._add(metrics={name: _JSON.validate_json(json.dumps(plain, allow_nan=False, default=_plain))})
        except (ValueError, TypeError, ValidationError) as error:
            raise ArtifactError(f"metric {name!r} of {self.notebook} is no JSON value: {error}") from None

    def skip(self, reason: str) -> None:
        """End the notebook here, well, because there is nothing for it to do; later steps see it as skipped."""
        self._produced = self._produced.model_copy(update={"skipped": reason})
        self._save()
        raise StepSkipped(reason)

    # --- within ---

    def _standing(self) -> Standing:
        if self._context.labels is None and not self.by_hand:
            raise ArtifactError(f"{self.notebook} must say `step.labels()` in a cell of its own, the plan reads it")
        return self._context.labels or labels_in(self.state)

    def _input(self, name: str) -> Input:
        try:
            return self._context.inputs[name]
        except KeyError:
            raise ArtifactError(
                f"{self.notebook} reads {name!r}, which no finished step wrote: run `kt run` first"
            ) from None

    def _add(self, *, writes: dict[str, Artifact] | None = None, metrics: dict[str, Any] | None = None) -> None:
        self._produced = self._produced.model_copy(
            update={
                "writes": {**self._produced.writes, **(writes or {})},
                "metrics": {**self._produced.metrics, **(metrics or {})},
            }
        )
        self._save()

    def _save(self) -> None:
        artifacts.write_whole(self.folder / PRODUCED_FILE, self._produced.model_dump_json(indent=1))


def open_step(model: type[Params], namespace: Mapping[str, Any]) -> Step[Params]:
    """The step of the notebook whose `globals()` are given; its parameters are validated by `model`.

    Under `kt run` artifacts go to the run's folder and inputs come from the run; by hand, inputs come from the newest
    finished run (where there is none, from the shipped sample) and artifacts go to `outputs/scratch/`, which no
    notebook reads: to see what a change does further on, run `kt run`. Raises `ParameterError` for a wrong parameter.
    """
    values = {name: namespace[name] for name in model.model_fields if name in namespace}
    params = validated(model, values, "the parameters cell")
    told = os.environ.get(CONTEXT_VARIABLE)
    context = Context.model_validate_json(Path(told).read_bytes()) if told else _context_by_hand(model)
    return Step(context, with_absolute_paths(params, Path(context.root)))


def with_absolute_paths(params: Params, root: Path) -> Params:
    """`params` with every path that names an input made absolute, from the workspace on."""

    def absolute(value: str) -> str:
        return str(root / Path(value).expanduser()) if value else value

    update: dict[str, Any] = {}
    for name in marked(type(params), InputPath):
        value = getattr(params, name)
        update[name] = absolute(value) if isinstance(value, str) else tuple(absolute(one) for one in value)
    return params.model_copy(update=update)


def labels_in(state: Path) -> Standing:
    """The labels that stand in the ledger of a state folder; none where there is no ledger yet."""
    from kt_lib.ledger import FILE, open_ledger

    if Settings().ledger is None and not (state / FILE).exists():
        return Standing()
    from kt_lib.interactions import InteractionStore
    from kt_lib.label_store import LabelStore

    with open_ledger(state) as ledger:
        judged = tuple(InteractionStore(ledger).all(judged=True))
        return standing(LabelStore(ledger).labels()).model_copy(update={"interactions": judged})


def workspace_root(start: Path | None = None) -> Path:
    """The nearest folder at or above `start` (by default the current one) that holds runbook.yaml and notebooks/."""
    start = (start or Path.cwd()).absolute()
    for folder in (start, *start.parents, Path(__file__).absolute().parents[1]):
        if (folder / "runbook.yaml").is_file() and (folder / "notebooks").is_dir():
            return folder
    raise SetupError(f"no workspace at or above {start}: go to the folder that holds runbook.yaml and notebooks/")


def _context_by_hand(model: type[NotebookParams]) -> Context:
    root = workspace_root()
    name = next((name for name, one in NOTEBOOKS.items() if one is model), model.__name__)
    return context_by_hand(name, root, Settings().state_folder(root))


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if hasattr(value, "item"):
        return value.item()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")
