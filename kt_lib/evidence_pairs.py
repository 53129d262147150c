"""Preference pairs of what really happened: answers that people judged, drafts they changed, calls that failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from kt_lib.branches import asked_of, no_model, places, tools_of
from kt_lib.calls.judging import judge_agent
from kt_lib.calls.writing import write_calls
from kt_lib.evidence_places import WORSE_ANSWER, Compared, edited, mended_calls, siblings, suggestions
from kt_lib.records import (
    AcceptedCall,
    ChatMessage,
    Check,
    Completion,
    Conversation,
    Edit,
    PreferencePair,
    Protocol,
    Record,
    SftRow,
    Task,
    ToolSpec,
    canonical_json,
)
from kt_lib.splits import normalised
from kt_lib.tools_seen import BASH, Offers


class PairsFromEvidence(Record):
    """The pairs that evidence gives, and why some of it gives none."""

    pairs: tuple[PreferencePair, ...]
    """The pairs."""
    left_out: dict[str, int]
    """How much evidence gave no pair, by reason."""


def evidence_pairs(
    conversations: Iterable[Conversation], edits: Iterable[Edit], *, protocol: Protocol, source: str
) -> PairsFromEvidence:
    """A pair for each place where evidence says which of two ways to go on is better.

    Evidence is: ratings and follow-ups of answers that stand beside one another; a call that does not fit its tool
    beside, or before, one that does; a draft that was changed or passed over for a suggestion. Where two answers begin
    alike, the pair is about the first thing in which they differ. The better side must read by the protocol and its
    calls must fit their tools; where it is a call, the evaluation's checker must tell the other one from it, and the
    failure that it names is the pair's basis. Contradictions are taken out on both sides; what rows
    teach is held against them by `untaught`. A pair's sides are texts: by native calling none has a call in it.
    """
    chats = list(conversations)
    offers = Offers(chats, (), BASH)
    left_out, found = Counter[str](), list[PreferencePair]()
    for one in (*_judged_places(chats, offers), *edited(chats, edits)):
        made = one if isinstance(one, str) else _pair(one, tools_of(one.chat, offers), protocol, source)
        if isinstance(made, str):
            left_out[made] += 1
        else:
            found.append(made)
    pairs = without_contradictions(found, left_out)
    return PairsFromEvidence(pairs=tuple(pairs), left_out=dict(left_out.most_common()))


def _judged_places(chats: Sequence[Conversation], offers: Offers) -> Iterator[Compared | str]:
    for chat in chats:
        tools = tools_of(chat, offers)
        yield from (*siblings(chat, tools), *suggestions(chat), *mended_calls(chat, tools))


def _pair(one: Compared, tools: Sequence[ToolSpec], protocol: Protocol, source: str) -> PreferencePair | str:
    """The pair, or why there is none."""
    if not any(message.role == "user" for message in one.before):
        return "before anything was asked"
    sides = one.chosen, one.rejected
    if protocol == "native" and any(side.tool_calls for side in sides):
        return "a native call, which a pair of texts cannot say"
    if fault := no_model(sides[0], tools, protocol):
        return f"the better side is no model: {fault}"
    request = asked_of((*one.before, *sides), one.chat.system, tools, protocol)
    prompt = request.messages[:-2]
    chosen, rejected = (_text(side) for side in request.messages[-2:])
    if not rejected.strip():
        return "the worse side is empty or cannot be read"
    if chosen.strip() == rejected.strip() or (not sides[0].tool_calls and normalised(chosen) == normalised(rejected)):
        return "nothing to tell apart"
    basis = _failure(prompt, sides[0], rejected, tools, protocol) if tools else one.basis
    if basis is None:
        return "the checker finds no fault in the worse side"
    source_of = one.chat.source
    return PreferencePair(
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        tools=request.tools,
        task_id=one.chat.id,
        basis=one.basis if basis == WORSE_ANSWER else basis,
        evidence=f"{one.evidence}; {source_of.file}, {source_of.place}",
        source=source,
        licence=source_of.licence,
        consent=source_of.consent,
    )


def _text(side: ChatMessage) -> str:
    return write_calls(side.tool_calls) if side.tool_calls else side.content


def _failure(
    prompt: tuple[ChatMessage, ...], better: ChatMessage, rejected: str, tools: Sequence[ToolSpec], protocol: Protocol
) -> str | None:
    """The failure that the evaluation's checker names in the worse side where the better one is right; None for none.

    Of two answers in words it can tell nothing.
    """
    calls = better.tool_calls
    accepted = tuple(
        AcceptedCall(name=call.name, arguments={name: [value] for name, value in call.arguments.items()})
        for call in calls
    )
    check = Check(rule="exact" if calls else "never", accepted=accepted, evidence="rating")
    task = Task(id="pair", messages=prompt, tools=tuple(tools), check=check)
    judged = judge_agent(task, Completion(text=rejected), protocol)
    if judged.outcome == "correct":
        return None if calls else WORSE_ANSWER
    return judged.failure


def without_contradictions(pairs: Sequence[PreferencePair], left_out: Counter[str]) -> list[PreferencePair]:
    """The pairs once each, without those of which another says the opposite."""
    said: dict[tuple[str, str, str], PreferencePair] = {}
    for pair in pairs:
        prompt = canonical_json([one.model_dump() for one in pair.prompt])
        if said.setdefault((prompt, pair.chosen, pair.rejected), pair) is not pair:
            left_out["said already"] += 1
    kept = [pair for (prompt, one, other), pair in said.items() if (prompt, other, one) not in said]
    if len(kept) < len(said):
        left_out["contradicted by another pair"] += len(said) - len(kept)
    return kept


def untaught(pairs: Sequence[PreferencePair], rows: Iterable[SftRow]) -> tuple[list[PreferencePair], dict[str, int]]:
    """The pairs whose worse side no row teaches at the same place, and how many others, by reason.

    What the system says is no part of a place: a row and a pair of one talk have it from different sources. Replayed
    chat teaches no agent: what is right to say in chat may be wrong where one has to act.
    """
    taught = {place for row in rows if row.kind != "chat_replay" for place in _taught(row)}
    kept = [
        pair
        for pair in pairs
        if places((*_talk(pair.prompt), ChatMessage(role="assistant", content=pair.rejected)))[-1] not in taught
    ]
    return kept, {"its worse side is learned from a row": len(pairs) - len(kept)} if len(kept) < len(pairs) else {}


def _taught(row: SftRow) -> list[str]:
    talk = _talk(row.messages)
    found = [place for one, place in zip(talk, places(talk), strict=True) if one.role == "assistant"]
    return found if row.learn == "all" else found[-1:]


def _talk(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    return [one for one in messages if one.role != "system"]
