"""Tools as chats show them: the ones called, each with a schema inferred from its arguments; what a chat is offered."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from pydantic import JsonValue

from kt_lib.calls.shapes import command_parameter
from kt_lib.records import Conversation, Message, Record, ToolCall, ToolSpec

BASH = ToolSpec(
    name="bash",
    description="Run a shell command and return what it prints.",
    parameters={
        "type": "object",
        "properties": {"command": {"type": "string", "description": "The command line to run."}},
        "required": ["command"],
    },
)
"""Offered where a chat had no tools of its own: what its prose implies then is a command."""

_OFFERED = 12
"""Most tools offered with a task: the conversation's own, then the most used of the others."""


class Offer(Record):
    """The tools offered with the turns of one chat."""

    tools: tuple[ToolSpec, ...]
    """The tools, the chat's own first."""
    information: str
    """Where their schemas come from, in words."""


class Offers:
    """What each chat of a collection is offered: the tools its source names, else those it called and the most used."""

    def __init__(self, chats: Sequence[Conversation], tools: Sequence[ToolSpec], command_tool: ToolSpec) -> None:
        self._known = {tool.name: tool for tool in [*tools_seen(chats), *tools]}
        self._used = Counter(call.name for chat in chats for message in chat.messages for call in calls_made(message))
        self._given = {command_tool.name, *(tool.name for tool in tools)}
        self._command_tool = command_tool

    def of(self, chat: Conversation) -> Offer:
        """What is offered with the turns of `chat`."""
        own = {call.name for message in chat.messages for call in calls_made(message)}
        if chat.tools:
            more = sorted(own - {tool.name for tool in chat.tools})
            information = "some schemas inferred from calls" if more else "schema given"
            return Offer(tools=(*chat.tools, *(self._known[name] for name in more)), information=information)
        ranked = sorted(self._known, key=lambda name: (name not in own, -self._used[name], name))
        offered = [self._known[name] for name in ranked[: max(_OFFERED, len(own))]]
        if not own and not any(command_parameter(tool) for tool in offered):
            offered.append(self._command_tool)
        inferred = {tool.name for tool in offered} - self._given
        return Offer(tools=tuple(offered), information="schema inferred from calls" if inferred else "schema given")


def calls_made(message: Message) -> list[ToolCall]:
    """The calls recorded in an assistant's message."""
    if message.role != "assistant":
        return []
    return [part.call for part in message.parts if part.kind == "tool_call" and part.call is not None]


def tools_seen(conversations: Iterable[Conversation]) -> list[ToolSpec]:
    """The tools called in these conversations, by name, each with a JSON Schema inferred from its arguments."""
    arguments: dict[str, list[dict[str, JsonValue]]] = defaultdict(list)
    for chat in conversations:
        for message in chat.messages:
            for call in calls_made(message):
                arguments[call.name].append(call.arguments)
    return [ToolSpec(name=name, parameters=_schema(seen)) for name, seen in sorted(arguments.items())]


def _schema(calls: Sequence[dict[str, JsonValue]]) -> dict[str, JsonValue]:
    values: dict[str, list[JsonValue]] = defaultdict(list)
    for arguments in calls:
        for name, value in arguments.items():
            values[name].append(value)
    properties: dict[str, JsonValue] = {name: _type(seen) for name, seen in values.items()}
    required: list[JsonValue] = [name for name, seen in values.items() if len(seen) == len(calls)]
    return {"type": "object", "properties": properties, "required": required}


def _type(values: Sequence[JsonValue]) -> dict[str, JsonValue]:
    kinds = {_kind(value) for value in values} - {"null"}
    if kinds == {"integer", "number"}:
        return {"type": "number"}
    return {"type": kinds.pop()} if len(kinds) == 1 else {}


def _kind(value: JsonValue) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"
