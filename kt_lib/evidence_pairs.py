"""Preference pairs of what really happened: answers that people judged, drafts they changed, calls that failed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from kt_lib.branches import asked_of, no_model, tools_of
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
    Task,
    ToolCall,
    ToolSpec,
    canonical_json,
)
from kt_lib.splits import normalised
from kt_lib.tools_seen import BASH, Offers

_COMMAND = re.compile(r"\s*```(?:bash|sh|shell)?\n([^\n]+)\n```\s*")


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
    failure that it names is the pair's basis. Contradictions are taken out on both sides.
    """
    chats = list(conversations)
    offers = Offers(chats, (), BASH)
    left_out, found = Counter[str](), list[PreferencePair]()
    for chat in chats:
        tools = tools_of(chat, offers)
        for one in (*siblings(chat, tools), *suggestions(chat), *mended_calls(chat, tools)):
            _keep(one, tools, protocol, source, found, left_out)
    for one in edited(chats, edits):
        if isinstance(one, str):
            left_out[one] += 1
        else:
            _keep(one, tools_of(one.chat, offers), protocol, source, found, left_out)
    pairs = without_contradictions(found, left_out)
    return PairsFromEvidence(pairs=tuple(pairs), left_out=dict(left_out.most_common()))


def _keep(
    one: Compared | str,
    tools: Sequence[ToolSpec],
    protocol: Protocol,
    source: str,
    found: list[PreferencePair],
    left_out: Counter[str],
) -> None:
    made = one if isinstance(one, str) else _pair(one, tools, protocol, source)
    if isinstance(made, str):
        left_out[made] += 1
    else:
        found.append(made)


def _pair(one: Compared, tools: Sequence[ToolSpec], protocol: Protocol, source: str) -> PreferencePair | str:
    """The pair, or why there is none."""
    if not any(message.role == "user" for message in one.before):
        return "before anything was asked"
    sides, tools = _as_commands((one.chosen, one.rejected), tools)
    if fault := no_model(sides[0], tools, protocol):
        return f"the better side is no model: {fault}"
    request = asked_of((*one.before, *sides), one.chat.system, tools, protocol)
    prompt = request.messages[:-2]
    chosen, rejected = (_text(side) for side in request.messages[-2:])
    if not rejected.strip():
        return "the worse side is empty or cannot be read"
    if chosen.strip() == rejected.strip() or (not sides[0].tool_calls and normalised(chosen) == normalised(rejected)):
        return "nothing to tell apart"
    basis = _failure(prompt, sides[0], chosen, rejected, tools) if tools else one.basis
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


def _as_commands(
    sides: tuple[ChatMessage, ChatMessage], tools: Sequence[ToolSpec]
) -> tuple[tuple[ChatMessage, ChatMessage], Sequence[ToolSpec]]:
    """Two answers that are a command each as calls of a shell: what was judged is the command, and that can be made."""
    found = [_COMMAND.fullmatch(side.content) for side in sides]
    if tools or not all(found) or any(side.tool_calls for side in sides):
        return sides, tools
    calls = [ToolCall(name=BASH.name, arguments={"command": one[1].strip()}) for one in found if one]
    first, second = (ChatMessage(role="assistant", tool_calls=(call,)) for call in calls)
    return (first, second), (BASH,)


def _text(side: ChatMessage) -> str:
    return write_calls(side.tool_calls) if side.tool_calls else side.content


def _failure(
    prompt: tuple[ChatMessage, ...], better: ChatMessage, chosen: str, rejected: str, tools: Sequence[ToolSpec]
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
    judged = judge_agent(task, Completion(text=rejected), "json")
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
