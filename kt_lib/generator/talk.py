"""A conversation being made: what was said, the calls and their results, and the fleet as they left it."""

from __future__ import annotations

import random

from pydantic import JsonValue

from kt_lib.generator.answering import answer
from kt_lib.generator.fleet import Fleet, Machine
from kt_lib.records import ChatMessage, Record, ToolCall, ToolSpec


class Finding(Record):
    """What a look brought to light, ready to be put into words."""

    look: str
    """The look, a key of looks.yaml."""
    state: str
    """Which of the look's outcomes."""
    values: dict[str, str]
    """Values of the wording's slots."""
    points: tuple[str, ...] = ()
    """The single facts, each fit for a list item."""
    rows: tuple[tuple[str, float, str], ...] = ()
    """Names with a figure and the figure's text, where the facts can be narrowed by a figure."""
    nexts: tuple[str, ...] = ()
    """Looks that suggest themselves now."""
    good: bool = True
    """Whether nothing is wrong."""


class Talk:
    """A conversation in the making; looks act on it, voices speak in it."""

    def __init__(self, rng: random.Random, fleet: Fleet, persona: str) -> None:
        self.rng, self.fleet, self.persona = rng, fleet, persona
        self.at: dict[str, str] = {"app": fleet.app}
        self.turns: list[ChatMessage] = []
        self.tools: list[str] = []
        self.taught: list[str] = []
        self.looked: list[str] = []
        self.offered: tuple[ToolSpec, ...] = ()

    @property
    def machine(self) -> Machine:
        """The machine that is talked about."""
        found = self.fleet.machine(self.at["host"])
        assert found is not None, self.at
        return found

    def say(self, text: str) -> None:
        """A plain answer."""
        self.turns.append(ChatMessage(role="assistant", content=text))

    def ask(self, text: str) -> None:
        """The user's words."""
        self.turns.append(ChatMessage(role="user", content=text))

    def act(self, *calls: ToolCall) -> list[str]:
        """One message with these calls, then a result for each."""
        self.turns.append(ChatMessage(role="assistant", tool_calls=calls))
        texts = []
        for call in calls:
            self.fleet, text = answer(self.fleet, call)
            self.turns.append(ChatMessage(role="tool", name=call.name, content=text))
            self.tools.append(call.name)
            texts.append(text)
        return texts

    def remote(self, *commands: str) -> list[str]:
        """Commands on the machine that is talked about, in one message."""
        return self.act(*(made("remote_bash", agent_id=self.at["host"], command=command) for command in commands))

    def fleetwide(self, command: str) -> str:
        """A command on every machine."""
        return self.act(made("remote_bash_all", command=command))[0]

    def local(self, *commands: str) -> list[str]:
        """Commands in the checkout, in one message."""
        return self.act(*(made("bash", command=command) for command in commands))

    @property
    def asked(self) -> str:
        """What the user said last."""
        return next(turn.content for turn in reversed(self.turns) if turn.role == "user")


def made(name: str, **arguments: JsonValue) -> ToolCall:
    """A call."""
    return ToolCall(name=name, arguments=arguments)
