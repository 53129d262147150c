"""Calls written out in a chat answer: JSON call objects and `tool(parameter=value)` in code."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from kt_lib.calls import cues
from kt_lib.calls.begun import ARGUMENT_KEYS, TOOL_KEYS, is_no_tool, json_values
from kt_lib.calls.markdown import MOST_PLACES, Answer
from kt_lib.calls.rules import one_name
from kt_lib.calls.shapes import properties_of, required_of
from kt_lib.records import ToolCall, ToolSpec

_PLACEHOLDER = re.compile(
    r"\s*(?:<[^<>]+>|\{[^{}]*\}|\[[a-z _-]*\]|\.\.\.|…|xxx+|your[_-].*"
    r"|(?:the |your )[a-z ]{0,20}"
    r"(?:name|id|ip|number|address|host|server|here|password|token|key|path|file|value))\s*\Z",
    re.IGNORECASE,
)
_REACT = re.compile(r"^\s*Action\s*:\s*`?([\w.\-]+)`?\s*\n\s*Action Input\s*:", re.MULTILINE)


def explicit_calls(answer: Answer, tools: Mapping[str, ToolSpec], to_know: bool) -> list[tuple[int, int, ToolCall]]:
    """Calls written out in full, each with its place; `tools` is by `one_name`."""
    found = [*_react_calls(answer.text, tools), *_json_calls(answer.text, tools), *_function_calls(answer, tools)]
    kept: list[tuple[int, int, ToolCall]] = []
    for start, end, call in sorted(found, key=lambda entry: entry[0]):
        if any(first <= start < last for first, last, _ in kept):
            continue
        if _is_meant(answer, start, to_know) and not any(map(is_placeholder, call.arguments.values())):
            kept.append((start, end, call))
    return kept


def is_placeholder(value: Any) -> bool:
    """Whether a value is a blank to be filled in, such as `<hostname>`."""
    return isinstance(value, str) and _PLACEHOLDER.match(value) is not None


def _is_meant(answer: Answer, place: int, to_know: bool) -> bool:
    fence = next((span for span in answer.fences if span.start <= place < span.end), None)
    if fence is not None:
        lead = answer.lead_of(fence)
        words = lead[-1].masked if lead else ""
        before, after = words, ""
    else:
        sentence = answer.sentence_at(place)
        words = sentence.masked if sentence else ""
        before = cues.near(words[: place - sentence.start]) if sentence else ""
        after = words[place - sentence.start :].lstrip("\ufffc")[:200] if sentence else ""
    if to_know and not cues.will_act(cues.near(before)):
        return False
    if cues.asks_back(words[-80:]) and fence is None:
        return False
    doubtful = cues.forbids(before, after) or cues.is_alternative(before) or cues.reports(before)
    return not doubtful and not cues.is_afterthought(before)


def _react_calls(text: str, tools: Mapping[str, ToolSpec]) -> Iterator[tuple[int, int, ToolCall]]:
    for found in _REACT.finditer(text):
        tool = tools.get(one_name(found[1]))
        opening = text.find("{", found.end())
        if tool is None or text[found.end() : opening].strip() or opening < 0:
            continue
        try:
            given, end = json.JSONDecoder().raw_decode(text, opening)
        except (ValueError, RecursionError):
            continue
        yield found.start(), end, ToolCall(name=tool.name, arguments=given, read_from=text[found.start() : end])


def _json_calls(text: str, tools: Mapping[str, ToolSpec]) -> Iterator[tuple[int, int, ToolCall]]:
    for start, end, value in json_values(text):
        for offset, call in enumerate(_calls_in(value, tools, text[start:end])):
            yield start + offset, end, call


def _calls_in(value: Any, tools: Mapping[str, ToolSpec], shown: str) -> Iterator[ToolCall]:
    if isinstance(value, list):
        for element in value:
            yield from _calls_in(element, tools, shown)
        return
    if not isinstance(value, dict):
        return
    for key in ("tool_calls", "calls", "tool_call", "function_call", "function"):
        if isinstance(value.get(key), dict | list):
            yield from _calls_in(value[key], tools, shown)
            return
    call = _keyed_call(value, tools) or _named_by_key(value, tools)
    if call is not None:
        yield call.model_copy(update={"read_from": shown})


def _keyed_call(value: dict[str, Any], tools: Mapping[str, ToolSpec]) -> ToolCall | None:
    named = next((value[key] for key in TOOL_KEYS if isinstance(value.get(key), str)), None)
    if named is None or is_no_tool(named):
        return None
    given = next((value[key] for key in ARGUMENT_KEYS if key in value), None)
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            given = None
    tool = tools.get(one_name(named))
    if isinstance(given, dict):
        strong = tool is not None or any(key in value for key in ("tool", "action", "tool_name", "function"))
        return ToolCall(name=named, arguments=given) if strong and "properties" not in given else None
    if tool is None:
        return None
    beside = {key: held for key, held in value.items() if key in properties_of(tool)}
    return ToolCall(name=named, arguments=beside) if beside or not required_of(tool) else None


def _named_by_key(value: dict[str, Any], tools: Mapping[str, ToolSpec]) -> ToolCall | None:
    if len(value) != 1:
        return None
    name, given = next(iter(value.items()))
    return ToolCall(name=name, arguments=given) if one_name(name) in tools and isinstance(given, dict) else None


def _function_calls(answer: Answer, tools: Mapping[str, ToolSpec]) -> Iterator[tuple[int, int, ToolCall]]:
    for found in islice(re.finditer(r"(?<![\w.])([A-Za-z_][\w.\-]*)\(", answer.text), MOST_PLACES):
        tool = tools.get(one_name(found[1]).replace("-", "_"))
        end = _closing(answer.text, found.end() - 1)
        if tool is None or end is None:
            continue
        inside = answer.text[found.end() : end - 1]
        if not inside.strip() and not _alone(answer, found.start()):
            continue  # `list_agents()` in a sentence is a name; the readers of sentences see to it
        arguments = _arguments(inside, tool)
        if arguments is not None and set(required_of(tool)) & set(arguments) == set(required_of(tool)):
            yield (
                found.start(),
                end,
                ToolCall(name=tool.name, arguments=arguments, read_from=answer.text[found.start() : end]),
            )


def _alone(answer: Answer, place: int) -> bool:
    line_start = answer.text.rfind("\n", 0, place) + 1
    return not answer.text[line_start:place].strip(" \t`*-$>0123456789.")


def _arguments(inside: str, tool: ToolSpec) -> dict[str, Any] | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd escape in a model's text is not our warning
        try:
            parsed = ast.parse(f"f({inside.strip()})", mode="eval").body
            if not isinstance(parsed, ast.Call):
                return None
            order = [*required_of(tool), *(name for name in properties_of(tool) if name not in required_of(tool))]
            held = {name: ast.literal_eval(value) for name, value in zip(order, parsed.args, strict=False)}
            for keyword in parsed.keywords:
                if keyword.arg is None:
                    return None
                held[keyword.arg] = ast.literal_eval(keyword.value)
            return json.loads(json.dumps(held)) if len(parsed.args) <= len(order) else None
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return None


def _closing(text: str, opening: int) -> int | None:
    depth, quote, at = 0, "", opening
    while at < min(len(text), opening + 5000):
        letter = text[at]
        if quote:
            if letter == "\\":
                at += 1
            elif letter == quote:
                quote = ""
        elif letter in "\"'":
            quote = letter
        elif letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return None
