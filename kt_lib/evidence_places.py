"""Places in chats where evidence says which of two ways to go on is the better one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from kt_lib.branches import JUDGED_BOTH_WAYS, PASSED_OVER, as_seen, judged_both_ways, opinion
from kt_lib.calls.schemas import fits_schema
from kt_lib.records import ChatMessage, Conversation, Edit, Message, Record, ToolCall, ToolSpec
from kt_lib.turns import TurnAnswer, answers_after

WORSE_ANSWER, EDITED_DRAFT, NOT_PICKED = "worse_answer", "edited_draft", "passed_over_suggestion"
"""Basis of pairs in words, where no class of failure says what is worse."""
ALONE = "a bad answer without a good one beside it"


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


def siblings(chat: Conversation, tools: Sequence[ToolSpec]) -> Iterator[Compared | str]:
    """Answers that go on from one message: each bad one against a good one, the good ones taken in turn."""
    children: dict[str, list[Message]] = defaultdict(list)
    for message in chat.messages:
        if message.parent_id and not _passed_over(message):
            children[message.parent_id].append(message)
    for parent in chat.messages:
        beside = sum(one.role == "assistant" for one in children.get(parent.id, ()))
        if beside > 1:
            yield from _against_one_another(chat, parent, answers_after(parent, children), tools)
        elif beside == 1 and parent.role == "user":
            answers = answers_after(parent, children)
            if len(answers) == 1 and judged_both_ways(answers[0]):
                yield JUDGED_BOTH_WAYS
            elif len(answers) == 1 and opinion(answers[0]).value < 0:
                yield ALONE


def _against_one_another(
    chat: Conversation, parent: Message, answers: Sequence[TurnAnswer], tools: Sequence[ToolSpec]
) -> Iterator[Compared | str]:
    before = chat.branch(parent.id)
    yield from (JUDGED_BOTH_WAYS for answer in answers if judged_both_ways(answer))
    good, bad = _judged([answer for answer in answers if not judged_both_ways(answer)], tools)
    for number, (worse, against) in enumerate(bad):
        if good:
            better, because = good[number % len(good)]
            yield _compared(chat, before, better, worse, f"{because} against {against}")
        else:
            yield ALONE


def suggestions(chat: Conversation) -> Iterator[Compared | str]:
    """The answer that was picked against each that was suggested beside it and passed over."""
    picked: dict[str, Message] = {}
    for message in chat.messages:
        if message.role == "assistant" and message.parent_id:
            better = picked.setdefault(message.parent_id, message)
            if _passed_over(message) and better is not message:
                kept, other = TurnAnswer(messages=(better,)), TurnAnswer(messages=(message,))
                before = chat.branch(message.parent_id)
                yield _compared(chat, before, kept, other, "picked among suggestions", NOT_PICKED)


def _passed_over(message: Message) -> bool:
    return message.rating is not None and message.rating.reason == PASSED_OVER


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
    chat: Conversation,
    before: Sequence[Message],
    better: TurnAnswer,
    worse: TurnAnswer,
    evidence: str,
    basis: str = WORSE_ANSWER,
) -> Compared | str:
    """Both answers at the first place where they differ."""
    first, second = (as_seen((*_asked(before), *answer.messages)) for answer in (better, worse))
    at = next((at for at, (one, other) in enumerate(zip(first, second, strict=False)) if one != other), None)
    if at is None:
        return "nothing to tell apart"
    if first[at].role != "assistant" or second[at].role != "assistant":
        return "the same call came to other results"
    return Compared(chat=chat, before=first[:at], chosen=first[at], rejected=second[at], evidence=evidence, basis=basis)


def _asked(before: Sequence[Message]) -> list[Message]:
    """A branch from the user's first words on."""
    first = next((at for at, one in enumerate(before) if one.role == "user"), len(before))
    return [one for one in before[first:] if one.role != "system"]


def mended_calls(chat: Conversation, tools: Sequence[ToolSpec]) -> Iterator[Compared]:
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


def edited(chats: Sequence[Conversation], edits: Iterable[Edit]) -> Iterator[Compared | str]:
    """Each edit at the place in its conversation where what was kept stands."""
    places: dict[tuple[str, str], list[tuple[Conversation, Message]]] = defaultdict(list)
    for chat in chats:
        for message in chat.messages:
            if message.role == "assistant" and message.text.strip() and not _passed_over(message):
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
