"""Tools as training sets write them: OpenAI's and MCP's form, xLAM's loose parameters, lists within a system prompt.

Types are written in Python's words in xLAM (`str, optional`, `List[int]`) and in ToolACE and BFCL (`dict`, `float`);
out come JSON Schemas. The forms were seen in rows quoted by public converters: xLAM's in `shekkari1999/qwen-fc-sft`,
docs/data_format_conversion.md, ToolACE's in the scripts that follow `NVlabs/Tool-N1`, Hermes's in the card of
`NousResearch/hermes-function-calling-v1`.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable
from typing import Any

from pydantic import JsonValue

from kt_lib.calls.begun import json_values
from kt_lib.records import ToolSpec
from kt_lib.sources.fields import dict_of, json_value, loaded, text_of, text_or_none

_TYPES = {
    "str": "string", "string": "string", "text": "string", "int": "integer", "integer": "integer", "long": "integer",
    "float": "number", "double": "number", "number": "number", "bool": "boolean", "boolean": "boolean",
    "list": "array", "array": "array", "tuple": "array", "set": "array", "dict": "object", "object": "object",
    "null": "null", "none": "null",
}  # fmt: skip
_OPTIONAL = re.compile(r"\W*\boptional\b(?!\[).*|,\s*default\b.*", re.IGNORECASE | re.DOTALL)
_BETWEEN = re.compile(r",(?![^\[]*\])")
_TAGGED = re.compile(r"<tools>(.*?)</tools>", re.DOTALL)
_NAMED_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions")
_LISTED_SCHEMAS = ("anyOf", "oneOf", "allOf", "prefixItems")
_LONGEST_LITERAL = 1_000_000


def loose_value(text: str) -> Any:
    """The JSON value or the Python literal in a text; None when it is neither. Nothing is ever evaluated."""
    found = loaded(text)
    if found is not None or len(text) > _LONGEST_LITERAL:
        return found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd escape in a row is not our warning
        try:
            return as_json(ast.literal_eval(text.strip()))
        except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
            return None


def as_json(value: Any) -> Any:
    """A Python literal as JSON has it: tuples are lists. TypeError for what JSON cannot say."""
    if isinstance(value, list | tuple):
        return [as_json(one) for one in value]
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): as_json(one) for key, one in value.items()}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"{type(value).__name__} is nothing that JSON has")


# --- tools -----------------------------------------------------------------------------------------------------------


def tools_listed(value: Any) -> list[ToolSpec]:
    """The tools of a list or of its text, each name once (Toucan has some twice); what is no tool is passed over."""
    listed = loose_value(value) if isinstance(value, str) else value
    listed = [listed] if isinstance(listed, dict) else listed
    return _each_once(map(tool_written, listed if isinstance(listed, list) else []))


def tools_in_text(text: str) -> list[ToolSpec]:
    """The tools that a system prompt lists: between `<tools>`, or as JSON one by one or in a list."""
    blocks = [block for block in _TAGGED.findall(text) if block.strip()]
    if blocks:
        values = [loose_value(one) for block in blocks for one in _pieces(block)]
    else:
        values = [value for _, _, value in json_values(text)]
    entries = [entry for value in values for entry in (value if isinstance(value, list) else [value])]
    return _each_once(tool_written(entry) for entry in entries if isinstance(entry, dict) and _is_offered(entry))


def _pieces(block: str) -> list[str]:
    """A block of tools as one text where that can be read, else line by line."""
    return [block] if loose_value(block) is not None else [line for line in block.splitlines() if line.strip()]


def _is_offered(entry: dict[str, Any]) -> bool:
    """Whether an object in a prompt is a tool, and no example of a call."""
    schema = entry.get("arguments")
    return bool({"description", "parameters", "function"} & entry.keys()) or (
        isinstance(schema, dict) and isinstance(schema.get("properties"), dict)
    )


def _each_once(tools: Iterable[ToolSpec | None]) -> list[ToolSpec]:
    found: dict[str, ToolSpec] = {}
    for tool in tools:
        if tool is not None:
            found.setdefault(tool.name, tool)
    return list(found.values())


def tool_written(raw: Any) -> ToolSpec | None:
    """A tool in any of the forms, or its JSON text; None when it has no name."""
    raw = dict_of(raw)
    inner = raw["function"] if isinstance(raw.get("function"), dict) else raw
    name = text_or_none(inner.get("name"))
    if name is None:
        return None
    keys = ("parameters", "inputSchema", "input_schema", "arguments")
    schema = json_value(_schema(next((inner[key] for key in keys if isinstance(inner.get(key), dict)), {})))
    assert isinstance(schema, dict)
    return ToolSpec(name=name, description=text_of(inner.get("description")), parameters=schema)


# --- schemas ---------------------------------------------------------------------------------------------------------


def _schema(parameters: dict[str, Any]) -> dict[str, Any]:
    """A JSON Schema of parameters written as one, or as xLAM's `{name: {description, type, default}}`."""
    properties = parameters.get("properties")
    stated = isinstance(properties, dict) and all(isinstance(one, dict) for one in properties.values())
    loose = parameters and all(isinstance(one, dict) for one in parameters.values()) and not stated
    return _from_loose(parameters) if loose else _mended(parameters)


def _from_loose(parameters: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """xLAM's parameters: optional is what says so, and what has a default, be it empty."""
    required = [name for name, one in parameters.items() if not _is_optional(one)]
    properties = {name: _mended(_without_marks(one)) for name, one in parameters.items()}
    return {"type": "object", "properties": properties, "required": required}


def _is_optional(parameter: dict[str, Any]) -> bool:
    says_so = "optional" in text_of(parameter.get("type")).lower()
    return says_so or "default" in parameter or parameter.get("required") is False


def _without_marks(parameter: dict[str, Any]) -> dict[str, Any]:
    """A parameter without an empty default, which xLAM writes for none."""
    return {key: one for key, one in parameter.items() if key != "default" or one not in (None, "")}


def _mended(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with its types in JSON Schema's words, at every depth; `required` is a list where it belongs."""
    found: dict[str, Any] = _type_of(schema["type"]) if isinstance(schema.get("type"), str) else {}
    if isinstance(schema.get("type"), list):
        found["type"] = schema["type"]
    for key, value in schema.items():
        if key in _NAMED_SCHEMAS and isinstance(value, dict):
            found[key] = {name: _mended(one) if isinstance(one, dict) else {} for name, one in value.items()}
        elif key in _LISTED_SCHEMAS and isinstance(value, list):
            found[key] = [_mended(one) if isinstance(one, dict) else one for one in value]
        elif key in ("items", "additionalProperties", "not") and isinstance(value, dict):
            found[key] = _mended(value)
        elif key not in ("type", "required", *_NAMED_SCHEMAS) and not (key == "enum" and not isinstance(value, list)):
            found[key] = value
    if required := _required(schema):
        found["required"] = required
    return found


def _required(schema: dict[str, Any]) -> list[str]:
    """The names that a schema asks for: its list, and the properties that say so of themselves."""
    listed = schema.get("required")
    names = [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []
    properties = schema.get("properties")
    says_so = properties.items() if isinstance(properties, dict) else ()
    return list(
        dict.fromkeys([*names, *(n for n, one in says_so if isinstance(one, dict) and one.get("required") is True)])
    )


def _type_of(words: str) -> dict[str, JsonValue]:
    """The type that words like `str, optional`, `List[int]` or `dict` name; nothing where they name none."""
    outer, _, inner = _OPTIONAL.sub("", words).strip().partition("[")
    outer, inner = outer.strip().lower(), inner.removesuffix("]")
    if outer in ("optional", "union"):
        return _one_of([_type_of(one) for one in _BETWEEN.split(inner)])
    known = _TYPES.get(outer)
    if known == "array" and inner:
        items = _one_of([_type_of(one) for one in _BETWEEN.split(inner)])
        return {"type": "array"} | ({"items": items} if items else {})
    return {"type": known} if known else {}


def _one_of(types: list[dict[str, JsonValue]]) -> dict[str, JsonValue]:
    """The one type that covers all of these, if there is one."""
    kinds = [one for one in types if one.get("type") != "null"]
    if {str(one.get("type")) for one in kinds} == {"integer", "number"}:
        return {"type": "number"}
    return kinds[0] if kinds and all(one == kinds[0] for one in kinds) else {}
