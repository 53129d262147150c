"""Measure the reader of calls in prose on chat turns labelled by hand: false positives, misses and misreadings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import JsonValue

from kt_lib.calls.prose import read_chat
from kt_lib.calls.rules import one_name
from kt_lib.records import ChatMessage, Rate, Record, ToolCall, ToolSpec, canonical_json
from kt_lib.statistics import wilson

Half = Literal["dev", "test"]


class LabelledTurn(Record):
    """A chat turn with the calls that a person says its answer means."""

    id: str
    """Id."""
    tools: str
    """Name of the tool set it was offered (`labelled_tools.json`)."""
    turns: tuple[str, ...]
    """The conversation, alternately user and assistant, up to and with the request."""
    answer: str
    """The chat answer."""
    calls: tuple[ToolCall, ...]
    """The calls the answer means; empty where it means none."""
    kind: str
    """What makes the turn easy or hard: command, named, explicit, explanation, negation, ..."""

    @property
    def messages(self) -> tuple[ChatMessage, ...]:
        """The conversation as messages."""
        roles: tuple[Literal["user", "assistant"], ...] = ("user", "assistant")
        return tuple(ChatMessage(role=roles[at % 2], content=text) for at, text in enumerate(self.turns))


def measure_reader(half: Half = "test") -> dict[str, JsonValue]:
    """How the reader of prose does on one half of the labelled turns; it was adjusted on `dev` alone.

    false_positives: share of the turns that mean no call in which one was read. misses: share of the turns that mean
    calls in which none was read. misread: share of those in which others were read than meant (a missing or extra
    call, another tool, another value). right: share of all turns read exactly as labelled, in any order of calls. Each
    is `{value, low, high, n}` with the 95% Wilson interval; `wrong` lists the ids of the turns not read as labelled.
    """
    turns = list(labelled_turns(half))
    read = {turn.id: _as_read(turn) for turn in turns}
    without = [turn for turn in turns if not turn.calls]
    due = [turn for turn in turns if turn.calls]
    false_positives = sum(bool(read[turn.id]) for turn in without)
    misses = sum(not read[turn.id] for turn in due)
    misread = sum(bool(read[turn.id]) and read[turn.id] != _keys(turn.calls) for turn in due)
    wrong: list[JsonValue] = [turn.id for turn in turns if read[turn.id] != _keys(turn.calls)]
    return {
        "half": half,
        "n": len(turns),
        "false_positives": _shown(wilson(false_positives, len(without))),
        "misses": _shown(wilson(misses, len(due))),
        "misread": _shown(wilson(misread, len(due))),
        "right": _shown(wilson(len(turns) - len(wrong), len(turns))),
        "wrong": wrong,
    }


def labelled_turns(half: Half) -> Iterator[LabelledTurn]:
    """The turns of one half, as shipped with the package."""
    text = (files("kt_lib.calls") / f"labelled_turns_{half}.jsonl").read_text(encoding="utf-8")
    for line in text.split("\n"):
        if line:
            yield LabelledTurn.model_validate_json(line)


@cache
def labelled_tools() -> dict[str, tuple[ToolSpec, ...]]:
    """The tool sets by name."""
    held = json.loads((files("kt_lib.calls") / "labelled_tools.json").read_text(encoding="utf-8"))
    return {name: tuple(ToolSpec.model_validate(tool) for tool in tools) for name, tools in held.items()}


def _as_read(turn: LabelledTurn) -> list[str]:
    return _keys(read_chat(turn.answer, labelled_tools()[turn.tools], turn.messages).calls)


def _keys(calls: tuple[ToolCall, ...]) -> list[str]:
    return sorted(canonical_json([one_name(call.name), call.arguments]) for call in calls)


def _shown(rate: Rate) -> dict[str, JsonValue]:
    return {"value": rate.value, "low": rate.low, "high": rate.high, "n": rate.n}
