"""Training conversations written by a teacher model: asked within a budget, checked, kept with their licence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from kt_lib.cached_asking import Budget, CachedAsking, Spent
from kt_lib.calls.schemas import in_schema_order
from kt_lib.models.interface import Model, Progress
from kt_lib.personas import persona
from kt_lib.prompts import agent_request
from kt_lib.records import (
    ChatMessage,
    Check,
    Completion,
    Protocol,
    Record,
    Request,
    SftRow,
    Task,
    ToolCall,
    ToolSpec,
    content_id,
)
from kt_lib.teaching.conversations import Refusal, Shape, read_conversation, refusal
from kt_lib.teaching.likeness import Likeness
from kt_lib.teaching.wishes import LONGEST, Wish, asked_again, patterns, requests_for

TRIES = 3
"""Times a conversation is asked for: a refused one is asked for again at most twice."""


class SetAsideAnswer(Record):
    """An answer of the teacher's that is not learned from."""

    wish: int
    """Which wish, from 0."""
    tried: int
    """Which try, from 1."""
    reason: str
    """In a few words, the same for all of its kind."""
    detail: str
    """What exactly was wrong."""
    excerpt: str = ""
    """The first 500 characters of the answer, without secrets."""


class TeachingReport(Record):
    """What was asked, what came of it, and what it cost."""

    model: str
    """The teacher's name."""
    licence: str | None
    """Terms of the teacher's outputs, as the user gave them; rows without may not be shared."""
    wishes: int
    """Conversations wanted."""
    spent: Spent
    """Requests and tokens."""
    answered: int
    """Answers, from the model and from the cache."""
    kept: int
    """Rows."""
    set_aside: dict[str, int]
    """Answers not learned from, by reason."""
    given_up: int
    """Wishes that were refused three times."""
    left: int
    """Wishes without a row for which the budget had nothing left."""

    @property
    def tokens_per_row(self) -> float | None:
        """Tokens asked for in this run for each row kept; None without rows. Cached answers cost nothing again."""
        return self.spent.tokens / self.kept if self.kept else None


class Teaching(Record):
    """The rows a teacher gave."""

    rows: tuple[SftRow, ...]
    """In the order of the wishes."""
    set_aside: tuple[SetAsideAnswer, ...]
    """Answers not learned from, each with its reason."""
    report: TeachingReport
    """The figures."""


def taught_rows(
    model: Model,
    wishes: Sequence[Wish],
    *,
    cache: Path,
    budget: Budget,
    licence: str | None,
    protocol: Protocol,
    seed: int,
    held_out: Sequence[Task] = (),
    threshold: float = 0.8,
    constrained: bool = False,
    progress: Progress | None = None,
) -> Teaching:
    """A training row for each wish, as far as budget and teacher go.

    Every wish is asked for once before any is asked for again; a refused answer is asked for again, with the reason,
    at most twice. Answers are kept in the file `cache`: the same wishes, seed and model are never asked twice.
    Refused is also what is `threshold` like (Jaccard over three-word shingles of the user's words, digits masked) a
    conversation kept before, and what is like a task of `held_out` or holds one of its made-up names. `licence` are the
    terms of the teacher's outputs. `constrained` asks the server to keep answers inside the form. `progress` hears how
    many of a round's requests are answered. SetupError for a wish that names no known persona or pattern, or no tools.
    """
    waiting = requests_for(wishes, seed, constrained)
    asking, course = CachedAsking(model, cache, budget), _Course(wishes, waiting, Likeness(held_out, threshold))
    for tried in range(1, TRIES + 1):
        waiting = course.take(waiting, asking.ask(list(waiting.values()), progress), tried)
    report = TeachingReport(
        model=model.name,
        licence=licence,
        wishes=len(wishes),
        spent=asking.spent,
        answered=course.answered,
        kept=len(course.kept),
        set_aside=dict(Counter(one.reason for one in course.set_aside).most_common()),
        given_up=len(waiting),
        left=course.left,
    )
    rows = tuple(_row(wishes[at], kept, model.name, licence, protocol) for at, kept in sorted(course.kept.items()))
    return Teaching(rows=rows, set_aside=tuple(course.set_aside), report=report)


class _Course:
    """What came of the wishes so far."""

    def __init__(self, wishes: Sequence[Wish], first: Mapping[int, Request], likeness: Likeness) -> None:
        self.wishes, self.first, self.likeness = wishes, first, likeness
        self.kept: dict[int, tuple[ChatMessage, ...]] = {}
        self.set_aside: list[SetAsideAnswer] = []
        self.answered = self.left = 0

    def take(
        self, waiting: Mapping[int, Request], answers: Sequence[Completion | None], tried: int
    ) -> dict[int, Request]:
        """Keeps what is good, sets the rest aside, and gives what is to be asked again."""
        next_time: dict[int, Request] = {}
        for (at, asked), answer in zip(waiting.items(), answers, strict=True):
            if answer is None:
                self.left += 1
                continue
            self.answered += answer.finish != "error"
            read = self._read(self.wishes[at], answer)
            if isinstance(read, Refusal):
                aside = {"wish": at, "tried": tried, "reason": read.reason, "detail": read.detail}
                self.set_aside.append(SetAsideAnswer(**aside, excerpt=answer.text[:500]))
                next_time[at] = asked if answer.finish == "error" else asked_again(self.first[at], read, tried)
            else:
                self.kept[at] = read
        return next_time

    def _read(self, wish: Wish, answer: Completion) -> tuple[ChatMessage, ...] | Refusal:
        if answer.finish == "error":
            return Refusal("no answer", answer.error or "the server gave no reason")
        if answer.finish == "length":
            return Refusal("cut off", f"longer than {LONGEST} tokens")
        messages = read_conversation(answer.text)
        if isinstance(messages, Refusal):
            return messages
        pattern = patterns()[wish.pattern]
        shape = Shape(pattern["user_turns"][0], pattern["user_turns"][1], pattern["calls"])
        fault = refusal(messages, wish.tools, wish.persona, shape)
        if fault is None and (like := self.likeness.fault(messages)):
            fault = Refusal(*like)
        if fault is None:
            self.likeness.keep(messages)
        return fault or messages


# --- what is kept ----------------------------------------------------------------------------------------------------


def _row(wish: Wish, messages: Sequence[ChatMessage], model: str, licence: str | None, protocol: Protocol) -> SftRow:
    """The conversation as the agent will be asked, the persona's words in its system prompt."""
    user = persona(wish.persona)
    assert user is not None
    name = content_id("taught", [message.model_dump(mode="json") for message in messages])
    system = ChatMessage(role="system", content=user.words)
    turns = [one.model_copy(update={"tool_calls": _in_order(one.tool_calls, wish.tools)}) for one in messages]
    check = Check(rule="never", evidence="none")
    put = agent_request(Task(id=name, messages=(system, *turns), tools=wish.tools, check=check), protocol)
    return SftRow(
        messages=put.messages,
        tools=put.tools,
        learn="all",
        kind=_kind(messages),
        task_id=name,
        basis=f"written by {model}; form, schemas, consistency and voice checked",
        source="teacher",
        licence=licence,
    )


def _in_order(calls: Sequence[ToolCall], tools: Sequence[ToolSpec]) -> tuple[ToolCall, ...]:
    return tuple(in_schema_order(call, tools) for call in calls)


def _kind(messages: Sequence[ChatMessage]) -> str:
    if not any(message.tool_calls for message in messages):
        return "no_call"
    return "conversation_multi_turn" if sum(message.role == "user" for message in messages) > 1 else "conversation"
