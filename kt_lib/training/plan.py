"""A training before it starts: what is known of it without the weights, and what the trainer is told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kt_lib.errors import KtError
from kt_lib.recipes import DpoRecipe, SftRecipe
from kt_lib.records import PreferencePair, SftRow, UnpairedRow
from kt_lib.training.engines import Engine, options, packed_to
from kt_lib.training.memory import Estimate, check_room, estimate


class Plan(NamedTuple):
    """A training that can be started."""

    way: Engine
    """By what and on what."""
    rows: int
    """Rows, pairs or judged answers."""
    longest: int
    """Tokens of the longest."""
    memory: Estimate
    """What it will hold."""


def plan(
    base: Path,
    recipe: SftRecipe | DpoRecipe,
    way: Engine,
    sizes: Sequence[int],
    rows: Sequence[SftRow | PreferencePair | UnpairedRow],
) -> Plan:
    """What is known before the weights are read; KtError for what cannot end well. `sizes` are the rows' tokens."""
    at = max(range(len(sizes)), key=lambda one: sizes[one])
    longest, most = sizes[at], reads(base)
    if longest > min(recipe.max_length or math.inf, most):
        bound = f"the model reads {most}" if longest > most else f"the recipe's `max_length` is {recipe.max_length}"
        raise KtError(
            f"the row of task {rows[at].task_id} has {longest} tokens and {bound}:"
            " leave it out, or shorten its conversation or its list of tools"
        )
    told = estimate(base, recipe, longest, way, unpaired=isinstance(rows[at], UnpairedRow))
    check_room(told, recipe, longest, way)
    return Plan(way=way, rows=len(rows), longest=longest, memory=told)


def reads(base: Path) -> float:
    """Most tokens that the model in this folder reads; infinite where it names no bound."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(base, local_files_only=True).get_text_config()
    return getattr(config, "max_position_embeddings", None) or math.inf


def trainer_options(recipe: SftRecipe | DpoRecipe, way: Engine) -> dict[str, Any]:
    """What every trainer is told; rows are already whole in tokens, so only packing needs to know of a length."""
    return {
        **recipe.model_dump(exclude={"lora", "load_in_4bit", "max_length"}),
        **options(way, recipe),
        "data_seed": recipe.seed,
        "max_length": packed_to(recipe, way) or None,
        "ddp_find_unused_parameters": False,
        "report_to": "none",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
    }
