"""How each of the five kinds of users asks, and how each is answered."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from kt_lib.generator.scenarios import ACTIONS, FLEET, NO_NOUN
from kt_lib.generator.talk import Finding, Talk
from kt_lib.generator.wording import say, upper, words
from kt_lib.records import Record
from kt_lib.style import (
    CASUAL,
    EXECUTIVE,
    FIRST_SENTENCE,
    LEARNER,
    ON_CALL,
    SENIOR,
    sentences,
    under_pressure,
    words_in,
)

MOST_POINTS = 5
LISTED_ON_CALL = {"more", "several", "mixed", "behind_many", "roles", "settings", "lines", "todos", "commits"}
"""Outcomes and looks whose list is the answer."""
MEANING_ENOUGH = frozenset(
    (
        "disks",
        "memory",
        "load",
        "restart",
        "stop",
        "vacuum",
        "tests",
        "changed",
        "versions_all",
        "version_gap",
        "compare",
    )
)
"""Looks whose summary and meaning answer the question without the figures."""
EMOJI_SHARE = 0.3
OFFER_SHARE = {CASUAL: 0.75, SENIOR: 0.5, ON_CALL: 0.6, LEARNER: 0.5, EXECUTIVE: 0.6}
_SHOW_ME = re.compile(r"^(?:show me|pull up|tell me)\b")
_CODE = re.compile(r"`[^`]+`")


class Reply(Record):
    """An answer, and what in it comes from general knowledge rather than from the results."""

    text: str
    """The answer."""
    taught: tuple[str, ...] = ()
    """Explanations and tips in it."""
    offered: str = ""
    """The look that it offers to do next."""


def voice(persona: str) -> dict[str, Any]:
    """The wording of a persona."""
    held: dict[str, Any] = words("voices")[persona]
    return held


def forms(look: str, rng: random.Random, values: Mapping[str, str]) -> dict[str, str]:
    """A look's three forms, with and without a capital."""
    found = {form: say(words("looks")[look][form], rng, values) for form in ("do", "ask", "noun")}
    found["see"] = _SHOW_ME.sub("see", found["do"])
    return found | {form.capitalize(): upper(text) for form, text in found.items()}


def request(talk: Talk, look: str, scenario: str, where: str) -> str:
    """The words with which a conversation begins: the request, mostly with a reason or something about the user."""
    rng, user = talk.rng, voice(talk.persona)["user"]
    kinds = ["do", "ask"] if look in NO_NOUN else ["do", "ask", "noun"]
    if look in ACTIONS:  # a learner who asks how something is done has not asked to have it done
        kinds = ["act"] if talk.persona == LEARNER else ["do", "act"]
    said = say(user[rng.choice(kinds)], rng, forms(look, rng, talk.at | {"where": where}))
    why = say(words("voices")["reasons"][scenario], rng)
    if talk.persona in (SENIOR, LEARNER, EXECUTIVE):
        why = " ".join("I" if word == "i" else "I'm" if word == "i'm" else word for word in why.split())
    because = user["because"] + (user.get("hearsay", []) if why.split()[0] not in ("I", "I'm", "i", "i'm") else [])
    drawn = rng.random()
    parts = [said]
    if drawn < 0.6:
        parts.append(say(because, rng, {"why": why, "Why": upper(why)}))
    if 0.4 < drawn < 0.85:
        parts.append(say(user["own"], rng))
    if len(parts) > 1 and talk.persona != EXECUTIVE and rng.random() < 0.3:
        parts = [*parts[1:], parts[0]]
    parts.append(say(user["close"], rng))
    return joined([part for part in parts if part], talk.persona, rng)


def joined(parts: list[str], persona: str, rng: random.Random) -> str:
    """Sentences put together as the persona writes: with full stops, or with commas, dashes and line ends."""
    if persona in (SENIOR, LEARNER, EXECUTIVE):
        return " ".join(part if part[-1] in ".?!" else f"{part}." for part in parts)
    text = parts[0]
    for part in parts[1:]:
        link = " " if text[-1] in ".?!" else rng.choice((", ", ". ", " - "))
        text += link + part
    return text


def follow_up(talk: Talk, look: str, where: str, offered: bool) -> str:
    """What the user says next: yes to what was offered, or a request in the light of what was said."""
    rng, user = talk.rng, voice(talk.persona)["user"]
    if offered and rng.random() < 0.6:
        return say(user["accept"], rng)
    return say(user["then"], rng, forms(look, rng, talk.at | {"where": where}))


def reply(talk: Talk, found: Finding, offer: str = "") -> Reply:
    """The answer in the user's voice; with `offer`, the look to offer next."""
    rng, look = talk.rng, words("looks")[found.look]
    values = {**talk.at, **found.values}
    mood = "done" if found.look in ACTIONS and found.good else "good" if found.good else "bad"
    parts = {
        "brief": say(look["brief"][found.state], rng, values),
        "found": say(look["found"][found.state], rng, values),
        "means": say(look["means"][found.state], rng, values),
        "why": unheard(talk, look["why"], values),
        "tip": unheard(talk, look["tip"], values),
    }
    missed = [one.id for one in talk.fleet.machines if not one.online]
    if missed and found.look in (*FLEET, "version_gap") and found.look != "compare":
        parts["found"] = parts["means"] = f"{parts['found']}; `{missed[0]}` is offline"
    wording = voice(talk.persona)["answer"]
    opener = say(wording["open"][mood], rng)
    if offer:
        asked = say(words("looks")[offer]["offer"], rng, values)
        ending = say(wording["offer"], rng, {"offer": asked, "Offer": upper(asked)})
    else:
        ending = ""
    terse = under_pressure(talk.asked, talk.persona)
    text = _BY_PERSONA[talk.persona](rng, found, parts, opener, wording, terse)
    new = parts["means"] not in text and found.look not in ACTIONS and not missed
    if talk.persona == EXECUTIVE and new and not ending and rng.random() < 0.4:
        text += f" {sentence(parts['means'])}"
    taught = (parts["why"], parts["tip"]) if talk.persona == LEARNER else ()
    if talk.persona == CASUAL and "\n" not in text and rng.random() < EMOJI_SHARE:
        text += f" {rng.choice(wording['emoji'][mood])}"
    joint = "\n" if "\n" in text else " "
    return Reply(text=f"{text}{joint}{ending}" if ending else text, taught=taught, offered=offer)


def unheard(talk: Talk, grammars: Sequence[str], values: Mapping[str, str]) -> str:
    """One of the explanations or tips, one that this user has not heard yet as long as there is one."""
    readings = [say(grammar, talk.rng, values) for grammar in grammars]
    return talk.rng.choice([reading for reading in readings if reading not in talk.taught] or readings)


def points(found: Finding, lead: str) -> str:
    """The facts as a list, after a line that leads to it; nothing where there is one fact or none."""
    if len(found.points) < 2:
        return ""
    return "\n".join([f" {lead}".rstrip(), *(f"- {point}" for point in found.points[:MOST_POINTS])])


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    return upper(text if text[-1] in ".?!" else f"{text}.")


def statement(rng: random.Random, parts: dict[str, str], opener: str, terse: bool) -> str:
    """What was found: with figures, now and then after a summary that says something else.

    For a user who is terse or under pressure the first sentence is short.
    """
    said = sentence(parts["found"])
    if not says_the_same(parts) and rng.random() < 0.5:
        said = f"{sentence(parts['brief'])} {said}"
    long = terse and len(words_in(sentences(said)[0])) > FIRST_SENTENCE
    return f"{opener} {said}" if opener and (long or rng.random() < 0.5) else said


def says_the_same(parts: dict[str, str]) -> bool:
    """Whether the summary and the sentence with the figures name the same thing, so that one of them is enough."""
    return bool(set(_CODE.findall(parts["brief"])) & set(_CODE.findall(parts["found"])))


def casual(rng: random.Random, found: Finding, parts: dict[str, str], opener: str, wording: Any, terse: bool) -> str:
    """Short and warm: what it is, the figures, sometimes the list."""
    listing = points(found, say(wording["list"], rng)) if len(found.points) > 2 or found.state == "more" else ""
    return statement(rng, parts, opener, terse) + listing


def senior(rng: random.Random, found: Finding, parts: dict[str, str], opener: str, wording: Any, terse: bool) -> str:
    """The finding, then the breakdown."""
    start = opener if terse or found.look in ACTIONS else ""
    return statement(rng, parts, start, terse) + points(found, say(wording["list"], rng))


def on_call(rng: random.Random, found: Finding, parts: dict[str, str], opener: str, wording: Any, terse: bool) -> str:
    """That it is seen to, then only what matters."""
    listing = points(found, say(wording["list"], rng)) if {found.state, found.look} & LISTED_ON_CALL else ""
    return f"{opener} {statement(rng, parts, '', False)}{listing}"


def learner(rng: random.Random, found: Finding, parts: dict[str, str], opener: str, wording: Any, terse: bool) -> str:
    """What was done and why, what it showed, and one tip."""
    start = f"{opener} " if terse or rng.random() < 0.5 else ""
    listing = points(found, say(wording["list"], rng))
    said = f"{start}{sentence(parts['why'])} {sentence(parts['found'])}{listing}"
    return f"{said}{chr(10) if listing else ' '}Pro tip: {parts['tip']}."


def executive(rng: random.Random, found: Finding, parts: dict[str, str], opener: str, wording: Any, terse: bool) -> str:
    """The result, then what follows from it."""
    enough = found.look in MEANING_ENOUGH and rng.random() < 0.7
    long = terse and len(words_in(sentences(parts["found"])[0])) > FIRST_SENTENCE
    if not enough and not long and says_the_same(parts):
        return f"TL;DR: {parts['found']}."
    return f"TL;DR: {parts['brief']}. {sentence(parts['means'] if enough else parts['found'])}"


_BY_PERSONA = {CASUAL: casual, SENIOR: senior, ON_CALL: on_call, LEARNER: learner, EXECUTIVE: executive}
