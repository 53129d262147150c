"""Read what an agent answered: the calls by the protocol as given, or how the answer is malformed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from kt_lib.calls.begun import Begun, begun_call, is_no_tool, looks_like_call, without_thoughts, wrong_form
from kt_lib.calls.failures import EMPTY_REPLY, INVALID_JSON, PROSE_AROUND_JSON, TOOL_NONE
from kt_lib.calls.rules import one_name
from kt_lib.records import Completion, Protocol, Record, ToolCall, ToolSpec


class Reading(Record):
    """What was read from an answer."""

    calls: tuple[ToolCall, ...] = ()
    """The calls; empty where the answer is plain, empty or malformed."""
    failure: str | None = None
    """Why nothing was read: a class of `MALFORMED`, `empty_reply`, or None for calls and plain answers."""
    detail: str | None = None
    """What was seen, in words."""
    text: str = ""
    """The plain answer, where there is one."""


def read_agent(completion: Completion, tools: Sequence[ToolSpec], protocol: Protocol) -> Reading:
    """Read an agent's answer by the protocol it was given; nothing is repaired.

    json: the whole message is one object `{"tool": name, "params": {...}}` (a `"reasoning"` beside them is allowed), a
    list of such objects for several calls, or plain text for no call. A closed `<think>` block before the message is
    not part of it. native: `tool_calls` are the calls. An empty message, and an empty list, is `empty_reply`.
    """
    names = {one_name(tool.name) for tool in tools}
    if protocol == "native":
        return _read_native(completion, names)
    if completion.tool_calls or completion.unreadable_calls:
        return _malformed(Begun(PROSE_AROUND_JSON, "a native call where the JSON protocol was asked for"))
    text = without_thoughts(completion.text)
    if not text:
        return Reading(failure=EMPTY_REPLY, detail="the reply is empty")
    try:
        value = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except _BrokenRule as broken:
        return _malformed(Begun(INVALID_JSON, str(broken)))
    except (ValueError, RecursionError):
        begun = begun_call(text, names)
        if begun and completion.finish == "length":
            begun = Begun(begun.failure, f"{begun.detail} (cut off at the token limit)")
        return _malformed(begun) if begun else Reading(text=text)
    return _read_json(value, text, names)


def _read_json(value: Any, text: str, names: set[str]) -> Reading:
    if value == [] or value == {}:
        return Reading(failure=EMPTY_REPLY, detail=f"the reply is {text}")
    entries = value if isinstance(value, list) else [value]
    calls = [_as_call(entry, names) for entry in entries]
    whole = [call for call in calls if call is not None]
    if len(whole) == len(calls):
        return Reading(calls=tuple(whole))
    if whole or looks_like_call(value, names):
        return _malformed(wrong_form(value, names))
    return Reading(text=text)


def _as_call(entry: Any, names: set[str]) -> ToolCall | None:
    if not isinstance(entry, dict) or not {"tool", "params"} <= entry.keys() <= {"tool", "params", "reasoning"}:
        return None
    tool, params = entry["tool"], entry["params"]
    if not isinstance(tool, str) or not isinstance(params, dict):
        return None
    if is_no_tool(tool) and one_name(tool) not in names:
        return None
    return ToolCall(name=tool, arguments=params)


def _read_native(completion: Completion, names: set[str]) -> Reading:
    if completion.unreadable_calls:
        shown = completion.unreadable_calls[0][:120]
        return _malformed(Begun(INVALID_JSON, f"the arguments of the call cannot be read: {shown}"))
    for call in completion.tool_calls:
        if is_no_tool(call.name) and one_name(call.name) not in names:
            return _malformed(Begun(TOOL_NONE, f"the tool is {json.dumps(call.name)}"))
    text = without_thoughts(completion.text)
    if completion.tool_calls:
        return Reading(calls=completion.tool_calls, text=text)
    if not text:
        return Reading(failure=EMPTY_REPLY, detail="the reply is empty")
    begun = begun_call(text, names)
    return _malformed(begun) if begun else Reading(text=text)


def _malformed(begun: Begun) -> Reading:
    return Reading(failure=begun.failure, detail=begun.detail)


class _BrokenRule(Exception):
    pass


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) != len(pairs):
        raise _BrokenRule("a key stands twice in one object")
    return held


def _no_constant(name: str) -> Any:
    raise _BrokenRule(f"{name} is not JSON")
