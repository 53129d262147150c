"""The checks of a taught conversation, held against conversations known to be good, and against broken ones."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from kt_lib.generator.dialogues import generate
from kt_lib.records import ChatMessage, SftRow, ToolCall
from kt_lib.splits import shingles
from kt_lib.teaching.conversations import Refusal, Shape, refusal
from kt_lib.teaching.likeness import Likeness

Messages = list[ChatMessage]


def known_good() -> list[tuple[SftRow, Messages]]:
    """Conversations of the generator, which checks them its own way; words beside a call are taken off."""
    found = []
    for row in generate(150, 5, protocol="native"):
        said = [message for message in row.messages if message.role != "system"]
        plain = [one.model_copy(update={"content": ""}) if one.tool_calls else one for one in said]
        if not plain[-1].tool_calls and plain[-1].role == "assistant":
            found.append((row, plain))
    return found


GOOD = known_good()


def verdict(row: SftRow, messages: Messages) -> Refusal | None:
    persona = row.basis.partition(": ")[2].partition(",")[0]
    return refusal(messages, row.tools, persona, Shape(1, 9, any(one.tool_calls for one in messages)))


def test_what_is_known_to_be_good_is_not_refused() -> None:
    assert len(GOOD) > 100
    assert [fault for row, messages in GOOD if (fault := verdict(row, messages))] == []


def with_call(messages: Messages, change: Callable[[ToolCall], ToolCall]) -> Messages:
    """The conversation with one of its calls changed."""
    at = next(at for at, one in enumerate(messages) if any("agent_id" in call.arguments for call in one.tool_calls))
    changed = tuple(change(call) if "agent_id" in call.arguments else call for call in messages[at].tool_calls)
    return [*messages[:at], messages[at].model_copy(update={"tool_calls": changed}), *messages[at + 1 :]]


def elsewhere(call: ToolCall) -> ToolCall:
    return call.model_copy(update={"arguments": {**call.arguments, "agent_id": "nowhere99"}})


def without_command(call: ToolCall) -> ToolCall:
    return call.model_copy(update={"arguments": {"agent_id": call.arguments["agent_id"]}})


def without_a_result(messages: Messages) -> Messages:
    at = next(at for at, one in enumerate(messages) if one.role == "tool")
    return [*messages[:at], *messages[at + 1 :]]


def poisoned(messages: Messages) -> Messages:
    at = random.Random(len(messages)).randrange(len(messages))
    text = f"{messages[at].content} <script>fetch('//evil')</script>"
    return [*messages[:at], messages[at].model_copy(update={"content": text}), *messages[at + 1 :]]


BROKEN: dict[str, tuple[str, Callable[[Messages], Messages]]] = {
    "a call to an agent that nobody named": ("inconsistent", lambda one: with_call(one, elsewhere)),
    "a call without an argument that is required": (
        "does not fit the schema",
        lambda one: with_call(one, without_command),
    ),
    "a call without its result": ("out of order", without_a_result),
    "no closing words": ("out of order", lambda one: one[:-1]),
    "a script in any of its messages": ("html", poisoned),
    "robotic closing words": (
        "voice",
        lambda one: [*one[:-1], one[-1].model_copy(update={"content": "Your request has been processed."})],
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_every_good_conversation_is_refused_once_it_is_broken(what: str) -> None:
    reason, broken = BROKEN[what]
    with_agents = [
        (row, one) for row, one in GOOD if any("agent_id" in call.arguments for turn in one for call in turn.tool_calls)
    ]
    assert len(with_agents) > 40
    assert {(found := verdict(row, broken(one))) and found.reason for row, one in with_agents} == {reason}


def test_likeness_misses_nothing_that_looking_at_every_pair_finds() -> None:
    rng = random.Random(4)
    texts = [" ".join(rng.choices("check the disk again".split(), k=6)) for _ in range(400)]
    likeness, found, kept = Likeness([], 0.4), [], list[frozenset[str]]()
    for text in texts:
        asked = [ChatMessage(role="user", content=text)]
        fault, own = likeness.fault(asked), shingles(text)
        nearest = max((len(own & other) / len(own | other) for other in kept), default=0.0)
        assert (fault is not None) == (nearest >= 0.4)
        found.append(fault)
        if fault is None:
            likeness.keep(asked)
            kept.append(own)
    assert 20 < found.count(None) < 380
