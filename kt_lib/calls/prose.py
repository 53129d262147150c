"""Read the call that a chat answer means from its prose, given the tools' schemas."""

from __future__ import annotations

from collections.abc import Sequence

from kt_lib.calls import cues
from kt_lib.calls.begun import without_thoughts
from kt_lib.calls.failures import EMPTY_REPLY
from kt_lib.calls.markdown import Answer
from kt_lib.calls.prose_commands import command_calls
from kt_lib.calls.prose_explicit import explicit_calls
from kt_lib.calls.prose_named import named_calls, offered
from kt_lib.calls.protocol import Reading
from kt_lib.records import ChatMessage, ToolCall, ToolSpec, canonical_json

LONGEST = 20_000
"""Characters of an answer that are read; what comes after them is not looked at."""


def read_chat(text: str, tools: Sequence[ToolSpec], messages: Sequence[ChatMessage] = ()) -> Reading:
    """The calls that a chat answer means; each carries the words it was read from.

    Three forms are read: calls written out in code (`f(a=1)`, JSON), tools named with their values ("Use `f` with unit
    `12B`"), and commands with the machine or folder they are for ("On `web01`, run `df -h`"). What is advised against,
    offered as an alternative, an afterthought, reported as done or explained is not read. `messages` (the conversation
    up to the answer) tell whether an explanation was asked for and which names are known; nothing is taken from them
    into a call. Returns a Reading with calls, or with the plain text, or `empty_reply`.
    """
    text = without_thoughts(text)[:LONGEST]
    if not text:
        return Reading(failure=EMPTY_REPLY, detail="the reply is empty")
    if not tools:
        return Reading(text=text)
    answer = Answer(text)
    by_name = offered(tools)
    to_know = cues.asks_to_know(messages)
    explicit = explicit_calls(answer, by_name, to_know)
    taken = [(start, end) for start, end, _ in explicit]
    named = [] if explicit else named_calls(answer, by_name, to_know, taken)
    taken += [(start, end) for start, end, _ in named]
    commands = [] if explicit else command_calls(answer, tools, messages, to_know, taken)
    placed = sorted([*explicit, *named, *commands], key=lambda entry: entry[0])
    calls = _once([call for _, _, call in placed])
    return Reading(calls=calls) if calls else Reading(text=text)


def _once(calls: Sequence[ToolCall]) -> tuple[ToolCall, ...]:
    """Each call once; a command told without its machine is dropped where it is told with it."""
    held: dict[str, ToolCall] = {}
    for call in calls:
        held.setdefault(canonical_json([call.name, call.arguments]), call)
    kept = list(held.values())
    return tuple(call for call in kept if not any(_says_more(other, call) for other in kept if other is not call))


def _says_more(other: ToolCall, call: ToolCall) -> bool:
    return len(other.arguments) > len(call.arguments) > 0 and call.arguments.items() <= other.arguments.items()
