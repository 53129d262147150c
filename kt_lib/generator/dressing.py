"""A conversation as a training row: the prompt before it, the tools on offer, the protocol of its calls."""

from __future__ import annotations

import random
from collections.abc import Sequence

from kt_lib.generator.talk import Talk
from kt_lib.generator.voices import voice
from kt_lib.generator.wording import say, words
from kt_lib.personas import ROLES, persona
from kt_lib.prompts import agent_request
from kt_lib.records import ChatMessage, Check, Protocol, SftRow, Task, ToolSpec

LICENCE = "MIT"
AGENTS = ("EXECUTOR", "DEBUGGER", "SHELL_EXECUTOR")
PERSONA_SHARE, ROLE_SHARE, INTERIM_SHARE, OTHERS_SHARE = 0.75, 0.4, 0.5, 0.4
LIST_SHARE = 0.3
PROMPTS = ("plain",) * 6 + ("strict", "steps")
ONE_AT_A_TIME = ("EXECUTOR", "steps")
"""The role and the prompt that want a single call; they never go with several calls in one message."""
LIST_ALLOWED = "For several calls at once, give a list of them."


def dressed(talk: Talk, kind: str, about: str, task_id: str, protocol: Protocol) -> SftRow:
    """The conversation as a row.

    The JSON protocol's prompt speaks of one object, so that a list is allowed in words where several calls are made in
    one message; and now and then where one call is enough.
    """
    rng, tools = talk.rng, offered(talk, kind)
    talk.offered = tools
    several = any(len(turn.tool_calls) > 1 for turn in talk.turns) or rng.random() < LIST_SHARE
    barred = ONE_AT_A_TIME if several else ()
    allowed = [LIST_ALLOWED] if several and protocol == "json" else []
    system = ChatMessage(role="system", content=" ".join([*allowed, *known_of(talk, barred)]))
    turns = talk.turns if protocol == "json" else [spoken(talk, turn) for turn in talk.turns]
    unchecked = Check(rule="never", evidence="none")
    task = Task(id=task_id, messages=(system, *turns), tools=tools, check=unchecked, part="train")
    # The other prompts say how JSON is to be written.
    prompt = rng.choice([name for name in PROMPTS if name not in barred]) if protocol == "json" else "plain"
    request = agent_request(task, protocol, prompt=prompt)
    return SftRow(
        messages=request.messages, tools=request.tools, learn="all", kind=kind, task_id=task_id, source="generator",
        basis=f"made up and checked: {talk.persona}, {about}", licence=LICENCE, consent=True,
    )  # fmt: skip


def known_of(talk: Talk, barred: Sequence[str]) -> list[str]:
    """Who is talked to, and mostly what the agent is; now and then only the latter. No role that is barred."""
    rng, found = talk.rng, []
    one = persona(talk.persona)
    assert one is not None
    known = rng.random() < PERSONA_SHARE
    if not known or rng.random() < ROLE_SHARE:
        found.append(rng.choice([role.words for role in ROLES if role.name in AGENTS and role.name not in barred]))
    if known:
        found.append(one.words)
    return found


def spoken(talk: Talk, turn: ChatMessage) -> ChatMessage:
    """A native call with a word beside it now and then: the JSON protocol has no place for one."""
    if not turn.tool_calls or talk.rng.random() > INTERIM_SHARE or turn.tool_calls[0].name in ("think", "complete"):
        return turn
    return turn.model_copy(update={"content": say(voice(talk.persona)["answer"]["interim"], talk.rng)})


def offered(talk: Talk, kind: str) -> tuple[ToolSpec, ...]:
    """The tools that are used among others, in random order.

    `think` and `complete` are offered where they are used: with them on offer it would be right to use them.
    """
    rng, needed = talk.rng, list(dict.fromkeys(talk.tools))
    if kind == "no_call" and needed:
        names = needed
    else:
        names = [
            name
            for name in ("bash", "remote_bash", "remote_bash_all", "list_agents")
            if name in needed or rng.random() < 0.6
        ]
        names += [name for name in needed if name not in names]
        names = names if len(names) > 1 else [*names, *(["list_agents"] if "list_agents" not in names else ["bash"])]
    if rng.random() < OTHERS_SHARE:
        names += rng.sample(sorted(words("tools")["others"]), rng.randint(1, 2))
    rng.shuffle(names)
    return tuple(spec(name, rng) for name in names)


def spec(name: str, rng: random.Random) -> ToolSpec:
    """A tool with one of its descriptions."""
    held = words("tools")
    entry = held["own"].get(name) or held["others"][name]
    return ToolSpec(
        name=name, description=rng.choice(entry["about"]),
        parameters={
            "type": "object", "properties": {key: {"type": kind} for key, kind in entry["parameters"].items()},
            "required": list(entry["parameters"]),
        },
    )  # fmt: skip
