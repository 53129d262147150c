"""Conversations put together: one turn, several turns in four patterns, and what needs no tool; each is checked."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

from kt_lib.errors import SetupError
from kt_lib.generator.checking import check
from kt_lib.generator.dressing import dressed
from kt_lib.generator.making import make_fleet
from kt_lib.generator.quiet import quiet
from kt_lib.generator.rounds import PATTERNS, several, single
from kt_lib.generator.scenarios import SCENARIOS
from kt_lib.generator.talk import Talk
from kt_lib.personas import PERSONAS
from kt_lib.records import Protocol, SftRow, content_id


def generate(
    count: int, seed: int, multi_turn_share: float = 0.3, no_call_share: float = 0.15, protocol: Protocol = "json"
) -> Iterator[SftRow]:
    """`count` conversations, the same for the same arguments, each checked before it is given out.

    No two have the same words. `multi_turn_share` of them go on after the first answer, in `no_call_share` no tool must
    be called; personas take turns.
    """
    if not 0 <= multi_turn_share <= 1 or not 0 <= no_call_share <= 1 or multi_turn_share + no_call_share > 1:
        raise SetupError(
            f"multi_turn_share {multi_turn_share} and no_call_share {no_call_share} are no shares: give two from 0 on"
            " that are together at most 1"
        )
    said: set[str] = set()
    for number, kind in enumerate(kinds(count, seed, multi_turn_share, no_call_share)):
        drawn = (conversation(number, seed, kind, protocol, attempt) for attempt in itertools.count())
        row = next(row for row in drawn if spoken_in(row) not in said)
        said.add(spoken_in(row))
        yield row


def spoken_in(row: SftRow) -> str:
    """What tells a conversation from others: all of it but the prompt before it."""
    return content_id([message.model_dump() for message in row.messages if message.role != "system"])


def kinds(count: int, seed: int, multi_turn_share: float, no_call_share: float) -> list[str]:
    """The kind of each row, in the wanted shares and in random order."""
    several_turns, silent = round(count * multi_turn_share), round(count * no_call_share)
    found = ["conversation_multi_turn"] * several_turns + ["no_call"] * silent
    found += ["conversation"] * (count - len(found))
    random.Random(f"kinds {seed}").shuffle(found)
    return found[:count]


def conversation(number: int, seed: int, kind: str, protocol: Protocol, attempt: int = 0) -> SftRow:
    """One conversation as a row; another attempt gives another one."""
    rng = random.Random(f"conversation {seed} {number} {attempt}")
    persona = PERSONAS[number % len(PERSONAS)].name
    scenario = rng.choice(sorted(SCENARIOS))
    talk = Talk(rng, make_fleet(rng), persona)
    if kind == "no_call":
        about = quiet(talk)
    elif kind == "conversation_multi_turn":
        pattern = rng.choice(PATTERNS[persona])
        about = several(talk, scenario, pattern)
    else:
        about = single(talk, scenario)
    row = dressed(talk, kind, about, f"generator/{seed}/{number}", protocol)
    check(row, talk, protocol)
    return row
