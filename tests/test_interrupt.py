"""Ctrl-C in a run: it ends in one line with the way on, and nothing is left that says it is still running."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_workspace as tiny

# `kt run` on the tiny workspace, whose parameters only these tests know.
RUN = """
import sys
sys.path.insert(0, sys.argv[1])
import tiny_params
from kt_lib import params
params.NOTEBOOKS.clear()
params.NOTEBOOKS.update(tiny_params.MODELS)
sys.argv[1:] = sys.argv[2:]
from kt_lib.__main__ import main
main()
"""


def kt(root: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, str(Path(__file__).parent), *words]
    pipe = subprocess.PIPE
    # A session of its own: the signal is for this process alone, as a terminal's Ctrl-C is (kernels have theirs).
    return subprocess.Popen(
        command, cwd=root, stdout=pipe, stderr=pipe, text=True, start_new_session=True, preexec_fn=hear_ctrl_c
    )


def hear_ctrl_c() -> None:
    """In a terminal a signal is heard; tests that run in the background of a shell are started deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    root = tmp_path_factory.mktemp("workspace")
    runbook = tiny.RUNBOOK.replace("model: toy", "model: embedded")
    tiny.make(root, runbook)
    process = kt(root, "run", "-p", "pause=0.5", "-p", "count=100")
    ends = time.monotonic() + 60
    while not list(root.glob("outputs/runs/*/01_first/.numbers.jsonl.*.part")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < ends
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return root, process.returncode, out, err


def test_an_interrupted_run_says_so_and_not_that_it_runs(interrupted):
    root, *_ = interrupted
    (run,) = [json.loads(file.read_text()) for file in root.glob("outputs/runs/*/run.json")]
    assert run["status"] == "interrupted"
    assert [step["status"] for step in run["steps"]] == ["interrupted", "waiting", "waiting"]


def test_ctrl_c_ends_in_one_line_that_names_the_way_on(interrupted):
    _, code, _, err = interrupted
    assert code == 130
    (line,) = err.strip().splitlines()
    assert "interrupted" in line
    assert "kt run -p pause=0.5 -p count=100" in line


def test_after_an_interruption_nobody_holds_the_workspace_and_the_status_says_what_happened(interrupted):
    root, *_ = interrupted
    out, _ = kt(root, "status").communicate(timeout=30)
    assert "Nobody holds the workspace." in out
    assert "interrupted" in out


def test_the_next_run_goes_on(interrupted):
    root, *_ = interrupted
    assert tiny.statuses(tiny.go(root, overrides={"pause": 0})) == dict.fromkeys(tiny.VALUES, "finished")
