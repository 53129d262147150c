"""Sample chats of the embedded world, as Open WebUI exports them: asked, answered, rated, some answered twice."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from kt_lib.records import Conversation
from kt_lib.world.phrasing import intents, tools
from kt_lib.world.situations import Situation, no_call, prose, request

LICENCE = "MIT"
STARTED = 1_780_000_000
CONFIRMED = ("thanks, that worked", "perfect, thank you", "great, that did it")
DENIED = ("no, that is wrong", "that did not work", "not what i asked for")


def sample_export(seed: int, count: int) -> list[dict[str, JsonValue]]:
    """`count` chat records in the form of Open WebUI's UI export; the same seed gives the same records."""
    rng = random.Random(f"sample chats {seed}")
    return [record(rng, at) for at in range(count)]


def with_tools(conversations: Iterable[Conversation]) -> list[Conversation]:
    """The sample's conversations with what an export does not say: the tools offered, and that kt made them all up."""
    offered, made_up = tuple(tools().values()), {"licence": LICENCE, "consent": True}
    return [
        one.model_copy(update={"tools": offered, "source": one.source.model_copy(update=made_up)})
        for one in conversations
    ]


def record(rng: random.Random, at: int) -> dict[str, Any]:
    """One chat: a request, an answer (one in five wrong and then regenerated), a rating or a follow-up."""
    situation = no_call(rng, False) if rng.random() < 0.1 else request(rng, rng.choice(intents()), None)
    while situation.call is None and len(situation.messages) > 1:
        situation = no_call(rng, False)
    chat = Tree(rng, STARTED + 3600 * at)
    asked = chat.add("user", situation.messages[-1].content, None)
    if rng.random() < 0.2:
        chat.add("assistant", wrong_answer(rng, situation), asked, rating=-1)
    answer = prose(situation.call, rng) if situation.call else situation.answer
    kind = rng.random()
    answered = chat.add("assistant", answer, asked, rating=1 if kind < 0.4 else None)
    if 0.4 <= kind < 0.7:
        chat.add("user", rng.choice(CONFIRMED), answered)
    return chat.as_record(situation.messages[-1].content[:40])


def wrong_answer(rng: random.Random, situation: Situation) -> str:
    """An answer to something else."""
    other = request(rng, rng.choice(intents()), None)
    return prose(other.call, rng) if other.call else situation.answer


class Tree:
    """A chat being built in Open WebUI's form."""

    def __init__(self, rng: random.Random, started: int) -> None:
        self.rng, self.started = rng, started
        self.messages: dict[str, dict[str, Any]] = {}

    def new_id(self) -> str:
        """A random id that the seed decides."""
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def add(self, role: str, content: str, parent: str | None, rating: int | None = None) -> str:
        """Adds a message below `parent` and gives its id."""
        own = self.new_id()
        message: dict[str, Any] = {
            "id": own, "parentId": parent, "childrenIds": [], "role": role, "content": content,
            "timestamp": self.started + 30 * len(self.messages),
        }  # fmt: skip
        if role == "assistant":
            message |= {"model": "embedded", "modelName": "embedded", "done": True}
        if rating is not None:
            message["annotation"] = {"rating": rating}
        if parent:
            self.messages[parent]["childrenIds"].append(own)
        self.messages[own] = message
        return own

    def as_record(self, title: str) -> dict[str, Any]:
        """The chat record; the last message is the open one."""
        last = list(self.messages)[-1]
        return {
            "id": self.new_id(), "user_id": self.new_id(), "title": title, "archived": False, "pinned": False,
            "meta": {"tags": ["sample"]}, "created_at": self.started, "updated_at": self.started + 60,
            "chat": {
                "models": ["embedded"], "params": {}, "timestamp": self.started * 1000,
                "history": {"messages": self.messages, "currentId": last}, "messages": [],
            },
        }  # fmt: skip


def write_sample(folder: Path, seed: int, count: int = 40) -> str:
    """Writes `count` sample chats as an export file below `folder` and gives its path."""
    path = folder / "sample-chat-export.json"
    path.write_text(json.dumps(sample_export(seed, count)), encoding="utf-8")
    return str(path)
