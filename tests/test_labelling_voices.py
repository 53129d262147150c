"""Whether an answer suits its user is asked of the newest run's answers, blind, and under the id that a judge uses."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from kt_lib.artifacts import write_rows
from kt_lib.by_hand import SAMPLE
from kt_lib.history import STEP_FILE, StepRecord, newest_finished
from kt_lib.judges.judge import persona_questions, same_as_people_are_asked
from kt_lib.label_store import LabelStore
from kt_lib.labelling.questions import questions_from
from kt_lib.labelling.voices import EACH, voices_of_newest_run
from kt_lib.labels import Question
from kt_lib.ledger import open_ledger
from kt_lib.persona_tasks import persona_tasks
from kt_lib.personas import PERSONAS
from kt_lib.records import Attempt, Task, ToolCall
from kt_lib.widgets.labeller import Labeller

TASKS = persona_tasks(2 * EACH, seed=1)


def spoken(variant: str, *, calls: int = 0, words: str = "Done") -> list[Attempt]:
    """A variant's answer to each task: the first `calls` are calls, the others words."""
    made = [
        Attempt(task_id=task.id, mode="agent", model="m", lever=variant, output=f"{words}, {at}.", outcome="unverified")
        for at, task in enumerate(TASKS)
    ]
    called = {"calls": (ToolCall(name="bash", arguments={"command": "ls"}),)}
    return [one.model_copy(update=called) if at < calls else one for at, one in enumerate(made)]


BASE, CANDIDATE = spoken("base"), spoken("sft+dpo", calls=4, words="All good")


def asked(*voices: Sequence[Attempt]) -> list[Question]:
    return questions_from(tasks=TASKS, voices=[one for own in voices for one in own], kinds=["voice"])


def a_run_that_heard(root: Path, attempts: Sequence[Attempt], count: int = len(TASKS)) -> None:
    """A workspace whose newest finished run put `count` persona tasks and got these attempts, among others."""
    (root / "notebooks").mkdir(exist_ok=True)
    (root / "runbook.yaml").write_text("name: empty\nsteps: []\n")
    runs = shutil.copytree(SAMPLE, root / "outputs" / "runs", dirs_exist_ok=True)
    run = newest_finished(runs)
    assert run
    (folder,) = [runs / str(place.folder) for place in run.steps if place.notebook == "09_evaluate"]
    record = StepRecord.model_validate_json((folder / STEP_FILE).read_bytes())
    other = Attempt(task_id="held out", mode="agent", model="m", lever="base", output="Words.", outcome="correct")
    told = {
        "writes": record.writes | {"attempts_after": write_rows(folder, "attempts_after", [*attempts, other])},
        "parameters": record.parameters | {"persona_tasks": count, "seed": 1},
    }
    (folder / STEP_FILE).write_text(record.model_copy(update=told).model_dump_json())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LabelStore]:
    with open_ledger(tmp_path / "state") as ledger:
        yield LabelStore(ledger)


def test_people_and_a_judge_meet_on_the_same_question() -> None:
    of_judge = {one.id: one for one in persona_questions(BASE, TASKS).values()}
    found = asked(BASE)
    assert len(found) == EACH
    assert [same_as_people_are_asked(one) for one in found] == [of_judge[one.id] for one in found]


def test_each_variant_is_asked_about_as_often_and_which_one_answered_is_not_said() -> None:
    found = asked(BASE, CANDIDATE)
    assert Counter(one.sides[0].text.split(",")[0] for one in found) == {"Done": EACH, "All good": EACH}
    told = [one.model_dump_json(exclude={"context"}) for one in found]
    assert not any(variant in one for one in told for variant in ("base", "sft"))
    halves = [Counter(one.sides[0].text.split(",")[0] for one in half) for half in (found[:EACH], found[EACH:])]
    assert min(half["Done"] for half in halves) >= 3, "they come mixed"
    assert {one.id for one in asked(BASE)} <= {one.id for one in found}, "another candidate takes no question away"


def test_only_words_are_asked_about_and_the_same_words_once() -> None:
    assert len(asked(spoken("sft", calls=len(TASKS) - 3))) == 3
    assert asked(spoken("base"), spoken("sft")) == asked(spoken("base"))


def test_a_question_shows_the_conversation_the_answer_and_the_user_in_words() -> None:
    tasks = {task.id: task for task in TASKS}
    for one in asked(BASE):
        answer, user = one.sides
        task: Task = tasks[one.subject.split()[0]]
        assert (answer.name, user.name, one.group) == ("answer", "the user", task.group)
        assert user.text == next(each.words for each in PERSONAS if each.name == task.category)
        assert one.context == tuple(message for message in task.messages if message.role != "system")
        assert one.suggestions == (), "a rule's word in sight would be no person's own"


def test_the_newest_run_is_asked_for_what_it_heard_and_one_that_heard_nothing_gives_nothing(tmp_path: Path) -> None:
    assert voices_of_newest_run(tmp_path).attempts == ()
    a_run_that_heard(tmp_path, [*BASE, *CANDIDATE])
    found = voices_of_newest_run(tmp_path)
    assert (list(found.attempts), list(found.tasks)) == ([*BASE, *CANDIDATE], TASKS), "and not what else it tried"
    a_run_that_heard(tmp_path, BASE, count=0)
    assert voices_of_newest_run(tmp_path).attempts == ()


def test_they_are_answered_by_keys_taken_back_and_gone_on_with_later(store: LabelStore) -> None:
    questions = asked(BASE, CANDIDATE)
    labeller = Labeller(questions, store, "ann")
    shown = labeller.view["question"]
    assert shown["asked"].startswith("Does this answer fit this user in tone, length")
    assert [(one["key"], one["verdict"]) for one in shown["choices"]] == [("y", "yes"), ("n", "no")]
    assert [one["name"] for one in shown["sides"]] == ["answer", "the user"]

    def said() -> dict[str, str]:
        return {one.question: one.answer.verdict for one in store.labels()}

    labeller._handle_custom_msg({"do": "answer", "question": shown["id"], "verdict": "no"}, [])
    assert said() == {shown["id"]: "no"}
    labeller._handle_custom_msg({"do": "undo"}, [])
    assert said() == {}
    labeller._handle_custom_msg({"do": "answer", "question": shown["id"], "verdict": "tie"}, [])
    assert (said(), "not stored" in labeller.view["fault"]) == ({}, True)
    labeller._handle_custom_msg({"do": "answer", "question": shown["id"], "verdict": "yes"}, [])
    again = Labeller(questions, store, "ann")
    assert (again.view["progress"]["done"], again.view["progress"]["total"]) == (1, 2 * EACH)
    assert again.view["question"]["id"] not in said()
