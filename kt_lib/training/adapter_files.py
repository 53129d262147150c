"""A trained adapter on disk: its weights, and its card, neither of which names a place on this machine."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from kt_lib.recipes import DpoRecipe, SftRecipe
from kt_lib.records import Adapter
from kt_lib.training.engines import Engine
from kt_lib.training.memory import Estimate
from kt_lib.training.plan import Plan
from kt_lib.training.steps import Trained
from kt_lib.weights import weights_digest

log = logging.getLogger(__name__)


def save(
    name: str,
    base: Path,
    trainer: Any,
    out: Path,
    recipe: SftRecipe | DpoRecipe,
    told: Plan,
    trained: Trained,
    learned: str,
) -> Adapter:
    """Writes the adapter of a finished trainer to `out`; of several processes the first one writes, and all return."""
    first, model = trainer.is_world_process_zero(), trainer.model
    if first:
        out.mkdir(parents=True, exist_ok=True)
        model.peft_config["default"].base_model_name_or_path = base.name
        model.save_pretrained(str(out), selected_adapters=["default"], save_embedding_layers=False)
    trainer.accelerator.wait_for_everyone()
    adapter = Adapter(
        name=name,
        base=weights_digest(base),
        folder=out.name,
        digest=weights_digest(out),
        rows=told.rows,
        engine=told.way.name,
        **trained.model_dump(),
    )
    if first:
        (out / "README.md").write_text(card(adapter, recipe, told.way, told.memory, learned), encoding="utf-8")
        last = adapter.losses[-1][1]
        log.info("%s: %d rows, %d steps, %.1f s, loss %.4f", name, told.rows, adapter.steps, adapter.seconds, last)
    trainer.accelerator.wait_for_everyone()
    return adapter


def card(adapter: Adapter, recipe: SftRecipe | DpoRecipe, way: Engine, memory: Estimate, learned: str) -> str:
    """The adapter's card in Markdown: what it is, from what, how it was trained, by which engine and why."""
    values = recipe.model_dump(exclude={"lora"}) | recipe.lora.model_dump()
    first, last = adapter.losses[0][1], adapter.losses[-1][1]
    lines = [
        "---",
        "library_name: peft",
        "pipeline_tag: text-generation",
        "---",
        f"# Adapter `{adapter.name}`",
        "",
        f"LoRA adapter for the base with digest `{adapter.base}`; its own digest is `{adapter.digest}`.",
        "",
        f"- Engine: {way.reason}",
        f"- Trained on: {adapter.rows:,} rows, {adapter.tokens:,} tokens seen, {adapter.steps} optimiser steps",
        f"- Learned: {learned}",
        f"- Took: {adapter.seconds:.1f} s",
        f"- Memory: {adapter.peak_mb:,.0f} MB at the peak; expected {memory.total_mb:,.0f} MB ({memory.formula})",
        f"- Loss: {first:.4f} at the first step, {last:.4f} at the last",
        *(f"- `{key}`: {value}" for key, value in values.items()),
    ]
    return "\n".join(lines) + "\n"
