"""The shapes of a conversation: one turn, and four patterns of several."""

from __future__ import annotations

from collections.abc import Callable

from kt_lib.generator import targets
from kt_lib.generator.fleet import Machine
from kt_lib.generator.making import make_fleet
from kt_lib.generator.scenarios import ACTIONS, LOOKS, ON_A_MACHINE, SCENARIOS, UNREACHED
from kt_lib.generator.talk import Finding, Talk, made
from kt_lib.generator.targets import aim, can_follow, place
from kt_lib.generator.teaching import lesson_for, taught
from kt_lib.generator.voices import OFFER_SHARE, follow_up, reply, request, voice
from kt_lib.generator.wording import number, say, upper, words
from kt_lib.records import ChatMessage
from kt_lib.style import CASUAL, EXECUTIVE, LEARNER, ON_CALL, SENIOR, sentences

BY_JOB_SHARE, THINK_SHARE, COMPLETE_SHARE, CLOSING_SHARE = 0.25, 0.3, 0.1, 0.4
PATTERNS: dict[str, tuple[str, ...]] = {
    CASUAL: ("deeper follow-up", "iterative refinement", "teaching", "troubleshooting"),
    SENIOR: ("deeper follow-up", "iterative refinement", "troubleshooting"),
    ON_CALL: ("troubleshooting", "deeper follow-up", "iterative refinement"),
    LEARNER: ("teaching", "teaching", "deeper follow-up", "troubleshooting", "iterative refinement"),
    EXECUTIVE: ("deeper follow-up", "iterative refinement", "teaching", "troubleshooting"),
}
"""The patterns that fit a persona: nobody teaches a senior engineer or somebody on call."""


def single(talk: Talk, scenario: str) -> str:
    """Request, calls, results, answer; says which look it was."""
    look = talk.rng.choice(SCENARIOS[scenario])
    opening(talk, scenario, look, complete=talk.rng.random() < COMPLETE_SHARE)
    return f"{scenario}, single turn"


def opening(talk: Talk, scenario: str, look: str, offer: str | None = None, complete: bool = False) -> Finding:
    """The first request and its answer. `offer` names what to offer; None lets the persona's habit decide."""
    aim(talk, look)
    asked_as = talk.at.get("wanted", look)
    by_job = look in ON_A_MACHINE and look not in UNREACHED and talk.rng.random() < BY_JOB_SHARE
    where = f"on the {talk.at['job']}" if by_job else place(talk, look)
    talk.ask(request(talk, asked_as, scenario, where))
    if look in words("lessons")["thoughts"] and talk.rng.random() < THINK_SHARE:
        thought = say(words("lessons")["thoughts"][look], talk.rng, talk.at | {"host": where.removeprefix("on ")})
        talk.act(made("think", thought=upper(thought)))
    if by_job:
        talk.act(made("list_agents"))
    return answered(talk, look, offer, complete)


def answered(talk: Talk, look: str, offer: str | None = None, complete: bool = False) -> Finding:
    """The look and the answer it leads to."""
    found = LOOKS[look](talk)
    talk.looked.append(look)
    if offer is None:
        fitting = [each for each in found.nexts if can_follow(talk, each)]
        habit = talk.rng.random() < OFFER_SHARE[talk.persona]
        offer = talk.rng.choice(fitting) if fitting and habit and not complete else ""
    said = reply(talk, found, offer)
    talk.taught += said.taught
    if complete:
        talk.turns.append(ChatMessage(role="assistant", tool_calls=(made("complete", result=said.text),)))
        talk.tools.append("complete")
    else:
        talk.say(said.text)
    return found


def several(talk: Talk, scenario: str, pattern: str) -> str:
    """A conversation of several turns in a pattern; says what it was."""
    scenario = _PATTERNS[pattern](talk, scenario)
    return f"{scenario}, {pattern}"


def further(talk: Talk, look: str, offered: bool, offer: str | None = None) -> Finding:
    """The user goes on, the assistant looks and answers."""
    aim(talk, look)
    talk.ask(follow_up(talk, look, nearby(talk, look), offered))
    return answered(talk, look, offer)


def nearby(talk: Talk, look: str) -> str:
    """The place of a look that follows another: `there` where the machine is plain from what was said."""
    host = talk.at.get("host", "")
    spoken = [one.id for one in talk.fleet.machines if f"`{one.id}`" in talk.turns[-1].content]
    alone = spoken == [host] or (not spoken and talk.at.get("said") == host)
    if look in ON_A_MACHINE and host and alone:
        return talk.rng.choice(("there", "there", "on it", "on that one"))
    return place(talk, look)


def deeper(talk: Talk, scenario: str) -> str:
    """From a first look to what lies behind it, once or twice."""
    looks = [look for look in SCENARIOS[scenario] if look not in UNREACHED]
    found = opening(talk, scenario, talk.rng.choice(looks), offer="")
    for _ in range(talk.rng.choice((1, 1, 2))):
        fitting = [look for look in found.nexts if look not in talk.looked and (look not in ACTIONS or not found.good)]
        if not fitting:
            break
        found = offered_next(talk, found, talk.rng.choice(fitting))
    closing(talk, found)
    return scenario


def offered_next(talk: Talk, found: Finding, look: str) -> Finding:
    """The next look, offered by the assistant's last answer in half of the cases."""
    aim(talk, look)
    talk.at["said"] = talk.at.get("host", "")
    offered = can_follow(talk, look) and talk.rng.random() < 0.5 and offer_now(talk, look)
    return further(talk, look, offered, offer="")


def offer_now(talk: Talk, look: str) -> bool:
    """Puts an offer at the end of the last answer, where there is room for one; says whether it did."""
    if talk.persona == EXECUTIVE and len(sentences(talk.turns[-1].content)) > 2:
        return False
    asked = say(targets.offer_of(look), talk.rng, talk.at)
    ending = say(voice(talk.persona)["answer"]["offer"], talk.rng, {"offer": asked, "Offer": upper(asked)})
    last = talk.turns[-1]
    joint = "\n" if "\n" in last.content else " "
    talk.turns[-1] = last.model_copy(update={"content": f"{last.content}{joint}{ending}"})
    return True


def refinement(talk: Talk, scenario: str) -> str:
    """The same again, narrowed, elsewhere or for something else."""
    fitting = [look for look in SCENARIOS[scenario] if look in _REFINED]
    if not fitting:
        scenario, fitting = "disk space", ["disks", "disks_all"]
    found = opening(talk, scenario, talk.rng.choice(fitting), offer="")
    for _ in range(talk.rng.choice((1, 2, 2))):
        found = refined(talk, found) or found
    closing(talk, found)
    return scenario


def refined(talk: Talk, found: Finding) -> Finding | None:
    """One refinement of what was found."""
    ways: list[Callable[[], Finding | None]] = []
    most = 2 if talk.persona == EXECUTIVE else len(found.rows)
    if "narrow" not in talk.looked and (
        limits := [(limit, count) for limit, count in limits_of(found) if count <= most]
    ):
        ways.append(lambda: narrowed(talk, found, *talk.rng.choice(limits)))
    others = others_of(talk, found)
    if others:
        ways.append(lambda: elsewhere(talk, found, talk.rng.choice(others)))
    turned = [look for look in _TURNED.get(found.look, ()) if look not in talk.looked]
    if turned:
        ways.append(lambda: further(talk, talk.rng.choice(turned), False, offer=""))
    return talk.rng.choice(ways)() if ways else None


def limits_of(found: Finding) -> list[tuple[str, int]]:
    """Limits that part the found rows, with the number of rows above each."""
    text = found.rows[0][2] if found.rows else ""
    unit = "%" if "%" in text else " lines" if "lines" in text else ""
    limits = []
    for at in range(1, len(found.rows)):
        above, below = found.rows[at - 1][1], found.rows[at][1]
        middle = (above + below) / 2
        limit = round(middle) if above - below > 2 else round(middle, 1)
        if below < limit < above:
            limits.append((f"{limit}{unit}", at))
    return limits


def narrowed(talk: Talk, found: Finding, limit: str, count: int) -> None:
    """Only the rows above a limit: answered from what is already there."""
    held = words("lessons")
    talk.looked.append("narrow")
    talk.ask(say(held["narrow"][talk.persona], talk.rng, {"limit": limit}))
    rows = [f"`{name}` ({text})" for name, _, text in found.rows[:count]]
    listed = "\n- ".join(["", *rows]).lstrip(" ") if count > 2 else " and ".join(rows)
    values = {"count": number(count), "total": number(len(found.rows)), "rows": listed, "Count": upper(number(count))}
    text = say(held["narrowed"], talk.rng, values) + ("" if count > 2 else ".")
    talk.say(f"TL;DR: {text}" if talk.persona == EXECUTIVE and count < 3 else text)


def others_of(talk: Talk, found: Finding) -> list[str]:
    """Other machines that the same question can be put to."""
    if found.look not in _REFINED or found.look not in ON_A_MACHINE:
        return []
    service = talk.at.get("service", "")
    needs = found.look in ("status", "log", "errors")
    return [
        one.id
        for one in talk.fleet.online
        if one.id != talk.at["host"] and (not needs or one.service(service)) and one.id not in talk.at.get("seen", "")
    ]


def elsewhere(talk: Talk, found: Finding, other: str) -> Finding:
    """The same on another machine."""
    talk.at["seen"] = f"{talk.at.get('seen', '')} {talk.at['host']}"
    talk.at["host"] = other
    talk.ask(say(words("lessons")["elsewhere"][talk.persona], talk.rng, {"other": other}))
    return answered(talk, found.look, offer="")


def teaching(talk: Talk, scenario: str) -> str:
    """A look, a question about what it showed, and a look that uses the answer."""
    looks = [look for look in SCENARIOS[scenario] if lesson_for(look)]
    if not looks:
        scenario, looks = "multi-agent health", ["loads_all", "memory_all"]
    found = opening(talk, scenario, talk.rng.choice(looks), offer="")
    taught(talk, talk.rng.choice(lesson_for(found.look)))
    fitting = [look for look in found.nexts if look not in (*ACTIONS, *talk.looked)]
    if fitting and talk.rng.random() < 0.7:
        talk.at["said"] = talk.at.get("host", "")
        found = further(talk, talk.rng.choice(fitting), False, offer="")
    closing(talk, found)
    return scenario


def troubleshooting(talk: Talk, scenario: str) -> str:
    """A symptom, its cause, what helps against it, and whether it helped."""
    trouble = talk.rng.choice(sorted(_TROUBLES))
    wanted, (first, *steps) = _TROUBLES[trouble]
    fitting = [one for one in talk.fleet.online if wanted(one)]
    while not fitting:
        talk.fleet = make_fleet(talk.rng)
        fitting = [one for one in talk.fleet.online if wanted(one)]
    talk.at = {"app": talk.fleet.app, "host": talk.rng.choice(fitting).id}
    if trouble == "service":
        talk.at["service"] = next(one.name for one in talk.machine.services if targets.curable(one))
    found = opening(talk, trouble_scenario(first), first, offer="")
    for step in steps:
        look = step
        if step == "fix":
            look = "restart" if talk.machine.service(talk.at["process"]) else "kill"
        found = offered_next(talk, found, look)
    closing(talk, found)
    return trouble_scenario(first)


def trouble_scenario(look: str) -> str:
    """The scenario that a look stands in."""
    return next(name for name, looks in SCENARIOS.items() if look in looks)


def closing(talk: Talk, found: Finding) -> None:
    """At the end, now and then: something asked again, or thanks; neither needs a call."""
    went_on = sum(turn.role == "user" for turn in talk.turns) > 1
    if went_on and talk.rng.random() > CLOSING_SHARE:
        return
    held = words("lessons")["recall"]
    known = [key for key in held if key in found.values and found.look not in ("kill", "compare")]
    if known and talk.rng.random() < 0.6:
        key = talk.rng.choice(known)
        asked = say(held[key]["ask"], talk.rng)
        talk.ask(f"{asked}?" if talk.persona in (CASUAL, ON_CALL) else f"{upper(asked)}?")
        talk.say(f"{say(held[key]['answer'], talk.rng, {'value': found.values[key]})}.")
        return
    talk.ask(say(voice(talk.persona)["user"]["thanks"], talk.rng))
    talk.say(say(voice(talk.persona)["answer"]["welcome"], talk.rng))


_PATTERNS = {
    "deeper follow-up": deeper,
    "iterative refinement": refinement,
    "teaching": teaching,
    "troubleshooting": troubleshooting,
}
_REFINED = frozenset(
    "loads_all disks_all memory_all errors_all disks memory load top_cpu top_mem status log errors settings version"
    " lines".split()
)
_TURNED = {
    "loads_all": ("memory_all", "disks_all"), "memory_all": ("loads_all", "disks_all"), "disks_all": ("memory_all",),
    "top_cpu": ("top_mem",), "top_mem": ("top_cpu",), "disks": ("memory",), "memory": ("disks", "load"),
    "load": ("memory",), "lines": ("todos",), "errors": ("log",), "log": ("errors",),
}  # fmt: skip
_TROUBLES: dict[str, tuple[Callable[[Machine], bool], tuple[str, ...]]] = {
    "service": (targets.down_for_now, ("status", "log", "restart", "status")),
    "cpu": (targets.hot, ("top_cpu", "fix", "load")),
    "slow": (targets.hot, ("diagnose", "fix", "load")),
    "memory": (targets.short, ("top_mem", "fix", "memory")),
    "disk": (targets.full_of_logs, ("disks", "folders", "vacuum")),
}
