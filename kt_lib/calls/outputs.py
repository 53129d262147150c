"""Read recorded outputs, structured or text, into calls: BFCL's forms, OpenAI's, and `{"tool", "params"}`."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from kt_lib.calls.begun import begun_call, is_no_tool, looks_like_call, without_thoughts, wrong_form
from kt_lib.calls.python_calls import Unreadable, parse_calls
from kt_lib.calls.rules import Call, one_name


def read_output(output: Any, names: Collection[str]) -> list[Call]:
    """The calls in a recorded output; an empty list where it is a plain answer or says nothing.

    Read are: a list of `{name: arguments}`; a list of OpenAI calls (`{"name", "arguments"}` or `{"type", "function"}`,
    arguments as an object or as JSON text); OpenAI's message with `tool_calls`; `{"tool", "params"[, "reasoning"]}`
    alone or in a list; the JSON text of any of these; BFCL's `[f(a=1), g(b="x")]`. A call begun in any other way,
    with words or a fence around it, or broken, raises Unreadable: nothing is repaired. (BFCL's own decoder takes off
    backticks and puts in missing brackets first; that, and its reading of `+5` as -5, is not followed.) `names` are
    the offered tools' names, as `one_name`.
    """
    if isinstance(output, str):
        return _read_text(without_thoughts(output), names)
    if isinstance(output, Mapping) and ("tool_calls" in output or "content" in output):
        return _read_message(output, names)
    entries = output if isinstance(output, list) else [output]
    if not all(isinstance(entry, Mapping) for entry in entries):
        raise Unreadable("the list holds something that is no call")
    return [] if entries in ([], [{}]) else [_structured(entry, names) for entry in entries]


def _read_text(text: str, names: Collection[str]) -> list[Call]:
    if not text or text == "[]":
        return []
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict) and looks_like_call(value, names):
        return [_structured(value, names)] if "tool_calls" not in value else _read_message(value, names)
    if isinstance(value, list) and (looks_like_call(value, names) or _named_by_key(value)):
        return read_output(value, names)
    if value is not None:
        return []
    calls = parse_calls(text)
    if calls is not None:
        return calls
    begun = begun_call(text, names)
    if begun is not None:
        raise Unreadable(f"{begun.failure}: {begun.detail}")
    return []


def _named_by_key(value: list[Any]) -> bool:
    return bool(value) and all(
        isinstance(entry, dict) and len(entry) == 1 and isinstance(next(iter(entry.values())), dict) for entry in value
    )


def _read_message(message: Mapping[str, Any], names: Collection[str]) -> list[Call]:
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        return read_output(calls, names)
    content = message.get("content")
    return _read_text(without_thoughts(content), names) if isinstance(content, str) else []


def _structured(entry: Mapping[str, Any], names: Collection[str]) -> Call:
    if len(entry) == 1 and (
        next(iter(entry)) not in ("function", "function_call") or one_name(next(iter(entry))) in names
    ):
        name, arguments = next(iter(entry.items()))
        return Call(str(name), _arguments(arguments))
    inner = entry.get("function", entry.get("function_call"))
    if isinstance(inner, Mapping):
        return _structured(inner, names)
    if isinstance(entry.get("name"), str) and "arguments" in entry:
        return Call(_tool_name(entry["name"], names), _arguments(entry["arguments"]))
    if isinstance(entry.get("tool"), str) and {"tool", "params"} <= entry.keys() <= {"tool", "params", "reasoning"}:
        if isinstance(entry["params"], Mapping):
            return Call(_tool_name(entry["tool"], names), entry["params"])
        raise Unreadable("wrong_key: `params` must be an object")
    begun = wrong_form(dict(entry), names)
    raise Unreadable(f"{begun.failure}: {begun.detail}")


def _tool_name(name: str, names: Collection[str]) -> str:
    if is_no_tool(name) and one_name(name) not in names:
        raise Unreadable(f"tool_none: the tool is {name!r}")
    return name


def _arguments(given: Any) -> Mapping[str, Any]:
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            raise Unreadable(f"invalid_json: the arguments cannot be read: {given[:120]}") from None
    if not isinstance(given, Mapping):
        raise Unreadable(f"invalid_json: the arguments are no object: {str(given)[:120]}")
    return given
