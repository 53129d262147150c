"""What a training will cost, told before it starts: its tokens counted, its time measured on a few of its rows."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from kt_lib.columns import dpo_columns, sft_columns
from kt_lib.recipes import DpoRecipe, SftRecipe
from kt_lib.records import PreferencePair, Record, SftRow
from kt_lib.training import train_dpo, train_sft
from kt_lib.weights import load_tokenizer, quiet

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
    with quiet():
        tokenizer = load_tokenizer(base)
        lengths = [_length(tokenizer, one, "completion") for one in map(sft_columns, rows)]
        each = [[_length(tokenizer, one, side) for side in ("chosen", "rejected")] for one in map(dpo_columns, pairs)]
    with tempfile.TemporaryDirectory() as scratch:
        few = _spread(rows, lengths, sft)
        once = sft.model_copy(update={"num_train_epochs": 1})
        pace = _Pace()
        train_sft(base, few, Path(scratch) / "sft", once, pace)
        found = [_forecast("sft", lengths, sft, pace, max(lengths))]
        if dpo and pairs:
            some = _spread(pairs, [sum(sides) for sides in each], dpo)
            shorter = dpo.model_copy(update={"num_train_epochs": 1})
            pace = _Pace()
            train_dpo(base, Path(scratch) / "sft", some, Path(scratch) / "dpo", shorter, pace)
            found.append(_forecast("dpo", [sum(sides) for sides in each], dpo, pace, max(map(max, each))))
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


def _forecast(name: str, lengths: Sequence[int], recipe: SftRecipe | DpoRecipe, pace: _Pace, longest: int) -> Forecast:
    tokens = sum(lengths) * recipe.num_train_epochs
    steps = math.ceil(len(lengths) / recipe.per_device_train_batch_size) * recipe.num_train_epochs
    seconds = round(steps * pace.seconds(), 1)
    return Forecast(name=name, rows=len(lengths), tokens=tokens, longest=longest, steps=steps, seconds=seconds)


def _length(tokenizer: Any, columns: dict[str, Any], answer: str) -> int:
    """Tokens of a prompt with one answer, as the trainer sees them."""
    tools = json.loads(columns["tools"]) if columns["tools"] else None
    text = tokenizer.apply_chat_template([*columns["prompt"], *columns[answer]], tools=tools, tokenize=False)
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


def _spread(rows: Sequence[Row], lengths: Sequence[int], recipe: SftRecipe | DpoRecipe) -> list[Row]:
    """Rows for a few batches, from the shortest to the longest."""
    order = sorted(range(len(rows)), key=lambda at: lengths[at])
    wanted = min(len(rows), BATCHES * recipe.per_device_train_batch_size)
    return [rows[order[at * len(rows) // wanted]] for at in range(wanted)]
