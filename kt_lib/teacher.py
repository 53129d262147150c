"""Training conversations written by a teacher model: asked within a budget, checked, kept with their licence."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache as once
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from kt_lib.cached_asking import Budget, CachedAsking, Spent
from kt_lib.errors import SetupError
from kt_lib.models.interface import Model
from kt_lib.personas import PERSONAS, persona
from kt_lib.prompts import agent_request
from kt_lib.records import (
    ChatMessage,
    Check,
    Completion,
    Decoding,
    Protocol,
    Record,
    Request,
    SftRow,
    Task,
    ToolSpec,
    content_id,
)
from kt_lib.taught_conversations import Refusal, Shape, read_conversation, refusal
from kt_lib.taught_likeness import Likeness
from kt_lib.yaml_files import read_yaml

TRIES = 3
"""Times a conversation is asked for: a refused one is asked for again at most twice."""
WARMTH = 0.8
"""Temperature: a teacher that always writes the same is no use."""
LONGEST = 2000
"""Most tokens of one conversation."""
_SEEDS = 1_000_000
"""How far the seeds of a first and a second try stand apart."""


class Wish(Record):
    """A conversation that is wanted."""

    persona: str
    """One of the five kinds of users."""
    scenario: str
    """What it is about, in words."""
    pattern: str
    """How it goes: a pattern of teacher.yaml."""
    tools: tuple[ToolSpec, ...]
    """Tools offered in it."""


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


def patterns() -> Mapping[str, Any]:
    """The patterns a conversation may follow, by name."""
    found: dict[str, Any] = _words()["patterns"]
    return found


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
) -> Teaching:
    """A training row for each wish, as far as budget and teacher go.

    Every wish is asked for once before any is asked for again; a refused answer is asked for again, with the reason,
    at most twice. Answers are kept in the file `cache`: the same wishes, seed and model are never asked twice.
    Refused is also what is `threshold` like (Jaccard over three-word shingles of the user's words, digits masked) a
    conversation kept before, and what is like a task of `held_out` or holds one of its made-up names. `licence` are the
    terms of the teacher's outputs. SetupError for a wish that names no known persona or pattern, or no tools.
    """
    waiting = requests_for(wishes, seed)
    asking, course = CachedAsking(model, cache, budget), _Course(wishes, waiting, Likeness(held_out, threshold))
    for tried in range(1, TRIES + 1):
        waiting = course.take(waiting, asking.ask(list(waiting.values())), tried)
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
                next_time[at] = asked if answer.finish == "error" else _again(self.first[at], read, tried)
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


# --- what is asked ---------------------------------------------------------------------------------------------------


def requests_for(wishes: Sequence[Wish], seed: int) -> dict[int, Request]:
    """The first request for each wish, by its place; equal wishes are told apart by a number, and so is each seed."""
    seen: Counter[str] = Counter()
    found = {}
    for at, wish in enumerate(wishes):
        kind = content_id(wish.model_dump(mode="json"))
        seen[kind] += 1
        found[at] = _request(wish, seen[kind], seed)
    return found


def _request(wish: Wish, variation: int, seed: int) -> Request:
    user = persona(wish.persona)
    if user not in PERSONAS:
        raise SetupError(f"{wish.persona!r} is no persona: give one of {', '.join(one.name for one in PERSONAS)}")
    if wish.pattern not in patterns():
        raise SetupError(f"{wish.pattern!r} is no pattern: give one of {', '.join(patterns())}")
    if not wish.tools:
        raise SetupError(f"a conversation about {wish.scenario!r} is wanted without tools: offer at least one")
    asked = _words()["wish"].format(
        persona=wish.persona,
        persona_words=user.words,
        scenario=wish.scenario,
        pattern=wish.pattern,
        pattern_words=patterns()[wish.pattern]["words"],
        tools="\n".join(json.dumps(tool.model_dump(), ensure_ascii=False) for tool in wish.tools),
        variation=variation,
    )
    messages = (ChatMessage(role="system", content=_words()["system"]), ChatMessage(role="user", content=asked))
    decoding = Decoding(temperature=WARMTH, max_tokens=LONGEST, seed=seed + variation - 1)
    return Request(messages=messages, decoding=decoding)


def _again(first: Request, fault: Refusal, tried: int) -> Request:
    """The same wish by another seed, with what was wrong with the last answer; that answer itself is not sent."""
    system, wish = first.messages
    text = f"{wish.content}\n\n{_words()['again'].format(reason=fault.reason, detail=fault.detail)}"
    messages = (system, wish.model_copy(update={"content": text}))
    decoding = first.decoding.model_copy(update={"seed": (first.decoding.seed or 0) + tried * _SEEDS})
    return Request(messages=messages, decoding=decoding)


@once
def _words() -> dict[str, Any]:
    with as_file(files("kt_lib") / "teacher.yaml") as path:
        found: dict[str, Any] = read_yaml(path, "teacher's prompt", SetupError)
    return found


# --- what is kept ----------------------------------------------------------------------------------------------------


def _row(wish: Wish, messages: Sequence[ChatMessage], model: str, licence: str | None, protocol: Protocol) -> SftRow:
    """The conversation as the agent will be asked, the persona's words in its system prompt."""
    user = persona(wish.persona)
    assert user is not None
    name = content_id("taught", [message.model_dump(mode="json") for message in messages])
    system = ChatMessage(role="system", content=user.words)
    check = Check(rule="never", evidence="none")
    put = agent_request(Task(id=name, messages=(system, *messages), tools=wish.tools, check=check), protocol)
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


def _kind(messages: Sequence[ChatMessage]) -> str:
    if not any(message.tool_calls for message in messages):
        return "no_call"
    return "multi_turn" if sum(message.role == "user" for message in messages) > 1 else "agent_call"
