"""The eight documented errors: how each is set up, what is right, and what the documented error looks like."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from kt_lib.calls import failures
from kt_lib.calls.writing import write_calls
from kt_lib.corrections.correction import MISCOUNTED
from kt_lib.corrections.counting import miscount
from kt_lib.corrections.drawing import capital, fill
from kt_lib.corrections.scenes import (
    Agent,
    Asked,
    Dealer,
    Turns,
    agents,
    asked,
    before,
    done_turn,
    frame,
    host_for,
    layout,
    offered,
    user,
    worded,
)
from kt_lib.corrections.wordings import Layout, Question, matters, wordings
from kt_lib.records import ToolCall, ToolSpec


class Draft(NamedTuple):
    """A correction before it has a task around it."""

    category: str
    turns: Turns
    tools: tuple[ToolSpec, ...]
    call: ToolCall | None
    """The right call; None where the right answer is plain."""
    right: str
    wrong: str
    says: tuple[str, ...] = ()
    counts: str = ""
    different: bool = False
    bullets: int = 0


def invented_loop(dealer: Dealer) -> Draft:
    """Asked of all hosts: `remote_bash_all`, and no `action` with a loop that the protocol does not have."""
    about = asked(dealer)
    shape = dealer.decks.one("shape", ["", "", "l", "t", "tl", "ld", "dd", "l"])
    listed = agents(dealer, dealer.rng.randint(2, 5))
    turns = (*before(dealer, shape, listed), user(worded(dealer, "everywhere", about)))
    hosts = [agent.name for agent in listed] if "l" in shape else ["agent_1", "agent_2", "agent_3"]
    values = {"hosts": json.dumps(hosts), "command": json.dumps(about.command)}
    wrong = fill(dealer.decks.one("wrong", wordings().wrong.invented_loop), values)
    return _calling(dealer, about, turns, ToolCall(name="remote_bash_all", arguments={"command": about.command}), wrong)


def tool_none(dealer: Dealer) -> Draft:
    """The answer is known: it is said, and no tool named `none` is called."""
    shape = dealer.decks.one("shape", ["R", "R", "", "tR", "lR", "Rt", "t", "dR"])
    question, name, values, turns = _known(dealer, shape) if "R" in shape else _general(dealer, shape)
    kind = "ask" if "R" in shape else "know"
    ask = fill(dealer.decks.one(f"ask {name} {question.answer}", question.ask), values)
    turns = (*turns, user(frame(dealer, kind).format(ask=ask, Ask=capital(ask))))
    right = capital(fill(question.answer, values))
    wrong = fill(dealer.decks.one("wrong", wordings().wrong.tool_none), {"answer": json.dumps(right)})
    says = (fill(question.says, values),) if question.says else ()
    return Draft(name, turns, offered(dealer, turns, "remote_bash"), None, right, wrong, says)


def forgotten_agents(dealer: Dealer) -> Draft:
    """The agents were listed a turn ago: the one that is meant is used, and nobody says that there are none."""
    about = asked(dealer)
    shape = dealer.decks.one("shape", ["l", "tl", "l", "dl", "lt", "ld", "tld"])
    listed = agents(dealer, dealer.rng.randint(2, 5))
    printed = layout(dealer)
    meant, one = _pointed_at(dealer, listed, printed)
    listed = [meant if agent.name == meant.name else agent for agent in listed]
    asking = worded(dealer, "on_one", about, one=one, One=capital(one))
    turns = (*before(dealer, shape, listed, printed), user(asking))
    call = ToolCall(name="remote_bash", arguments={"agent_id": meant.name, "command": about.command})
    wrong = fill(dealer.decks.one("wrong", wordings().wrong.forgotten_agents), {"command": about.command})
    return _calling(dealer, about, turns, call, wrong)


def invented_cli(dealer: Dealer) -> Draft:
    """There is a tool for it: it is called, and no program of its name is made up for the shell."""
    tool = dealer.decks.one("tool", ["remote_bash"] * 5 + ["remote_bash_all"] * 2 + ["complete"])
    about = asked(dealer)
    report = capital(fill(about.matter.report, about.values).replace("`", ""))
    if tool == "complete":
        turns, host = before(dealer, dealer.decks.one("shape before the end", ["", "t"])), dealer.names.host()
        turns = (*turns, *done_turn(dealer, host, about), user(frame(dealer, "finish").format(result=report)))
        call = ToolCall(name=tool, arguments={"result": report})
    else:
        shape, listed = dealer.decks.one("shape", ["", "", "t", "l", "d", "tl", "dd"]), agents(dealer, 3)
        turns, host = before(dealer, shape, listed), host_for(dealer, shape, listed)
        everywhere = tool == "remote_bash_all"
        asking = worded(dealer, "everywhere" if everywhere else "on_host", about, at=host)
        turns = (*turns, user(asking))
        call = ToolCall(name=tool, arguments={"command": about.command}) if everywhere else _remote(host, about)
    values = {"host": host, "command": about.command, "result": report}
    line = fill(dealer.decks.one(f"wrong {tool}", wordings().wrong.invented_cli[tool]), values)
    return _calling(dealer, about, turns, call, write_calls([ToolCall(name="bash", arguments={"command": line})]))


def instructions(dealer: Dealer) -> Draft:
    """Asked to do it: the call, and no lesson in a code fence."""
    about = asked(dealer)
    local = dealer.decks.one("local", [False, False, False, True])
    shape, listed = dealer.decks.one("shape", ["", "", "t", "d", "l", "td"]), agents(dealer, 3)
    turns, host = before(dealer, shape, listed), host_for(dealer, shape, listed)
    asking = worded(dealer, "act_here" if local else "act_on_host", about, at=host)
    call = ToolCall(name="bash", arguments={"command": about.command}) if local else _remote(host, about)
    kind = "local" if local else "remote"
    wrong = dealer.decks.one(f"wrong {kind}", wordings().wrong.instructions[kind])
    wrong = fill(wrong, {"host": host, "command": about.command})
    return _calling(dealer, about, (*turns, user(asking)), call, wrong)


def no_discovery(dealer: Dealer) -> Draft:
    """A machine is meant whose name nobody has said: the agents are listed first, and no name is guessed."""
    about = asked(dealer)
    job = dealer.decks.one("job", wordings().jobs)
    turns = before(dealer, dealer.decks.one("shape", ["", "", "t", "d", "td", "tt"]))
    turns = (*turns, user(worded(dealer, "by_job", about, job=job)))
    guess = fill(dealer.decks.one("wrong", wordings().wrong.no_discovery), {"job": job})
    call = ToolCall(name="list_agents", arguments={})
    return _calling(dealer, about, turns, call, write_calls([_remote(guess, about)]))


def plan_as_dicts(dealer: Dealer) -> Draft:
    """Asked for a plan: short bullets to read, and no Python."""
    groups = [[(name, goal) for goal in matter.goals] for name, matter in matters().items()]
    name, goal = dealer.decks.deal("goal", groups)
    matter = matters()[name]
    shape, listed = dealer.decks.one("shape", ["", "", "t", "d", "l", "tl"]), agents(dealer, 3)
    values, host = dealer.names.values(matter), host_for(dealer, shape, listed)
    turns = before(dealer, shape, listed)
    turns = (*turns, user(frame(dealer, "plan").format(goal=fill(goal, values), at=host)))
    steps = [fill(step, values) for step in matter.plan]
    form = dealer.decks.one("wrong", wordings().wrong.plan_as_dicts)
    items = [_as_dict(form.item, at, step, host) for at, step in enumerate(steps, 1)]
    wrong = form.around.replace("<items>", ", ".join(items))
    right = "\n".join(f"- {step}" for step in steps)
    tools = offered(dealer, turns, "remote_bash")
    return Draft(name, turns, tools, None, right, wrong, bullets=len(steps))


def miscounted(dealer: Dealer) -> Draft:
    """A list is to be counted: the number is the one that counting gives."""
    counted = miscount(dealer)
    turns = counted.turns
    tools = offered(dealer, turns, "list_agents")
    return Draft(
        counted.category,
        turns,
        tools,
        None,
        counted.right,
        counted.wrong,
        counts=counted.pattern,
        different=counted.different,
    )


PATTERNS: Mapping[str, tuple[str, Callable[[Dealer], Draft]]] = {
    "invented_loop": (failures.WRONG_KEY, invented_loop),
    "tool_none": (failures.TOOL_NONE, tool_none),
    "forgotten_agents": (failures.LOST_CONTEXT, forgotten_agents),
    "invented_cli": (failures.INVENTED_COMMAND, invented_cli),
    "miscount": (MISCOUNTED, miscounted),
    "instructions": (failures.INSTRUCTIONS_INSTEAD_OF_ACTION, instructions),
    "no_discovery": (failures.MISSING_DISCOVERY_STEP, no_discovery),
    "plan_as_dicts": (failures.PYTHON_DICT, plan_as_dicts),
}
"""Each documented error with the failure class that the checker gives it, and how it is set up."""


def _calling(dealer: Dealer, about: Asked, turns: Turns, call: ToolCall, wrong: str) -> Draft:
    named = [name for name in wordings().tools if re.search(rf"\b{name}\b", wrong)]
    return Draft(about.name, turns, offered(dealer, turns, call.name, *named), call, write_calls([call]), wrong)


def _remote(host: str, about: Asked) -> ToolCall:
    return ToolCall(name="remote_bash", arguments={"agent_id": host, "command": about.command})


def _known(dealer: Dealer, shape: str) -> tuple[Question, str, dict[str, Any], Turns]:
    """A question that an earlier result answers, with the turns that hold the result."""
    groups = [[(name, at) for at in range(len(matter.asks))] for name, matter in matters().items()]
    name, at = dealer.decks.deal("question", groups)
    about = asked(dealer, f"matter {name}", only=name)
    listed = agents(dealer, dealer.rng.randint(2, 4))
    first, _, last = shape.partition("R")
    host = host_for(dealer, first, listed)
    turns = (*before(dealer, first, listed), *done_turn(dealer, host, about), *before(dealer, last, listed))
    return about.matter.asks[at], name, about.values, turns


def _general(dealer: Dealer, shape: str) -> tuple[Question, str, dict[str, Any], Turns]:
    """A question that needs no machine."""
    name = dealer.decks.one("general", list(matters()))
    return matters()[name].know, name, {}, before(dealer, shape)


def _pointed_at(dealer: Dealer, listed: list[Agent], printed: Layout) -> tuple[Agent, str]:
    """One of the listed agents, online, and words that mean it and no other by what the list shows."""
    known = wordings()
    meant = dealer.rng.choice(listed)
    position = listed.index(meant)
    place = "last" if position == len(listed) - 1 else known.places[position]
    shown = {"place": place} | {
        of: getattr(meant, of)
        for of in ("job", "system", "site")
        if f"<{of}>" in printed.entry and sum(getattr(one, of) == getattr(meant, of) for one in listed) == 1
    }
    way, words = dealer.decks.deal("one", [[(way, words) for words in held] for way, held in known.ones.items()])
    if way not in shown:
        way, words = "job", dealer.decks.one("by job", known.ones["job"])
    return meant._replace(state="online"), words.format(**{way: shown[way]})


def _as_dict(item: str, at: int, step: str, host: str) -> str:
    command = re.search(r"`([^`]*)`", step)
    assert command is not None, step
    why = step.replace("`", "")
    return fill(item, {"i": at, "host": host, "command": repr(command[1]), "why": repr(why)})
