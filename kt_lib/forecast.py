"""What a training will cost, told before it starts: its tokens counted, its time measured on a few of its rows."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TypeVar

from kt_lib.recipes import DpoRecipe, SftRecipe
from kt_lib.records import PreferencePair, Record, SftRow, UnpairedRow
from kt_lib.training.columns import row_lengths
from kt_lib.training.engines import engine, packed_to
from kt_lib.training.layers import adapted, layers
from kt_lib.training.memory import Estimate, estimate
from kt_lib.training.trainable import started
from kt_lib.training.trainers import preference_training, train_sft
from kt_lib.weights import load_tokenizer

Row = TypeVar("Row", bound=Record)

BATCHES = 5
"""Optimiser steps that are taken to measure, the first of them slow."""


class Forecast(Record):
    """A training before it starts."""

    name: str
    """`sft`, `dpo` or `kto`."""
    rows: int
    """Rows, pairs or judged answers."""
    tokens: int
    """Tokens over all passes, by the model's own tokenizer; of a pair, those of both sides."""
    longest: int
    """Tokens of the longest row."""
    steps: int
    """Optimiser steps."""
    seconds: float
    """Estimated seconds, from a few rows really trained on; loading and imports not counted."""
    memory: Estimate
    """Memory at the peak, reckoned from the base's configuration."""


def forecast(
    base: Path,
    rows: Sequence[SftRow],
    preferred: Sequence[PreferencePair] | Sequence[UnpairedRow],
    sft: SftRecipe,
    dpo: DpoRecipe | None,
) -> list[Forecast]:
    """What SFT on `rows` will cost on this machine, and then (with a recipe) DPO on pairs or KTO on judged answers.

    A few rows of every length are trained on and the result is thrown away. Errors as of `train_sft`.
    """
    # As for the training itself: Unsloth must come into the process before transformers does.
    with started(engine(sft)):
        # Layers that are not there are told before rows are counted.
        adapted(layers(base), sft.lora)
        tokenizer = load_tokenizer(base)
        lengths, sides = row_lengths(rows, tokenizer), row_lengths(preferred, tokenizer)
    with tempfile.TemporaryDirectory() as scratch:
        start = Path(scratch) / "sft"
        pace = _Pace()
        few = _spread(rows, lengths, sft)
        train_sft(base, few, start, sft.model_copy(update={"num_train_epochs": 1}), pace)
        found = [_forecast(base, "sft", lengths, sft, pace)]
        if dpo and preferred:
            name, train = preference_training(preferred)
            # It goes on from the adapter of SFT, whatever its own recipe says of one.
            dpo = dpo.model_copy(update={"lora": sft.lora})
            pace = _Pace()
            some = _spread(preferred, sides, dpo)
            train(base, start, some, Path(scratch) / name, dpo.model_copy(update={"num_train_epochs": 1}), pace)
            found.append(_forecast(base, name, sides, dpo, pace))
    return found


class _Pace:
    """Told of each optimiser step; knows what one takes, the slow first one left out."""

    def __init__(self) -> None:
        self._ended = [time.perf_counter()]

    def __call__(self, done: int, of: int, loss: float) -> None:
        self._ended.append(time.perf_counter())

    def seconds(self) -> float:
        first, *later = pairwise(self._ended)
        return median(end - begin for begin, end in later or [first])


def _forecast(
    base: Path, name: str, sides: Sequence[tuple[int, ...]], recipe: SftRecipe | DpoRecipe, pace: _Pace
) -> Forecast:
    way, longest = engine(recipe), max(map(max, sides))
    steps = _steps(recipe, _at_once(sides, recipe))
    return Forecast(
        name=name,
        rows=len(sides),
        tokens=sum(map(sum, sides)) * recipe.num_train_epochs,
        longest=longest,
        steps=steps,
        seconds=round(steps * pace.seconds(), 1),
        memory=estimate(base, recipe, longest, way, unpaired=name == "kto"),
    )


def _steps(recipe: SftRecipe | DpoRecipe, rows: int) -> int:
    """Optimiser steps that a training takes, where several processes share it each on rows of its own."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    batches = math.ceil(math.ceil(rows / recipe.per_device_train_batch_size) / processes)
    return math.ceil(batches / recipe.gradient_accumulation_steps) * recipe.num_train_epochs


def _at_once(sides: Sequence[tuple[int, ...]], recipe: SftRecipe | DpoRecipe) -> int:
    """Rows as the trainer counts them: packed, as many as fill the same length."""
    most = packed_to(recipe, engine(recipe))
    return math.ceil(sum(map(sum, sides)) / most) if most else len(sides)


def _spread(rows: Sequence[Row], sides: Sequence[tuple[int, ...]], recipe: SftRecipe | DpoRecipe) -> list[Row]:
    """Rows for a few batches, from the shortest to the longest; of judged answers so many good and so many bad ones."""
    step = recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps
    packed = len(rows) / max(1, _at_once(sides, recipe))
    kinds = [getattr(row, "label", None) for row in rows]
    found = []
    for kind in dict.fromkeys(kinds):
        order = sorted((at for at, one in enumerate(kinds) if one is kind), key=lambda at: sum(sides[at]))
        wanted = min(len(order), math.ceil(BATCHES * step * packed))
        found += [rows[order[at * len(order) // wanted]] for at in range(wanted)]
    return found
