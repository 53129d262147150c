"""What a training will cost, told before it starts: its tokens counted, its time measured on one batch."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from kt_lib.columns import dpo_columns, sft_columns
from kt_lib.recipes import DpoRecipe, Lora, SftRecipe
from kt_lib.records import PreferencePair, Record, SftRow
from kt_lib.training import engine
from kt_lib.weights import import_peft, load, load_tokenizer, quiet

REFERENCE = 4 / 3
"""DPO also reads each side with the frozen reference: a third of the work of reading and learning."""


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
    """Estimated seconds, from one measured batch; loading and imports not counted."""


def forecast(
    base: Path,
    rows: Sequence[SftRow],
    pairs: Sequence[PreferencePair],
    sft: SftRecipe,
    dpo: DpoRecipe | None,
) -> list[Forecast]:
    """What SFT on `rows` and then (with a recipe and pairs) DPO on `pairs` will cost on this machine."""
    way = engine()
    with quiet(way.threads, training=True):
        tokenizer = load_tokenizer(base)
        lengths = [_length(tokenizer, one, "completion") for one in map(sft_columns, rows)]
        sides = [_length(tokenizer, one, side) for one in map(dpo_columns, pairs) for side in ("chosen", "rejected")]
        pace = _seconds_per_token(base, sft.lora, lengths, sft.per_device_train_batch_size, way.device)
    found = [_forecast("sft", len(rows), lengths, sft, pace)]
    return found + ([_forecast("dpo", len(pairs), sides, dpo, pace * REFERENCE)] if dpo and pairs else [])


def _forecast(name: str, rows: int, lengths: Sequence[int], recipe: SftRecipe | DpoRecipe, pace: float) -> Forecast:
    tokens = sum(lengths) * recipe.num_train_epochs
    steps = math.ceil(rows / recipe.per_device_train_batch_size) * recipe.num_train_epochs
    seconds = round(tokens * pace, 1)
    return Forecast(name=name, rows=rows, tokens=tokens, longest=max(lengths), steps=steps, seconds=seconds)


def _length(tokenizer: Any, columns: dict[str, Any], answer: str) -> int:
    """Tokens of a prompt with one answer, as the trainer sees them."""
    tools = json.loads(columns["tools"]) if columns["tools"] else None
    text = tokenizer.apply_chat_template([*columns["prompt"], *columns[answer]], tools=tools, tokenize=False)
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


def _seconds_per_token(base: Path, lora: Lora, lengths: Sequence[int], batch: int, device: str) -> float:
    """Reads and learns one batch of middling rows, after one to warm up; the weights are thrown away."""
    import torch

    peft = import_peft()
    shape = peft.LoraConfig(**lora.model_dump(), target_modules="all-linear", task_type="CAUSAL_LM")
    model = peft.get_peft_model(load(base, dtype="float32" if device == "cpu" else "bfloat16"), shape).to(device)
    ids = torch.full((batch, int(median(lengths))), 1, device=device)
    took = []
    for _ in range(3):
        began = time.perf_counter()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        float(loss.detach())  # waits until a GPU has done it
        took.append(time.perf_counter() - began)
    return min(took) / int(ids.numel())
