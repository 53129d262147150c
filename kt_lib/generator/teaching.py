"""Questions about terms, answered in words."""

from __future__ import annotations

from typing import Any

from kt_lib.generator.talk import Talk
from kt_lib.generator.wording import say, upper, words
from kt_lib.style import EXECUTIVE, FIRST_SENTENCE, LEARNER, ON_CALL, SENIOR, under_pressure, words_in

BRIEFLY = "{Short version|Quick version|In a nutshell}."


def lesson_for(look: str) -> list[dict[str, Any]]:
    """The lessons that come up with a look."""
    return [lesson for lesson in words("lessons")["lessons"] if look in lesson["looks"]]


def taught(talk: Talk, lesson: dict[str, Any]) -> None:
    """A question about the lesson's term and its answer."""
    term = say(lesson["term"], talk.rng)
    talk.ask(say(words("lessons")["ask"][talk.persona], talk.rng, {"term": term, "Term": upper(term)}))
    text = explained(talk, lesson)
    talk.taught.append(text)
    talk.say(text)


def explained(talk: Talk, lesson: dict[str, Any]) -> str:
    """The lesson in the persona's voice."""
    short, more = f"{upper(lesson['short'])}.", f"{lesson['more']}."
    if under_pressure(talk.asked, talk.persona) and len(words_in(short)) > FIRST_SENTENCE:
        short = f"{say(BRIEFLY, talk.rng)} {short}"
    if talk.persona == EXECUTIVE:
        return f"TL;DR: {lesson['short']}. {more}"
    if talk.persona == LEARNER:
        return f"{short} {more} Pro tip: {lesson['tip']}."
    return short if talk.persona in (SENIOR, ON_CALL) else f"{short} {more}"
