"""Tools, calls and answers as chat servers write them, and how they are read back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kt_lib.models.faults import Transient
from kt_lib.records import Request, ToolCall, ToolSpec

_LONGEST_NAME = 64
_THINKING = re.compile(r"\s*<(think|thinking|reasoning)>.*?(?:</\1>|\Z)\s*", re.DOTALL)
_THOUGHT = re.compile(r"\A(?:(?!<think>).)*?</think>\s*", re.DOTALL)


class Names:
    """Tool names as a server takes them (letters, digits, `_`, `-`; at most 64), and the way back."""

    def __init__(self, request: Request) -> None:
        self._own: dict[str, str] = {}
        self._wire: dict[str, str] = {}
        called = [call.name for message in request.messages for call in message.tool_calls]
        answered = [message.name for message in request.messages if message.role == "tool" and message.name]
        for name in [*(tool.name for tool in request.tools), *called, *answered]:
            self._add(name)

    def _add(self, name: str) -> None:
        if name in self._wire:
            return
        plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:_LONGEST_NAME] or "_"
        wire, number = plain, 2
        while wire in self._own:
            wire, number = f"{plain[: _LONGEST_NAME - 4]}_{number}", number + 1
        self._wire[name], self._own[wire] = wire, name

    def wire(self, name: str) -> str:
        """The name to send."""
        return self._wire[name]

    def own(self, wire: str) -> str:
        """The name that was meant; a name that was never sent is kept as it is."""
        return self._own.get(wire, wire)


def tool_form(tool: ToolSpec, names: Names) -> dict[str, Any]:
    """A tool in OpenAI's form, which Ollama shares; the whole schema is kept."""
    parameters = dict(tool.parameters) or {"type": "object", "properties": {}}
    function = {"name": names.wire(tool.name), "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


class ReadCalls(NamedTuple):
    """Native calls as read."""

    calls: tuple[ToolCall, ...]
    """Those with readable arguments."""
    unreadable: tuple[str, ...]
    """The others, as the server sent them."""


def read_calls(sent: Iterable[Any], names: Names) -> ReadCalls:
    """Calls from a server's `tool_calls`; arguments may be an object or JSON text, ids may be missing."""
    calls: list[ToolCall] = []
    unreadable: list[str] = []
    for entry in sent:
        function = entry.get("function", entry) if isinstance(entry, Mapping) else None
        name = function.get("name") if isinstance(function, Mapping) else None
        arguments = _arguments(function.get("arguments")) if isinstance(function, Mapping) else None
        try:
            if not isinstance(name, str) or not name or arguments is None:
                raise ValueError
            given = entry.get("id")
            calls.append(
                ToolCall(name=names.own(name), arguments=arguments, id=given if isinstance(given, str) else None)
            )
        except ValueError:  # also pydantic's, for what is nested too deeply
            unreadable.append(json.dumps(function if function is not None else entry, ensure_ascii=False))
    return ReadCalls(tuple(calls), tuple(unreadable))


def _arguments(sent: Any) -> dict[str, Any] | None:
    if sent is None or sent == "":
        return {}
    if isinstance(sent, str):
        try:
            sent = load_json(sent)
        except (ValueError, RecursionError):
            return None
    return dict(sent) if isinstance(sent, Mapping) else None


def read_text(content: Any) -> str:
    """The visible text of a message: a string, null, or a list of parts; reasoning that stands in it is left out."""
    if isinstance(content, list):
        content = "".join(part if isinstance(part, str) else _part_text(part) for part in content)
    if not isinstance(content, str):
        return ""
    found = _THINKING.match(content)
    if found:
        return content[found.end() :]
    # templates that write the opening tag themselves leave only the closing one
    return _THOUGHT.sub("", content, count=1) if "</think>" in content else content


def _part_text(part: Any) -> str:
    if not isinstance(part, Mapping) or part.get("type", "text") not in ("text", "output_text"):
        return ""
    text = part.get("text")
    return text if isinstance(text, str) else ""


def whole_number(value: Any) -> int:
    """A token count as a server gives it; 0 when it gives none."""
    return int(value) if isinstance(value, int | float) and value > 0 else 0


def load_json(text: str) -> Any:
    """The value of a JSON text, with half a surrogate pair (which no file can hold) made a question mark."""
    found = json.loads(text)
    if "\\ud" not in text.lower():
        return found
    return json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))


def read_object(body: str) -> dict[str, Any]:
    """The JSON object in a server's answer; `Transient` when it is none, for it may have been cut off."""
    try:
        found = load_json(body)
    except (ValueError, RecursionError) as error:
        raise Transient(f"the answer is no JSON ({error}): {body[:200]!r}") from None
    if not isinstance(found, dict):
        raise Transient(f"the answer is no JSON object: {body[:200]!r}")
    return found


def member(holder: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The object under `key`, an empty one where a server leaves it out or null."""
    found = holder.get(key)
    return found if isinstance(found, dict) else {}
