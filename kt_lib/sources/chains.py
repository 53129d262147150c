"""A conversation without branches, from its turns in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kt_lib.records import Conversation, Message, MessagePart, Provenance, Rating, Role, ToolSpec, content_id
from kt_lib.sources.found import Unusable
from kt_lib.sources.openwebui import message_id

Turn = tuple[Role, tuple[MessagePart, ...]]
"""Who speaks, and what is said."""


def said(role: Role, text: str) -> Turn:
    """A turn that is text."""
    return role, (MessagePart(kind="text", text=text),) if text else ()


def chain(turns: Iterable[Turn]) -> list[Message]:
    """The turns as messages, each the child of the one before it; ids are hashes over content and parent."""
    messages: list[Message] = []
    seen: dict[str, int] = {}
    for role, parts in turns:
        parent = messages[-1].id if messages else None
        identity = message_id(parent, role, parts, seen)
        messages.append(Message(id=identity, parent_id=parent, role=role, parts=parts))
    return messages


def conversation_from(
    turns: Sequence[Turn],
    source: Provenance,
    *,
    tools: Sequence[ToolSpec] = (),
    title: str = "",
    rating: Rating | None = None,
    grows_from: int | None = None,
) -> Conversation:
    """The turns as a conversation; a system prompt at its start is the conversation's own.

    `rating` is of the last message. Rows that share their first `grows_from` turns (all but an answer, say) are
    branches of one conversation. `Unusable` when no user asks anything or nobody answers.
    """
    system = "\n".join(part.text for part in turns[0][1]) if turns and turns[0][0] == "system" else None
    rest = list(turns[1:] if system is not None else turns)
    if not any(role == "user" and parts for role, parts in rest):
        raise Unusable("no user asks anything in it")
    if not any(role == "assistant" and parts for role, parts in rest):
        raise Unusable("nobody answers in it")
    messages = chain(rest)
    if rating is not None:
        messages[-1] = messages[-1].model_copy(update={"rating": rating})
    shared = messages[: grows_from - (system is not None)] if grows_from else messages
    known_by = [message.id for message in shared[-1:]]
    return Conversation(
        id=content_id(source.format, system, known_by, [tool.name for tool in tools]),
        source=source,
        title=title,
        system=system,
        tools=tuple(tools),
        messages=tuple(messages),
        active_leaf=messages[-1].id,
    )
