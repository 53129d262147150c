"""The tree of an Open WebUI chat: broken links mended, parents before children, siblings in the order of time."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

from kt_lib.sources.fields import seconds_of, text_of


class Node(NamedTuple):
    """A message and the key of the message before it."""

    key: str
    parent: str | None
    raw: dict[str, Any]


class Tree(NamedTuple):
    """Messages in an order in which parents stand before children, siblings in the order of time."""

    nodes: list[Node]
    open_leaf: str | None
    notes: list[str]


def tree_of(blob: dict[str, Any]) -> Tree:
    """The messages of a chat's blob: its history, or its flat list where the history is empty or missing."""
    notes: list[str] = []
    history = blob.get("history")
    history = history if isinstance(history, dict) else {}
    messages = _keyed(history.get("messages"), notes)
    if messages:
        parents = _parents(messages, notes)
        current = history.get("currentId")
    else:
        messages = _keyed(blob.get("messages"), notes)
        parents = _flat_parents(messages)
        current = next(reversed(messages), None)
    _cut_cycles(parents, notes)
    nodes = _ordered(messages, parents)
    return Tree(nodes, _open_leaf(nodes, current, notes), notes)


def _keyed(messages: Any, notes: list[str]) -> dict[str, dict[str, Any]]:
    """Messages by id; what is no message is noted, a second message of one id gets an id of its own."""
    if isinstance(messages, dict):
        pairs = list(messages.items())
    elif isinstance(messages, list):
        pairs = [(one.get("id") if isinstance(one, dict) else None, one) for one in messages]
    else:
        return {}
    keyed: dict[str, dict[str, Any]] = {}
    for number, (key, message) in enumerate(pairs, 1):
        if not isinstance(message, dict):
            notes.append(f"message {number} left out: it is no object")
            continue
        name = key if isinstance(key, str) and key else f"#{number}"
        if name in keyed:
            notes.append(f"message id {name[:40]} is used twice")
            name = f"{name}#{number}"
        keyed[name] = message
    return keyed


def _parents(messages: dict[str, dict[str, Any]], notes: list[str]) -> dict[str, str | None]:
    """The parent of each message: `parentId`, or (where that is missing) the message that lists it as a child."""
    claimed: dict[str, str] = {}
    for key, message in messages.items():
        children = message.get("childrenIds")
        for child in children if isinstance(children, list) else ():
            if isinstance(child, str) and child != key:
                claimed.setdefault(child, key)
    parents: dict[str, str | None] = {}
    for key, message in messages.items():
        parent = text_of(message.get("parentId")) or None
        if parent is None and "parentId" not in message:
            parent = claimed.get(key)
        elif parent is not None and parent not in messages:
            notes.append(f"message {key[:40]} kept as a root: its parent is missing")
            parent = None
        parents[key] = parent
    return parents


def _flat_parents(messages: dict[str, dict[str, Any]]) -> dict[str, str | None]:
    """A flat list is one branch, unless its messages name their parents."""
    if any(text_of(message.get("parentId")) in messages for message in messages.values()):
        return _parents(messages, [])
    return dict(zip(messages, [None, *messages], strict=False))


def _cut_cycles(parents: dict[str, str | None], notes: list[str]) -> None:
    """Make a root of one message of each cycle. Iterative: a chat may be thousands of messages deep."""
    settled: set[str] = set()
    for start in parents:
        path: dict[str, None] = {}
        at: str | None = start
        while at is not None and at not in settled:
            if at in path:
                parents[at] = None
                notes.append(f"message {at[:40]} made a root: it was its own ancestor")
                break
            path[at] = None
            at = parents[at]
        settled.update(path)


def _ordered(messages: dict[str, dict[str, Any]], parents: dict[str, str | None]) -> list[Node]:
    """Depth first; siblings by time, then by id, so that the order does not hang on how the file was written."""
    children: dict[str | None, list[str]] = defaultdict(list)
    for key, parent in parents.items():
        children[parent].append(key)
    for siblings in children.values():
        if len(siblings) > 1:
            siblings.sort(key=lambda key: (seconds_of(messages[key].get("timestamp")) or 0.0, key), reverse=True)
    nodes: list[Node] = []
    waiting = list(children[None])
    while waiting:
        key = waiting.pop()
        nodes.append(Node(key, parents[key], messages[key]))
        waiting += children.get(key, ())
    return nodes


def _open_leaf(nodes: list[Node], current: Any, notes: list[str]) -> str | None:
    """The message that was open: `currentId`, or the latest leaf where that points to nothing."""
    keys = {node.key for node in nodes}
    if isinstance(current, str) and current in keys:
        return current
    if not nodes:
        return None
    inner = {node.parent for node in nodes}
    leaves = [node for node in nodes if node.key not in inner]
    if current is not None:
        notes.append("currentId points to no message: the latest leaf was taken")
    latest = max(leaves, key=lambda node: seconds_of(node.raw.get("timestamp")) or 0.0)
    return latest.key
