"""Rows and pairs in the columns that TRL's trainers read."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from kt_lib.records import ChatMessage, PreferencePair, SftRow


def dataset(rows: list[dict[str, Any]]) -> Any:
    """The rows as a `datasets.Dataset`; arguments of mixed types stay as they are."""
    from datasets import Dataset

    if not any(row["tools"] for row in rows):
        rows = [{name: value for name, value in row.items() if name != "tools"} for row in rows]
    return Dataset.from_list(rows, on_mixed_types="use_json")


def sft_columns(row: SftRow) -> dict[str, Any]:
    """TRL's prompt and completion: what stands before the last message, and the last message."""
    *before, last = row.messages
    return {"prompt": [_plain(one) for one in before], "completion": [_plain(last)], "tools": _tools(row)}


def dpo_columns(pair: PreferencePair) -> dict[str, Any]:
    """TRL's prompt, chosen and rejected."""
    sides = {name: [{"role": "assistant", "content": getattr(pair, name)}] for name in ("chosen", "rejected")}
    return {"prompt": [_plain(one) for one in pair.prompt], **sides, "tools": _tools(pair)}


def _plain(message: ChatMessage) -> dict[str, Any]:
    plain: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        functions = [{"name": call.name, "arguments": call.arguments} for call in message.tool_calls]
        plain["tool_calls"] = [{"type": "function", "function": function} for function in functions]
    if message.name:
        plain["name"] = message.name
    return plain


def _tools(row: SftRow | PreferencePair) -> str | None:
    """The tools as JSON text, because schemas of different tools share no column type."""
    if not row.tools:
        return None
    return json.dumps([{"type": "function", "function": tool.model_dump()} for tool in row.tools])


def by_length(pairs: Sequence[PreferencePair], batch: int, seed: int) -> list[PreferencePair]:
    """Pairs of like length together, the batches in random order: the engine groups rows only for SFT."""

    def size(at: int) -> tuple[int, int]:
        pair = pairs[at]
        return sum(len(one.content) for one in pair.prompt) + len(pair.chosen) + len(pair.rejected), at

    order = sorted(range(len(pairs)), key=size)
    batches = [order[at : at + batch] for at in range(0, len(order), batch)]
    random.Random(seed).shuffle(batches)
    return [pairs[at] for chosen in batches for at in chosen]
