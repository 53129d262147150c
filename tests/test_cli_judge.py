"""`kt label judge` through the front door: a judge behind a real HTTP server, and people's labels in a ledger."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from model_server import ModelServer
from test_judge import Judge, says
from test_labelling_voices import BASE, CANDIDATE, a_run_that_heard
from typer.testing import CliRunner, Result

from kt_lib.by_hand import SAMPLE
from kt_lib.cli.app import app
from kt_lib.cli.newest_run import rows_of_newest_run
from kt_lib.errors import ConsentRequired, SetupError
from kt_lib.label_store import LabelStore
from kt_lib.labelling.questions import questions_from
from kt_lib.labelling.voices import voices_of_newest_run
from kt_lib.labels import Answer, Question
from kt_lib.ledger import open_ledger
from kt_lib.records import Conversation, Task

COUNT = 40


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "runbook.yaml").write_text("name: empty\nsteps: []\n")
    shutil.copytree(SAMPLE, tmp_path / "outputs" / "runs")
    monkeypatch.chdir(tmp_path)
    for name in ("KT_STATE", "KT_LEDGER"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def labelled(workspace: Path) -> list[Question]:
    """Turns of the sample with different answers, which a person called right and wrong in turn."""
    turns = questions_from(rows_of_newest_run(workspace, "conversations", Conversation), kinds=("turn",))
    chosen = list({one.sides[0].text: one for one in turns if one.sides[0].text.strip()}.values())[:COUNT]
    with open_ledger(workspace / "outputs" / "state") as ledger:
        store = LabelStore(ledger)
        for at, question in enumerate(chosen):
            answer = Answer(verdict="yes" if at % 2 else "no")
            store.put(question, "ann", answer, store.newest("ann"))
    return chosen


def people_say(questions: list[Question], wrong: int) -> Callable[[str], str]:
    """A judge that says what people say, but for the first `wrong` questions."""
    right = {one.sides[0].text: (at % 2 == 1) != (at < wrong) for at, one in enumerate(questions)}
    return lambda text: says("yes" if right[text] else "no")


def kt(*words: str) -> Result:
    return CliRunner().invoke(app, ["label", "judge", "--model", "openai:judge", "--max-calls", "500", *words])


def ask(judge: Judge, monkeypatch: pytest.MonkeyPatch, *words: str) -> Result:
    with ModelServer(judge, name="judge") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        return kt(*words)


def test_a_judge_that_says_what_people_say_may_be_relied_on(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    questions = labelled(workspace)
    told = ask(Judge(people_say(questions, wrong=2)), monkeypatch)
    assert told.exit_code == 0, told.output
    assert f"openai:judge on {len(questions)} questions that people answered" in told.output
    assert f"turn: the same as people: {1 - 2 / len(questions):.1%}" in told.output
    assert "Its verdicts may stand beside people's." in told.output


def test_a_judge_that_errs_is_told_with_its_kappa_and_exit_code_one(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = labelled(workspace)
    assert len(questions) == COUNT
    told = ask(Judge(people_say(questions, wrong=10)), monkeypatch, "--json")
    assert told.exit_code == 1
    found = json.loads(told.stdout)
    # 10 of 40 otherwise, as many each way: po = .75, pe = .5
    assert found["agreement"]["turn"]["kappa"]["value"] == pytest.approx(0.5)
    assert "do not rely on this judge" in found["agreement"]["turn"]["warning"]
    assert (found["questions"], found["spent"]["asked"]) == (COUNT, COUNT)


def test_whether_an_answer_suits_its_user_is_a_kind_of_its_own(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_run_that_heard(workspace, [*BASE, *CANDIDATE])
    turns, heard = labelled(workspace), voices_of_newest_run(workspace)
    voices = questions_from(tasks=heard.tasks, voices=heard.attempts, kinds=["voice"])[:3]
    with open_ledger(workspace / "outputs" / "state") as ledger:
        store = LabelStore(ledger)
        for question, verdict in zip(voices, ("yes", "no", "yes"), strict=True):
            store.put(question, "ann", Answer(verdict=verdict), store.newest("ann"))
    of_turns, fits = people_say(turns, wrong=0), {one.sides[0].text: says("yes") for one in voices}
    told = ask(Judge(lambda text: fits.get(text) or of_turns(text)), monkeypatch, "--json")
    assert told.exit_code == 1, "three labels say little of a judge"
    agreement = json.loads(told.stdout)["agreement"]
    assert {kind: (one["same"]["n"], one["same"]["value"]) for kind, one in agreement.items()} == {
        "turn": (COUNT, 1.0), "voice": (3, pytest.approx(2 / 3)),
    }  # fmt: skip


def test_without_labels_there_is_nothing_to_hold_a_judge_against(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = Judge(lambda *_: says("yes"))
    told = ask(judge, monkeypatch)
    assert isinstance(told.exception, SetupError)
    assert "`kt label` asks them" in str(told.exception)
    assert judge.seen == []


def test_nothing_that_people_said_leaves_the_machine_without_consent(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled(workspace)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://203.0.113.9:9/v1")
    assert isinstance(kt().exception, ConsentRequired)


def test_the_evaluation_tasks_of_the_newest_run_are_found(workspace: Path) -> None:
    tasks = rows_of_newest_run(workspace, "tasks", Task)
    assert {task.part for task in tasks} >= {"train", "test"}
    assert rows_of_newest_run(workspace / "notebooks", "tasks", Task) == []
