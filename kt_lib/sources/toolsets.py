"""Tool-calling sets: xLAM's questions with answers, Glaive's chats as text, ToolACE's calls in Python's form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import JsonValue

from kt_lib.calls.begun import json_values
from kt_lib.calls.python_calls import Unreadable, parse_calls
from kt_lib.records import (
    AcceptedCall,
    ChatMessage,
    Check,
    MessagePart,
    Provenance,
    Task,
    ToolCall,
    ToolSpec,
    content_id,
)
from kt_lib.sources.chains import Turn, conversation_from, said
from kt_lib.sources.fields import dict_of, json_value, list_of, loaded, text_of, text_or_none
from kt_lib.sources.found import Found, Unusable
from kt_lib.sources.openwebui_details import call_part, result_part
from kt_lib.sources.trajectories import tool_from

_TYPES = {
    "str": "string", "string": "string", "text": "string", "int": "integer", "integer": "integer", "float": "number",
    "number": "number", "bool": "boolean", "boolean": "boolean", "list": "array", "array": "array", "tuple": "array",
    "set": "array", "dict": "object", "object": "object",
}  # fmt: skip


# --- xLAM ------------------------------------------------------------------------------------------------------------


def xlam_row(row: dict[str, Any], source: Provenance) -> Found:
    """`{query, tools, answers: [{name, arguments}]}` -> a conversation, and a task whose answer key the answers are."""
    query = text_of(row.get("query"))
    tools = [tool for tool in (_xlam_tool(one) for one in _listed(row.get("tools"))) if tool]
    parts = [call_part(text_of(one.get("name")), one.get("arguments"), None) for one in _listed(row.get("answers"))]
    calls = [part.call for part in parts if part.call and part.well_formed]
    if not query or not parts or len(calls) != len(parts):
        raise Unusable("an xLAM row without a query, or with answers that are no calls")
    conversation = conversation_from([said("user", query), ("assistant", tuple(parts))], source, tools=tools)
    task = Task(
        id=content_id("xlam", query, [tool.name for tool in tools]),
        messages=(ChatMessage(role="user", content=query),),
        tools=tuple(tools),
        check=Check(rule="exact", accepted=tuple(map(_accepted, calls)), evidence="answer_key"),
        category=calls[0].name,
        group=conversation.id,
        information="schema given",
        source=source,
    )
    return Found(conversations=(conversation,), tasks=(task,))


def _listed(value: Any) -> list[dict[str, Any]]:
    found = loaded(value) if isinstance(value, str) else value
    return [one for one in list_of(found) if isinstance(one, dict)]


def _accepted(call: ToolCall) -> AcceptedCall:
    return AcceptedCall(name=call.name, arguments={name: [value] for name, value in call.arguments.items()})


def _xlam_tool(raw: dict[str, Any]) -> ToolSpec | None:
    """xLAM writes parameters as `{name: {description, type: "str, optional", default}}`; a schema is taken as it is."""
    parameters = dict_of(raw.get("parameters"))
    if "properties" in parameters or not all(isinstance(one, dict) for one in parameters.values()):
        return tool_from(raw)
    name = text_or_none(raw.get("name"))
    if name is None:
        return None
    properties: dict[str, JsonValue] = {key: _property(one) for key, one in parameters.items()}
    required: list[JsonValue] = [key for key, one in parameters.items() if not _optional(one)]
    schema: dict[str, JsonValue] = {"type": "object", "properties": properties, "required": required}
    return ToolSpec(name=name, description=text_of(raw.get("description")), parameters=schema)


def _optional(parameter: dict[str, Any]) -> bool:
    return "optional" in text_of(parameter.get("type")).lower() or parameter.get("default") not in (None, "")


def _property(parameter: dict[str, Any]) -> dict[str, JsonValue]:
    word = re.match(r"\s*([A-Za-z]+)", text_of(parameter.get("type")))
    known = _TYPES.get(word[1].lower()) if word else None
    found: dict[str, JsonValue] = {"type": known} if known else {}
    if description := text_of(parameter.get("description")):
        found["description"] = description
    if parameter.get("default") not in (None, ""):
        found["default"] = json_value(parameter["default"])
    return found


# --- Glaive ----------------------------------------------------------------------------------------------------------

_GLAIVE_TURN = re.compile(r"(?:^|\n)\s*(USER|ASSISTANT|FUNCTION RESPONSE):", re.MULTILINE)
_GLAIVE_CALL = re.compile(r"<functioncall>(.*?)(?:</functioncall>|<\|endoftext\|>|\Z)", re.DOTALL)
_QUOTED_ARGUMENTS = re.compile(r"\"arguments\"\s*:\s*'(.*)'\s*}\s*$", re.DOTALL)


def glaive_row(row: dict[str, Any], source: Provenance) -> Found:
    """`{system, chat}` as text: `USER:`, `ASSISTANT:` with `<functioncall>`, and `FUNCTION RESPONSE:`."""
    chat, system = text_of(row.get("chat")), text_of(row.get("system"))
    marks = list(_GLAIVE_TURN.finditer(chat))
    if not marks:
        raise Unusable("a Glaive row without USER: and ASSISTANT:")
    ends = [*(mark.start() for mark in marks[1:]), len(chat)]
    turns = [_glaive_turn(mark[1], chat[mark.end() : end]) for mark, end in zip(marks, ends, strict=True)]
    prompt = system.removeprefix("SYSTEM:").strip()
    if prompt:
        turns.insert(0, said("system", prompt))
    return Found(conversations=(conversation_from(turns, source, tools=tools_in_text(system)),))


def _glaive_turn(speaker: str, text: str) -> Turn:
    if speaker == "FUNCTION RESPONSE":
        return "tool", (result_part(_plain(text), None),)
    if speaker == "USER":
        return said("user", _plain(text))
    calls = [_glaive_call(found[1].strip()) for found in _GLAIVE_CALL.finditer(text)]
    words = _plain(_GLAIVE_CALL.sub("", text))
    return "assistant", (*said("assistant", words)[1], *calls)


def _plain(text: str) -> str:
    return text.replace("<|endoftext|>", "").strip()


def _glaive_call(written: str) -> MessagePart:
    """`{"name": "f", "arguments": '{"a": 1}'}`: the arguments are JSON in single quotes."""
    quoted = _QUOTED_ARGUMENTS.search(written)
    whole = dict_of(loaded(written[: quoted.start()] + '"arguments": {}}' if quoted else written))
    name = text_of(whole.get("name"))
    return (
        call_part(name, quoted[1] if quoted else whole.get("arguments"), None) if name else call_part("", written, None)
    )


# --- tools and calls within text -------------------------------------------------------------------------------------


def tools_in_text(text: str) -> list[ToolSpec]:
    """The tools that a system prompt lists as JSON, one by one or in a list."""
    found: list[ToolSpec] = []
    for _, _, value in json_values(text):
        for one in value if isinstance(value, list) else [value]:
            tool = tool_from(one)
            if tool and isinstance(one, dict) and ({"description", "parameters", "function"} & one.keys()):
                found.append(tool.model_copy(update={"parameters": _schema(tool.parameters)}))
    return found


def _schema(parameters: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """A JSON Schema: BFCL's and ToolACE's `dict` is an object."""
    return parameters | {"type": "object"} if parameters.get("type") == "dict" else parameters


def python_call_parts(text: str, tools: Sequence[ToolSpec]) -> tuple[MessagePart, ...]:
    """The calls of a text that is nothing but `[Name(key=value), ...]`, where names may hold spaces; else none."""
    plain, names = _as_identifiers(text.strip(), (tool.name for tool in tools))
    if not plain.startswith("["):
        return ()
    try:
        calls = parse_calls(plain)
    except Unreadable:
        return ()
    return tuple(call_part(names.get(call.name, call.name), call.arguments, None) for call in calls or ())


def _as_identifiers(text: str, names: Iterable[str]) -> tuple[str, dict[str, str]]:
    """The text with every tool's name before a bracket written as an identifier, and which is which."""
    known: dict[str, str] = {}
    for number, name in enumerate(sorted(set(names), key=len, reverse=True)):
        if not name.replace(".", "_").isidentifier():
            known[f"tool_{number}_"] = name
            text = re.sub(rf"(?<=[\[,\s]){re.escape(name)}\s*(?=\()", f"tool_{number}_", text)
    return text, known
