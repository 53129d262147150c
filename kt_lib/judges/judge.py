"""A model as judge: yes or no of an answer, the better of two, each with its reason.

A verdict that cannot be read is never a no. Two answers are shown both ways round, and a verdict that turns with the
order is a tie. What a judge is worth is said by its agreement with people (`judge_agreement`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache as once
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Literal

from kt_lib.assistant import SUITE, persona_of, plain_answer
from kt_lib.cached_asking import Budget, CachedAsking, Spent
from kt_lib.calls.begun import without_thoughts
from kt_lib.calls.writing import write_calls
from kt_lib.errors import SetupError
from kt_lib.labels import Question
from kt_lib.models.interface import Model, Progress
from kt_lib.personas import persona
from kt_lib.records import (
    Attempt,
    ChatMessage,
    Completion,
    Decoding,
    Mode,
    Rate,
    Record,
    Request,
    Score,
    Task,
    content_id,
)
from kt_lib.statistics import wilson
from kt_lib.yaml_files import read_yaml

Ruled = Literal["yes", "no", "first", "second", "tie", "unreadable", "unanswered"]
_ALLOWED: Mapping[int, tuple[Ruled, ...]] = {1: ("yes", "no"), 2: ("first", "second", "tie")}
"""Verdicts by the number of answers shown."""
_OTHER_WAY: Mapping[Ruled, Ruled] = {"first": "second", "second": "first"}
CACHE = "judge.jsonl"
"""Where a judge's answers are kept, in the state folder: what was asked once is free, whoever asks again."""
_TOKENS_A_CALL = 4_000
_LONGER = 1.2
"""An answer is longer than another from this many times its characters on."""


class JudgeQuestion(Record):
    """What a judge is asked of one answer, or of two."""

    id: str
    """The same question to a model and to people: their labels are matched by it."""
    asks: str
    """The question in words."""
    context: tuple[ChatMessage, ...]
    """The conversation before the answer."""
    answers: tuple[str, ...]
    """One answer for a yes or no, two to be compared."""


class Ruling(Record):
    """What the judge said of a question."""

    question: str
    """Its id."""
    verdict: Ruled
    """yes or no; first, second or tie; unreadable where the form was broken; unanswered without an answer."""
    why: str = ""
    """The judge's reason, or what was wrong with its answer."""
    turned: bool = False
    """Whether of two answers another one won when they stood the other way round."""


class Judging(Record):
    """Everything a judge ruled."""

    model: str
    """The judge's name."""
    rulings: tuple[Ruling, ...]
    """One for each question, in their order."""
    turned: Rate
    """Of the comparisons ruled on both ways round: how many turned with the order."""
    longer: Rate
    """Of the comparisons with a winner and a clearly longer answer: how often the longer one won."""
    spent: Spent
    """Requests and tokens."""


# --- questions -------------------------------------------------------------------------------------------------------


def same_as_people_are_asked(question: Question) -> JudgeQuestion | None:
    """The question that people label, for a judge: did a turn succeed, which answer is better, does one fit its user.

    None for other kinds.
    """
    if question.kind not in ("turn", "preference", "voice"):
        return None
    sides = question.sides[: 2 if question.kind == "preference" else 1]
    answers = tuple(side.text if side.text.strip() else write_calls(side.calls) for side in sides)
    asks = _asks_of_voice(question.sides[1].text) if question.kind == "voice" else _words()["questions"][question.kind]
    return JudgeQuestion(id=question.id, asks=asks, context=question.context, answers=answers)


def persona_question(context: Sequence[ChatMessage], answer: str, name: str) -> JudgeQuestion:
    """Whether an answer fits the persona called `name`; SetupError for an unknown one."""
    user = persona(name)
    if user is None:
        raise SetupError(f"{name!r} is no persona: `kt_lib.personas` names them")
    shown = tuple(message for message in context if message.role != "system")
    known = content_id("persona", name, [message.model_dump(mode="json") for message in shown], answer)
    return JudgeQuestion(id=known, asks=_asks_of_voice(user.words), context=shown, answers=(answer,))


def persona_questions(attempts: Iterable[Attempt], tasks: Sequence[Task]) -> dict[str, JudgeQuestion]:
    """By task id, a question for each plain answer to a user whose persona the system prompt names."""
    by_id = {task.id: task for task in tasks}
    found = {}
    for attempt in attempts:
        task, answer = by_id.get(attempt.task_id), plain_answer(attempt)
        if task and answer and (name := persona_of(task)):
            found[task.id] = persona_question(task.messages, answer, name)
    return found


def _asks_of_voice(user: str) -> str:
    asks: str = _words()["questions"]["voice"]
    return asks.format(persona=user)


# --- asking ----------------------------------------------------------------------------------------------------------


def budget_for(calls: int) -> Budget:
    """What so many requests to a judge may cost."""
    return Budget(max_calls=calls, max_tokens=calls * _TOKENS_A_CALL)


def judged(
    model: Model,
    questions: Sequence[JudgeQuestion],
    *,
    cache: Path,
    budget: Budget,
    constrained: bool = False,
    progress: Progress | None = None,
) -> Judging:
    """The judge's rulings on the questions, within the budget; answers are kept in the file `cache`.

    `constrained` asks the server to keep each answer inside the form; it is read as strictly as without.
    """
    asking = CachedAsking(model, cache, budget)
    requests = [_requests(question, constrained) for question in questions]
    answers = iter(asking.ask([one for asked in requests for one in asked], progress))
    told = [[next(answers) for _ in asked] for asked in requests]
    rulings = [_ruling(question, given) for question, given in zip(questions, told, strict=True)]
    both = [one for one in rulings if one.verdict in ("first", "second", "tie")]
    return Judging(
        model=model.name,
        rulings=tuple(rulings),
        turned=wilson(sum(one.turned for one in both), len(both)),
        longer=_longer(questions, rulings),
        spent=asking.spent,
    )


def _requests(question: JudgeQuestion, constrained: bool) -> list[Request]:
    if len(question.answers) not in (1, 2):
        raise SetupError(f"question {question.id} shows {len(question.answers)} answers: one or two can be judged")
    ways = [question.answers] if len(question.answers) == 1 else [question.answers, question.answers[::-1]]
    return [_request(question, way, constrained) for way in ways]


def _request(question: JudgeQuestion, answers: Sequence[str], constrained: bool) -> Request:
    words = _words()
    texts = [json.dumps(answer, ensure_ascii=False) for answer in answers]
    said = (
        words["answers"].format(first=texts[0], second=texts[1])
        if len(texts) == 2
        else words["answer"].format(text=texts[0])
    )
    conversation = [message.model_dump(mode="json", exclude_defaults=True) for message in question.context]
    shown = words["shown"].format(
        asks=question.asks, conversation=json.dumps(conversation, ensure_ascii=False), answers=said
    )
    system = ChatMessage(role="system", content=words["two" if len(texts) == 2 else "one"])
    properties = {"verdict": {"enum": list(_ALLOWED[len(texts)])}, "why": {"type": "string"}}
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": ["verdict", "why"]}
    return Request(
        messages=(system, ChatMessage(role="user", content=shown)),
        output_schema={**schema, "additionalProperties": False} if constrained else None,
        decoding=Decoding(max_tokens=200),
    )


@once
def _words() -> dict[str, Any]:
    with as_file(files("kt_lib.judges") / "judge.yaml") as path:
        found: dict[str, Any] = read_yaml(path, "judge's prompt", SetupError)
    return found


# --- reading ---------------------------------------------------------------------------------------------------------


def _ruling(question: JudgeQuestion, answers: Sequence[Completion | None]) -> Ruling:
    read = [_read(question.id, answer, _ALLOWED[len(answers)]) for answer in answers]
    if len(read) == 1 or read[0].verdict in ("unreadable", "unanswered"):
        return read[0]
    first, second = read[0], read[1]
    if second.verdict in ("unreadable", "unanswered"):
        return second
    if first.verdict == _OTHER_WAY.get(second.verdict, second.verdict):
        return first
    turned = first.verdict == second.verdict
    why = "it turned with the order" if turned else "it saw a difference one way round only"
    return Ruling(question=question.id, verdict="tie", why=f"{why}: {first.why} / {second.why}", turned=turned)


def _read(question: str, answer: Completion | None, allowed: Sequence[str]) -> Ruling:
    """One JSON object with `verdict` and `why`, nothing around it, nothing repaired."""
    if answer is None or answer.finish == "error":
        why = "the budget was at its end" if answer is None else answer.error or "the server gave no reason"
        return Ruling(question=question, verdict="unanswered", why=why)
    try:
        said = json.loads(without_thoughts(answer.text))
    except (ValueError, RecursionError):
        said = None
    readable = isinstance(said, dict) and said.keys() == {"verdict", "why"} and isinstance(said["why"], str)
    if not readable or said["verdict"] not in allowed:
        return Ruling(question=question, verdict="unreadable", why=answer.text[:200])
    return Ruling(question=question, verdict=said["verdict"], why=said["why"][:500])


def _longer(questions: Sequence[JudgeQuestion], rulings: Sequence[Ruling]) -> Rate:
    won = counted = 0
    for question, ruling in zip(questions, rulings, strict=True):
        if ruling.verdict in ("first", "second"):
            winner, other = (len(text) for text in question.answers[:: 1 if ruling.verdict == "first" else -1])
            counted += max(winner, other) >= _LONGER * min(winner, other)
            won += winner >= _LONGER * other
    return wilson(won, counted)


# --- what it is worth ------------------------------------------------------------------------------------------------


def judged_score(variant: str, mode: Mode, metric: str, rulings: Sequence[Ruling]) -> Score:
    """The share of yes among yes and no; what was unreadable or unanswered is counted as an error, never as a no."""
    said = [one.verdict for one in rulings]
    errors = said.count("unreadable") + said.count("unanswered")
    rate = wilson(said.count("yes"), said.count("yes") + said.count("no"), errors)
    return Score(variant=variant, mode=mode, suite=SUITE, metric=metric, rate=rate)
