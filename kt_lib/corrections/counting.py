"""Lists to be counted: how many agents there are, or how many of them are offline, in Paris, on a release."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from kt_lib.corrections.correction import NUMBERS
from kt_lib.corrections.drawing import capital
from kt_lib.corrections.scenes import (
    Agent,
    Dealer,
    Turns,
    agents,
    before,
    frame,
    in_words,
    layout,
    list_call,
    listing,
    user,
)
from kt_lib.corrections.wordings import Count, wordings


class Counted(NamedTuple):
    """A count that is asked for, rightly and wrongly answered."""

    of: str
    turns: Turns
    pattern: str
    """What is counted in the tool's result, as a regular expression."""
    right: str
    wrong: str


def miscount(dealer: Dealer) -> Counted:
    """A list, a question about it, the right number and one that is off by one."""
    rng, decks, known = dealer.rng, dealer.decks, wordings()
    count = decks.one("count", known.counts)
    listed = agents(dealer, 0, jobs=rng.choices(rng.sample(known.jobs, 4), k=rng.randint(3, 8)))
    value = "" if count.of == "none" else getattr(rng.choice(listed), count.of)
    held = [agent for agent in listed if not value or getattr(agent, count.of) == value]
    others = [agent for agent in listed if agent not in held]
    too_many = bool(others) and (len(held) == 1 or rng.random() < 0.5)
    believed = [*held, others[0]] if too_many else held[:-1]
    template, in_digits = decks.one("answer", known.count_answers), rng.random() < 0.3
    return Counted(
        of=count.of,
        turns=_turns(dealer, count, value, listed),
        pattern=_word(value) if value else "|".join(_word(job) for job in known.jobs),
        right=_answer(template, held, count, value, in_digits),
        wrong=_answer(template, believed, count, value, in_digits),
    )


def _turns(dealer: Dealer, count: Count, value: str, listed: list[Agent]) -> Turns:
    """The question after the list, or (L) the list called for by the question."""
    shape = dealer.decks.one("shape", ["L", "l", "tl", "tL", "lt", "dl", "ld"])
    printed = layout(dealer, count.of if value else "")
    ask = dealer.decks.one(f"asks {count.of}", count.asks).format(value=value)
    asking = user(frame(dealer, "count").format(ask=ask, Ask=capital(ask)))
    if "L" in shape:
        return (*before(dealer, shape[:-1]), asking, *list_call(listing(printed, listed)))
    return (*before(dealer, shape, listed, printed), asking)


def _answer(template: str, believed: Sequence[Agent], count: Count, value: str, in_digits: bool) -> str:
    number = len(believed)
    said = str(number) if in_digits else NUMBERS[number]
    return template.format(
        are="is" if number == 1 else "are",
        number=said,
        Number=capital(said),
        nouns=(count.one if number == 1 else count.more).format(value=value),
        names=in_words([agent.name for agent in believed]),
    )


def _word(text: str) -> str:
    return rf"(?<![\w.-]){re.escape(text)}(?![\w-]|\.\d)"
