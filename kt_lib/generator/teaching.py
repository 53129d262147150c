"""Questions about terms, answered in words."""

from __future__ import annotations

from typing import Any

from kt_lib.generator.talk import Talk
from kt_lib.generator.wording import say, upper, words
from kt_lib.style import EXECUTIVE


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
    short = lesson["short"] if talk.persona == EXECUTIVE else upper(lesson["short"])
    values = {"short": f"{short}.", "more": f"{lesson['more']}.", "tip": f"{lesson['tip']}."}
    return say(words("lessons")["explain"][talk.persona], talk.rng, values)
