"""An assistant in four figures: tool format, context kept, persona met, task done; and a new one against the current.

What each figure counts, and what it leaves out, is said in `METRICS`; a rate is never without its n and interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from kt_lib.calls.begun import without_thoughts
from kt_lib.calls.failures import MALFORMED
from kt_lib.calls.rules import one_name
from kt_lib.calls.schemas import fits_schema
from kt_lib.personas import PERSONAS
from kt_lib.records import Attempt, Mode, PairedTable, Record, Score, Task
from kt_lib.statistics import discordance, judge, paired, tasks_needed, wilson
from kt_lib.style import broken_rules, words_in

SUITE = "assistant"
Word = Literal["win", "loss", "equivalent", "inconclusive"]
_WORDS: Mapping[str, Word] = {"better": "win", "worse": "loss", "equivalent": "equivalent"}


class Metric(NamedTuple):
    """One of the figures."""

    name: str
    """Its name in a score."""
    rule: str
    """What it counts, in words."""
    asked: Callable[[Task, Mode], bool]
    """Whether a task measures it in a mode."""
    right: Callable[[Attempt, Task], bool | None]
    """Whether an attempt that ran is right by it; None where the attempt is not counted."""


class Comparison(Record):
    """New against current by one figure, on the same tasks."""

    metric: str
    """The figure."""
    mode: Mode
    """chat or agent."""
    word: Word
    """win or loss: proven by interval and mid-p; equivalent: surely within the margin; else inconclusive."""
    table: PairedTable
    """first = current, second = new, over the tasks that count on both sides."""
    margin: float
    """What counts as the same, 0..1."""
    needed: int
    """Tasks that would show with 80% power that nothing of the margin is lost, at this share of differing tasks."""
    reason: str
    """In words."""


def assistant_scores(variant: str, attempts: Sequence[Attempt], tasks: Sequence[Task]) -> list[Score]:
    """The four figures over all tasks (suite `assistant`) and by category (`assistant/<category>`), by mode.

    A figure that no task measures is left out; one that tasks measure and no attempt counts for has n 0. Attempts that
    failed to run are counted as errors, never as wrong.
    """
    by_id = {task.id: task for task in tasks}
    found = []
    for mode in _modes(attempts):
        own = [attempt for attempt in attempts if attempt.mode == mode and attempt.task_id in by_id]
        for metric in METRICS:
            due = [attempt for attempt in own if metric.asked(by_id[attempt.task_id], mode)]
            for suite, chosen in _by_suite(due, by_id):
                counted = [one for one in (_right(metric, attempt, by_id) for attempt in chosen) if one is not None]
                errors = sum(attempt.outcome == "error" for attempt in chosen)
                rate = wilson(sum(counted), len(counted), errors)
                found.append(Score(variant=variant, mode=mode, suite=suite, metric=metric.name, rate=rate))
    return found


def compared(
    current: Sequence[Attempt], new: Sequence[Attempt], tasks: Sequence[Task], margin: float
) -> list[Comparison]:
    """New against current by each figure, in each mode that both sides were put to; `margin` is in 0..1."""
    by_id = {task.id: task for task in tasks}
    found = []
    for mode in _modes(current):
        for metric in METRICS:
            first, second = (_marks(metric, attempts, mode, by_id) for attempts in (current, new))
            both = [task for task in first if task in second]
            if both:
                table = paired([first[task] for task in both], [second[task] for task in both])
                found.append(_comparison(metric.name, mode, table, margin))
    return found


def needs_context(task: Task) -> bool:
    """Whether the answer needs what was said in an earlier turn: a multi-turn task, or one that says so by its tag."""
    return task.kind == "multi_turn" or "context" in task.tags


def persona_of(task: Task) -> str | None:
    """The persona whose words stand in a system message of the task; None where none does."""
    told = "\n".join(message.content for message in task.messages if message.role == "system")
    return next((one.name for one in PERSONAS if one.words in told), None)


def _readable_and_fitting(attempt: Attempt, task: Task) -> bool:
    names = {one_name(tool.name): tool.name for tool in task.tools}
    calls = [call.model_copy(update={"name": names.get(one_name(call.name), call.name)}) for call in attempt.calls]
    readable = bool(calls) and attempt.outcome != "malformed"
    return readable and all(fits_schema(call, task.tools) for call in calls)


def _correct(attempt: Attempt, task: Task) -> bool | None:
    return None if attempt.outcome == "unverified" else attempt.outcome == "correct"


def plain_answer(attempt: Attempt) -> str | None:
    """What an attempt says in words; None where it is a call or half of one, malformed, without words, or failed."""
    # In chat the calls were read from the prose, so that the prose is still the answer.
    called = attempt.mode == "agent" and attempt.calls
    # The class says so also where the outcome is `unverified`, for want of an answer key.
    if called or attempt.failure in MALFORMED or attempt.outcome in ("malformed", "error"):
        return None
    text = without_thoughts(attempt.output)
    # Half a call is no words either, though no reader took it for a call; and neither are signs alone.
    return None if text.startswith(("{", "[{", '["')) or not words_in(text) else text


def _in_voice(attempt: Attempt, task: Task) -> bool | None:
    answer, user = plain_answer(attempt), persona_of(task)
    if answer is None or user is None:
        return None
    asked = next((message.content for message in reversed(task.messages) if message.role == "user"), "")
    return not broken_rules(answer, user, asked)


METRICS: tuple[Metric, ...] = (
    Metric(
        "tool_format",
        "of an agent's answers where a call was due: those that the protocol can read and whose calls fit the schema of"
        " a tool that was offered, right or not; an answer without a call counts as not right",
        lambda task, mode: mode == "agent" and task.check.rule != "never",
        _readable_and_fitting,
    ),
    Metric(
        "context_retention",
        "of the tasks whose answer needs what was said in an earlier turn (kind multi_turn, or tag context): those done"
        " rightly",
        lambda task, mode: needs_context(task),
        _correct,
    ),
    Metric(
        "persona_adaptation",
        "of the plain answers to a user whose persona the system prompt names: those that break none of its voice"
        " rules; answers that are calls, malformed, half a call or without a word are not counted",
        lambda task, mode: persona_of(task) is not None,
        _in_voice,
    ),
    Metric("task_success", "of all tasks with an answer key: those done rightly", lambda task, mode: True, _correct),
)
"""The four figures."""


def _right(metric: Metric, attempt: Attempt, tasks: Mapping[str, Task]) -> bool | None:
    return None if attempt.outcome == "error" else metric.right(attempt, tasks[attempt.task_id])


def _marks(metric: Metric, attempts: Sequence[Attempt], mode: Mode, tasks: Mapping[str, Task]) -> dict[str, bool]:
    due = [
        attempt
        for attempt in attempts
        if attempt.mode == mode and attempt.task_id in tasks and metric.asked(tasks[attempt.task_id], mode)
    ]
    marks = {attempt.task_id: _right(metric, attempt, tasks) for attempt in due}
    return {task: mark for task, mark in marks.items() if mark is not None}


def _modes(attempts: Sequence[Attempt]) -> list[Mode]:
    return sorted({attempt.mode for attempt in attempts})


def _by_suite(attempts: Sequence[Attempt], tasks: Mapping[str, Task]) -> Iterator[tuple[str, Sequence[Attempt]]]:
    if attempts:
        yield SUITE, attempts
    for category in sorted({tasks[attempt.task_id].category for attempt in attempts}):
        yield f"{SUITE}/{category}", [one for one in attempts if tasks[one.task_id].category == category]


def in_a_word(table: PairedTable, margin: float) -> Word:
    """What a paired table of current (first) and new (second) comes to; `margin` is in 0..1."""
    return _WORDS.get(judge(table, margin), "inconclusive")


def _comparison(metric: str, mode: Mode, table: PairedTable, margin: float) -> Comparison:
    word = in_a_word(table, margin)
    needed = tasks_needed(max(discordance(table), 0.01), margin)
    reason = f"{table.in_points} on {table.n} tasks, p {table.p_value:.2g}"
    if word == "inconclusive":
        reason += f": neither proven nor surely within {100 * margin:g} points; about {needed} tasks would tell"
    return Comparison(metric=metric, mode=mode, word=word, table=table, margin=margin, needed=needed, reason=reason)
