"""Preference pairs of what really happened: answers that people judged, drafts they changed, calls that failed."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from kt_lib.branches import as_seen, asked_of, no_model, opinion, tools_of
from kt_lib.calls.judging import judge_agent
from kt_lib.calls.schemas import fits_schema
from kt_lib.calls.writing import write_calls
from kt_lib.records import (
    AcceptedCall,
    ChatMessage,
    Check,
    Completion,
    Conversation,
    Edit,
    Message,
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
from kt_lib.turns import TurnAnswer, answers_after

WORSE_ANSWER, EDITED_DRAFT = "worse_answer", "edited_draft"
"""Basis of pairs in words, where no class of failure says what is worse."""
_COMMAND = re.compile(r"\s*```(?:bash|sh|shell)?\n([^\n]+)\n```\s*")


class PairsFromEvidence(Record):
    """The pairs that evidence gives, and why some of it gives none."""

    pairs: tuple[PreferencePair, ...]
    """The pairs."""
    left_out: dict[str, int]
    """How much evidence gave no pair, by reason."""


class Compared(Record):
    """Two ways to go on from one place, and who says that the first is better."""

    chat: Conversation
    """Where they stand."""
    before: tuple[ChatMessage, ...]
    """What was said before, as a model sees it."""
    chosen: ChatMessage
    """The better one."""
    rejected: ChatMessage
    """The worse one."""
    evidence: str
    """Who says so."""
    basis: str
    """What is worse, where both are words."""


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
        for one in (*_siblings(chat, tools), *_mended_calls(chat, tools)):
            _keep(one, tools, protocol, source, found, left_out)
    for one in _edited(chats, edits):
        if isinstance(one, str):
            left_out[one] += 1
        else:
            _keep(one, tools_of(one.chat, offers), protocol, source, found, left_out)
    pairs = _without_contradictions(found, left_out)
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


# --- where the evidence is -------------------------------------------------------------------------------------------


def _siblings(chat: Conversation, tools: Sequence[ToolSpec]) -> Iterator[Compared | str]:
    """Answers that go on from one message: each bad one against a good one, the good ones taken in turn."""
    children: dict[str, list[Message]] = defaultdict(list)
    for message in chat.messages:
        if message.parent_id:
            children[message.parent_id].append(message)
    for parent in chat.messages:
        if sum(one.role == "assistant" for one in children.get(parent.id, ())) < 2:
            continue
        before = chat.branch(parent.id)
        answers = answers_after(parent, children)
        good, bad = _judged(answers, tools)
        for number, (worse, against) in enumerate(bad):
            if good:
                better, because = good[number % len(good)]
                yield _compared(chat, before, better, worse, f"{because} against {against}")


def _judged(
    answers: Sequence[TurnAnswer], tools: Sequence[ToolSpec]
) -> tuple[list[tuple[TurnAnswer, str]], list[tuple[TurnAnswer, str]]]:
    """The good and the bad answers, each with whose word it is; without anyone's word, whether its calls fit."""
    said = [(answer, opinion(answer)) for answer in answers if answer.ended_well]
    good = [(answer, _words(answer, one.because)) for answer, one in said if one.value > 0]
    bad = [(answer, _words(answer, one.because)) for answer, one in said if one.value < 0]
    open_ones = [answer for answer, one in said if one.value == 0 and _first_calls(answer)]
    misfits = [answer for answer in open_ones if not _fit(_first_calls(answer), tools)]
    bad += [(answer, "a call that does not fit its tool") for answer in misfits]
    if not good:
        good = [(answer, "a call that fits its tool") for answer in open_ones if _fit(_first_calls(answer), tools)]
    return good, bad


def _words(answer: TurnAnswer, because: str) -> str:
    reason = next((rating.reason for rating in answer.ratings if rating.reason), None)
    return f"{because} ({reason})" if reason else because


def _first_calls(answer: TurnAnswer) -> tuple[ToolCall, ...]:
    return next((one.tool_calls for one in as_seen(answer.messages) if one.tool_calls), ())


def _fit(calls: Sequence[ToolCall], tools: Sequence[ToolSpec]) -> bool:
    return all(fits_schema(call, tools) for call in calls)


def _compared(
    chat: Conversation, before: Sequence[Message], better: TurnAnswer, worse: TurnAnswer, evidence: str
) -> Compared | str:
    """Both answers at the first place where they differ."""
    first, second = (as_seen((*_asked(before), *answer.messages)) for answer in (better, worse))
    at = next((at for at, (one, other) in enumerate(zip(first, second, strict=False)) if one != other), None)
    if at is None:
        return "nothing to tell apart"
    if first[at].role != "assistant" or second[at].role != "assistant":
        return "the same call came to other results"
    return Compared(
        chat=chat, before=first[:at], chosen=first[at], rejected=second[at], evidence=evidence, basis=WORSE_ANSWER
    )


def _asked(before: Sequence[Message]) -> list[Message]:
    """A branch from the user's first words on."""
    first = next((at for at, one in enumerate(before) if one.role == "user"), len(before))
    return [one for one in before[first:] if one.role != "system"]


def _mended_calls(chat: Conversation, tools: Sequence[ToolSpec]) -> Iterator[Compared]:
    """Calls of the open branch that did not fit their tool, each with the next of the same tools, which did."""
    seen = as_seen(_asked(chat.branch()))
    for at, one in enumerate(seen):
        if not one.tool_calls or _fit(one.tool_calls, tools):
            continue
        for later in seen[at + 1 :]:
            if later.role == "user":
                break
            again = [call.name for call in later.tool_calls] == [call.name for call in one.tool_calls]
            if again and _fit(later.tool_calls, tools):
                told = "a call that did not fit its tool, and the next one, which did"
                yield Compared(
                    chat=chat, before=seen[:at], chosen=later, rejected=one, evidence=told, basis=WORSE_ANSWER
                )
                break


def _edited(chats: Sequence[Conversation], edits: Iterable[Edit]) -> Iterator[Compared | str]:
    """Each edit at the place in its conversation where what was kept stands."""
    places: dict[tuple[str, str], list[tuple[Conversation, Message]]] = defaultdict(list)
    for chat in chats:
        for message in chat.messages:
            if message.role == "assistant" and message.text.strip():
                places[chat.source.sha256, message.text.strip()].append((chat, message))
    known = list(edits)
    same = Counter((edit.source.sha256, edit.final.strip()) for edit in known)
    turn = Counter[tuple[str, str]]()
    for edit in known:
        key = edit.source.sha256, edit.final.strip()
        found = [place for place in places.get(key, ()) if place[1].edited_from == edit.original] or places.get(key, [])
        number, turn[key] = turn[key], turn[key] + 1
        if not found:
            yield "an edit whose place in a conversation is not known"
        elif len(found) > 1 and len(found) != same[key]:
            yield "an edit whose words stand in several places"
        else:
            yield _of_edit(edit, *found[number if len(found) > 1 else 0])


def _of_edit(edit: Edit, chat: Conversation, message: Message) -> Compared | str:
    before = as_seen(_asked(chat.branch(message.parent_id) if message.parent_id else []))
    if not before:
        return "an edit before anything was asked"
    said = {role: ChatMessage(role="assistant", content=text) for role, text in _sides(edit).items()}
    who = f"{edit.agent}'s draft" if edit.agent else "a draft"
    return Compared(chat=chat, before=before, evidence=f"kept in place of {who}", basis=EDITED_DRAFT, **said)


def _sides(edit: Edit) -> Mapping[str, str]:
    return {"chosen": edit.final, "rejected": edit.original}


# --- from a place to a pair ------------------------------------------------------------------------------------------


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


def _without_contradictions(pairs: Sequence[PreferencePair], left_out: Counter[str]) -> list[PreferencePair]:
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
