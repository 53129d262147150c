"""`kt difference` as a user sees it: one JSON object, or a table and a paragraph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from kt_lib.cli.difference import difference
from kt_lib.errors import ArtifactError, ParameterError, SourceError
from kt_lib.records import Attempt, Difference, Outcome
from kt_lib.statistics import mcnemar_mid_p, newcombe_paired

INTERCODE = Path(__file__).resolve().parents[2] / "shared" / "data" / "intercode" / "sql"


def run(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(difference)
    return CliRunner().invoke(app, list(arguments), terminal_width=200)


def write(path: Path, rewards: dict[str, Any]) -> str:
    items = {
        str(number): {"environment": "ic_sql", "query": query, "hardness": "easy", "summary": {"max_reward": reward}}
        for number, (query, reward) in enumerate(rewards.items())
    }
    path.write_text(json.dumps(items))
    return str(path)


CHAT = {"a": 1, "b": 1, "c": 0, "d": 0.67, "chat only": 1, "bad": None}
AGENT = {"d": 0, "c": 1.0, "b": 0, "a": 1}


def both(folder: Path) -> tuple[str, ...]:
    chat = write(folder / "ic_sql_multiturn_m-1_turns_handicap.json", CHAT)
    agent = write(folder / "ic_sql_multiturn_m_10_turns.json", AGENT)
    return "--chat-results", chat, "--agent-results", agent


def test_json_is_one_object_with_the_promised_keys(tmp_path: Path) -> None:
    told = json.loads(run(*both(tmp_path), "--json").stdout)
    assert {key: told[key] for key in ("both", "chat_only", "agent_only", "neither", "n")} == {
        "both": 1, "chat_only": 1, "agent_only": 1, "neither": 1, "n": 4,
    }  # fmt: skip
    assert (told["chat_rate"], told["agent_rate"], told["difference"]) == (0.5, 0.5, 0)
    assert (told["low"], told["high"]) == newcombe_paired(1, 1, 1, 1)
    assert told["p_value"] == mcnemar_mid_p(1, 1)
    assert (told["unmatched_chat"], told["unmatched_agent"]) == (1, 0)
    assert told["set_aside_chat"] == [
        {"place": "item 5", "reason": "no reward: neither summary.max_reward nor turn_history.rewards holds a number"}
    ]
    assert told["information"]["chat"]["schema_given"] == "given"
    assert told["information"]["agent"]["schema_given"] == "not_given"


def test_the_difference_is_agent_minus_chat(tmp_path: Path) -> None:
    worse = write(tmp_path / "x.json", {f"q{n}": 0 for n in range(20)})
    better = write(tmp_path / "y.json", {f"q{n}": 1 for n in range(20)})
    told = json.loads(run("--chat-results", worse, "--agent-results", better, "--json").stdout)
    assert (told["difference"], told["agent_only"], told["chat_only"]) == (1, 20, 0)
    back = json.loads(run("--chat-results", better, "--agent-results", worse, "--json").stdout)
    assert (back["difference"], back["low"], back["high"]) == (-1, -told["high"], -told["low"])


def test_people_get_a_table_and_the_surprise(tmp_path: Path) -> None:
    shown = run(*both(tmp_path)).stdout
    assert "n = 4" in shown
    assert "The chat side had the schema and the agent side had to find it out" in shown
    assert "1 only in the chat file" in shown
    assert "item 5: no reward" in shown


def test_files_without_a_common_query_give_no_figure_at_all(tmp_path: Path) -> None:
    chat, agent = write(tmp_path / "x.json", {"a": 1}), write(tmp_path / "y.json", {"b": 1})
    told = json.loads(run("--chat-results", chat, "--agent-results", agent, "--json").stdout)
    assert told["n"] == 0
    assert {told[key] for key in ("chat_rate", "agent_rate", "difference", "low", "high", "p_value")} == {None}
    assert "nothing can be compared" in run("--chat-results", chat, "--agent-results", agent).stdout


def test_terminal_codes_in_a_file_do_not_reach_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"\x1b[2J": {}, "1": {"query": "a", "hardness": "[red]\x1b", "reward": 1.0}}))
    shown = run("--chat-results", str(path), "--agent-results", str(path)).stdout
    assert "\x1b" not in shown
    assert "item ?[2J: no query" in shown
    assert "Both sides are the same file." in shown


def test_one_file_alone_is_a_wrong_set_up(tmp_path: Path) -> None:
    problem = run("--chat-results", write(tmp_path / "x.json", CHAT)).exception
    assert isinstance(problem, ParameterError)
    assert "--agent-results is missing" in str(problem)


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    problem = run("--chat-results", str(tmp_path / "no.json"), "--agent-results", str(tmp_path)).exception
    assert isinstance(problem, SourceError)
    assert "no.json cannot be read: No such file" in str(problem)


# --- without files ---------------------------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "runbook.yaml").write_text("name: empty\n")
    monkeypatch.chdir(tmp_path / "notebooks")
    return tmp_path


def a_run(folder: Path, run_id: str, *cells: tuple[Outcome, Outcome]) -> None:
    step = folder / "outputs" / "runs" / run_id / "03_difference"
    step.mkdir(parents=True)
    names = {
        ("correct", "correct"): "both",
        ("correct", "wrong"): "chat_only",
        ("unverified", "unverified"): "unverified",
    }
    rows = [
        Difference.model_validate(
            {
                "task_id": str(number),
                "cell": names[(chat, agent)],
                "chat": Attempt(task_id=str(number), mode="chat", model="m", outcome=chat),
                "agent": Attempt(
                    task_id=str(number), mode="agent", model="m", outcome=agent,
                    failure="wrong_key" if agent == "wrong" else None,
                ),
            }
        )
        for number, (chat, agent) in enumerate(cells)
    ]  # fmt: skip
    (step / "differences.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in rows))


def test_without_a_run_it_says_how_to_make_one(workspace: Path) -> None:
    result = run()
    assert result.exit_code == 0
    assert "`kt run`" in result.stdout
    assert "--chat-results FILE --agent-results FILE" in result.stdout
    assert isinstance(run("--json").exception, ArtifactError)


def test_the_newest_run_is_shown_with_what_no_rate_counts(workspace: Path) -> None:
    a_run(workspace, "20260101-1", ("correct", "correct"))
    a_run(workspace, "20260102-1", ("correct", "wrong"), ("correct", "correct"), ("unverified", "unverified"))
    shown = run().stdout
    assert "20260102-1" in shown
    assert "1 unverified" in shown
    assert "agent failure wrong_key: 1" in shown
    told = json.loads(run("--json").stdout)
    assert (told["n"], told["chat_only"], told["both"], told["unverified"]) == (2, 1, 1, 1)
    assert told["agent_failures"] == {"wrong_key": 1}


def test_a_broken_row_of_a_run_is_named_by_its_line(workspace: Path) -> None:
    a_run(workspace, "20260101-1", ("correct", "correct"))
    with (workspace / "outputs/runs/20260101-1/03_difference/differences.jsonl").open("a") as rows:
        rows.write('{"task_id": 1')
    assert "line 2 is no Difference" in str(run().exception)


@pytest.mark.skipif(not INTERCODE.is_dir(), reason="the supplied InterCode files are not beside the checkout")
def test_the_supplied_files_name_the_fair_pairs() -> None:
    chat = INTERCODE / "ic_sql_multiturn_gpt-3.5-1_turns_handicap.subset.json"
    agent = INTERCODE / "ic_sql_multiturn_gpt-3.5_10_turns.subset.json"
    told = json.loads(run("--chat-results", str(chat), "--agent-results", str(agent), "--json").stdout)
    assert (told["both"], told["chat_only"], told["agent_only"], told["neither"]) == (130, 97, 15, 76)
    assert told["difference"] == pytest.approx(-82 / 318)
    assert any("ic_sql_multiturn_gpt-3.5_10_turns_handicap.subset.json" in note for note in told["notes"])
