"""Made-up names: hosts, paths, units, people. Every name is, by its hash, either for training or held out.

A held-out name never occurs in the base model's data, in few-shot examples or in training rows: `is_held_out` decides
it from the name alone, so that no list has to be kept and two seeds agree.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

ONSETS = "b br c cl d dr f fl g gr h j k kl l m n p pl pr qu r s sk sl sn st t tr v w z".split()
VOWELS = "a e i o u ai ee ou".split()
CODAS = ["", "", "", "l", "m", "n", "r", "s", "t", "x", "nd", "rk", "sh"]
MACHINES = "web db app cache mail node worker edge proxy build queue store auth api log".split()
ROOTS = "/srv /opt /home /data /var/lib /mnt".split()
LOG_ROOTS = "/var/log /srv/logs /data /tmp /opt /etc /home".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
HELD_OUT_SHARE = 0.25


def is_held_out(text: str, share: float = HELD_OUT_SHARE) -> bool:
    """Whether a name, frame or phrase is kept out of everything a model learns from."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") < share * 2**32


def syllables(rng: random.Random, least: int = 2, most: int = 3) -> str:
    """A made-up word, for example `brosnai`."""
    return "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(rng.randint(least, most)))


def host(rng: random.Random) -> str:
    """A machine's name: role and number, a made-up word, or an address."""
    form = rng.random()
    if form < 0.35:
        return f"{rng.choice(MACHINES)}{rng.choice(['', '-'])}{rng.randint(10, 999)}"
    if form < 0.65:
        return syllables(rng)
    if form < 0.85:
        return f"{syllables(rng, 1, 2)}{rng.choice(['', '-'])}{rng.randint(1, 99)}"
    return f"10.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"


def unit(rng: random.Random) -> str:
    """A flat's number: `417C`, `B208`, `12-D`."""
    letter, number = rng.choice("ABCDEFGHJKLMNP"), rng.randint(10, 999)
    return rng.choice([f"{number}{letter}", f"{letter}{number}", f"{number}-{letter}"])


def person(rng: random.Random) -> str:
    """A person's or a firm's name."""
    return syllables(rng).capitalize()


def branch(rng: random.Random) -> str:
    """A git branch."""
    return rng.choice(["", "fix-", "feature/", "release-", "wip-"]) + syllables(rng)


def service(rng: random.Random) -> str:
    """A service or package."""
    return syllables(rng) + rng.choice(["", "", "d", "-api", "ctl"])


def word(rng: random.Random) -> str:
    """A name in a program."""
    return rng.choice(["", "get_", "on_", "load_"]) + syllables(rng)


def folder(rng: random.Random) -> str:
    """A folder's path."""
    return f"{rng.choice(ROOTS)}/{syllables(rng)}"


def path(rng: random.Random) -> str:
    """A file's path."""
    return f"{rng.choice(LOG_ROOTS)}/{syllables(rng)}{rng.choice(['.log', '.txt', '.conf', '.sh', '.tar', '.csv'])}"


def source_file(rng: random.Random) -> str:
    """A source file's name."""
    return f"{syllables(rng)}{rng.choice(['.py', '.js', '.c', '.go'])}"


def amount(rng: random.Random) -> str:
    """An amount of money: digits, not a name."""
    return str(rng.randint(101, 2999))


MAKERS: dict[str, Callable[[random.Random], str]] = {
    "host": host,
    "name": host,
    "service": service,
    "path": path,
    "dir": folder,
    "repo": folder,
    "branch": branch,
    "word": word,
    "file": source_file,
    "testfile": lambda rng: f"test_{syllables(rng)}.py",
    "user": syllables,
    "unit": unit,
    "person": person,
    "vendor": person,
    "day": lambda rng: rng.choice(DAYS),
    "amount": amount,
}
VALUES = frozenset({"day", "amount"})
"""Slots whose values are ordinary words or numbers: they are not names and are not held out."""


def make(slot: str, rng: random.Random, held_out: bool) -> str:
    """A value for `slot`; a name is drawn until it is on the wanted side of the split."""
    maker = MAKERS[slot]
    while True:
        value = maker(rng)
        if slot in VALUES or is_held_out(value) == held_out:
            return value
