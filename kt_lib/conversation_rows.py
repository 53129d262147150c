"""Training rows of conversations: each one's open branch up to its last good answer, in the form the agent is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from kt_lib.branches import (
    RATED_AS_A_WHOLE,
    Exchange,
    as_seen,
    asked_of,
    best_leaf,
    exchanges,
    fault_of,
    opinion,
    tools_of,
)
from kt_lib.records import Conversation, Protocol, Record, SftRow, ToolSpec
from kt_lib.tools_seen import BASH, Offers, calls_made


class RowsFromChats(Record):
    """The rows that conversations give, and why others give none."""

    rows: tuple[SftRow, ...]
    """The rows."""
    left_out: dict[str, int]
    """How many conversations gave no row, by reason."""
    cut: dict[str, int]
    """How many gave a row of their beginning only, by the reason for which the rest is left out."""


def conversation_rows(conversations: Iterable[Conversation], *, protocol: Protocol, source: str) -> RowsFromChats:
    """A row for each conversation: its open branch up to its last good answer, every answer in it learned.

    A branch ends before the first exchange of which nothing may be learned: one that failed or never ended, was rated
    bad or corrected by the user, holds a call that cannot be read, does not fit its tool or is answered by nothing.
    Where the open answer was rated bad and one beside it good, that one's branch is taken.
    """
    chats = list(conversations)
    offers = Offers(chats, (), BASH)
    rows: list[SftRow] = []
    left_out, cut = Counter[str](), Counter[str]()
    for chat in chats:
        tools = tools_of(chat, offers)
        kept, why = _good_beginning(chat, tools, protocol)
        if kept:
            rows.append(_row(chat, kept, tools, protocol, source))
            cut.update([why] if why else [])
        else:
            left_out[why or "nobody asks anything"] += 1
    return RowsFromChats(rows=tuple(rows), left_out=dict(left_out.most_common()), cut=dict(cut.most_common()))


def _good_beginning(
    chat: Conversation, tools: Sequence[ToolSpec], protocol: Protocol
) -> tuple[list[Exchange], str | None]:
    """The exchanges before the first one of which nothing may be learned, and what is wrong with that one."""
    found = exchanges(chat, best_leaf(chat))
    if found and chat.source.format in RATED_AS_A_WHOLE and (last := found[-1].answer) and opinion(last).value < 0:
        return [], "the whole talk was rated bad"
    for number, exchange in enumerate(found):
        if why := fault_of(exchange, tools, protocol, last=number == len(found) - 1):
            return found[:number], why
    return found, None


def _row(
    chat: Conversation, kept: Sequence[Exchange], tools: Sequence[ToolSpec], protocol: Protocol, source: str
) -> SftRow:
    said = [message for one in kept for message in (*one.asked, *(one.answer.messages if one.answer else ()))]
    request = asked_of(as_seen(said), chat.system, tools, protocol)
    last = kept[-1].answer
    because = opinion(last).because if last else "as recorded"
    return SftRow(
        messages=request.messages,
        tools=request.tools,
        learn="all",
        kind=_kind(kept, tools),
        task_id=chat.id,
        basis=f"{because}; {chat.source.file}, {chat.source.place}",
        source=source,
        licence=chat.source.licence,
        consent=chat.source.consent,
    )


def _kind(kept: Sequence[Exchange], tools: Sequence[ToolSpec]) -> str:
    if any(calls_made(message) for one in kept if one.answer for message in one.answer.messages):
        return "agent_call"
    if tools:
        return "no_call"
    return "conversation_multi_turn" if len(kept) > 1 else "conversation"
