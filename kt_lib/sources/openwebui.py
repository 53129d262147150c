"""One Open WebUI chat record, of any version and any export, as a conversation with its edits."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from kt_lib.records import Conversation, Edit, Message, MessagePart, Provenance, Rating, Role, content_id
from kt_lib.sources.fields import dict_of, seconds_of, shown, text_of, text_or_none, texts_of
from kt_lib.sources.found import Found, Unusable
from kt_lib.sources.openwebui_parts import parts_of
from kt_lib.sources.openwebui_ratings import feedback_from, is_copied_rating, rating_of
from kt_lib.sources.openwebui_tree import Node, Tree, tree_of

_ROLES: dict[str, Role] = {
    "user": "user", "human": "user", "assistant": "assistant", "ai": "assistant", "bot": "assistant",
    "gpt": "assistant", "model": "assistant", "system": "system", "developer": "system", "tool": "tool",
    "function": "tool",
}  # fmt: skip
SNAPSHOT = "openwebui.snapshot"
"""The form of chats that are known from a feedback row alone."""
SHARED = "shared-"
"""User ids that begin so mark a copy made by "share": the rest is the id of the chat that was copied."""


def chat_from(record: dict[str, Any], source: Provenance) -> Found:
    """A chat record -> its conversation and edits; `Unusable` when no message is in it."""
    blob = _blob(record)
    tree = tree_of(blob)
    if not tree.nodes:
        raise Unusable("a chat without a message" if not tree.notes else f"no usable message: {tree.notes[0]}")
    messages, ids = _messages(tree)
    identity, notes, updated = _identity(record, blob, messages, tree.notes)
    edits = tuple(_edits(tree, messages, ids, identity, source))
    system = text_or_none(dict_of(blob.get("params")).get("system")) or text_or_none(blob.get("system"))
    conversation = Conversation(
        id=identity,
        source=source,
        title=text_of(record.get("title")) or text_of(blob.get("title")),
        models=texts_of(blob.get("models")),
        tags=texts_of(dict_of(record.get("meta")).get("tags")) or texts_of(blob.get("tags")),
        system=system,
        messages=tuple(messages),
        active_leaf=ids.get(tree.open_leaf or ""),
        created=seconds_of(record.get("created_at")) or seconds_of(blob.get("timestamp")),
        updated=updated,
        notes=tuple(dict.fromkeys(notes)),
    )
    return Found(conversations=(conversation,), edits=edits)


def rated_chat_from(row: dict[str, Any], source: Provenance) -> Found:
    """A feedback row -> its rating, and the chat as it was when rated where the row holds it.

    Such a snapshot can hold text from before an edit: it only stands in for a chat that is not known otherwise.
    """
    found = feedback_from(row, source)
    chat = dict_of(dict_of(row.get("snapshot")).get("chat"))
    try:
        seen = chat_from(chat, source.model_copy(update={"format": SNAPSHOT})).conversations[0]
    except Unusable:
        return found
    if seen.id != found.feedback[0].chat_id:
        return found
    return found.model_copy(update={"conversations": (seen.model_copy(update={"updated": found.feedback[0].updated}),)})


def _blob(record: dict[str, Any]) -> dict[str, Any]:
    """The chat itself: under `chat` (also as JSON text), or the record where the file is that old."""
    if "chat" not in record:
        return record
    blob = dict_of(record["chat"])
    if not blob and not isinstance(record["chat"], dict):
        raise Unusable(f"`chat` is {shown(record['chat'])[:40]!r}, not an object")
    return blob


def _identity(
    record: dict[str, Any], blob: dict[str, Any], messages: list[Message], notes: list[str]
) -> tuple[str, list[str], float | None]:
    """The chat's id, notes and time of change. A shared copy is an old version of the chat that it was made from."""
    user = text_of(record.get("user_id"))
    if user.startswith(SHARED) and len(user) > len(SHARED):
        return user[len(SHARED) :], notes, None
    identity = text_of(record.get("id")) or text_of(blob.get("id"))
    if not identity:
        identity = content_id("chat", [message.id for message in messages])
    updated = seconds_of(record.get("updated_at")) or seconds_of(blob.get("timestamp"))
    return identity, notes, updated


def _messages(tree: Tree) -> tuple[list[Message], dict[str, str]]:
    """The messages with ids made from content and parent, and the id of each key."""
    copied = _copied_ratings(tree)
    messages: list[Message] = []
    ids: dict[str, str] = {}
    seen: dict[str, int] = {}
    for node in tree.nodes:
        role = _role(node, tree.notes)
        parts = parts_of(node.raw, role)
        parent = ids[node.parent] if node.parent is not None else None
        identity = message_id(parent, role, parts, seen)
        ids[node.key] = identity
        messages.append(_message(node, identity, parent, role, parts, None if node.key in copied else _rating(node)))
    return messages, ids


def message_id(parent: str | None, role: str, parts: tuple[MessagePart, ...], seen: dict[str, int]) -> str:
    """The id of a message: a hash over its parent, role and parts. An equal sibling gets its number into the hash."""
    said = [
        [part.kind, part.text, [part.call.name, part.call.arguments] if part.call else None, part.well_formed]
        for part in parts
    ]
    identity = content_id(parent, role, said)
    count = seen[identity] = seen.get(identity, 0) + 1
    return identity if count == 1 else content_id(parent, role, said, count)


def _message(
    node: Node, identity: str, parent: str | None, role: Role, parts: tuple[MessagePart, ...], rating: Rating | None
) -> Message:
    raw = node.raw
    failed, error = _failure(raw.get("error"))
    unfinished = role == "assistant" and raw.get("done") is False
    original = raw.get("originalContent")
    return Message(
        id=identity,
        source_id=node.key,
        parent_id=parent,
        role=role,
        parts=parts,
        model=(text_or_none(raw.get("model")) or text_or_none(raw.get("modelName"))) if role == "assistant" else None,
        created=seconds_of(raw.get("timestamp")),
        edited_from=text_of(original) if _was_edited(raw) else None,
        rating=rating,
        status="failed" if failed else "unfinished" if unfinished else "ok",
        error=error,
    )


def _role(node: Node, notes: list[str]) -> Role:
    """The role; one that is not known is read from what else the message says, and noted."""
    said = text_of(node.raw.get("role")).lower()
    if said in _ROLES:
        return _ROLES[said]
    guess: Role = "assistant" if any(key in node.raw for key in ("model", "done", "output", "usage")) else "user"
    notes.append(f"message {node.key[:40]} has role {shown(node.raw.get('role'))[:20]!r}: read as {guess}")
    return guess


def _rating(node: Node) -> Rating | None:
    return rating_of(node.raw["annotation"]) if "annotation" in node.raw else None


def _failure(error: Any) -> tuple[bool, str | None]:
    """`error` is true, a text, or an object with the words in it; false and null are none."""
    if not error:
        return False, None
    if isinstance(error, dict):
        words = next((error[key] for key in ("content", "message", "detail", "error") if error.get(key)), error)
        return True, shown(words)
    return True, None if error is True else shown(error)


def _was_edited(raw: dict[str, Any]) -> bool:
    original, content = raw.get("originalContent"), raw.get("content")
    return isinstance(original, str) and isinstance(content, str) and bool(original.strip()) and original != content


def _edits(
    tree: Tree, messages: list[Message], ids: dict[str, str], conversation: str, source: Provenance
) -> list[Edit]:
    """Answers whose `originalContent` differs from what stands there now (a person, or a filter, changed them)."""
    edits = []
    for node, message in zip(tree.nodes, messages, strict=True):
        if message.edited_from is not None:
            final = text_of(node.raw["content"])
            identity = content_id("edit", conversation, node.key, message.edited_from, final)
            edits.append(
                Edit(
                    id=identity,
                    source=source,
                    original=message.edited_from,
                    final=final,
                    agent=message.model,
                    created=message.created,
                )
            )
    return edits


def _copied_ratings(tree: Tree) -> set[str]:
    """Keys of messages whose rating is only the copy of a sibling's."""
    siblings: dict[str | None, list[Node]] = defaultdict(list)
    for node in tree.nodes:
        if "annotation" in node.raw:
            siblings[node.parent].append(node)
    copied: set[str] = set()
    for nodes in siblings.values():
        for number, node in enumerate(nodes):
            if any(is_copied_rating(node.raw, first.raw) for first in nodes[:number] if first.key not in copied):
                copied.add(node.key)
    return copied
