"""Training rows of conversations: each one's open branch up to its last good answer, in the form the agent is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from kt_lib.branches import (
    RATED_AS_A_WHOLE,
    RATED_AT_THE_END,
    RATED_GOOD,
    Exchange,
    as_seen,
    asked_of,
    good_beginning,
    opinion,
    places_called_bad,
    places_learned,
    said_in,
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
    Where the open answer was rated bad and one beside it good, that one's branch is taken. Where people judged the last
    answer alone (`RATED_AT_THE_END`), that one is learned and no other. A row is left out that teaches what is called
    bad at the same place of another conversation.
    """
    chats = list(conversations)
    offers = Offers(chats, (), BASH)
    called_bad = {place for chat in chats for place in places_called_bad(chat)}
    rows: list[SftRow] = []
    left_out, cut = Counter[str](), Counter[str]()
    for chat in chats:
        tools = tools_of(chat, offers)
        kept, why = good_beginning(chat, tools, protocol)
        if kept and not called_bad.isdisjoint(places_learned(chat, kept)):
            left_out["an answer in it is called bad in another conversation"] += 1
        elif kept:
            rows.append(_row(chat, kept, tools, protocol, source))
            cut.update([why] if why else [])
        else:
            left_out[why or "nobody asks anything"] += 1
    return RowsFromChats(rows=tuple(rows), left_out=dict(left_out.most_common()), cut=dict(cut.most_common()))


def _row(
    chat: Conversation, kept: Sequence[Exchange], tools: Sequence[ToolSpec], protocol: Protocol, source: str
) -> SftRow:
    request = asked_of(as_seen(said_in(kept)), chat.system, tools, protocol)
    last_only = chat.source.format in RATED_AT_THE_END
    return SftRow(
        messages=request.messages,
        tools=request.tools,
        learn="last" if last_only else "all",
        kind=_kind(kept, tools),
        task_id=chat.id,
        basis=f"{_basis(chat, kept[-1:] if last_only else kept)}; {chat.source.file}, {chat.source.place}",
        source=source,
        licence=chat.source.licence,
        consent=chat.source.consent,
    )


def _basis(chat: Conversation, learned: Sequence[Exchange]) -> str:
    """Whose word it is that what is learned is good, of all of it."""
    said = [opinion(one.answer).because for one in learned if one.answer]
    if chat.source.format in RATED_AS_A_WHOLE and said[-1] == RATED_GOOD:
        return "the whole talk rated good"
    different = list(dict.fromkeys(said))
    return different[0] if len(different) == 1 else ", ".join(f"some {because}" for because in different)


def _kind(kept: Sequence[Exchange], tools: Sequence[ToolSpec]) -> str:
    if any(calls_made(message) for one in kept if one.answer for message in one.answer.messages):
        return "agent_call"
    if tools:
        return "no_call"
    return "conversation_multi_turn" if len(kept) > 1 else "conversation"
