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

    category: str
    turns: Turns
    pattern: str
    """What is counted in the tool's result, as a regular expression."""
    different: bool
    """Whether only different matches count."""
    right: str
    wrong: str


class Counting(NamedTuple):
    """What is counted in a list, and what is not."""

    asked: Count
    value: str
    """What the question names, if anything."""
    pattern: str
    listed: list[Agent]
    held: list[str]
    others: list[str]


def miscount(dealer: Dealer) -> Counted:
    """A list, a question about it, the right number and one that is off by one."""
    rng, decks = dealer.rng, dealer.decks
    done = _count(dealer, decks.one("count", wordings().counts))
    too_many = bool(done.others) and (len(done.held) == 1 or rng.random() < 0.5)
    believed = [*done.held, done.others[0]] if too_many else done.held[:-1]
    form = decks.one("form", ["count", "count", "count", "figure"])
    template, in_digits = decks.one(f"answer {form}", wordings().count_answers[form]), rng.random() < 0.3
    return Counted(
        category=" ".join(["count", "different"[: 9 * done.asked.different], done.asked.of, done.asked.match]).strip(),
        turns=_turns(dealer, done, form),
        pattern=rf"(?<![\w.-])(?:{done.pattern})(?![\w-]|\.\d)",
        different=done.asked.different,
        right=_answer(template, done.held, done, in_digits),
        wrong=_answer(template, believed, done, in_digits),
    )


def _count(dealer: Dealer, count: Count) -> Counting:
    """A list that holds at least one of what is counted."""
    rng, known = dealer.rng, wordings()
    values = {"job": known.jobs, "state": known.states, "system": known.systems, "site": known.sites}
    while True:
        listed = agents(dealer, 0, jobs=rng.choices(rng.sample(known.jobs, 4), k=rng.randint(3, 8)))
        of = "job" if count.of == "none" else count.of
        value = "" if count.of == "none" or count.match or count.different else str(getattr(listed[0], of))
        rng.shuffle(listed)
        pattern = count.match or re.escape(value) or "|".join(map(re.escape, values[of]))
        fits = [re.fullmatch(pattern, getattr(agent, of)) is not None for agent in listed]
        if count.different:
            held = list(dict.fromkeys(getattr(agent, of) for agent in listed))
            others = [other for other in values[of] if other not in held]
        else:
            held = [agent.name for agent, fit in zip(listed, fits, strict=True) if fit]
            others = [agent.name for agent, fit in zip(listed, fits, strict=True) if not fit]
        if held and len(held) + len(others) > 1:
            return Counting(count, value, pattern, listed, held, others)


def _turns(dealer: Dealer, done: Counting, form: str) -> Turns:
    """The question after the list, or (L) the list called for by the question."""
    count, listed = done.asked, done.listed
    shape = dealer.decks.one("shape", ["L", "l", "tl", "tL", "lt", "dl", "ld"])
    printed = layout(dealer, "" if count.of == "none" else count.of)
    ask = dealer.decks.one(f"asks {count.asks}", count.asks).format(value=done.value)
    asking = user(frame(dealer, form).format(ask=ask, Ask=capital(ask)))
    if "L" in shape:
        return (*before(dealer, shape[:-1]), asking, *list_call(listing(printed, listed)))
    return (*before(dealer, shape, listed, printed), asking)


def _answer(template: str, believed: Sequence[str], done: Counting, in_digits: bool) -> str:
    number = len(believed)
    said = str(number) if in_digits else NUMBERS[number]
    return template.format(
        are="is" if number == 1 else "are",
        number=said,
        Number=capital(said),
        nouns=(done.asked.one if number == 1 else done.asked.more).format(value=done.value),
        names=in_words(believed),
    )
