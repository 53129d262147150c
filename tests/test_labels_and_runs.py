"""A notebook that asks for labels runs again when they change, and only then; by hand it sees those of now."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import openwebui_chats as export
import pytest
import tiny_workspace as tiny
from tiny_params import SecondParams

from kt_lib.artifacts import read_rows
from kt_lib.errors import ArtifactError
from kt_lib.history import Context, StepRecord
from kt_lib.label_store import LabelStore
from kt_lib.labelling.questions import questions_from
from kt_lib.labels import Answer, Question, Side, Verdict
from kt_lib.ledger import open_ledger
from kt_lib.notebook import read_notebook
from kt_lib.records import Conversation, Task
from kt_lib.running import run
from kt_lib.runs import Step, labels_in
from kt_lib.standing import question_id
from kt_lib.workspace import Request, Workspace

ROOT = Path(__file__).parents[1]

ASKS = [
    *tiny.SECOND,
    "said = [one.answer.verdict for one in step.labels()]\n"
    "step.metric('verdicts', said)\n"
    "step.metric('tied', len(step.tied_labels()))\n"
    "step.metric('agreeing', sorted(step.agreeing_annotators().values()))",
]


def question(name: str) -> Question:
    return Question(
        id=question_id("turn", name), kind="turn", subject=name, group="c", sides=(Side(name="chat", text=""),)
    )


def answer(root: Path, name: str, verdict: Verdict, annotator: str = "ann", seconds: float = 1.0) -> None:
    with open_ledger(root / "outputs" / "state") as ledger:
        store = LabelStore(ledger)
        store.put(question(name), annotator, Answer(verdict=verdict, seconds=seconds), store.newest(annotator))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tiny.make(tmp_path)
    tiny.write_second(tmp_path, ASKS)
    return tmp_path


def why(root: Path) -> dict[str, tuple[str, ...]]:
    return {one.notebook: one.why for one in tiny.workspace(root).plan(Request()) if one.action == "run"}


def test_a_run_without_labels_is_reused_also_once_there_is_a_ledger(root: Path) -> None:
    first = tiny.steps(root, tiny.go(root))["02_second"]
    assert first.metrics["verdicts"] == []
    assert why(root) == {}
    assert not tiny.go(root).changed


def test_a_label_runs_the_notebook_that_asks_again_and_no_other_and_the_plan_says_why(root: Path) -> None:
    tiny.go(root)
    answer(root, "m1", "yes")
    assert why(root) == {"02_second": ("labels changed",)}
    result = tiny.go(root)
    assert tiny.statuses(result)["01_first"] == "reused"
    assert tiny.steps(root, result)["02_second"].metrics["verdicts"] == ["yes"]
    assert why(root) == {}


def test_the_same_answer_given_again_changes_nothing_and_another_one_does(root: Path) -> None:
    answer(root, "m1", "yes")
    tiny.go(root)
    answer(root, "m1", "yes", seconds=60.0)
    assert why(root) == {}
    answer(root, "m1", "no")
    assert why(root) == {"02_second": ("labels changed",)}


def test_annotators_who_contradict_each_other_evenly_give_no_label_and_the_notebook_can_say_so(root: Path) -> None:
    answer(root, "m1", "yes")
    answer(root, "m1", "no", annotator="bob")
    answer(root, "m2", "no", annotator="bob")
    metrics = tiny.steps(root, tiny.go(root))["02_second"].metrics
    assert (metrics["verdicts"], metrics["tied"], metrics["agreeing"]) == (["no"], 1, [1])


def test_a_run_sees_the_labels_it_was_decided_on_also_when_someone_labels_meanwhile(root: Path) -> None:
    labels_meanwhile = [
        "from kt_lib.label_store import LabelStore\nfrom kt_lib.labels import Answer, Question, Side\n"
        "from kt_lib.ledger import open_ledger\n"
        "asked = Question(id='q', kind='turn', subject='m', group='c', sides=(Side(name='chat', text=''),))\n"
        "store = LabelStore(open_ledger(step.state))\n"
        "store.put(asked, 'ann', Answer(verdict='yes'), store.newest('ann'))"
    ]
    tiny.write_second(root, [*labels_meanwhile, *ASKS])
    assert tiny.steps(root, tiny.go(root))["02_second"].metrics["verdicts"] == []
    assert why(root) == {"02_second": ("labels changed",)}


def test_by_hand_the_labels_are_those_of_now(root: Path) -> None:
    context = Context(
        root=str(root), state=str(root / "outputs" / "state"), run_id="r", notebook="02_second", folder=str(root),
        by_hand="Reads nothing.",
    )  # fmt: skip
    step = Step(context, SecondParams(factor=1.0, model="toy", allow_remote=False))
    assert step.labels() == ()
    answer(root, "m1", "yes")
    assert [one.answer.verdict for one in step.labels()] == ["yes"]


def test_a_notebook_that_hides_its_asking_from_the_plan_is_told_so(root: Path) -> None:
    context = Context(root=str(root), state=str(root), run_id="r", notebook="02_second", folder=str(root))
    with pytest.raises(ArtifactError, match=r"must say `step\.labels\(\)`"):
        Step(context, SecondParams(factor=1.0, model="toy", allow_remote=False)).labels()


def test_a_plan_makes_no_ledger(root: Path) -> None:
    assert labels_in(root / "outputs" / "state").labels == ()
    why(root)
    assert not (root / "outputs" / "state").exists()


def test_whether_a_notebook_asks_for_labels_is_a_fact_of_it(root: Path) -> None:
    assert read_notebook(root / "notebooks" / "02_second.ipynb").labels
    assert not read_notebook(root / "notebooks" / "01_first.ipynb").labels


def exported(root: Path) -> Path:
    file = root / "export.json"
    told = "To see the free disk space, run:\n\n```bash\ndf -h\n```"
    file.write_text(json.dumps([export.chat(export.user("Show me the free disk space."), export.answer(told))]))
    return file


def test_a_label_makes_a_task_of_ones_own_chat_count_when_the_chats_are_ingested_again(tmp_path: Path) -> None:
    for name in ("notebooks/01_ingest.ipynb", "params/01_ingest.yaml"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(ROOT / name, tmp_path / name)
    with_source = f"with:\n  source: ['{exported(tmp_path)}']\n  seed: 1\n"
    (tmp_path / "runbook.yaml").write_text(f"name: ingest\n{with_source}steps:\n  - notebook: 01_ingest\n")

    def ingest() -> tuple[StepRecord, Path]:
        workspace = Workspace(tmp_path, state=tmp_path / "outputs" / "state")
        done = run(workspace, Request(), tiny.Told(), render=tiny.plain_page)
        (place,) = done.run.steps
        return tiny.steps(tmp_path, done)["01_ingest"], workspace.runs / str(place.folder)

    record, folder = ingest()
    assert record.metrics["by_evidence"] == {"none": 1}
    assert "1 of 1 tasks from chats lack evidence" in (folder / "notebook.ipynb").read_text()
    chats = list(read_rows(folder / "conversations.jsonl", Conversation))
    (asked,) = questions_from(chats, kinds=["reading"])
    with open_ledger(tmp_path / "outputs" / "state") as ledger:
        LabelStore(ledger).put(asked, "ann", Answer(verdict="yes"), 0)
    record, folder = ingest()
    assert record.metrics["by_evidence"] == {"label": 1}
    (task,) = read_rows(folder / "tasks.jsonl", Task)
    assert (task.check.evidence, task.check.accepted[0].arguments) == ("label", {"command": ["df -h"]})
    assert ingest()[1] == folder
