"""An assistant in four figures: tool format, context kept, persona met, task done; and a new one against the current.

What each figure counts, and what it leaves out, is said in `METRICS`; a rate is never without its n and interval.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from kt_lib.calls.begun import without_thoughts
from kt_lib.calls.failures import MALFORMED
from kt_lib.calls.rules import one_name
from kt_lib.calls.schemas import fits_schema
from kt_lib.personas import PERSONAS
from kt_lib.power import guard_needs
from kt_lib.records import Attempt, Mode, PairedTable, Record, Score, Task
from kt_lib.statistics import judge, paired, wilson
from kt_lib.style import broken_rules, words_in

SUITE = "assistant"
VOICE = "persona_adaptation"
IN_WORDS = "in words"
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
        for metric in METRICS:
            due = _due(metric, attempts, mode, by_id)
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
            first, second = (_due(metric, attempts, mode, by_id) for attempts in (current, new))
            one = comparison(metric.name, mode, _marks(metric, first, by_id), _marks(metric, second, by_id), margin)
            if one and metric.name == VOICE:
                said = f"{one.reason}. Answers: current: {_counted(first)}; new: {_counted(second)}"
                one = one.model_copy(update={"reason": said})
            found += [one] if one else []
    return found


def comparison(
    metric: str, mode: Mode, current: Mapping[str, bool | None], new: Mapping[str, bool | None], margin: float
) -> Comparison | None:
    """New against current by one figure; each side says of a task, by its id, whether it was right.

    None of a task is "not counted"; without a task that counts on both sides there is nothing to compare: None.
    """
    asked = [(current[task], new[task]) for task in current if task in new]
    both = [(first, second) for first, second in asked if first is not None and second is not None]
    if not both:
        return None
    table = paired([first for first, _ in both], [second for _, second in both])
    word = in_a_word(table, margin)
    needed = guard_needs(table, margin)
    reason = f"{table.in_points} on {table.n} tasks, p {table.p_value:.2g}"
    if word == "inconclusive":
        reason += f": neither proven nor surely within {100 * margin:g} points; about {needed} tasks would tell"
    if len(asked) > len(both):
        reason += f"; not counted on both sides: {len(asked) - len(both)}"
    return Comparison(metric=metric, mode=mode, word=word, table=table, margin=margin, needed=needed, reason=reason)


def in_a_word(table: PairedTable, margin: float) -> Word:
    """What a paired table of current (first) and new (second) comes to; `margin` is in 0..1."""
    return _WORDS.get(judge(table, margin), "inconclusive")


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


def how_answered(attempts: Iterable[Attempt]) -> dict[str, int]:
    """How many attempts answered in words, and how many in what else: what stands behind a figure of the voice."""
    return dict(Counter(_kind_of_answer(attempt) for attempt in attempts).most_common())


def plain_answer(attempt: Attempt) -> str | None:
    """What an attempt says in words; None where it is a call or half of one, malformed, without words, or failed."""
    return without_thoughts(attempt.output) if _kind_of_answer(attempt) == IN_WORDS else None


def _kind_of_answer(attempt: Attempt) -> str:
    if attempt.outcome == "error":
        return "failed to run"
    # The class says so also where the outcome is `unverified`, for want of an answer key.
    if attempt.failure in MALFORMED or attempt.outcome == "malformed":
        return "a malformed call"
    # In chat the calls were read from the prose, so that the prose is still the answer.
    if attempt.mode == "agent" and attempt.calls:
        return "a call"
    text = without_thoughts(attempt.output)
    # Half a call is no words either, though no reader took it for a call; and neither are signs alone.
    return "no words" if text.startswith(("{", "[{", '["')) or not words_in(text) else IN_WORDS


def _counted(attempts: Iterable[Attempt]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in how_answered(attempts).items())


def _in_voice(attempt: Attempt, task: Task) -> bool | None:
    answer, user = plain_answer(attempt), persona_of(task)
    if user is None:
        return None
    if answer is None:
        return False if _words_are_due(task) else None
    asked = next((message.content for message in reversed(task.messages) if message.role == "user"), "")
    return not broken_rules(answer, user, asked)


def _has_a_key(task: Task) -> bool:
    return task.check.evidence != "none"


def _words_are_due(task: Task) -> bool:
    return task.check.rule == "never"


METRICS: tuple[Metric, ...] = (
    Metric(
        "tool_format",
        "of an agent's answers where a call was due: those that the protocol can read and whose calls fit the schema of"
        " a tool that was offered, right or not; an answer without a call counts as not right",
        lambda task, mode: mode == "agent" and not _words_are_due(task),
        _readable_and_fitting,
    ),
    Metric(
        "context_retention",
        "of the tasks whose answer needs what was said in an earlier turn (kind multi_turn, or tag context): those done"
        " rightly",
        lambda task, mode: needs_context(task) and _has_a_key(task),
        _correct,
    ),
    Metric(
        VOICE,
        "of the answers to a user whose persona the system prompt names: those in words that break none of its voice"
        " rules; what is no words (a call or half of one, malformed, signs alone) counts as not right where words were"
        " due, and is not counted elsewhere",
        lambda task, mode: persona_of(task) is not None,
        _in_voice,
    ),
    Metric(
        "task_success",
        "of all tasks with an answer key: those done rightly",
        lambda task, mode: _has_a_key(task),
        _correct,
    ),
)
"""The four figures."""


def _right(metric: Metric, attempt: Attempt, tasks: Mapping[str, Task]) -> bool | None:
    return None if attempt.outcome == "error" else metric.right(attempt, tasks[attempt.task_id])


def _due(metric: Metric, attempts: Iterable[Attempt], mode: Mode, tasks: Mapping[str, Task]) -> list[Attempt]:
    own = [one for one in attempts if one.mode == mode and one.task_id in tasks]
    return [one for one in own if metric.asked(tasks[one.task_id], mode)]


def _marks(metric: Metric, due: Iterable[Attempt], tasks: Mapping[str, Task]) -> dict[str, bool | None]:
    return {attempt.task_id: _right(metric, attempt, tasks) for attempt in due}


def _modes(attempts: Sequence[Attempt]) -> list[Mode]:
    return sorted({attempt.mode for attempt in attempts})


def _by_suite(attempts: Sequence[Attempt], tasks: Mapping[str, Task]) -> Iterator[tuple[str, Sequence[Attempt]]]:
    if attempts:
        yield SUITE, attempts
    for category in sorted({tasks[attempt.task_id].category for attempt in attempts}):
        yield f"{SUITE}/{category}", [one for one in attempts if tasks[one.task_id].category == category]
