"""Chance without repetition: names for one conversation, and decks that are used up before anything comes again."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, TypeVar

from kt_lib.corrections.wordings import Matter, numbers, wordings
from kt_lib.world.names import make
from kt_lib.world.phrasing import SLOT

T = TypeVar("T")
ANY = re.compile(".*")
KINDS = {"log": "path", "conf": "path"}
FORMS = {
    "log": re.compile(r".*\.log"),
    "conf": re.compile(r"/etc/.*\.conf"),
    "name": re.compile(r"[a-z].*"),
}
"""Slots that ask for more than their kind of name gives: a log file, a config file, a host's name and no address."""
Values = Mapping[str, Any]


class Names:
    """Draws the made-up names of one conversation, none of them twice, and remembers them."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.drawn: list[str] = []

    def name(self, slot: str) -> str:
        """A new name of this kind, none that an evaluation uses and none that contains another one's."""
        while True:
            value = make(KINDS.get(slot, slot), self.rng, held_out=False)
            if FORMS.get(slot, ANY).fullmatch(value) and not any(value in each or each in value for each in self.drawn):
                self.drawn.append(value)
                return value

    def host(self, job: str = "") -> str:
        """A machine's name that does not speak of another job."""
        machines = wordings().machines
        while (word := re.match("[a-z]*", value := self.name("host"))) and word[0] in machines:
            if machines[word[0]] == job:
                break
            self.drawn.remove(value)
        return value

    def values(self, matter: Matter) -> dict[str, Any]:
        """A value for every slot of a matter: from one of its cases, a number, or a name."""
        case = self.rng.choice(matter.cases) if matter.cases else {}
        slots = sorted(set(SLOT.findall(matter.model_dump_json())) - case.keys())
        drawn = {slot: self.rng.randint(*numbers()[slot]) if slot in numbers() else self.name(slot) for slot in slots}
        return {**case, **drawn}


class Decks:
    """Deals from named lists; a list is dealt out whole before it is shuffled again."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.left: dict[str, list[Any]] = {}

    def deal(self, name: str, groups: Iterable[Sequence[T]]) -> T:
        """The next card of the deck `name`. Each round brings one card of every group, so that groups take turns."""
        if not self.left.get(name):
            shuffled = [self.rng.sample(group, len(group)) for group in groups]
            for at, one_of_each in enumerate(zip_longest(*shuffled)):
                held = [card for card, group in zip(one_of_each, shuffled, strict=True) if at < len(group)]
                self.left.setdefault(name, []).extend(self.rng.sample(held, len(held)))
        card: T = self.left[name].pop(0)
        return card

    def one(self, name: str, cards: Sequence[T]) -> T:
        """The next card of a deck without groups."""
        return self.deal(name, [cards])


def fill(template: str, values: Values) -> str:
    """`<slot>` replaced by its value; what is no slot of `values` stays."""
    return SLOT.sub(lambda found: str(values.get(found[1], found[0])), template)


def capital(text: str) -> str:
    """With a capital at the beginning, unless it begins with code."""
    return text[:1].upper() + text[1:]
