"""Tasks that ask for plain words to a user of a named persona: they measure the voice, and nothing else."""

from __future__ import annotations

from kt_lib.assistant import assistant_scores, persona_of
from kt_lib.generator.dialogues import generate
from kt_lib.leakage import request
from kt_lib.leakage import said as said_in
from kt_lib.persona_tasks import APART, persona_tasks
from kt_lib.personas import PERSONAS
from kt_lib.records import Attempt, Task
from kt_lib.splits import near_duplicates
from kt_lib.statistics import wilson

TASKS = persona_tasks(60, seed=1)


def said(task: Task, output: str) -> Attempt:
    return Attempt(task_id=task.id, mode="agent", model="m", output=output, outcome="unverified")


def test_every_task_names_a_persona_and_waits_for_words() -> None:
    assert len({task.id for task in TASKS}) == 60
    assert {persona_of(task) for task in TASKS} == {one.name for one in PERSONAS}
    assert all(task.category == persona_of(task) for task in TASKS)
    assert all(task.messages[-1].role in ("user", "tool") for task in TASKS)


def test_a_longer_list_begins_with_the_shorter_one_and_another_seed_gives_others() -> None:
    assert persona_tasks(10, seed=1) == TASKS[:10]
    assert not {task.id for task in persona_tasks(10, seed=2)} & {task.id for task in TASKS}


def test_they_measure_the_voice_alone() -> None:
    robotic = "I will now execute the following command."
    scores = assistant_scores("base", [said(task, robotic) for task in TASKS], TASKS)
    rates = {score.metric: score.rate for score in scores if score.suite == "assistant"}
    assert rates == {"persona_adaptation": wilson(0, 60)}
    by_persona = [score.rate.n for score in scores if score.metric == "persona_adaptation" and "/" in score.suite]
    assert (len(by_persona), sum(by_persona)) == (5, 60)


def test_the_generators_own_answers_keep_the_voice_of_the_same_conversations() -> None:
    answers = {
        repr(row.messages[:-1]): row.messages[-1].content
        for lot in range(3)
        for row in generate(50, APART + 1_000_003 + lot, protocol="native")
        if row.messages[-1].role == "assistant"
    }
    right = [said(task, answers[repr(task.messages)]) for task in TASKS]
    rates = [one.rate for one in assistant_scores("generator", right, TASKS) if one.metric == "persona_adaptation"]
    assert rates[0] == wilson(60, 60)


def test_the_generators_training_rows_hold_nothing_like_these_conversations() -> None:
    rows = list(generate(400, seed=1, protocol="native"))
    assert not {said_in(row.messages[:-1]) for row in rows} & {said_in(task.messages) for task in TASKS}
    asked, learned = ([request(one.messages) for one in side] for side in (TASKS, rows))
    assert near_duplicates(asked, learned, 0.7) == []
