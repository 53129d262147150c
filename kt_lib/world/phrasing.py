"""Intents and the many ways to put them: phrases expanded from their grammar, frames around them, and the split of both."""

from __future__ import annotations

import hashlib
import itertools
import re
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml

from kt_lib.records import Record, ToolSpec

PHRASE_SHARE = 0.15
FRAME_SHARE = 0.22
SLOT = re.compile(r"<(\w+)>")

FRAMES = tuple(
    """
{p}|{p}.|please {p}|{p} please|{p}, please|can you {p}?|could you {p}?|would you {p}?|can you please {p}?|i need you to {p}
i want you to {p}|i would like you to {p}|we need to {p}|we have to {p}|time to {p}|go ahead and {p}|now {p}|next, {p}
hey, {p}|hi, {p}|hello, can you {p}?|hey, can you {p}?|quick one: {p}|urgent: {p}|{p}, thanks|{p}, thank you|{p} for me
can you {p} for me?|could you {p} for me?|please {p} now|{p} right now|{p} asap|{p} when you can|help me to {p}|help me {p}
your task: {p}|next task: {p}|todo: {p}|first, {p}|okay, {p}|ok now {p}|so, {p}|alright, {p}|let us {p}|i have to {p}, do it for me
my boss wants me to {p}|it would be great if you could {p}|mind if i ask you to {p}?
the plan says: {p}|as discussed, {p}|one more thing: {p}|while you are at it, {p}|if you have a minute, {p}|{p}, it is important
""".strip()
    .replace("\n", "|")
    .split("|")
)

WHERES = {
    "host": ["{vp} on {at}", "{vp} on {at}", "{vp} on {at}", "on {at}, {vp}", "{at}: {vp}", "{vp} on the machine {at}"],
    "repo": ["{vp} in {at}", "{vp} in {at}", "in {at}, {vp}", "{at}: {vp}", "{vp} in the repository {at}"],
}
THERE = ["{vp} there", "{vp} there", "{vp} on that machine", "there, {vp}", "{vp} on it"]
OPENERS = [
    "i am working on {at} today", "let us look at {at}", "we have trouble with {at}", "i am about to fix {at}",
    "{at} is acting up", "now to {at}", "i just logged in to {at}", "the alarm came from {at}",
    "today it is about {at}", "there is something wrong with {at}",
]  # fmt: skip


class Intent(Record):
    """Something people ask for, with the call that does it."""

    name: str
    """Its name, for tables."""
    tool: str
    """The tool that does it."""
    arguments: dict[str, str]
    """Argument templates in the tool's order, with `<slot>` for names."""
    where: Literal["host", "repo", "none"]
    """What the request says the place with."""
    phrases: tuple[str, ...]
    """Every phrase, expanded, slots left in."""

    def split(self, held_out: bool) -> list[str]:
        """The phrases of one side of the split."""
        return one_side(self.phrases, PHRASE_SHARE, held_out)

    @property
    def group(self) -> str:
        """Name and tool: the unit that agent habits are tied to."""
        return f"{self.name}/{self.tool}"


@cache
def one_side(texts: tuple[str, ...], share: float, held_out: bool) -> list[str]:
    """The texts that are held out (the first `share` of them by hash, at least two), or the others, in hash order."""
    ranked = sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest())
    held = max(2, round(share * len(texts)))
    return ranked[:held] if held_out else ranked[held:]


def frames(held_out: bool) -> list[str]:
    """The frames of one side of the split."""
    return one_side(FRAMES, FRAME_SHARE, held_out)


def expand(grammar: str) -> list[str]:
    """All phrases of a grammar: `{a|b} c` gives `a c` and `b c`."""
    pieces = [piece.split("|") for piece in re.split(r"\{([^{}]*)\}", grammar)]
    return [re.sub(r" +", " ", "".join(choice)).strip() for choice in itertools.product(*pieces)]


@cache
def source() -> dict[str, Any]:
    """The file the intents stand in."""
    data: dict[str, Any] = yaml.safe_load((files("kt_lib.world") / "intents.yaml").read_text(encoding="utf-8"))
    return data


@cache
def tools() -> dict[str, ToolSpec]:
    """The tools of the world by name."""
    return {
        name: ToolSpec(
            name=name,
            parameters={
                "type": "object",
                "properties": {parameter: {"type": kind} for parameter, kind in parameters.items()},
                "required": list(parameters),
            },
        )
        for name, parameters in source()["tools"].items()
    }


@cache
def intents() -> tuple[Intent, ...]:
    """Every intent; a shell intent that goes with and without a host stands twice, once per tool."""
    found: list[Intent] = []
    for name, entry in source()["shell"].items():
        phrases = tuple(phrase for grammar in entry["phrases"] for phrase in expand(grammar))
        remote = {"agent_id": "<host>", "command": entry["command"]}
        found.append(Intent(name=name, tool="remote_bash", arguments=remote, where="host", phrases=phrases))
        if entry["host"] == "either":
            local = {"command": entry["command"]}
            found.append(Intent(name=name, tool="bash", arguments=local, where="none", phrases=phrases))
    for name, entry in source()["repo"].items():
        phrases = tuple(phrase for grammar in entry["phrases"] for phrase in expand(grammar))
        there = {"path": "<repo>", "command": entry["command"]}
        found.append(Intent(name=name, tool="run_in_repo", arguments=there, where="repo", phrases=phrases))
    for name, entry in source()["tool"].items():
        phrases = tuple(phrase for grammar in entry["phrases"] for phrase in expand(grammar))
        found.append(Intent(name=name, tool=entry["tool"], arguments=entry["arguments"], where="none", phrases=phrases))
    return tuple(found)
