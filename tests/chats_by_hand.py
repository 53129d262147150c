"""Chats with tools written by hand, for the tests of what is made of conversations."""

from __future__ import annotations

from typing import Any

from kt_lib.records import Conversation, Message, MessagePart, Provenance, Rating, ToolCall, ToolSpec

DISK = ToolSpec(
    name="disk_usage",
    description="Free space on a host.",
    parameters={
        "type": "object",
        "properties": {"host": {"type": "string"}, "unit": {"type": "string", "enum": ["GB", "MB"]}},
        "required": ["host"],
    },
)
RESTART = ToolSpec(
    name="restart",
    description="Restart a service.",
    parameters={"type": "object", "properties": {"service": {"type": "string"}}, "required": ["service"]},
)


def words(text: str) -> MessagePart:
    return MessagePart(kind="text", text=text)


def call(name: str, key: str | None = None, **arguments: Any) -> MessagePart:
    return MessagePart(kind="tool_call", call=ToolCall(name=name, arguments=arguments, id=key), call_id=key)


def result(text: str, key: str | None = None) -> MessagePart:
    return MessagePart(kind="tool_result", text=text, call_id=key)


def message(role: Any, key: str, parent: str | None, *parts: MessagePart | str, **more: Any) -> Message:
    rating = more.pop("rating", None)
    return Message(
        id=key,
        parent_id=parent,
        role=role,
        parts=tuple(words(one) if isinstance(one, str) else one for one in parts),
        rating=None if rating is None else Rating(value=rating),
        **more,
    )


def chain(*said: tuple[Any, ...], **more: Any) -> list[Message]:
    """Messages one under another: `(role, part, ...)`; keys are m0, m1, ...; `more` is of the last one."""
    return [
        message(role, f"m{at}", f"m{at - 1}" if at else None, *parts, **(more if at == len(said) - 1 else {}))
        for at, (role, *parts) in enumerate(said)
    ]


def conversation(*messages: Message, tools: tuple[ToolSpec, ...] = (), name: str = "c", **more: Any) -> Conversation:
    source = {"file": "chats.json", "sha256": "0", "format": "openwebui.export", "place": "item 3", "licence": "MIT"}
    source |= {key: more.pop(key) for key in ("licence", "consent", "format", "place") if key in more}
    leaf = more.pop("leaf", messages[-1].id)
    return Conversation(id=name, source=Provenance(**source), messages=messages, tools=tools, active_leaf=leaf, **more)
