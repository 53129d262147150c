"""Examples of training rows for a reader: a few of each kind, redacted, as text that nothing can break out of."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from kt_lib.markdown_text import fenced, plain
from kt_lib.records import ChatMessage, PreferencePair, SftRow
from kt_lib.showing import shown

EACH = 3
_KINDS = 20
_LONGEST = 600
_MESSAGES = 12
_Row = TypeVar("_Row", SftRow, PreferencePair)


def examples(rows: Sequence[SftRow], pairs: Sequence[PreferencePair]) -> str:
    """Three rows of each kind and three pairs of each basis, from all over the dataset; of the commonest kinds."""
    parts = []
    kinds = Counter(row.kind for row in rows)
    for kind, _ in kinds.most_common(_KINDS):
        parts.append(f"### {plain(kind)}")
        parts += [fenced(_row_text(row)) for row in _spread([row for row in rows if row.kind == kind])]
    bases = Counter(pair.basis for pair in pairs)
    for basis, _ in bases.most_common(_KINDS):
        parts.append(f"### Pair: {plain(basis)}")
        parts += [fenced(_pair_text(pair)) for pair in _spread([pair for pair in pairs if pair.basis == basis])]
    more = max(0, len(kinds) - _KINDS) + max(0, len(bases) - _KINDS)
    return "\n\n".join([*parts, *([f"Of {more:,} rarer kinds none is shown."] if more else [])])


def _spread(rows: Sequence[_Row]) -> list[_Row]:
    """The first, one of the middle and the last, each once; none of people who did not agree."""
    fit = [row for row in rows if row.consent is not False]
    step = (len(fit) - 1) / (EACH - 1) if len(fit) > EACH else 1
    return [fit[round(at * step)] for at in range(min(EACH, len(fit)))]


def _row_text(row: SftRow) -> str:
    return _about(row) + "\n\n" + _conversation(row.messages)


def _pair_text(pair: PreferencePair) -> str:
    sides = [
        f"{name}: {shown(text, _LONGEST)}" for name, text in (("CHOSEN", pair.chosen), ("REJECTED", pair.rejected))
    ]
    return "\n".join([_about(pair), "", _conversation(pair.prompt), *sides])


def _about(row: SftRow | PreferencePair) -> str:
    evidence = f"; {row.evidence}" if isinstance(row, PreferencePair) else f"; {row.basis}"
    said = f"source {row.source}, licence {row.licence or 'unknown'}{evidence}"
    tools = ", ".join(tool.name for tool in row.tools)
    return " ".join(shown(said, 300).split()) + (f"\ntools: {shown(tools, 300)}" if tools else "")


def _conversation(messages: Sequence[ChatMessage]) -> str:
    said = [_message(message) for message in messages[:_MESSAGES]]
    if len(messages) > _MESSAGES:
        said.append(f"... {len(messages) - _MESSAGES} more messages")
    return "\n".join(said)


def _message(message: ChatMessage) -> str:
    who = message.role.upper() + (f" ({message.name})" if message.name else "")
    calls = [f"{call.name}({json.dumps(call.arguments, ensure_ascii=False)})" for call in message.tool_calls]
    said = [message.content] if message.content or not calls else []
    return shown(f"{who}: " + "\n  -> ".join([*said, *calls]), _LONGEST)
