"""Chats, questions and labels written by hand, for the tests of labelling and of what labels change."""

from __future__ import annotations

from typing import Any

from kt_lib.labels import Answer, Label, Question
from kt_lib.records import Conversation, Message, MessagePart, Provenance, Rating

SOURCE = Provenance(file="export.json", sha256="0", format="openwebui.export", place="item 0")


def said(text: str) -> tuple[MessagePart, ...]:
    return (MessagePart(kind="text", text=text),)


def user(key: str, text: str, parent: str | None = None) -> Message:
    return Message(id=key, parent_id=parent, role="user", parts=said(text))


def answer(key: str, parent: str, words: Any, rating: int | None = None, **more: Any) -> Message:
    parts = said(words) if isinstance(words, str) else words
    rated = None if rating is None else Rating(value=rating)
    return Message(id=key, parent_id=parent, role="assistant", parts=parts, rating=rated, **more)


def a_chat(*messages: Message, name: str = "c", leaf: str | None = None) -> Conversation:
    return Conversation(id=name, source=SOURCE, messages=messages, active_leaf=leaf or messages[-1].id)


def label(question: Question, verdict: str, annotator: str = "ann", number: int = 1, **more: Any) -> Label:
    """`annotator` says `verdict` of `question`."""
    return Label(
        question=question.id,
        kind=question.kind,
        subject=question.subject,
        group=question.group,
        annotator=annotator,
        answer=Answer.model_validate({"verdict": verdict, **more}),
        number=number,
        time=float(number),
    )
