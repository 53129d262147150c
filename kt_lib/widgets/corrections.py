"""A corrected tool call, checked as it is typed: is it JSON, is it a call, does it fit the tool's schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from kt_lib.records import ToolCall, ToolSpec
from kt_lib.showing import shown

_MOST = 6


def read_calls(text: str, tools: Sequence[ToolSpec]) -> tuple[tuple[ToolCall, ...], list[str]]:
    """The calls of a typed correction, and what is wrong with them in words; an empty list says that no call is due."""
    try:
        value = json.loads(text or "[]")
    except (ValueError, RecursionError) as error:
        where = f" in line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        return (), [f"this is no JSON{where}"]
    given = value if isinstance(value, list) else [value]
    calls, problems = [], []
    for number, one in enumerate(given, 1):
        call, wrong = _call(one, tools)
        problems += [f"call {number}: {fault}" for fault in wrong]
        calls += [call] if call else []
    return tuple(calls), problems[:_MOST]


def _call(value: Any, tools: Sequence[ToolSpec]) -> tuple[ToolCall | None, list[str]]:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None, ['write it as {"name": "...", "arguments": {...}}']
    arguments = value.get("arguments", {})
    if not isinstance(arguments, dict):
        return None, ["`arguments` must be an object"]
    wrong = [f"`{shown(name, 60)}` is no part of a call" for name in value if name not in ("name", "arguments")]
    tool = next((one for one in tools if one.name == value["name"]), None)
    if tool is None:
        known = ", ".join(shown(one.name, 60) for one in tools) or "none"
        return None, [f"there is no tool {shown(value['name'], 60)!r}; offered: {known}"]
    return ToolCall(name=tool.name, arguments=arguments), [*wrong, *_faults(arguments, tool)]


def _faults(arguments: dict[str, Any], tool: ToolSpec) -> list[str]:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    known = tool.parameters.get("properties")
    unexpected = [name for name in arguments if isinstance(known, dict) and known and name not in known]
    try:
        errors = list(Draft202012Validator(tool.parameters).iter_errors(arguments))
    except (SchemaError, TypeError, ValueError, RecursionError):
        return ["the tool's own schema cannot be used to check this"]
    said = [f"{'.'.join(map(str, one.absolute_path)) or tool.name}: {shown(one.message, 200)}" for one in errors]
    return [f"{tool.name} takes no argument {shown(name, 60)!r}" for name in unexpected] + said
