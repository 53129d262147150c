"""A chat that came again: the same chat, grown. Nothing said is lost, and the order of the files does not matter."""

from __future__ import annotations

from collections.abc import Iterable

from kt_lib.branches import JUDGED_BOTH_WAYS
from kt_lib.records import Conversation, Message, Rating
from kt_lib.sources.found import Feedback
from kt_lib.sources.openwebui import message_id


def grown(old: Conversation, new: Conversation) -> Conversation:
    """Both versions of one chat as one: the later version's words, and the messages that only the other has."""
    later, earlier = (new, old) if _is_later(new, old) else (old, new)
    have = {_key(message): message for message in later.messages}
    lost = [message for message in earlier.messages if _key(message) not in have]
    before = {_key(message): message for message in earlier.messages}
    undated = old.updated is None and new.updated is None
    kept = [_with_rating(message, before.get(_key(message)), undated) for message in later.messages]
    if not lost and all(one is other for one, other in zip(kept, later.messages, strict=True)):
        return later
    names = [{message.id: _key(message) for message in version.messages} for version in (later, earlier)]
    messages, ids = _relinked(
        [(message, names[0].get(message.parent_id or "")) for message in kept]
        + [(message, names[1].get(message.parent_id or "")) for message in lost]
    )
    leaf = ids.get(names[0].get(later.active_leaf or "", ""))
    return later.model_copy(update={"messages": tuple(messages), "active_leaf": leaf})


def related(old: Conversation, new: Conversation) -> bool:
    """Whether two chats of one id are versions of one chat: they share a message (or one of them has none)."""
    if not old.messages or not new.messages:
        return True
    keys = {_key(message) for message in old.messages} | {message.id for message in old.messages}
    return any(_key(message) in keys or message.id in keys for message in new.messages)


def rated(conversation: Conversation, rows: Iterable[Feedback]) -> Conversation:
    """The conversation with its feedback rows on their messages; of two rows about one message the later holds."""
    by_message: dict[str, Rating] = {}
    for row in sorted(rows, key=lambda row: (row.updated or 0.0, row.id)):
        by_message[row.message_id] = row.rating
    if not by_message:
        return conversation
    changed = False
    messages = []
    for message in conversation.messages:
        rating = by_message.get(message.source_id or "")
        if rating is not None and rating != message.rating:
            message, changed = message.model_copy(update={"rating": rating}), True
        messages.append(message)
    return conversation.model_copy(update={"messages": tuple(messages)}) if changed else conversation


def _is_later(new: Conversation, old: Conversation) -> bool:
    """By time, then by size; where both are the same by what they say, so that no order of files matters."""
    if _age(new) != _age(old):
        return _age(new) > _age(old)
    return _said(new) > _said(old)


def _said(conversation: Conversation) -> str:
    """A chat without ratings, which both versions share after a merge."""
    messages = [message.model_copy(update={"rating": None}) for message in conversation.messages]
    return conversation.model_copy(update={"messages": tuple(messages)}).model_dump_json(exclude={"source"})


def _age(conversation: Conversation) -> tuple[float, int]:
    return (conversation.updated or 0.0, len(conversation.messages))


def _key(message: Message) -> str:
    return message.source_id or message.id


def _with_rating(message: Message, other: Message | None, undated: bool) -> Message:
    """The later version's rating, or the other's where it has none; of two without a time neither is the later."""
    if other is None or other.rating is None or message.rating == other.rating:
        return message
    if message.rating is None:
        return message.model_copy(update={"rating": other.rating})
    torn = JUDGED_BOTH_WAYS in (message.rating.reason, other.rating.reason)
    if not undated or not (torn or message.rating.value * other.rating.value < 0):
        return message
    return message.model_copy(update={"rating": Rating(value=0, reason=JUDGED_BOTH_WAYS)})


def _relinked(messages: list[tuple[Message, str | None]]) -> tuple[list[Message], dict[str, str]]:
    """Messages with the keys of their parents as one tree with new ids; parents stand before children.

    No circle can arise: what only the earlier version has hangs below the later version's messages, never above.
    """
    children: dict[str | None, list[tuple[Message, str | None]]] = {}
    for message, parent in messages:
        children.setdefault(parent, []).append((message, parent))
    for siblings in children.values():
        siblings.sort(key=lambda pair: (pair[0].created or 0.0, _key(pair[0])), reverse=True)
    ids: dict[str, str] = {}
    seen: dict[str, int] = {}
    linked: list[Message] = []
    waiting = list(children.get(None, ()))
    while waiting:
        message, parent = waiting.pop()
        parent_id = None if parent is None else ids[parent]
        identity = message_id(parent_id, message.role, message.parts, seen)
        ids[_key(message)] = identity
        linked.append(message.model_copy(update={"id": identity, "parent_id": parent_id}))
        waiting += children.get(_key(message), ())
    return linked, ids
