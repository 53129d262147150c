"""What stands before a request: agents that were listed, a command that was run, a word in between."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from kt_lib.corrections.drawing import Decks, Names, capital, fill
from kt_lib.corrections.wordings import Layout, Matter, matters, tools, wordings
from kt_lib.records import ChatMessage, ToolCall, ToolSpec
from kt_lib.world.phrasing import tools as world_tools

Turns = tuple[ChatMessage, ...]


class Agent(NamedTuple):
    """A connected machine; the fields are the slots of a layout."""

    name: str
    job: str
    system: str
    site: str
    state: str
    release: str


class Dealer(NamedTuple):
    """What one conversation is made with."""

    rng: random.Random
    decks: Decks
    names: Names


class Asked(NamedTuple):
    """A matter in one wording, its slots filled."""

    name: str
    matter: Matter
    values: dict[str, Any]
    words: dict[str, str]
    """do, Do, why, Why for a frame."""
    command: str


def user(text: str) -> ChatMessage:
    """What a user says."""
    return ChatMessage(role="user", content=text)


def assistant(text: str = "", *calls: ToolCall) -> ChatMessage:
    """What the assistant says or calls."""
    return ChatMessage(role="assistant", content=text, tool_calls=calls)


def asked(dealer: Dealer, deck: str = "matter", only: str = "") -> Asked:
    """The next matter (or the matter `only`); every matter has its turn before one is worded anew."""
    groups = [[(name, do) for do in matter.do] for name, matter in matters().items() if only in ("", name)]
    name, do = dealer.decks.deal(deck, groups)
    matter = matters()[name]
    values = dealer.names.values(matter)
    why = fill(dealer.decks.one(f"why {name}", matter.why), values)
    do = fill(do, values)
    words = {"do": do, "Do": capital(do), "why": why, "Why": capital(why)}
    return Asked(name, matter, values, words, fill(matter.command, values))


def frame(dealer: Dealer, kind: str) -> str:
    """The next way to ask; the kinds of users take turns."""
    return dealer.decks.deal(f"frame {kind}", list(wordings().frames[kind].values()))


def worded(dealer: Dealer, kind: str, about: Asked, **words: str) -> str:
    """The next way to ask for a matter; nobody asks to learn, or to be informed, for what changes something."""
    frames = wordings().frames[kind]
    acting = [ways for who, ways in frames.items() if who not in ("learner", "executive")]
    way = dealer.decks.deal(f"acting {kind}", acting) if about.matter.changes else frame(dealer, kind)
    return way.format(**words, **about.words)


def agents(dealer: Dealer, count: int, jobs: Sequence[str] = ()) -> list[Agent]:
    """Machines, each with another job unless `jobs` are given; the first is online, as most of them are."""
    known, rng = wordings(), dealer.rng
    held = list(jobs) or rng.sample(known.jobs, count)
    return [
        Agent(
            name=dealer.names.host(job),
            job=job,
            system=rng.choice(known.systems),
            site=rng.choice(known.sites),
            state=rng.choices(known.states, [6, 2, 2, 1])[0] if at else "online",
            release=rng.choice(known.releases),
        )
        for at, job in enumerate(held)
    ]


def layout(dealer: Dealer, showing: str = "") -> Layout:
    """The next way to print a list of agents, one that shows this attribute."""
    fit = [one for one in wordings().layouts if not showing or f"<{showing}>" in one.entry]
    return dealer.decks.one(f"layout {showing}", fit)


def listing(layout: Layout, listed: Sequence[Agent]) -> str:
    """The list as `list_agents` prints it."""
    entries = layout.between.join(fill(layout.entry, agent._asdict()) for agent in listed)
    return layout.around.replace("<entries>", entries)


def list_call(said: str) -> Turns:
    """The call of `list_agents` and its result."""
    return (
        assistant("", ToolCall(name="list_agents", arguments={})),
        ChatMessage(role="tool", name="list_agents", content=said),
    )


def listed_turn(dealer: Dealer, listed: Sequence[Agent], layout: Layout) -> Turns:
    """The user asks who is there, and is told."""
    ask = dealer.decks.one("list_asks", wordings().list_asks)
    names = in_words([agent.name for agent in listed])
    say = dealer.decks.one("list_says", wordings().list_says).format(names=names)
    return (user(ask), *list_call(listing(layout, listed)), assistant(say))


def talk_turn(dealer: Dealer) -> Turns:
    """A word in between."""
    said, answer = dealer.decks.one("small_talk", wordings().small_talk)
    return (user(said), assistant(answer))


def done_turn(dealer: Dealer, host: str, about: Asked | None = None) -> Turns:
    """A command that was asked for, run and reported."""
    about = about or asked(dealer, "earlier matter")
    request = worded(dealer, "on_host", about, at=host)
    call = ToolCall(name="remote_bash", arguments={"agent_id": host, "command": about.command})
    result = ChatMessage(role="tool", name="remote_bash", content=fill(about.matter.out, about.values))
    report = capital(fill(about.matter.report, about.values))
    said = dealer.decks.one("done_says", wordings().done_says).format(report=report)
    return (user(request), assistant("", call), result, assistant(said))


def before(dealer: Dealer, shape: str, listed: Sequence[Agent] = (), printed: Layout | None = None) -> Turns:
    """The turns before a request. `shape` has a letter a turn: t for talk, d for something done, l for the list."""
    turns: list[ChatMessage] = []
    for letter in shape:
        if letter == "t":
            turns += talk_turn(dealer)
        elif letter == "d":
            turns += done_turn(dealer, host_for(dealer, shape, listed) if "l" in shape else dealer.names.host())
        else:
            turns += listed_turn(dealer, listed, printed or layout(dealer))
    return tuple(turns)


def host_for(dealer: Dealer, shape: str, listed: Sequence[Agent]) -> str:
    """A machine to act on: one of the listed that are online where there is a list, else one that is named anew."""
    if "l" in shape.lower():
        return dealer.rng.choice([agent for agent in listed if agent.state == "online"]).name
    return dealer.names.name("host")


def offered(dealer: Dealer, turns: Turns, *needed: str) -> tuple[ToolSpec, ...]:
    """The tools on offer in any order: those needed, those used before and some others; half of the time described."""
    own, rng = tools(described=dealer.rng.random() < 0.5), dealer.rng
    used = {call.name for turn in turns for call in turn.tool_calls}
    held = {name: own[name] for name in own if name in {*needed, *used}}
    rest = [spec for name, spec in {**world_tools(), **own}.items() if name not in held]
    chosen = [*held.values(), *rng.sample(rest, rng.randint(1, 3))]
    return tuple(rng.sample(chosen, len(chosen)))


def in_words(names: Sequence[str]) -> str:
    """`a`, `b` and `c`."""
    coded = [f"`{name}`" for name in names]
    return coded[0] if len(coded) == 1 else f"{', '.join(coded[:-1])} and {coded[-1]}"
