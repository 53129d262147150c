"""A trained adapter on disk: its weights, and its card, neither of which names a place on this machine."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kt_lib.errors import ArtifactError
from kt_lib.recipes import DpoRecipe, Lora, SftRecipe
from kt_lib.records import Adapter, Record
from kt_lib.training.plan import Plan
from kt_lib.training.steps import Trained, risen
from kt_lib.weights import weights_digest

log = logging.getLogger(__name__)

CONFIG = "adapter_config.json"
"""PEFT's name for an adapter's configuration."""
_CARD = "README.md"


class Training(Record):
    """One of the trainings that made an adapter, as its card tells it."""

    name: str
    """sft, dpo, kto."""
    lines: tuple[str, ...]
    """Engine, rows, steps, time, memory, loss and recipe, a line each."""


def save(base: Path, trainer: Any, out: Path, told: Plan, trained: Trained, trainings: Sequence[Training]) -> Adapter:
    """Writes the adapter of a finished trainer to `out`, with a card that tells all `trainings` that made it.

    Of several processes the first one writes, and all return.
    """
    first, model = trainer.is_world_process_zero(), trainer.model
    if first:
        out.mkdir(parents=True, exist_ok=True)
        model.peft_config["default"].base_model_name_or_path = base.name
        model.save_pretrained(str(out), selected_adapters=["default"], save_embedding_layers=False)
    trainer.accelerator.wait_for_everyone()
    adapter = Adapter(
        name="+".join(one.name for one in trainings),
        base=weights_digest(base),
        folder=out.name,
        digest=weights_digest(out),
        rows=told.rows,
        engine=told.way.name,
        **trained.model_dump(),
    )
    if first:
        (out / _CARD).write_text(_card(adapter, trainings), encoding="utf-8")
        last = adapter.losses[-1][1]
        log.info(
            "%s: %d rows, %d steps, %.1f s, loss %.4f", adapter.name, told.rows, adapter.steps, adapter.seconds, last
        )
    trainer.accelerator.wait_for_everyone()
    return adapter


def training(name: str, recipe: SftRecipe | DpoRecipe, told: Plan, trained: Trained, learned: str) -> Training:
    """A training in words: by which engine and why, from what, at which cost, by which recipe."""
    values = recipe.model_dump(exclude={"lora"}) | recipe.lora.model_dump()
    first, last = trained.losses[0][1], trained.losses[-1][1]
    return Training(
        name=name,
        lines=(
            f"Engine: {told.way.reason}",
            f"Trained on: {told.rows:,} rows, {trained.tokens:,} tokens seen, {trained.steps} optimiser steps",
            f"Learned: {learned}",
            f"Took: {trained.seconds:.1f} s",
            f"Memory: {trained.peak_mb:,.0f} MB at the peak; expected {told.memory.total_mb:,.0f} MB"
            f" ({told.memory.formula})",
            f"Loss: {first:.4f} at the first step, {last:.4f} at the last",
            *([f"Warning: {warned}"] if (warned := risen(trained.losses)) else ()),
            *(f"`{key}`: {value}" for key, value in values.items()),
        ),
    )


def trainings_of(adapter: Path) -> list[Training]:
    """The trainings that made the adapter in this folder, the first one first; none where it has no card."""
    card = adapter / _CARD
    found: list[tuple[str, list[str]]] = []
    for line in card.read_text(encoding="utf-8").splitlines() if card.is_file() else ():
        if line.startswith("## "):
            found.append((line.strip("# `"), []))
        elif line.startswith("- ") and found:
            found[-1][1].append(line.removeprefix("- "))
    return [Training(name=name, lines=tuple(lines)) for name, lines in found]


def config_of(adapter: Path) -> dict[str, Any]:
    """PEFT's configuration of the LoRA adapter in this folder; ArtifactError where it cannot be read."""
    try:
        config: dict[str, Any] = json.loads((adapter / CONFIG).read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{adapter} holds no adapter that can be read ({error}): train it again") from error
    return config


def lora_of(adapter: Path) -> Lora:
    """The shape of the adapter in this folder; ArtifactError where it cannot be read."""
    config = config_of(adapter)
    shape = {name: config[name] for name in ("r", "lora_alpha", "lora_dropout", "target_modules")}
    if isinstance(shape["target_modules"], str):
        # Unsloth puts its layers into one pattern for some models.
        shape["target_modules"] = _layers_in(adapter / "adapter_model.safetensors")
    return Lora(**shape | {"target_modules": tuple(sorted(shape["target_modules"]))})


def _layers_in(weights: Path) -> set[str]:
    from safetensors import safe_open

    with safe_open(weights, framework="pt") as held:
        return {name.partition(".lora_")[0].rpartition(".")[2] for name in held.keys()}  # noqa: SIM118


def _card(adapter: Adapter, trainings: Sequence[Training]) -> str:
    told = (line for one in trainings for line in (f"## `{one.name}`", "", *(f"- {line}" for line in one.lines), ""))
    lines = [
        "---",
        "library_name: peft",
        "pipeline_tag: text-generation",
        "---",
        f"# Adapter `{adapter.name}`",
        "",
        f"LoRA adapter for the base with digest `{adapter.base}`; its own digest is `{adapter.digest}`.",
        "",
        *told,
    ]
    return "\n".join(lines)
