"""Conversations in which no tool must be called: greetings, explanations, good news, and what was already said."""

from __future__ import annotations

from collections.abc import Callable

from kt_lib.generator.scenarios import LOOKS
from kt_lib.generator.talk import Finding, Talk
from kt_lib.generator.targets import aim
from kt_lib.generator.teaching import taught
from kt_lib.generator.voices import forms, sentence, statement, unheard, voice
from kt_lib.generator.wording import say, upper, words
from kt_lib.style import EXECUTIVE, LEARNER, ON_CALL, under_pressure
from kt_lib.world.names import make

PASTED = ("disks", "memory", "top_cpu", "top_mem", "status", "log", "folders", "loads_all")
CAPABLE = {
    "list_agents": "tell you which agents there are",
    "remote_bash": "run commands on a single agent",
    "remote_bash_all": "ask every agent at once",
    "bash": "work in your checkout",
}
ABOUT = "{I look after your machines|I'm your hands on the machines|I take care of the machines with you}"
NAME_BOTH = "name a machine and a question, and I'll explain each step"


def quiet(talk: Talk) -> str:
    """One of the kinds; says which."""
    kind = talk.rng.choices(list(_KINDS), weights=(2, 4, 2, 2, 4, 1, 3))[0]
    _KINDS[kind](talk)
    if kind in ("explanation", "pasted result") and talk.rng.random() < 0.2:
        thanks(talk)
    return f"no call, {kind}"


def greeting(talk: Talk) -> None:
    """A greeting."""
    values = {"name": make("person", talk.rng, False), "team": talk.rng.choice(words("lessons")["teams"])}
    exchange(talk, "greet", "greeted", values)


def exchange(talk: Talk, asked: str, answered: str, values: dict[str, str]) -> None:
    """What the user says, and the answer."""
    held = words("lessons")
    talk.ask(say(held[asked][talk.persona], talk.rng, values))
    talk.say(say(held[answered][talk.persona], talk.rng, values))


def explanation(talk: Talk) -> None:
    """A term explained."""
    taught(talk, talk.rng.choice(words("lessons")["lessons"]))
    name = make("person", talk.rng, False)
    first = talk.turns[0]
    if talk.rng.random() < 0.5:
        reason = say(words("lessons")["heard"], talk.rng, {"name": name})
        low = talk.persona in ("casual developer", ON_CALL)
        text = f"{first.content}{' ' if first.content[-1] in '.?!' else ', '}{reason}{'' if low else '.'}"
        talk.turns[0] = first.model_copy(update={"content": text})


def fixed(talk: Talk) -> None:
    """Good news."""
    exchange(talk, "fixed", "fixed_answer", {"name": make("person", talk.rng, False)})


def told(talk: Talk) -> None:
    """Something to keep in mind, and the question about it."""
    held, rng = words("lessons"), talk.rng
    key = rng.choice(held["keys"])
    slot = "branch" if key.endswith("branch") else "host"
    values = {"key": key, "Key": upper(key), "value": make(slot, rng, False)}
    talk.ask(say(held["tell"][talk.persona]["tell"], rng, values))
    talk.say(say(held["told"][talk.persona], rng, values))
    talk.ask(say(held["tell"][talk.persona]["ask"], rng, values))
    talk.say(say(held["asked_again"], rng, values))


def pasted(talk: Talk) -> None:
    """A result that the user brings along, and a question that it answers."""
    rng = talk.rng
    look = rng.choice(PASTED)
    behind = Talk(rng, talk.fleet, talk.persona)
    aim(behind, look)
    found = LOOKS[look](behind)
    command = str(behind.turns[0].tool_calls[0].arguments["command"])
    output = "\n".join(turn.content for turn in behind.turns if turn.role == "tool")
    if look == "memory":
        output = output.strip("\n")
    host = "all of them" if look == "loads_all" else behind.at["host"]
    asked = forms(look, rng, behind.at | {"where": "there"})
    values = {"command": command, "output": output, "host": host, "ask": asked["ask"], "Ask": asked["Ask"]}
    talk.ask(say(words("lessons")["paste"][talk.persona], rng, values))
    talk.say(read_off(talk, found, behind.at))


def read_off(talk: Talk, found: Finding, at: dict[str, str]) -> str:
    """What a pasted result says."""
    held, values = words("looks")[found.look], {**at, **found.values}
    brief, said = (say(held[part][found.state], talk.rng, values) for part in ("brief", "found"))
    if talk.persona == EXECUTIVE:
        return f"TL;DR: {brief}. {sentence(said)}"
    both = statement(talk.rng, {"brief": brief, "found": said}, "Checked.", under_pressure(talk.asked, talk.persona))
    if talk.persona == LEARNER:
        tip = unheard(talk, held["tip"], values)
        talk.taught.append(tip)
        return f"{both} Pro tip: {tip}."
    return both


def capabilities(talk: Talk) -> None:
    """What the assistant can do; the tools that are named are offered."""
    talk.ask(say(words("lessons")["can"][talk.persona], talk.rng, {"name": make("person", talk.rng, False)}))
    known = talk.rng.sample(sorted(CAPABLE), talk.rng.randint(2, 4))
    talk.tools += known
    parts = [CAPABLE[name] for name in CAPABLE if name in known]
    summary = f"{say(ABOUT, talk.rng)}. I can {', '.join(parts[:-1])} and {parts[-1]}."
    text = f"TL;DR: {lower(summary)}" if talk.persona == EXECUTIVE else summary
    if talk.persona == LEARNER:
        text += f" Pro tip: {NAME_BOTH}."
    talk.say(text)


def lower(text: str) -> str:
    """With a small first letter, but for the word I."""
    return text if text[:2] in ("I ", "I'") else text[:1].lower() + text[1:]


def beyond(talk: Talk) -> None:
    """Something that no tool on offer can do."""
    wish = talk.rng.choice(words("lessons")["beyond"])
    done, name = say(wish["do"], talk.rng), make("person", talk.rng, False)
    verb = "is" if wish["about"] in ("travel", "food", "the weather", "the office") else "are"
    values = {"do": done, "Do": upper(done), "name": name, "about": wish["about"], "is": verb}
    exchange(talk, "beyond_ask", "beyond_answer", values)


def thanks(talk: Talk) -> None:
    """Thanks at the end."""
    talk.ask(say(voice(talk.persona)["user"]["thanks"], talk.rng))
    talk.say(say(voice(talk.persona)["answer"]["welcome"], talk.rng))


_KINDS: dict[str, Callable[[Talk], None]] = {
    "greeting": greeting,
    "explanation": explanation,
    "good news": fixed,
    "already said": told,
    "pasted result": pasted,
    "capabilities": capabilities,
    "beyond the tools": beyond,
}
