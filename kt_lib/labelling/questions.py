"""What there is to ask a person about: questions made from artifacts, the same ones in every run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import get_args

from kt_lib.labelling.suggestions import (
    suggest_attempts,
    suggest_edit,
    suggest_pattern,
    suggest_reading,
    suggest_siblings,
    suggest_turn,
)
from kt_lib.labelling.voices import drawn
from kt_lib.labels import Question, QuestionKind, Side
from kt_lib.records import (
    Attempt,
    ChatMessage,
    Conversation,
    Difference,
    Edit,
    Message,
    Pattern,
    Task,
    ToolCall,
    content_id,
)
from kt_lib.standing import question_id, reading_id
from kt_lib.turns import Turn, TurnAnswer, as_asked, turns_of

KINDS: tuple[QuestionKind, ...] = get_args(QuestionKind)
"""Every kind of question."""

_EXAMPLES = 3
"""Most examples that stand beside a pattern."""


def questions_from(
    conversations: Iterable[Conversation] = (),
    *,
    tasks: Iterable[Task] = (),
    differences: Iterable[Difference] = (),
    edits: Iterable[Edit] = (),
    patterns: Iterable[Pattern] = (),
    voices: Iterable[Attempt] = (),
    kinds: Collection[QuestionKind] = KINDS,
) -> list[Question]:
    """All that can be asked of these records, each question once, with suggestions by the heuristics' stated priors.

    turn: each answer in a chat that came to an end. reading: each answer with calls, made or meant in prose, the
    agent's attempt on the same task beside it. preference: each answer with the one that was generated after it, and
    the chat's with the agent's attempt on tasks without an answer key. edit: each edited answer. pattern: each pattern,
    with examples. voice: some of the answers in words (`voices`, attempts at some of the tasks) to a user of a named
    persona, as many of each variant.

    The same records give the same questions in the same order; a question's id hangs on what is judged alone, so a chat
    that comes again, or has grown, asks the same again under the same id.
    """
    chats, known = list(conversations), {task.id: task for task in tasks}
    paired = {one.task_id: one for one in differences}
    turns = list(turns_of(chats)) if {"turn", "reading", "preference"} & set(kinds) else []
    found: list[Question] = []
    for turn in turns:
        found += [_turn_question(turn, answer) for answer in turn.answers if "turn" in kinds and _is_whole(answer)]
        found += [_reading(turn, answer, paired) for answer in turn.answers if "reading" in kinds and answer.calls]
        found += _siblings(turn) if "preference" in kinds else ()
    if "preference" in kinds:
        found += _chat_against_agent(paired.values(), known)
    if "edit" in kinds:
        found += _edits(edits, chats)
    if "pattern" in kinds:
        found += [_pattern(pattern, known, paired) for pattern in patterns]
    if "voice" in kinds:
        found += drawn(voices, list(known.values()))
    return list({question.id: question for question in reversed(found)}.values())[::-1]


def _is_whole(answer: TurnAnswer) -> bool:
    return answer.ended_well and bool(answer.text.strip() or answer.calls)


def _turn_question(turn: Turn, answer: TurnAnswer) -> Question:
    return Question(
        id=question_id("turn", answer.id),
        kind="turn",
        subject=answer.id,
        group=turn.chat,
        context=turn.messages,
        sides=(_chat_side(answer),),
        tools=turn.tools if answer.calls else (),
        suggestions=suggest_turn(turn, answer),
    )


def _reading(turn: Turn, answer: TurnAnswer, paired: Mapping[str, Difference]) -> Question:
    difference = paired.get(turn.task_id)
    agent = [Side(name="agent", text=difference.agent.output, calls=difference.agent.calls)] if difference else []
    return Question(
        id=reading_id(answer.id, answer.calls),
        kind="reading",
        subject=answer.id,
        group=turn.chat,
        context=turn.messages,
        sides=(_chat_side(answer), *agent),
        tools=turn.tools,
        suggestions=suggest_reading(turn, answer, difference),
    )


def _chat_side(answer: TurnAnswer) -> Side:
    return Side(name="chat", text=answer.text, calls=answer.calls)


def _siblings(turn: Turn) -> Iterator[Question]:
    """Each answer against the one generated after it: n answers give n - 1 questions, and a new one adds one."""
    whole = [answer for answer in turn.answers if _is_whole(answer)]
    by_time = sorted(whole, key=lambda answer: (answer.messages[0].created or 0.0, whole.index(answer)))
    for one, other in pairwise(by_time):
        if (one.text, one.calls) == (other.text, other.calls):
            continue
        # In the order of ids, which says nothing about which came first.
        first, second = sorted((one, other), key=lambda answer: answer.id)
        subject = f"{first.id} {second.id}"
        yield Question(
            id=question_id("preference", subject),
            kind="preference",
            subject=subject,
            group=turn.chat,
            context=turn.messages,
            sides=(
                Side(name="answer 1", text=first.text, calls=first.calls),
                Side(name="answer 2", text=second.text, calls=second.calls),
            ),
            tools=turn.tools if first.calls or second.calls else (),
            suggestions=suggest_siblings(turn, first, second),
        )


def _chat_against_agent(differences: Iterable[Difference], tasks: Mapping[str, Task]) -> Iterator[Question]:
    """The two fresh answers to one task, where no answer key says which is right."""
    for difference in differences:
        task = tasks.get(difference.task_id)
        chat, agent = difference.chat, difference.agent
        if task is None or task.check.evidence in ("answer_key", "recorded_result"):
            continue
        if "error" in (chat.outcome, agent.outcome) or not (
            chat.output.strip() and (agent.output.strip() or agent.calls)
        ):
            continue
        subject = f"{task.id} {content_id('chat', chat.output)} {content_id('agent', agent.output)}"
        yield Question(
            id=question_id("preference", subject),
            kind="preference",
            subject=subject,
            group=task.group or task.id,
            context=task.messages,
            sides=(
                Side(name="chat", text=chat.output, calls=chat.calls),
                Side(name="agent", text=agent.output, calls=agent.calls),
            ),
            tools=task.tools,
            suggestions=suggest_attempts(difference, task),
        )


def _edits(edits: Iterable[Edit], chats: Sequence[Conversation]) -> Iterator[Question]:
    """Each edit, in its conversation where that is known; then edited messages that no record names."""
    places: dict[str, tuple[Conversation, Message]] = {}
    edited: dict[str, list[tuple[Conversation, Message]]] = {}
    for chat in chats:
        for message in chat.messages:
            if message.edited_from is not None and message.role == "assistant":
                places[_edit_id(chat, message, message.text)] = (chat, message)
                edited.setdefault(message.edited_from, []).append((chat, message))
    for edit in edits:
        place = _place_of(edit, edited)
        if place:
            places.pop(_edit_id(*place, place[1].text), None)
        yield _edit(edit.id, edit.original, edit.final, place)
    for identity, place in places.items():
        yield _edit(identity, place[1].edited_from or "", place[1].text, place)


def _edit_id(chat: Conversation, message: Message, final: str) -> str:
    """The id that ingest gives to the edit of a message."""
    return content_id("edit", chat.id, message.source_id, message.edited_from, final)


def _place_of(
    edit: Edit, edited: Mapping[str, list[tuple[Conversation, Message]]]
) -> tuple[Conversation, Message] | None:
    """The message an edit was made to, where its text in the chat reads otherwise than in the record."""
    places = edited.get(edit.original, [])
    return next((place for place in places if _edit_id(*place, edit.final) == edit.id), None)


def _edit(identity: str, original: str, final: str, place: tuple[Conversation, Message] | None) -> Question:
    return Question(
        id=question_id("edit", identity),
        kind="edit",
        subject=identity,
        group=place[0].id if place else identity,
        context=_asked_before(*place) if place else (),
        sides=(Side(name="draft", text=original), Side(name="final", text=final)),
        suggestions=suggest_edit(original, final),
    )


def _asked_before(chat: Conversation, message: Message) -> tuple[ChatMessage, ...]:
    """The conversation before an answer; empty where nothing comes before it."""
    by_id = {one.id: one for one in chat.messages}
    before = by_id.get(message.parent_id or "")
    return as_asked(chat, before, by_id) if before is not None else ()


def _pattern(pattern: Pattern, tasks: Mapping[str, Task], paired: Mapping[str, Difference]) -> Question:
    examples = [
        Side(name=f"example {number}", text=tasks[name].messages[-1].content, calls=_calls_of(name, paired))
        for number, name in enumerate([one for one in pattern.examples if one in tasks][:_EXAMPLES], start=1)
    ]
    return Question(
        id=question_id("pattern", pattern.id),
        kind="pattern",
        subject=pattern.id,
        group=f"pattern {pattern.tool}",
        sides=(Side(name="template", text=pattern.template), *examples),
        suggestions=suggest_pattern(pattern),
    )


def _calls_of(task: str, paired: Mapping[str, Difference]) -> tuple[ToolCall, ...]:
    """The right calls of a task that someone got right."""
    if task not in paired:
        return ()
    sides = (paired[task].chat, paired[task].agent)
    return next((side.calls for side in sides if side.outcome == "correct"), ())
