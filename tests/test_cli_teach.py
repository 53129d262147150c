"""`kt dataset teach` through the front door, with a teacher behind a real HTTP server on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from model_server import ModelServer
from test_teacher import WORDS, Teacher, conversation, written
from typer.testing import CliRunner, Result

from kt_lib.cli.app import app
from kt_lib.datafiles.layouts import read_dataset
from kt_lib.errors import ConsentRequired, KtError, ModelNotFound, ParameterError
from kt_lib.permissions import permitted
from kt_lib.records import Request


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "runbook.yaml").write_text("name: empty\nsteps: []\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KT_STATE", raising=False)
    return tmp_path


def kt(*words: str) -> Result:
    return CliRunner().invoke(app, ["dataset", "teach", *words])


def asked_of(teacher: Teacher, monkeypatch: pytest.MonkeyPatch, *words: str) -> Result:
    with ModelServer(teacher, name="big") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        return kt("--model", "openai:big", "--out", "rows.jsonl", *words)


def good_or_rude(at: int, request: Request) -> str:
    """A good conversation for a request that wants a call from a senior engineer; words for any other."""
    wanted = request.messages[-1].content
    fits = "Persona: senior engineer" in wanted and "Pattern: single request" in wanted and "remote_bash" in wanted
    return written(conversation(WORDS[at % len(WORDS)])) if fits else "I would rather not."


SINGLE = ("--multi-turn", "0", "--no-call", "0", "--max-calls", "200")


def test_rows_are_written_with_their_terms_and_what_was_refused_beside_them(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = asked_of(Teacher(good_or_rude), monkeypatch, "--count", "10", "--licence", "MIT", *SINGLE)
    assert told.exit_code == 0, told.output
    rows = read_dataset(Path("rows.jsonl")).rows
    assert 0 < len(rows) < 10
    assert {(row.source, row.licence, row.learn) for row in rows} == {("teacher", "MIT", "all")}
    refused = [json.loads(line) for line in Path("rows.set_aside.jsonl").read_text().splitlines()]
    assert len(refused) == 3 * (10 - len(rows))
    assert {one["reason"] for one in refused} == {"not readable"}
    assert f"{len(rows)} of 10 conversations, written by openai:big" in told.output
    assert f"set aside: {len(refused)} not readable" in told.output
    assert "terms of the outputs: MIT" in told.output


def test_the_same_command_again_asks_nothing_and_gives_the_same_rows(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = Teacher(good_or_rude)
    command = ("--model", "openai:big", "--count", "10", "--out", "rows.jsonl", "--json", *SINGLE)
    with ModelServer(teacher, name="big") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        first = json.loads(kt(*command).stdout)
        asked, rows = len(teacher.seen), Path("rows.jsonl").read_bytes()
        second = json.loads(kt(*command).stdout)
    assert first["spent"]["asked"] == asked == len(teacher.seen)
    assert (second["spent"]["asked"], second["spent"]["cached"]) == (0, asked)
    assert Path("rows.jsonl").read_bytes() == rows
    assert second["kept"] == first["kept"]


def test_rows_without_stated_terms_may_be_learned_from_and_not_shared(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = asked_of(Teacher(good_or_rude), monkeypatch, "--count", "10", *SINGLE)
    assert "none stated, so these rows cannot be shared" in told.output
    row = read_dataset(Path("rows.jsonl")).rows[0]
    assert permitted(row, "train") is None
    assert permitted(row, "share") == "no licence is stated"
    forbidding = row.model_copy(update={"licence": "proprietary: outputs may not train competing models"})
    assert permitted(forbidding, "share") is not None


def test_a_budget_too_small_says_what_is_left(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = Teacher(good_or_rude)
    told = asked_of(teacher, monkeypatch, "--count", "10", "--max-calls", "4", "--no-call", "0", "--multi-turn", "0")
    assert len(teacher.seen) == 4
    assert "are left, for the budget was at its end: the same command again goes on" in told.output


def test_a_teacher_that_gives_nothing_ends_with_exit_code_one_and_no_file(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = asked_of(Teacher(lambda *_: "no"), monkeypatch, "--count", "2", "--max-calls", "6")
    assert told.exit_code == 1
    assert not Path("rows.jsonl").exists()


def test_a_file_that_cannot_be_written_is_told_before_anything_is_asked(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = kt("--model", "embedded", "--count", "1", "--out", "rows.txt", "--max-calls", "1")
    assert isinstance(told.exception, ParameterError)
    assert "end it in .jsonl or .parquet" in str(told.exception)


@pytest.mark.parametrize(
    ("model", "error"), [("openai:big", ConsentRequired), ("bigbrother", ModelNotFound), ("openai:", ModelNotFound)]
)
def test_without_consent_or_a_model_nothing_is_sent(
    model: str, error: type[KtError], workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://203.0.113.9:9/v1")
    told = kt("--model", model, "--count", "1", "--out", "rows.jsonl", "--max-calls", "1")
    assert isinstance(told.exception, error)
    assert not Path("rows.jsonl").exists()
