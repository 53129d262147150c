"""How to train: the one form of a recipe, under the engine's own names, and the recipes that ship with kt."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from kt_lib.errors import ParameterError
from kt_lib.records import Record
from kt_lib.yaml_files import read_yaml

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
LearningRate = Annotated[float, Field(gt=0, le=1)]
PreferenceLoss = Literal[
    "sigmoid", "sigmoid_norm", "hinge", "ipo", "nca_pair", "sppo_hard", "bco_pair", "aot", "apo_zero", "apo_down"
]
"""Losses of TRL's DPOTrainer that need no further setting."""
Schedule = Literal[
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt"
]
"""Learning rates over time that transformers' Trainer knows and that need no further setting."""

_SHIPPED = files("kt_lib") / "shipped_recipes"


class Lora(Record):
    """The adapter's shape, under PEFT's names."""

    r: Count = 16
    """Rank."""
    lora_alpha: Count = 32
    """Scale; the update is multiplied by `lora_alpha / r`."""
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the adapter's inputs left out at random in training."""
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Linear layers that get an adapter, by the ends of their names; `all-linear` is each of them but the last."""


class SftRecipe(Record):
    """Supervised fine-tuning, under the engine's names."""

    num_train_epochs: Count
    """Passes over the rows."""
    learning_rate: LearningRate
    """Peak learning rate of AdamW."""
    per_device_train_batch_size: Count
    """Rows that a device reads at once."""
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    """Seed of the adapter's first weights and of the order of rows."""
    gradient_accumulation_steps: Count = 1
    """Such batches per optimiser step."""
    lora: Lora = Lora()
    """The adapter."""
    load_in_4bit: bool = False
    """Whether the frozen base is held in 4 bits (NF4, QLoRA)."""
    lr_scheduler_type: Schedule = "cosine"
    """How the learning rate goes over time; `constant` leaves out the warm-up too."""
    warmup_steps: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5
    """Steps of linear warm-up; below 1, a share of all steps."""
    max_length: Count | None = None
    """Most tokens of a row; a longer one is refused by name, never cut. None is what the model reads."""
    packing: bool = False
    """Whether short rows are put one after another up to `max_length`; attention does not cross from one to the next.

    It pays on a GPU with flash attention; on a CPU it was slower than batches of like length.
    """

    @model_validator(mode="after")
    def _packed_to_a_length(self) -> SftRecipe:
        if self.packing and not self.max_length:
            raise ValueError("`packing` needs a `max_length` to pack to")
        return self


class DpoRecipe(Record):
    """Direct preference optimisation, under the engine's names."""

    num_train_epochs: Count
    """Passes over the pairs."""
    learning_rate: LearningRate
    """Peak learning rate of AdamW."""
    beta: Positive
    """How closely the policy is held to the reference."""
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    """Seed of the order of pairs, and of the adapter's first weights where there was no SFT."""
    loss_type: PreferenceLoss = "sigmoid"
    """Form of the preference loss: `sigmoid` is DPO itself, `ipo` holds back where pairs are few and clear."""
    per_device_train_batch_size: Count = 8
    """Pairs that a device reads at once."""
    gradient_accumulation_steps: Count = 1
    """Such batches per optimiser step."""
    lora: Lora = Lora()
    """The adapter, where there was no SFT to go on from."""
    load_in_4bit: bool = False
    """Whether the frozen base is held in 4 bits (NF4, QLoRA)."""
    lr_scheduler_type: Schedule = "cosine"
    """How the learning rate goes over time; `constant` leaves out the warm-up too."""
    warmup_steps: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 3
    """Steps of linear warm-up; below 1, a share of all steps."""
    max_length: Count | None = None
    """Most tokens of a prompt with either answer; a longer pair is refused by name, never cut."""


class Recipe(Record):
    """A whole training as it is declared in a YAML file."""

    name: str
    """Its name, that of its file."""
    why: str
    """What it is for, and where its values come from."""
    sft: SftRecipe
    """Supervised fine-tuning."""
    dpo: DpoRecipe | None = None
    """Preference optimisation after it; None leaves it out."""


AnyPart = TypeVar("AnyPart", SftRecipe, DpoRecipe)


def shipped_recipes() -> list[str]:
    """Names of the recipes that ship with kt."""
    return sorted(file.name.removesuffix(".yaml") for file in _SHIPPED.iterdir() if file.name.endswith(".yaml"))


def recipe(name_or_path: str | Path) -> Recipe:
    """A shipped recipe by its name, or one of your own by its YAML file.

    ParameterError, which lists the known names or the faults, for a name nobody knows and a file that is no recipe.
    """
    if isinstance(name_or_path, str) and name_or_path in shipped_recipes():
        with as_file(_SHIPPED / f"{name_or_path}.yaml") as path:
            return _read(path)
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        known = ", ".join(shipped_recipes())
        raise ParameterError(f"no recipe is called {str(name_or_path)!r}: take one of {known}, or a YAML file")
    return _read(path)


def changed(of: Recipe, sft: Mapping[str, Any], dpo: Mapping[str, Any]) -> Recipe:
    """The recipe with some fields of SFT and of DPO set anew; a mapping under `lora` sets some fields of the adapter.

    `num_train_epochs: 0` leaves DPO out. ParameterError, with the known names, for a field there is not.
    """
    if of.dpo is None and dpo and dpo.get("num_train_epochs") != 0:
        raise ParameterError(f"the recipe {of.name} has no DPO part to change: leave out {', '.join(sorted(dpo))}")
    left_out = of.dpo is None or dpo.get("num_train_epochs") == 0
    return of.model_copy(
        update={
            "sft": _changed(of.sft, sft, f"sft of the recipe {of.name}"),
            "dpo": None if left_out or of.dpo is None else _changed(of.dpo, dpo, f"dpo of the recipe {of.name}"),
        }
    )


def seeded(of: Recipe, seed: int) -> Recipe:
    """The recipe with another seed for both of its parts."""
    dpo = of.dpo.model_copy(update={"seed": seed}) if of.dpo else None
    return of.model_copy(update={"sft": of.sft.model_copy(update={"seed": seed}), "dpo": dpo})


def _read(path: Path) -> Recipe:
    values = read_yaml(path, "recipe", ParameterError)
    if not isinstance(values, dict):
        raise ParameterError(f"{path} must hold `name:`, `why:`, `sft:` and, where wanted, `dpo:`")
    found = _checked(Recipe, values, str(path))
    if found.name != path.stem:
        raise ParameterError(f"{path}: `name` is {found.name!r}; a recipe is called as its file, {path.stem!r}")
    return found


def _changed(part: AnyPart, values: Mapping[str, Any], where: str) -> AnyPart:
    old = part.model_dump()
    lora = values.get("lora")
    if isinstance(lora, Mapping):
        values = {**values, "lora": {**old["lora"], **lora}}
    return _checked(type(part), {**old, **values}, where)


AnyRecord = TypeVar("AnyRecord", bound=Record)


def _checked(form: type[AnyRecord], values: Mapping[str, Any], where: str) -> AnyRecord:
    try:
        return form.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(_fault(form, one["type"], one["loc"], one["msg"], one["input"]) for one in error.errors())
        raise ParameterError(f"{where}: {faults}") from None


def _fault(form: type[Record], kind: str, loc: tuple[int | str, ...], message: str, value: Any) -> str:
    name = ".".join(map(str, loc))
    if kind == "extra_forbidden":
        return f"there is no `{name}`; there are {', '.join(_fields(form, loc[:-1]))}"
    if kind == "missing":
        return f"`{name}` has no value"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    return f"`{name}` is {value!r}: {message[0].lower()}{message[1:]}"


def _fields(form: type[Record], loc: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the part that `loc` leads to."""
    parts: dict[int | str, type[Record]] = {"sft": SftRecipe, "dpo": DpoRecipe, "lora": Lora}
    return list((parts[loc[-1]] if loc else form).model_fields)
