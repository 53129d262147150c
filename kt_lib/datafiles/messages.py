"""Messages and tools as training files write them, read strictly: what is no message says which one and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from kt_lib.datafiles.files import strict_json
from kt_lib.records import ChatMessage, Record, Role, ToolCall, ToolSpec

_ROLES: dict[str, Role] = {
    "system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool",
    "function": "tool",
}  # fmt: skip
_MESSAGE = frozenset(("role", "content", "tool_calls", "function_call", "name", "tool_call_id", "weight"))
_FUNCTION = frozenset(("name", "description", "parameters"))


class Unusable(ValueError):
    """This row cannot be used; the message says why."""


class ReadFrom(Record):
    """The words that one call was read from, as kt's own column keeps them."""

    message: int
    """The message's number, from 0."""
    call: int
    """The call's number in it, from 0."""
    words: str
    """The words."""


class Notes:
    """What a row holds that was not kept as it is; each thing once."""

    def __init__(self) -> None:
        self._told: dict[str, None] = {}

    def add(self, words: str) -> None:
        """One more thing; half a character in a name of the row's is shown as none."""
        self._told[words.encode("utf-8", "replace").decode()] = None

    def told(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self._told)


def read_messages(
    value: Any, where: str, notes: Notes, read_from: Sequence[ReadFrom] = (), *, as_text: Role | None = None
) -> tuple[tuple[ChatMessage, ...], dict[int, int]]:
    """The messages, and the weights by the message's number where there are any.

    `as_text` is who speaks where a plain text stands instead of messages. `read_from` are the words that calls were
    read from, as kt's column keeps them.
    """
    if as_text and isinstance(value, str) and not _is_json_list(value):
        return (ChatMessage(role=as_text, content=value),), {}
    listed = _loaded(value, where)
    if listed is None:
        raise Unusable(f"`{where}` is missing")
    if not isinstance(listed, list) or not listed:
        raise Unusable(f"`{where}` is no list of messages")
    objects = [_loaded(one, f"{where}[{at}]") for at, one in enumerate(listed)]
    words = {(one.message, one.call): one.words for one in read_from}
    found, weights = [], {}
    for at, one in enumerate(objects):
        place = f"{where}[{at}]"
        if not isinstance(one, dict):
            raise Unusable(f"`{place}` is no message")
        found.append(_message(one, place, notes, {call: said for (m, call), said in words.items() if m == at}))
        if one.get("weight") is not None:
            weights[at] = _weight(one, place)
    return _with_results_named(found, objects, where), weights


def _is_json_list(text: str) -> bool:
    """Whether a text is a list of messages written as JSON."""
    if not text.startswith("[{"):
        return False
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return all(isinstance(one, dict) and "role" in one for one in found)


def _loaded(value: Any, where: str) -> Any:
    """A value, or what a JSON text says."""
    if not isinstance(value, str):
        return value
    try:
        return strict_json(value)
    except ValueError as error:
        raise Unusable(f"`{where}` is a text that is no JSON: {error}") from None


def _message(one: dict[str, Any], place: str, notes: Notes, read_from: dict[int, str]) -> ChatMessage:
    role = _ROLES.get(one["role"]) if isinstance(one.get("role"), str) else None
    if role is None:
        raise Unusable(f"`{place}.role` is {one.get('role')!r:.60}: system, user, assistant or tool is due")
    calls = _calls(one, place, read_from)
    if calls and role != "assistant":
        raise Unusable(f"`{place}` holds tool calls, and {role} makes none")
    for name in one.keys() - _MESSAGE:
        if one[name] is not None:
            notes.add(f"`{name[:60]}` of a message is not kept")
    said = one.get("name")
    if said is not None and not isinstance(said, str):
        raise Unusable(f"`{place}.name` is no text")
    content = _content(one.get("content"), place, absent_is_fine=bool(calls))
    return ChatMessage(role=role, content=content, tool_calls=calls, name=said)


def _content(content: Any, place: str, absent_is_fine: bool) -> str:
    if isinstance(content, str):
        return content
    if content is None and absent_is_fine:
        return ""
    if isinstance(content, list):
        texts = [one.get("text") if isinstance(one, dict) and one.get("type") == "text" else None for one in content]
        if content and all(isinstance(text, str) for text in texts):
            return "".join(text for text in texts if text)
        raise Unusable(f"`{place}.content` holds parts that are no text")
    raise Unusable(f"`{place}.content` is missing" if content is None else f"`{place}.content` is no text")


def _weight(one: dict[str, Any], place: str) -> int:
    if isinstance(one["weight"], bool) or one["weight"] not in (0, 1):
        raise Unusable(f"`{place}.weight` is {one['weight']!r:.40}: 0 or 1 is due")
    if one["role"] != "assistant":
        raise Unusable(f"`{place}` has a weight: only the assistant's messages take one")
    return int(one["weight"])


# --- calls and their results -----------------------------------------------------------------------------------------


def _calls(one: dict[str, Any], place: str, read_from: dict[int, str]) -> tuple[ToolCall, ...]:
    listed = one.get("tool_calls")
    if listed is None and one.get("function_call") is not None:
        listed = [one["function_call"]]
    if listed is None:
        return ()
    if not isinstance(listed, list):
        raise Unusable(f"`{place}.tool_calls` is no list")
    return tuple(_call(call, f"{place}.tool_calls[{at}]", read_from.get(at)) for at, call in enumerate(listed))


def _call(call: Any, place: str, read_from: str | None) -> ToolCall:
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
        raise Unusable(f"`{place}` has no function name")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = strict_json(arguments)
        except ValueError as error:
            raise Unusable(f"`{place}.arguments` is no JSON: {error}") from None
    if arguments is not None and not isinstance(arguments, dict):
        raise Unusable(f"`{place}.arguments` is no object of arguments by name")
    said = call.get("id")
    if said is not None and not isinstance(said, str):
        raise Unusable(f"`{place}.id` is no text")
    words = read_from if read_from is not None else call.get("read_from")
    return ToolCall(name=function["name"], arguments=arguments or {}, id=said, read_from=words)


def _with_results_named(
    messages: Sequence[ChatMessage], objects: Sequence[dict[str, Any]], where: str
) -> tuple[ChatMessage, ...]:
    """Every tool result with the name of its call, in the order of the calls: records have no other tie to them."""
    found: list[ChatMessage] = []
    open_calls: list[ToolCall] = []
    results: list[tuple[int, ChatMessage]] = []
    for at, (message, one) in enumerate(zip(messages, objects, strict=True)):
        if message.role == "tool":
            results.append(_result(message, one.get("tool_call_id"), open_calls, len(results), f"{where}[{at}]"))
            continue
        found += [result for _, result in sorted(results, key=lambda pair: pair[0])]
        results, open_calls = [], list(message.tool_calls)
        found.append(message)
    return (*found, *(result for _, result in sorted(results, key=lambda pair: pair[0])))


def _result(
    message: ChatMessage, call_id: Any, calls: Sequence[ToolCall], number: int, place: str
) -> tuple[int, ChatMessage]:
    if call_id is None:
        return number, message
    at = next((at for at, call in enumerate(calls) if call.id == call_id), None)
    if at is None:
        raise Unusable(f"`{place}.tool_call_id` is {call_id!r:.60}, and no call right before it has that id")
    if message.name is None:
        message = message.model_copy(update={"name": calls[at].name})
    return at, message


# --- tools -----------------------------------------------------------------------------------------------------------


def read_tools(value: Any, notes: Notes) -> tuple[ToolSpec, ...]:
    """The tools of a row: a list, or its JSON text, of functions with or without `type` around them."""
    listed = _loaded(value, "tools") if value != "" else None
    if listed is None:
        return ()
    if not isinstance(listed, list):
        raise Unusable("`tools` is no list")
    return tuple(_tool(_loaded(one, f"tools[{at}]"), f"tools[{at}]", notes) for at, one in enumerate(listed))


def _tool(one: Any, place: str, notes: Notes) -> ToolSpec:
    function = one.get("function", one) if isinstance(one, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
        raise Unusable(f"`{place}` has no function name")
    parameters = function.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise Unusable(f"`{place}.parameters` is no JSON Schema")
    for name in function.keys() - _FUNCTION - {"type"}:
        notes.add(f"`{name[:60]}` of a tool is not kept")
    description = function.get("description") or ""
    if not isinstance(description, str):
        raise Unusable(f"`{place}.description` is no text")
    return ToolSpec(name=function["name"], description=description, parameters=parameters or {})
