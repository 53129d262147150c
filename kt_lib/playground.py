"""One message put to a model in chat and as an agent, heard while it is written, and kept with what a person says."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from kt_lib.calls.protocol import read_agent
from kt_lib.errors import KtError
from kt_lib.interactions import InteractionStore, interaction_id
from kt_lib.labels import Interaction
from kt_lib.models.streaming import Streaming
from kt_lib.personas import Persona
from kt_lib.prompts import agent_request, chat_request
from kt_lib.records import ChatMessage, Check, Completion, Mode, Profile, Protocol, Record, Request, Task, ToolSpec

MODES: tuple[Mode, ...] = ("chat", "agent")
Hear = Callable[[Mode, str], bool]
"""Called with a side and a piece of its text; False stops it."""


class Setting(Record):
    """How a message is put."""

    protocol: Protocol = "json"
    """How the agent's calls are made."""
    persona: Persona | None = None
    """Role of the agent, or whom it talks to."""
    profile: Profile | None = None
    """The cheap levers kept for a model; they change the agent's side only."""


def request_for(mode: Mode, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec], setting: Setting) -> Request:
    """A conversation as a request: the prompts that every measured task gets, after the persona's words."""
    told = [ChatMessage(role="system", content=setting.persona.words)] if setting.persona else []
    task = Task(
        id="playground",
        messages=(*told, *messages),
        tools=tuple(tools),
        check=Check(rule="never", evidence="none"),
    )
    profile = setting.profile
    if mode == "chat":
        return chat_request(task)
    if profile is None:
        return agent_request(task, setting.protocol)
    levers = {"prompt": profile.prompt, "examples": profile.examples, "constrained": profile.constrained}
    return agent_request(task, setting.protocol, **levers, decoding=profile.decoding)  # type: ignore[arg-type]


class Playground:
    """Two conversations with one model that share the user's messages; every exchange is stored as it ends."""

    def __init__(self, model: Streaming, tools: Sequence[ToolSpec], store: InteractionStore) -> None:
        self.model = model
        self.tools = tuple(tools)
        self._store = store
        self._said: dict[Mode, list[ChatMessage]] = {"chat": [], "agent": []}

    def clear(self) -> None:
        """Forget the conversation; what was stored stays."""
        self._said = {"chat": [], "agent": []}

    def say(self, mode: Mode, text: str, setting: Setting, hear: Hear) -> Interaction:
        """Put a message to one side and store the exchange. KtError when the model cannot answer."""
        messages = (*self._said[mode], ChatMessage(role="user", content=text))
        first: list[float] = []
        told: list[bool] = []
        began = time.perf_counter()

        def heard(piece: str) -> bool:
            first.append(time.perf_counter() - began)
            told.append(hear(mode, piece))
            return told[-1]

        completion = self.model.stream(request_for(mode, messages, self.tools, setting), heard)
        if completion.finish == "error":
            raise KtError(completion.error or f"{self.model.name} gave no answer and no reason")
        done = self._exchange(mode, messages, completion, setting, first[0] if first else completion.seconds)
        done = done.model_copy(update={"stopped": not all(told)})
        self._store.put(done)
        self._said[mode] = [*messages, _as_said(done)]
        return done

    def judge(self, one: Interaction, verdict: str, correction: str, annotator: str) -> Interaction:
        """Store what a person says of an exchange; a correction replaces the answer in the conversation."""
        told: dict[str, Any] = {"verdict": verdict, "correction": correction, "annotator": annotator}
        judged = Interaction.model_validate(one.model_dump() | told)
        if verdict == "corrected" and not correction.strip():
            raise KtError("the right answer is empty: type what it should have said")
        self._store.put(judged)
        said = self._said[one.mode]
        if verdict == "corrected" and said and said[-1] == _as_said(one):
            said[-1] = ChatMessage(role="assistant", content=correction)
        return judged

    def _exchange(
        self, mode: Mode, messages: tuple[ChatMessage, ...], completion: Completion, setting: Setting, first: float
    ) -> Interaction:
        reading = read_agent(completion, self.tools, setting.protocol) if mode == "agent" else None
        now = time.time()
        return Interaction(
            id=interaction_id(self.model.name, messages, completion.text, now),
            time=now,
            origin="playground",
            mode=mode,
            protocol=setting.protocol,
            model=self.model.name,
            digest=self.model.digest,
            profile=setting.profile.name if setting.profile else "",
            persona=setting.persona.name if setting.persona else "",
            messages=messages,
            tools=self.tools,
            output=completion.text,
            calls=reading.calls if reading else (),
            failure=(reading.failure or "") if reading else "",
            usage=completion.usage,
            seconds=completion.seconds,
            first_seconds=first,
        )


def _as_said(one: Interaction) -> ChatMessage:
    if one.calls:
        return ChatMessage(role="assistant", content="", tool_calls=one.calls)
    return ChatMessage(role="assistant", content=one.output)
