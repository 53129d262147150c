"""Hand-written Open WebUI records for the tests of sources."""

from __future__ import annotations

from typing import Any


def chat(*messages: dict[str, Any], current: str | None = None, **record: Any) -> dict[str, Any]:
    """A chat record; a message's parent is the one before it unless it says otherwise."""
    keyed: dict[str, Any] = {}
    before = None
    for number, message in enumerate(messages):
        key = message.get("id", f"m{number}")
        keyed[key] = {"id": key, "parentId": before, "childrenIds": [], "timestamp": 1_750_000_000 + number, **message}
        before = key
    blob = {"title": "T", "models": ["m"], "history": {"messages": keyed, "currentId": current or before}}
    return {"id": "chat-1", "title": "T", "chat": blob, "updated_at": 1_750_000_100, **record}


def user(content: Any = "hello", **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **more}


def answer(content: Any = "hi", **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "model": "qwen", "done": True, **more}
