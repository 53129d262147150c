"""Draws a declared mix from what there is, and says what was asked, what was available and what was used."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from kt_lib.mixes import Mix, Portion
from kt_lib.records import Record, SftRow, content_id


class SourceLine(Record):
    """One source of a mix."""

    name: str
    """The source."""
    asked: int
    """Rows the mix asks for."""
    available: int
    """Rows there were to draw from."""
    used: int
    """Rows in the mix."""
    repeated: int
    """Of those, rows that stand in it a second time or more."""
    note: str
    """What a reader must know: short, absent, drawn from more, repeated."""


class FunnelStep(Record):
    """How many rows were left after one step between the sources and the dataset, and why others fell out there."""

    step: str
    """What was done, in words."""
    rows: int
    """Rows after it."""
    left_out: dict[str, int] = {}
    """Rows that fell out, by reason."""


class Mixed(Record):
    """A mix as drawn."""

    rows: tuple[SftRow, ...]
    """The rows in their order."""
    lines: tuple[SourceLine, ...]
    """What was asked, available and used, by source."""
    digest: str
    """Hash over the rows in their order."""


def mixed(mix: Mix, pools: Mapping[str, Sequence[SftRow]]) -> Mixed:
    """The mix drawn from `pools`, rows by source, each marked with it; the same gives the same rows in one order.

    Where a source is short its share stays short; it is not filled from elsewhere. A row stands in the mix as often as
    its source's `repeat` allows, and each of the others first.
    """
    wanted = mix.asked(_whole(mix, pools))
    rows: list[SftRow] = []
    lines = []
    for name, portion in mix.sources.items():
        pool, asked = list(pools.get(name, ())), wanted[name]
        drawn = _drawn(pool, asked, portion, random.Random(f"{mix.seed} {name}"))
        rows += [row.model_copy(update={"source": name}) for row in drawn]
        repeated = max(0, len(drawn) - len(pool))
        lines.append(
            SourceLine(
                name=name,
                asked=asked,
                available=len(pool),
                used=len(drawn),
                repeated=repeated,
                note=_note(asked, len(pool), len(drawn), repeated),
            )
        )
    random.Random(f"{mix.seed} order").shuffle(rows)
    digest = content_id([row.model_dump(mode="json") for row in rows])
    return Mixed(rows=tuple(rows), lines=tuple(lines), digest=digest)


def _whole(mix: Mix, pools: Mapping[str, Sequence[SftRow]]) -> int:
    if mix.scale_to is None:
        return mix.rows
    portion = mix.sources[mix.scale_to]
    assert portion.share is not None
    most = len(pools.get(mix.scale_to, ())) * portion.repeat
    return min(mix.rows, round(most / portion.share))


def _drawn(pool: list[SftRow], asked: int, portion: Portion, rng: random.Random) -> list[SftRow]:
    wanted = min(asked, int(len(pool) * portion.repeat))
    rng.shuffle(pool)
    rounds, rest = divmod(wanted, len(pool)) if pool else (0, 0)
    return pool * rounds + pool[:rest]


def _note(asked: int, available: int, used: int, repeated: int) -> str:
    if not available:
        return "absent: its share stays empty" if asked else ""
    if used < asked:
        return f"{asked - used:,} short: not filled from elsewhere"
    if repeated:
        return f"over-sampled: {repeated:,} rows stand in it again"
    return f"drawn from {available:,}" if available > used else ""
