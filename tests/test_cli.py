"""The `kt` command as a person meets it: exit codes, one line for what is wrong, JSON alone where it was asked for."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_workspace as tiny
import yaml
from typer.testing import CliRunner

from kt_lib.cli.app import COMMANDS, GROUPS, app
from kt_lib.cli.workspace import parsed
from kt_lib.errors import ParameterError
from kt_lib.params import NOTEBOOKS
from kt_lib.workspace import Workspace

ROOT = Path(__file__).parents[1]
WORK = [
    "from kt_lib.records import Usage\nstep.write('usages', [Usage(prompt_tokens=step.params.min_support)])",
    "step.metric('support', step.params.min_support)",
]


def kt(root, *words, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("KT_", "OLLAMA", "OPENAI"))}
    return subprocess.run(
        [sys.executable, "-m", "kt_lib", *words],
        cwd=root, capture_output=True, text=True, env=clean | environment, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def write(root, cells):
    made = tiny.notebook(cells, "min_support = 1", "KnowledgeParams", module="kt_lib.params")
    (root / "notebooks" / "04_knowledge.ipynb").write_text(made)


@pytest.fixture
def root(tmp_path):
    """A workspace with one of the product's notebooks, made tiny."""
    for name in ("notebooks", "params"):
        (tmp_path / name).mkdir()
    (tmp_path / "runbook.yaml").write_text("name: one step\nsteps:\n  - notebook: 04_knowledge\n")
    (tmp_path / "params" / "04_knowledge.yaml").write_text("min_support: 3\n")
    write(tmp_path, WORK)
    return tmp_path


def test_run_then_nothing_to_do_then_only_what_a_parameter_changes(root):
    first = kt(root, "run")
    assert (first.returncode, first.stderr) == (0, "")
    assert "[1/1] 04_knowledge: finished" in first.stdout
    began = time.monotonic()
    second = kt(root, "run")
    assert second.returncode == 0
    assert "Nothing to do" in second.stdout
    assert time.monotonic() - began < 5
    third = kt(root / "notebooks", "run", "-p", "min_support=5")
    assert "parameter min_support changed from 3 to 5" in third.stdout
    assert third.returncode == 0
    assert "Nothing would run" in kt(root, "plan", "-p", "min_support=5").stdout
    assert "--from 04_knowledge" in kt(root, "plan", "--from", "04_knowledge").stdout
    cleaned = kt(root, "clean", "--keep", "1")
    assert "Removed 1 run" in cleaned.stdout
    status = json.loads(kt(root, "status", "--json").stdout)
    assert [run["status"] for run in status["runs"]] == ["finished"]


def test_clean_removes_what_trainings_left_before_the_newest_finished_run_and_names_it(root):
    state = root / "elsewhere"
    for name in ("given-up", "just-killed"):
        (state / "checkpoints" / name / "checkpoint-5").mkdir(parents=True)
    assert kt(root, "clean", KT_STATE=str(state)).stdout == "Removed 0 runs\n", "no run has finished since"
    assert kt(root, "run", KT_STATE=str(state)).returncode == 0
    later = time.time() + 60
    os.utime(state / "checkpoints" / "just-killed", (later, later))
    cleaned = kt(root, "clean", KT_STATE=str(state))
    assert "older than the newest finished run: given-up\n" in cleaned.stdout
    assert [place.name for place in (state / "checkpoints").iterdir()] == ["just-killed"]


def test_a_failing_notebook_ends_with_one_line_exit_code_1_and_its_page(root):
    write(root, [*WORK, "'two\\nlines'\nraise ValueError('no\\nluck')"])
    failed = kt(root, "run")
    assert failed.returncode == 1
    (line,) = failed.stderr.splitlines()
    assert line.startswith("kt: 04_knowledge failed in cell 6")
    assert "ValueError: no luck" in line
    assert line.endswith("resume: kt run")
    page = line.partition("page: ")[2].partition(" |")[0]
    assert "ValueError" in (root / page).read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-p", "min_suport=3"], "did you mean 'min_support'"),
        (["-p", "min_support=0"], "min_support"),
        (["-p", "min_support"], "NAME=VALUE"),
        (["-p", "min_support=1", "-p", "min_support=2"], "twice"),
        (["--runbook", "no.yaml"], "there is no runbook"),
        (["--from", "99_nowhere"], "no such step"),
        (["--param", "os.system('x')=1"], "NAME=VALUE"),
    ],
)
def test_what_is_asked_wrongly_ends_with_exit_code_2_before_any_kernel(root, words, said):
    refused = kt(root, "run", *words)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert said in refused.stderr
    assert not (root / "outputs" / "runs").exists()


def test_the_second_of_two_names_the_holder_and_a_dead_holder_does_not_block(root):
    with Workspace(root).hold("kt run --the-first"):
        busy = kt(root, "run")
        assert "--the-first" in kt(root, "status").stdout
    assert busy.returncode == 1
    assert "--the-first" in busy.stderr
    assert str(os.getpid()) in busy.stderr
    (root / "outputs" / ".holder.json").write_text(
        '{"pid": 4194303, "host": "elsewhere", "since": 0, "command": "kt run"}'
    )
    assert kt(root, "run").returncode == 0


def test_state_can_lie_elsewhere(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("state")
    assert kt(root, "run", KT_STATE=str(elsewhere)).returncode == 0
    assert (elsewhere / "ledger.db").is_file()
    assert not (root / "outputs" / "state").exists()


def test_doctor_says_of_each_thing_how_it_is_and_what_to_do(root):
    ran = kt(root, "doctor", "--json", OLLAMA_HOST="http://127.0.0.1:9")
    checks = {check["name"]: check for check in json.loads(ran.stdout)["checks"]}
    assert checks["papermill"]["status"] == "ok"
    assert checks["ollama"]["status"] == "unreachable"
    assert "OLLAMA_HOST" in checks["ollama"]["remedy"]
    assert checks["runbook"]["status"] == "ok"
    assert checks["training"]["found"].startswith(("TRL and PEFT on ", "Unsloth "))
    assert ": " in checks["training"]["found"], "and why"
    assert ran.returncode == 1
    assert all(check["remedy"] for check in checks.values() if check["needed"] and check["status"] != "ok")


def test_a_report_that_is_not_there_is_told(root):
    told = kt(root, "report")
    assert (told.returncode, told.stdout) == (1, "")
    assert "kt run" in told.stderr


def test_help_is_quick_and_lists_every_command():
    began = time.monotonic()
    ran = kt(ROOT, "--help")
    seconds = time.monotonic() - began
    for name in (*COMMANDS, *GROUPS):
        assert f"  {name} " in ran.stdout
    # The bound asked for is half a second on an idle machine; tests share theirs.
    assert seconds < 2


def test_no_command_imports_heavy_libraries_before_it_runs():
    heavy = "torch transformers trl peft datasets pandas plotly papermill nbconvert scipy statsmodels sqlalchemy"
    code = f"import sys, kt_lib.cli.app; print([name for name in {heavy.split()!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("command", [*COMMANDS, *GROUPS])
def test_every_command_has_help(command):
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert "Usage" in shown.stdout


def test_values_are_text_but_lists_and_paths_are_taken_from_here_on(tmp_path):
    given = ["source=[a.json, /b.json]", "model=ollama:on", "sft_learning_rate=1e-4", "local_base="]
    assert parsed(given, NOTEBOOKS, tmp_path) == {
        "source": [f"{tmp_path}/a.json", "/b.json"],
        "model": "ollama:on",
        "sft_learning_rate": "1e-4",
        "local_base": "",
    }
    with pytest.raises(ParameterError, match="no list"):
        parsed(["source=[a"], NOTEBOOKS, tmp_path)


def test_the_version_is_the_packages():
    assert kt(ROOT, "--version").stdout == "kt 0.1.0\n"


def test_ci_runs_every_check_and_the_tests_last():
    script = (ROOT / ".ci" / "run").read_text()
    for check in ("ruff check", "ruff format --check", "mypy", "lint-imports", "nbstripout --verify --keep-id"):
        assert check in script
    assert "set -e" in script
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert {hook["id"] for repo in hooks["repos"] for hook in repo["hooks"]} >= {"ruff", "nbstripout"}
