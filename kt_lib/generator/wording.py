"""Wording by small grammars: `{a|b}` is a choice, an empty choice leaves the words out, `<slot>` is a value."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

_CHOICE = re.compile(r"\{([^{}]*)\}")
_SLOT = re.compile(r"<(\w+)>")
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


@cache
def words(name: str) -> dict[str, Any]:
    """One of the package's files of wording: `looks`, `voices`, `lessons`."""
    held: dict[str, Any] = yaml.safe_load((files("kt_lib.generator") / f"{name}.yaml").read_text(encoding="utf-8"))
    return held


def say(grammar: str | Sequence[str], rng: random.Random, values: Mapping[str, str] | None = None) -> str:
    """One reading of a grammar, or of one of several; KeyError for a slot that has no value."""
    text = grammar if isinstance(grammar, str) else rng.choice(grammar)
    while choice := _CHOICE.search(text):
        text = text[: choice.start()] + rng.choice(choice[1].split("|")) + text[choice.end() :]
    text = _SLOT.sub(lambda slot: (values or {})[slot[1]], text)
    return re.sub(r" +([,.?!])", r"\1", re.sub(r" +\n", "\n", re.sub(r"(?<=\S) {2,}", " ", text))).strip(" ")


def upper(text: str) -> str:
    """The text with a capital first letter; a name in inline code keeps its own."""
    return text[:1].upper() + text[1:]


def number(count: int) -> str:
    """A small number as a word."""
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def listed(names: Sequence[str], last: str = "and") -> str:
    """`a`, `b` and `c`, in inline code."""
    coded = [f"`{name}`" for name in names]
    return f"{', '.join(coded[:-1])} {last} {coded[-1]}" if len(coded) > 1 else coded[0]
