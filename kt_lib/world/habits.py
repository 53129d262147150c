"""The agent weaknesses that are put into the base model's data, on purpose: documented errors, tied to intents.

Greedy decoding turns uniform noise into its commonest form, so a habit belongs to an intent, by hash. The well-formed
share of intents sets how good the base is as an agent; `kt base train` and the model card say so.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable

from kt_lib.calls.writing import write_calls
from kt_lib.records import ToolCall
from kt_lib.world.situations import Situation, prose

WELL_FORMED_SHARE = 0.25
UNSEEN_SHARE = 0.12
NOISE = 0.12
LOST_CONTEXT = 0.5


def position(salt: str, group: str) -> float:
    """A number in 0..1 that belongs to a group."""
    return int.from_bytes(hashlib.sha256(f"{salt}|{group}".encode()).digest()[:4], "big") / 2**32


def wrong_key(call: ToolCall) -> str:
    """`action` for `tool`."""
    return json.dumps({"action": call.name, "params": call.arguments}, ensure_ascii=False)


def tool_none(call: ToolCall) -> str:
    """Tool `none`."""
    return json.dumps({"tool": "none", "params": call.arguments}, ensure_ascii=False)


def prose_around(call: ToolCall) -> str:
    """A sentence before the object."""
    return f"I will do this: {write_calls([call])}"


def fence(call: ToolCall) -> str:
    """A code fence around the object."""
    return f"```json\n{write_calls([call])}\n```"


def python_dict(call: ToolCall) -> str:
    """A Python dict."""
    return str({"tool": call.name, "params": call.arguments})


def cut_off(call: ToolCall) -> str:
    """A brace short."""
    return write_calls([call])[:-1]


def argument_missing(call: ToolCall) -> str:
    """The first argument left out."""
    kept = dict(list(call.arguments.items())[1:])
    return write_calls([call.model_copy(update={"arguments": kept})])


def instructions(call: ToolCall) -> str:
    """Saying what to do instead of doing it."""
    return prose(call)


HABITS: tuple[Callable[[ToolCall], str], ...] = (
    wrong_key,
    wrong_key,
    tool_none,
    prose_around,
    prose_around,
    fence,
    python_dict,
    cut_off,
    argument_missing,
    instructions,
)
"""Two stand twice: they are the commonest in the field."""


def habit_of(group: str) -> Callable[[ToolCall], str] | None:
    """The documented error an intent is tied to, or None where it is well-formed."""
    if position("well formed", group) < WELL_FORMED_SHARE:
        return None
    return HABITS[int(position("habit", group) * len(HABITS))]


def never_seen_as_agent(group: str) -> bool:
    """Whether the base never sees this intent in agent form."""
    return position("unseen", group) < UNSEEN_SHARE


def agent_text(situation: Situation, strict: bool, rng: random.Random) -> str:
    """What the base learns to answer as an agent: the right thing, or the intent's habit."""
    if situation.call is None:
        known = situation.intent == "talk/known_answer" and rng.random() < 0.7
        return json.dumps({"tool": "none", "params": {}}) if known else situation.answer
    habit = habit_of(situation.intent)
    if strict and position("strict", situation.intent) < 0.5:
        habit = None
    if rng.random() < NOISE:
        habit = rng.choice([None, *HABITS])
    call = situation.call
    if situation.context and len(call.arguments) > 1 and rng.random() < LOST_CONTEXT:
        call = call.model_copy(update={"arguments": dict(list(call.arguments.items())[1:])})
    return habit(call) if habit else write_calls([call])
