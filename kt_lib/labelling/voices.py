"""What there is to ask about voices: does an answer of the newest run's models fit the user that it was meant for?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from kt_lib.artifacts import read_rows
from kt_lib.assistant import persona_of
from kt_lib.history import inputs_from, newest_finished, step_of
from kt_lib.judges.judge import JudgeQuestion, persona_questions
from kt_lib.labels import Question, Side
from kt_lib.persona_tasks import persona_tasks
from kt_lib.personas import persona
from kt_lib.records import Attempt, Record, Task, content_id

EACH = 20
"""Most answers of one variant that are asked about: two variants give 40, enough to say something of a judge."""


class Voices(Record):
    """Answers of models to users of named personas."""

    attempts: tuple[Attempt, ...] = ()
    """The answers; `lever` says which variant gave one."""
    tasks: tuple[Task, ...] = ()
    """What they answer."""


def voices_of_newest_run(root: Path) -> Voices:
    """What 09_evaluate heard in the newest finished run of a workspace; nothing where it heard nothing.

    Its conversations stand in no artifact: they are made again from the parameters that they were made from.
    """
    runs = root / "outputs" / "runs"
    run = newest_finished(runs)
    for place in run.steps if run else ():
        record = step_of(runs, place)
        found = record and inputs_from(runs / str(place.folder), record).get("attempts_after")
        if record and found:
            count, seed = (record.parameters.get(name) for name in ("persona_tasks", "seed"))
            tasks = persona_tasks(count, seed) if isinstance(count, int) and isinstance(seed, int) else []
            known = {task.id for task in tasks}
            rows = read_rows(Path(found.path), Attempt, found.artifact)
            return Voices(attempts=tuple(one for one in rows if one.task_id in known), tasks=tuple(tasks))
    return Voices()


def voice_questions(attempts: Iterable[Attempt], tasks: Sequence[Task]) -> list[Question]:
    """A question for each answer in words to a user whose persona the system prompt names.

    Its id is that of the judge's question, so that people and a judge meet on it. Which variant answered is not said;
    two that said the same are asked about once.
    """
    return _once(question for own in _by_variant(attempts, tasks) for question in own)


def drawn(attempts: Iterable[Attempt], tasks: Sequence[Task]) -> list[Question]:
    """At most `EACH` questions of each variant, mixed; the same ones whatever else was answered by other variants."""
    # The order of ids is as good as chance, and the same in every run.
    few = (sorted(own, key=lambda question: question.id)[:EACH] for own in _by_variant(attempts, tasks))
    return sorted(_once(question for own in few for question in own), key=lambda question: question.id)


def _by_variant(attempts: Iterable[Attempt], tasks: Sequence[Task]) -> list[list[Question]]:
    by_id = {task.id: task for task in tasks}
    of: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        of[attempt.lever].append(attempt)
    asked = (persona_questions(own, tasks) for own in of.values())
    return [[_question(by_id[task], one) for task, one in found.items()] for found in asked]


def _question(task: Task, asked: JudgeQuestion) -> Question:
    (answer,) = asked.answers
    user = persona(persona_of(task) or "")
    return Question(
        id=asked.id,
        kind="voice",
        subject=f"{task.id} {content_id('answer', answer)}",
        group=task.group or task.id,
        context=asked.context,
        sides=(Side(name="answer", text=answer), Side(name="the user", text=user.words if user else "")),
    )


def _once(questions: Iterable[Question]) -> list[Question]:
    return list({question.id: question for question in questions}.values())
