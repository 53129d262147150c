"""`kt score-calls`: a verdict for every row, whatever is wrong with it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner

from kt_lib.calls.scoring import Line, score_file
from kt_lib.cli.score_calls import score_calls
from kt_lib.errors import SourceError

FUNCTION = {
    "name": "lamp.set",
    "parameters": {"type": "dict", "properties": {"level": {"type": "integer"}}, "required": ["level"]},
}


def asked(identity: str) -> dict[str, Any]:
    return {"id": identity, "question": [[{"role": "user", "content": "Set the lamp."}]], "function": [FUNCTION]}


def answered(identity: str, level: int = 3) -> dict[str, Any]:
    return {"id": identity, "ground_truth": [{"lamp.set": {"level": [level]}}]}


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    identities = ["simple_python_1", "simple_python_2", "irrelevance_1", "irrelevance_2"]
    return write(tmp_path / "tasks.json", [asked(identity) for identity in identities])


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    return write(tmp_path / "answers.json", [answered("simple_python_1"), answered("simple_python_2", 5)])


def verdicts(lines: list[Line]) -> dict[str | None, str]:
    return {line.id: line.verdict for line in lines}


def test_every_verdict_is_printed_as_a_json_line(tasks: Path, answers: Path, tmp_path: Path) -> None:
    outputs = write(
        tmp_path / "outputs.jsonl",
        [
            {"id": "simple_python_1", "output": [{"lamp_set": {"level": 3}}]},
            {"id": "simple_python_2", "output": "[lamp.set(level=3)]"},
            {"id": "irrelevance_1", "output": "I cannot do that."},
            {"id": "irrelevance_2", "output": "[lamp.set(level="},
        ],
    )
    app = Typer()
    app.command()(score_calls)
    result = CliRunner().invoke(app, ["--tasks", str(tasks), "--answers", str(answers), "--outputs", str(outputs)])
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [set(line) for line in lines] == [{"id", "verdict", "error"}] * 4
    assert [line["verdict"] for line in lines] == ["correct", "wrong", "correct", "malformed"]
    assert lines[0]["error"] is None
    assert "`level`" in lines[1]["error"]
    assert "4 rows: 2 correct, 1 malformed, 1 wrong" in result.stderr


def test_rows_that_cannot_be_scored_are_told_apart_and_none_is_lost(tasks: Path, answers: Path, tmp_path: Path) -> None:
    outputs = write(
        tmp_path / "outputs.jsonl",
        [
            {"id": "simple_python_1", "output": "[lamp.set(level=3)]"},
            {"id": "simple_python_1", "output": "[lamp.set(level=4)]"},
            {"id": "simple_python_9", "output": "[]"},
            "{broken",
            ["no", "object"],
            {"output": "[]"},
            {"id": "irrelevance_1", "output": None},
            {"id": "irrelevance_2", "output": 5},
        ],
    )
    lines = list(score_file(tasks, outputs, answers))
    assert len(lines) == 9  # eight rows, and the task that no row is for
    assert lines[0] == Line("simple_python_1", "correct", None)
    assert {line.verdict for line in lines[1:]} == {"error"}
    said = [str(line.error) for line in lines]
    assert "second output" in said[1]
    assert "no task has this id" in said[2]
    assert "line 4" in said[3]
    assert "not an object" in said[4]
    assert "no id" in said[5]
    assert "no output" in said[6]
    assert lines[8] == Line("simple_python_2", "error", "no output for this task")


def test_bad_and_doubled_tasks_are_reported_and_not_guessed(answers: Path, tmp_path: Path) -> None:
    spoiled = {**asked("simple_python_2"), "function": []}
    tasks = write(
        tmp_path / "t.json", [asked("simple_python_1"), asked("simple_python_1"), spoiled, "nope", asked("odd")]
    )
    rows = [{"id": name, "output": "[lamp.set(level=3)]"} for name in ("simple_python_1", "simple_python_2", "odd")]
    lines = list(score_file(tasks, write(tmp_path / "o.jsonl", rows), answers))
    assert verdicts(lines) == {None: "error", "simple_python_1": "error", "simple_python_2": "error", "odd": "error"}
    assert any("two tasks" in str(line.error) for line in lines)
    assert any("no category" in str(line.error) for line in lines)


def test_an_answer_key_is_needed_where_a_call_is_due_and_may_stand_in_the_task(tasks: Path, tmp_path: Path) -> None:
    outputs = write(tmp_path / "o.jsonl", [{"id": "simple_python_1", "output": "[lamp.set(level=3)]"}])
    first = next(score_file(tasks, outputs))
    assert first.verdict == "error"
    assert "--answers" in str(first.error)
    beside = write(tmp_path / "t.json", [{**asked("simple_python_1"), **answered("simple_python_1")}])
    assert next(score_file(beside, outputs)).verdict == "correct"


def test_json_lists_bfcl_result_rows_and_a_byte_order_mark_are_read(answers: Path, tmp_path: Path) -> None:
    tasks = tmp_path / "tasks.json"
    tasks.write_bytes(b"\xef\xbb\xbf" + json.dumps([asked("simple_python_1")]).encode())
    outputs = tmp_path / "outputs.json"
    outputs.write_text(json.dumps([{"id": "simple_python_1", "result": "[lamp.set(level=3)]"}]), encoding="utf-8")
    assert next(score_file(tasks, outputs, answers)).verdict == "correct"


def test_a_line_separator_inside_a_text_does_not_end_the_row(tasks: Path, answers: Path, tmp_path: Path) -> None:
    row = json.dumps({"id": "irrelevance_1", "output": "No,\u2028sorry."}, ensure_ascii=False)
    outputs = write(tmp_path / "o.jsonl", [row])
    assert next(score_file(tasks, outputs, answers)) == Line("irrelevance_1", "correct", None)


@pytest.mark.parametrize("content", [b"", b"[1, 2", b"\n\n"])
def test_a_file_that_holds_nothing_readable_is_an_error_of_its_own(tasks: Path, tmp_path: Path, content: bytes) -> None:
    outputs = tmp_path / "o.json"
    outputs.write_bytes(content)
    with pytest.raises(SourceError, match=r"o\.json"):
        list(score_file(tasks, outputs))
    with pytest.raises(SourceError, match="missing"):
        list(score_file(tmp_path / "missing.json", outputs))


def test_a_broken_answer_key_is_not_used_in_part(tasks: Path, tmp_path: Path) -> None:
    outputs = write(tmp_path / "o.jsonl", [{"id": "irrelevance_1", "output": "No."}])
    with pytest.raises(SourceError, match="line 2"):
        list(score_file(tasks, outputs, write(tmp_path / "a.json", [answered("simple_python_1"), "{"])))


def test_thousands_of_rows_are_scored_in_a_second_and_nothing_heavy_is_imported(answers: Path, tmp_path: Path) -> None:
    count = 5000
    tasks = write(tmp_path / "t.json", [answered("") | asked(f"simple_python_{at}") for at in range(count)])
    rows = [{"id": f"simple_python_{at}", "output": "[lamp.set(level=3)]"} for at in range(count)]
    outputs = write(tmp_path / "o.jsonl", rows)
    began = time.perf_counter()
    assert all(line.verdict == "correct" for line in score_file(tasks, outputs))
    assert count / (time.perf_counter() - began) > 1000
    heavy = "'torch', 'pandas', 'numpy', 'scipy'"
    script = f"import sys, kt_lib.calls.scoring; print([name for name in ({heavy}) if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
