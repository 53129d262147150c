"""What a training will cost, told before it starts: its tokens counted, its time measured on a few of its rows."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TypeVar

from kt_lib.recipes import DpoRecipe, SftRecipe
from kt_lib.records import PreferencePair, Record, SftRow
from kt_lib.training.checkpoints import optimiser_steps
from kt_lib.training.columns import row_lengths
from kt_lib.training.engines import engine
from kt_lib.training.memory import Estimate, estimate
from kt_lib.training.trainable import started
from kt_lib.training.trainers import train_dpo, train_sft
from kt_lib.weights import load_tokenizer

Row = TypeVar("Row", SftRow, PreferencePair)

BATCHES = 5
"""Optimiser steps that are taken to measure, the first of them slow."""


class Forecast(Record):
    """A training before it starts."""

    name: str
    """`sft` or `dpo`."""
    rows: int
    """Rows or pairs."""
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
    pairs: Sequence[PreferencePair],
    sft: SftRecipe,
    dpo: DpoRecipe | None,
) -> list[Forecast]:
    """What SFT on `rows` and then (with a recipe and pairs) DPO on `pairs` will cost on this machine.

    A few rows of every length are trained on and the result is thrown away. Errors as of `train_sft`.
    """
    # As for the training itself: Unsloth must come into the process before transformers does.
    with started(engine(sft)):
        tokenizer = load_tokenizer(base)
        sizes = [max(sides) for sides in row_lengths(rows, tokenizer)]
        sides = row_lengths(pairs, tokenizer)
    with tempfile.TemporaryDirectory() as scratch:
        few = _spread(rows, sizes, sft)
        pace = _Pace()
        train_sft(base, few, Path(scratch) / "sft", sft.model_copy(update={"num_train_epochs": 1}), pace)
        found = [_forecast(base, "sft", sizes, sft, pace, max(sizes))]
        if dpo and pairs:
            both = [sum(pair) for pair in sides]
            some = _spread(pairs, both, dpo)
            shorter = dpo.model_copy(update={"num_train_epochs": 1})
            pace = _Pace()
            train_dpo(base, Path(scratch) / "sft", some, Path(scratch) / "dpo", shorter, pace)
            found.append(_forecast(base, "dpo", both, dpo, pace, max(map(max, sides))))
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
    base: Path, name: str, sizes: Sequence[int], recipe: SftRecipe | DpoRecipe, pace: _Pace, longest: int
) -> Forecast:
    steps = optimiser_steps(recipe, _at_once(sizes, recipe))
    return Forecast(
        name=name,
        rows=len(sizes),
        tokens=sum(sizes) * recipe.num_train_epochs,
        longest=longest,
        steps=steps,
        seconds=round(steps * pace.seconds(), 1),
        memory=estimate(base, recipe, longest, engine(recipe)),
    )


def _at_once(sizes: Sequence[int], recipe: SftRecipe | DpoRecipe) -> int:
    """Rows as the trainer counts them: packed, as many as fill the same length."""
    if isinstance(recipe, SftRecipe) and recipe.packing and recipe.max_length:
        return math.ceil(sum(sizes) / recipe.max_length)
    return len(sizes)


def _spread(rows: Sequence[Row], lengths: Sequence[int], recipe: SftRecipe | DpoRecipe) -> list[Row]:
    """Rows for a few batches, from the shortest to the longest."""
    order = sorted(range(len(rows)), key=lambda at: lengths[at])
    step = recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps
    packed = len(rows) / max(1, _at_once(lengths, recipe))
    wanted = min(len(rows), math.ceil(BATCHES * step * packed))
    return [rows[order[at * len(rows) // wanted]] for at in range(wanted)]
