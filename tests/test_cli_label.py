"""`kt label`: how far the labels are, and labels to a file and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_workspace as tiny
from test_cli import kt

from kt_lib.label_store import LabelStore
from kt_lib.labelling.queue import Queue
from kt_lib.labels import Answer, Question, Side
from kt_lib.ledger import open_ledger


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tiny.make(tmp_path)
    return tmp_path


def labelled(root: Path, annotator: str, *verdicts: str) -> None:
    names = [f"q{at}" for at in range(len(verdicts))]
    asked = [Question(id=n, kind="turn", subject=n, group=n, sides=(Side(name="chat", text=""),)) for n in names]
    with open_ledger(root / "outputs" / "state") as ledger:
        queue = Queue(LabelStore(ledger), asked, annotator)
        for name, verdict in zip(names, verdicts, strict=True):
            queue.label(name, Answer.model_validate({"verdict": verdict}))


def test_without_labels_it_says_how_to_give_some(root: Path) -> None:
    told = kt(root, "label", "status")
    assert told.returncode == 0
    assert "`kt label` opens the notebook" in told.stdout


def test_status_says_how_many_by_whom_and_how_far_they_agree(root: Path) -> None:
    labelled(root, "ann", "yes", "no", "yes")
    labelled(root, "b\x1b[31mob", "yes", "no", "no")
    told = kt(root, "label", "status")
    assert "1 to settle" in told.stdout
    assert "\x1b" not in told.stdout, "a name is no terminal escape"
    as_json = json.loads(kt(root, "label", "status", "--json").stdout)
    assert as_json["kinds"][0]["labelled"] == 2
    assert as_json["agreement"][0]["same"]["n"] == 3
    assert as_json["agreement"][0]["kappa"]["value"] == pytest.approx(0.4)


def test_labels_go_to_a_file_and_into_another_workspace(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    labelled(root, "ann", "yes", "no")
    assert "2 labels" in kt(root, "label", "export", "labels.csv").stdout
    other = tmp_path_factory.mktemp("other")
    tiny.make(other)
    file = str(root / "labels.csv")
    assert "2 labels read, 2 of them new" in kt(other, "label", "import", file).stdout
    assert "2 labels read, 0 of them new" in kt(other, "label", "import", file).stdout


def test_what_is_no_label_is_told_with_its_line_and_exit_code_one(root: Path) -> None:
    (root / "labels.csv").write_text("question,kind,subject,verdict,annotator\nq,turn,s,yes,eve\nq,turn,s,tie,eve\n")
    told = kt(root, "label", "import", "labels.csv")
    assert told.returncode == 1
    assert "line 3: 'tie' is no answer to a turn question" in told.stderr
    missing = kt(root, "label", "import", "none.csv")
    assert missing.returncode == 1
    assert missing.stderr.startswith("kt: none.csv cannot be read")
