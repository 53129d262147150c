"""From what sources give to what may be learned: permitted, each once, far from evaluation, at odds with nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from kt_lib.datafiles.lengths import Ruler
from kt_lib.deduplication import without_copies, without_near
from kt_lib.evidence_pairs import untaught, without_contradictions
from kt_lib.mixing import FunnelStep
from kt_lib.permissions import enforce
from kt_lib.records import PreferencePair, SftRow, Task

ON_PURPOSE = frozenset({"other_format", "chat_replay"})
"""Kinds of rows that say again what another one says, in chat or under another prompt: they are no copies of it."""


class Prepared(NamedTuple):
    """What a mix may draw from."""

    sources: dict[str, list[SftRow]]
    """Rows by source."""
    funnel: tuple[FunnelStep, ...]
    """How many were left after each step, and why others fell out."""


def prepared(
    sources: Mapping[str, Sequence[SftRow]],
    tasks: Iterable[Task],
    threshold: float,
    ruler: Ruler,
    max_length: int | None = None,
) -> Prepared:
    """The rows by source that may be learned from.

    A row stays out where people in it did not agree, where it is a copy of one before it (the order of sources
    decides) or at least `threshold` like it, where it is that near to an evaluation task, and where it has more tokens
    than `max_length`, or than the model reads.
    """
    rows = [row.model_copy(update={"source": name}) for name, pool in sources.items() for row in pool]
    funnel = [FunnelStep(step="given by the sources", rows=len(rows))]
    rows, why = enforce(rows, "train")
    funnel.append(FunnelStep(step="may be learned from", rows=len(rows), left_out=why))
    rows, why = _each_once(rows, threshold)
    funnel.append(FunnelStep(step="each once", rows=len(rows), left_out=why))
    rows, why = without_near(rows, tasks, threshold)
    funnel.append(FunnelStep(step="far from every evaluation task", rows=len(rows), left_out=why))
    rows, why = _not_too_long(rows, ruler, max_length)
    funnel.append(FunnelStep(step="short enough for the model", rows=len(rows), left_out=why))
    kept: dict[str, list[SftRow]] = {name: [] for name in sources}
    for row in rows:
        kept[row.source].append(row)
    return Prepared(kept, tuple(funnel))


def prepared_pairs(
    pairs: Sequence[PreferencePair], rows: Iterable[SftRow], tasks: Iterable[Task], threshold: float
) -> tuple[list[PreferencePair], list[FunnelStep]]:
    """The pairs that may be learned from beside `rows`, and how many were left after each step.

    As `prepared`, and without pairs of which another one, or a row, says the contrary.
    """
    funnel = [FunnelStep(step="given by the sources", rows=len(pairs))]
    kept, why = enforce(list(pairs), "train")
    funnel.append(FunnelStep(step="may be learned from", rows=len(kept), left_out=why))
    contradicted = Counter[str]()
    kept = without_contradictions(kept, contradicted)
    funnel.append(FunnelStep(step="contradicted by no other", rows=len(kept), left_out=dict(contradicted)))
    kept, why = untaught(kept, rows)
    funnel.append(FunnelStep(step="contradicted by no row", rows=len(kept), left_out=why))
    kept, why = without_copies(kept, threshold)
    funnel.append(FunnelStep(step="each once", rows=len(kept), left_out=why))
    kept, why = without_near(kept, tasks, threshold)
    funnel.append(FunnelStep(step="far from every evaluation task", rows=len(kept), left_out=why))
    return kept, funnel


def _each_once(rows: Sequence[SftRow], threshold: float) -> tuple[list[SftRow], dict[str, int]]:
    again = {row.model_dump_json(include={"messages", "tools"}): row for row in _on_purpose(rows)}
    kept, why = without_copies([row for row in rows if row.kind not in ON_PURPOSE], threshold)
    equal = sum(1 for _ in _on_purpose(rows)) - len(again)
    return [*kept, *again.values()], why | ({"equal in every word, prompt and tools": equal} if equal else {})


def _on_purpose(rows: Sequence[SftRow]) -> Iterator[SftRow]:
    return (row for row in rows if row.kind in ON_PURPOSE)


def _not_too_long(rows: Sequence[SftRow], ruler: Ruler, max_length: int | None) -> tuple[list[SftRow], dict[str, int]]:
    most = max_length or ruler.reads
    if most is None:
        return list(rows), {}
    kept, why = [], Counter[str]()
    for row, length in zip(rows, ruler.measure(rows), strict=True):
        if length.fault:
            why[f"the model's template refuses it: {length.fault}"] += 1
        elif length.tokens > most:
            why[f"longer than the {most:,} tokens that the model reads ({row.source})"] += 1
        else:
            kept.append(row)
    return kept, dict(why.most_common())
