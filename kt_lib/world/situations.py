"""Situations: a request made from an intent, made-up names, a phrase and a frame, with the call that answers it."""

from __future__ import annotations

import random
from functools import cache

from kt_lib.records import ChatMessage, Novelty, Record, ToolCall, ToolSpec
from kt_lib.world import names, talk
from kt_lib.world.phrasing import OPENERS, SLOT, THERE, WHERES, Intent, frames, intents, one_side, tools


class Situation(Record):
    """One thing asked for, with what is right."""

    intent: str
    """Intent and tool, `disk_space/remote_bash`."""
    messages: tuple[ChatMessage, ...]
    """The conversation up to and with the request."""
    call: ToolCall | None
    """The right call; None where none is due."""
    answer: str
    """The right plain answer where no call is due, else empty."""
    tools: tuple[ToolSpec, ...]
    """Tools on offer."""
    entities: tuple[str, ...]
    """Made-up names in it."""
    context: bool = False
    """Whether the place was named two turns before."""


def user(text: str) -> ChatMessage:
    """A user's message."""
    return ChatMessage(role="user", content=text)


def assistant(text: str = "", *calls: ToolCall) -> ChatMessage:
    """An assistant's message."""
    return ChatMessage(role="assistant", content=text, tool_calls=calls)


def request(rng: random.Random, intent: Intent, novelty: Novelty | None, context: bool = False) -> Situation:
    """A request for `intent`. With a novelty all names are held out, and the frame, the phrase or both are too."""
    held_out = novelty is not None
    phrase = rng.choice(intent.split(novelty in ("phrase", "both")))
    frame = rng.choice(frames(novelty in ("frame", "both")))
    slots = sorted({slot for text in (phrase, *intent.arguments.values()) for slot in SLOT.findall(text)})
    drawn = {slot: names.make(slot, rng, held_out) for slot in slots}
    said, before = place(rng, intent, fill(phrase, drawn), drawn, context)
    return Situation(
        intent=intent.group,
        messages=(*before, user(frame.replace("{p}", said))),
        call=call_of(intent, drawn),
        answer="",
        tools=offered(rng, intent.tool),
        entities=tuple(value for slot, value in drawn.items() if slot not in names.VALUES),
        context=bool(before),
    )


def place(
    rng: random.Random, intent: Intent, phrase: str, drawn: dict[str, str], context: bool
) -> tuple[str, tuple[ChatMessage, ...]]:
    """The phrase with its place said in it, or said two turns before."""
    at = drawn.get(intent.where, "")
    if not at:
        return phrase, ()
    if context:
        opener = rng.choice(OPENERS).format(at=at)
        return rng.choice(THERE).format(vp=phrase), (user(opener), assistant(rng.choice(talk.NODS)))
    return rng.choice(WHERES[intent.where]).format(vp=phrase, at=at), ()


def fill(template: str, drawn: dict[str, str]) -> str:
    """`<slot>` replaced by its value."""
    return SLOT.sub(lambda found: drawn[found.group(1)], template)


def call_of(intent: Intent, drawn: dict[str, str]) -> ToolCall:
    """The right call, arguments in the tool's order and of its types."""
    properties = source_types(intent.tool)
    arguments = {
        name: int(fill(template, drawn)) if properties[name] == "integer" else fill(template, drawn)
        for name, template in intent.arguments.items()
    }
    return ToolCall(name=intent.tool, arguments=arguments)


@cache
def source_types(tool: str) -> dict[str, str]:
    """Parameter types of a tool."""
    schema = tools()[tool].parameters["properties"]
    assert isinstance(schema, dict)
    return {name: str(kind["type"]) for name, kind in schema.items() if isinstance(kind, dict)}


def offered(rng: random.Random, tool: str | None) -> tuple[ToolSpec, ...]:
    """The right tool among one to three others, in random order."""
    others = [name for name in tools() if name != tool]
    chosen = rng.sample(others, rng.randint(1, 3)) + ([tool] if tool else [])
    rng.shuffle(chosen)
    return tuple(tools()[name] for name in chosen)


def prose(call: ToolCall, rng: random.Random | None = None) -> str:
    """The call as an answer in a chat says it; in its commonest form without `rng`."""
    form = rng.random() if rng else 0.0
    values = {name: f"`{value}`" for name, value in call.arguments.items()}
    command = values.get("command")
    at = values.get("agent_id")
    if command and at:
        return f"Run {command} on {at}." if form < 0.75 else f"On {at}, run {command}."
    if command and "path" in values:
        return f"Run {command} in {values['path']}." if form < 0.75 else f"In {values['path']}, run {command}."
    if command:
        return f"Run {command}."
    named = [f"{name} {value}" for name, value in values.items()]
    listed = ", ".join(named[:-1]) + (" and " if len(named) > 1 else "") + named[-1] if named else ""
    return f"Use `{call.name}` with {listed}." if listed else f"Use `{call.name}`."


def follow_up(rng: random.Random, held_out: bool) -> Situation:
    """A conversation that acted once and is asked for the same elsewhere."""
    intent = rng.choice([each for each in intents() if each.where == "host"])
    first = request(rng, intent, "both" if held_out else None)
    other = names.make("host", rng, held_out)
    assert first.call is not None
    call = first.call.model_copy(update={"arguments": {**first.call.arguments, "agent_id": other}})
    asked = rng.choice(one_side(talk.FOLLOW_UPS, 0.2, held_out)).format(at=other)
    result = ChatMessage(role="tool", name=first.call.name, content=talk.result(rng))
    turns = (*first.messages, assistant("", first.call), result, assistant(rng.choice(talk.DONE)), user(asked))
    return first.model_copy(update={"messages": turns, "call": call, "entities": (*first.entities, other)})


def discovery(rng: random.Random, held_out: bool) -> Situation:
    """A conversation in which the agents were just listed and one of them must now be used."""
    intent = rng.choice([each for each in intents() if each.where == "host"])
    drawn_from = request(rng, intent, "both" if held_out else None)
    assert drawn_from.call is not None
    hosts = [str(drawn_from.call.arguments["agent_id"]), names.make("host", rng, held_out)]
    jobs = rng.sample(talk.JOBS, 2)
    listing = [f"{name} ({job})" for name, job in zip(hosts, jobs, strict=True)]
    rng.shuffle(listing)
    asked = drawn_from.messages[-1].content.replace(hosts[0], f"the {jobs[0]} agent")
    turns = (
        user(asked),
        assistant("", ToolCall(name="list_agents", arguments={})),
        ChatMessage(role="tool", name="list_agents", content=", ".join(listing)),
    )
    offer = tuple({tool.name: tool for tool in (*drawn_from.tools, tools()["list_agents"])}.values())
    entities = (*drawn_from.entities, hosts[1])
    return drawn_from.model_copy(update={"messages": turns, "tools": offer, "entities": entities, "context": False})


def no_call(rng: random.Random, held_out: bool) -> Situation:
    """Something to answer in words though tools are on offer."""
    if rng.random() < 0.3:
        return after_result(rng, held_out)
    topic = rng.choice(list(talk.TOPICS))
    question, answer = talk.TOPICS[topic](rng, held_out)
    turns, entities = question
    messages = tuple(user(text) if at % 2 == 0 else assistant(text) for at, text in enumerate(turns))
    return Situation(
        intent=f"talk/{topic}", messages=messages, call=None, answer=answer, tools=offered(rng, None), entities=entities
    )


def after_result(rng: random.Random, held_out: bool) -> Situation:
    """The tool has answered: say what it said."""
    intent = rng.choice([each for each in intents() if "command" in each.arguments])
    first = request(rng, intent, "both" if held_out else None)
    assert first.call is not None
    said = talk.result(rng)
    turns = (*first.messages, assistant("", first.call), ChatMessage(role="tool", name=first.call.name, content=said))
    return first.model_copy(
        update={"intent": "talk/after_result", "messages": turns, "call": None, "answer": f"Done, it says: `{said}`."}
    )
