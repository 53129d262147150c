"""Tell whether a text begins a tool call that the protocol cannot read, and in which documented way."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any, NamedTuple

from kt_lib.calls.failures import CODE_FENCE, INVALID_JSON, PROSE_AROUND_JSON, PYTHON_DICT, TOOL_NONE, WRONG_KEY
from kt_lib.calls.rules import one_name

TOOL_KEYS = ("tool", "action", "tool_name", "function", "function_name", "name", "api")
ARGUMENT_KEYS = ("params", "parameters", "arguments", "args", "action_input", "tool_input", "input", "kwargs")
_WRAPPERS = ("tool_call", "tool_calls", "function_call", "functioncall")
_VOCABULARY = {*TOOL_KEYS, *ARGUMENT_KEYS, *_WRAPPERS, "reasoning", "thought", "thoughts", "loop", "id", "type", "why"}
_NO_TOOL = {"none", "null", "nothing", "no_tool", "notool", "no tool", "n/a", "na", ""}

_FENCED = re.compile(r"```[^\n`]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_TAGS = re.compile(
    r"<\|?(?:tool_call|function_call|functioncall|tool_use|toolcall|invoke|python_tag)s?\b|<function=|\[/?TOOL_CALLS?\]",
    re.IGNORECASE,
)
_REACT = re.compile(r"^[ \t]*Action[ \t]*:[ \t]*`?([\w.\-]+)`?[ \t]*\n\s*Action Input[ \t]*:", re.MULTILINE)
_KEYED = re.compile(
    r"[{\[,]\s*[\"'“]?(" + "|".join((*TOOL_KEYS, *_WRAPPERS)) + r")[\"'”]?\s*[:=]\s*(?:[\"'“]([^\"'”\n]*))?"
)
_ARGUMENTS_KEYED = re.compile(r"[\"'“]?\b(?:" + "|".join(ARGUMENT_KEYS) + r")[\"'”]?\s*[:=]\s*[{\[\"']")
_FUNCTION = re.compile(r"(\[\s*)?`?(?<![\w.])([A-Za-z_][\w.]*)\(")
_KEYWORD_VALUE = re.compile(r"\s*\w+\s*=\s*(?:[-\d\"'\[{]|True\b|False\b|None\b)")
_OPENING = re.compile(r"[{\[]")
_THOUGHT = re.compile(r"\A\s*<(think|thinking|thought)>.*?</\1>\s*", re.DOTALL)
_MOST_PLACES = 200


class Begun(NamedTuple):
    """A call that was begun: the failure class and what was seen, in words."""

    failure: str
    detail: str


def without_thoughts(text: str) -> str:
    """The message without a closed block of reasoning before it, which is not part of the message."""
    return _THOUGHT.sub("", text, count=1).strip()


def is_no_tool(name: Any) -> bool:
    """Whether a tool name says that there is no tool."""
    return name is None or (isinstance(name, str) and name.strip().lower() in _NO_TOOL)


def looks_like_call(value: Any, names: Collection[str]) -> bool:
    """Whether a JSON value was meant as a call; `names` are the offered tools' names, as `one_name`."""
    if isinstance(value, list):
        return any(looks_like_call(element, names) for element in value)
    if not isinstance(value, dict):
        return False
    if any(isinstance(value.get(key), dict | list) for key in (*_WRAPPERS, "function")):
        return True
    if any(isinstance(key, str) and one_name(key) in names and isinstance(value[key], dict) for key in value):
        return True
    named = [value[key] for key in TOOL_KEYS if isinstance(value.get(key), str)]
    arguments = next((value[key] for key in ARGUMENT_KEYS if key in value), None)
    if any(one_name(name) in names for name in named):
        return not _describes_a_tool(value, arguments)
    if "tool" in value and (is_no_tool(value["tool"]) or arguments is not None):
        return True
    if named and isinstance(arguments, dict | str):
        return not _describes_a_tool(value, arguments)
    return bool(named) and value.keys() <= _VOCABULARY and value.keys() != {"name"}


def begun_call(text: str, names: Collection[str]) -> Begun | None:
    """How `text`, which is no call that the protocol reads, begins one; None where it is a plain answer."""
    fenced = [match.span(1) for match in _FENCED.finditer(text)]
    rest = text
    for start, end, value in json_values(text):
        if looks_like_call(value, names):
            if any(first <= start and end <= last for first, last in fenced):
                return Begun(CODE_FENCE, "the call stands in a code fence")
            if text[:start].strip() or text[end:].strip():
                return _around(text, start, end, value, names)
            return wrong_form(value, names)
        rest = f"{rest[:start]}{' ' * (end - start)}{rest[end:]}"  # sound JSON that is no call
    if dict_text := _python_call(text, names):
        return Begun(PYTHON_DICT, f"the call is a Python dict: {dict_text[:120]}")
    if _TAGS.search(text):
        return Begun(PROSE_AROUND_JSON, "the call stands between tags in the text")
    react = _REACT.search(text)
    if react and one_name(react[1]) in names:
        return Begun(INVALID_JSON, "the call is written as Action and Action Input")
    return _broken_json(rest, names) or _function_syntax(text, names, fenced)


def wrong_form(value: Any, names: Collection[str]) -> Begun:
    """What is wrong with a whole JSON message that was meant as a call."""
    objects = value if isinstance(value, list) else [value]
    for entry in objects:
        if not isinstance(entry, dict):
            return Begun(INVALID_JSON, "the list holds something that is no call")
        tool = entry.get("tool", entry.get("action", "?"))
        if is_no_tool(tool) and "none" not in names:
            return Begun(TOOL_NONE, f"the tool is {json.dumps(tool)}")
        if "tool" not in entry:
            return Begun(WRONG_KEY, f"no key `tool`; keys: {_keys(entry)}")
        if "params" not in entry:
            return Begun(WRONG_KEY, f"no key `params`; keys: {_keys(entry)}")
        unknown = entry.keys() - {"tool", "params", "reasoning"}
        if unknown:
            return Begun(WRONG_KEY, f"made-up keys: {_keys(unknown)}")
        if not isinstance(entry["tool"], str) or not isinstance(entry["params"], dict):
            return Begun(WRONG_KEY, "`tool` must be a text and `params` an object")
    return Begun(PROSE_AROUND_JSON, "the call is written out in the text")


def _around(text: str, start: int, end: int, value: Any, names: Collection[str]) -> Begun:
    rest = text[end:].strip().lstrip(",; \n")
    if not text[:start].strip() and rest.startswith(("{", "[")):
        return Begun(INVALID_JSON, "several calls without a list around them")
    form = wrong_form(value, names)
    if form.failure == TOOL_NONE:
        return form
    if _TAGS.search(text):
        return Begun(PROSE_AROUND_JSON, "the call stands between tags in the text")
    return Begun(PROSE_AROUND_JSON, "words stand around the call")


def json_values(text: str) -> Iterator[tuple[int, int, Any]]:
    """Every outermost JSON object or list in the text, with its place; hostile text is tried at a bounded number."""
    decoder = json.JSONDecoder()
    at = 0
    for _ in range(_MOST_PLACES):
        found = _OPENING.search(text, at)
        if found is None:
            return
        try:
            value, end = decoder.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            at = found.start() + 1
            continue
        yield found.start(), end, value
        at = end


def _python_call(text: str, names: Collection[str]) -> str | None:
    for found in list(re.finditer(r"[{\[]", text))[:_MOST_PLACES]:
        segment = _balanced(text, found.start())
        if segment is None or len(segment) > 20_000 or not re.search("'|True|False|None", segment):
            continue
        value = _literal(segment)
        if value is not None and looks_like_call(value, names):
            return segment
    return None


def _literal(segment: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd escape in a model's text is not our warning
        try:
            return ast.literal_eval(segment)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return None


def _balanced(text: str, start: int) -> str | None:
    """The bracketed text from `start` to its closing bracket, brackets in quotes not counted."""
    depth, quote, at = 0, "", start
    while at < len(text):
        letter = text[at]
        if quote:
            if letter == "\\":
                at += 1
            elif letter == quote:
                quote = ""
        elif letter in "\"'":
            quote = letter
        elif letter in "{[(":
            depth += 1
        elif letter in "}])":
            depth -= 1
            if depth == 0:
                return text[start : at + 1]
        at += 1
    return None


def _broken_json(text: str, names: Collection[str]) -> Begun | None:
    for found in list(_KEYED.finditer(text))[:_MOST_PLACES]:
        key, named = found[1], found[2]
        offered = named is not None and one_name(named.strip()) in names
        follows = _ARGUMENTS_KEYED.search(text, found.end())
        starts = not text[: found.start()].strip(" \n[{`")
        if offered or key in _WRAPPERS or (named is not None and follows) or (starts and key in ("tool", "action")):
            return Begun(INVALID_JSON, f"the call's JSON is broken or cut off: {text[found.start() :][:120]}")
    return None


def _function_syntax(text: str, names: Collection[str], fenced: list[tuple[int, int]]) -> Begun | None:
    """`name(...)` of an offered tool, on a line of its own, in a list, in a fence, or with values anywhere."""
    for found in islice(_FUNCTION.finditer(text), _MOST_PLACES):
        if one_name(found[2]) not in names:
            continue
        line_start, line_end = text.rfind("\n", 0, found.start()) + 1, text.find("\n", found.end())
        line = text[line_start : None if line_end < 0 else line_end].strip()
        if any(first <= found.start(2) <= last for first, last in fenced):
            return Begun(CODE_FENCE, f"the call stands as code in a fence: {line[:120]}")
        whole = line.endswith((")", ")]", ")`", ");", ",")) or text.strip() == line
        if (line.startswith(found[0]) and whole) or found[1] or _KEYWORD_VALUE.match(text, found.end()):
            return Begun(INVALID_JSON, f"the call is written as a function call: {line[:120]}")
    return None


def _describes_a_tool(value: dict[str, Any], arguments: Any) -> bool:
    return "description" in value or (isinstance(arguments, dict) and "properties" in arguments)


def _keys(keys: Collection[str]) -> str:
    return ", ".join(f"`{key}`" for key in sorted(map(str, keys))) or "none"
