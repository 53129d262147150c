"""Calls against the JSON Schemas of their tools."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

from kt_lib.records import ToolCall, ToolSpec


def in_schema_order(call: ToolCall, tools: Sequence[ToolSpec]) -> ToolCall:
    """The call with its arguments in the order of the tool's schema: one order everywhere, or training suffers."""
    schema = schema_of(call.name, tools)
    order = [name for name in schema if name in call.arguments]
    rest = [name for name in call.arguments if name not in order]
    return call.model_copy(update={"arguments": {name: call.arguments[name] for name in (*order, *rest)}})


def schema_of(name: str, tools: Sequence[ToolSpec]) -> dict[str, JsonValue]:
    """The properties of a tool's schema; empty for an unknown tool."""
    found = next((tool.parameters.get("properties") for tool in tools if tool.name == name), None)
    return found if isinstance(found, dict) else {}


def fits_schema(call: ToolCall, tools: Sequence[ToolSpec]) -> bool:
    """Whether the call's arguments are valid under the tool's JSON Schema."""
    return schema_fault(call, tools) is None


def schema_fault(call: ToolCall, tools: Sequence[ToolSpec]) -> str | None:
    """What is wrong with the call under its tool's JSON Schema, in words; None when it fits."""
    from jsonschema import Draft202012Validator

    schema = next((tool.parameters for tool in tools if tool.name == call.name), None)
    if schema is None:
        return f"`{call.name}` is not offered"
    faults = Draft202012Validator(schema).iter_errors(call.arguments)
    return next((f"`{call.name}`: {fault.message[:200]}" for fault in faults), None)
