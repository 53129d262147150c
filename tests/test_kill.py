"""Killing a run at any moment loses no finished step: the next run goes on, and ends with the same artifacts."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_workspace as tiny

from kt_lib.ledger import open_ledger

KILLS = 20
GO = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
import tiny_workspace as tiny
tiny.go(Path(sys.argv[1]), overrides={"pause": 0.05})
"""


def start(root: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", GO, str(root), str(Path(__file__).parent)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def whole_steps(root: Path) -> dict[str, str]:
    """The key of every finished step there is on disk, by its folder; each must be readable."""
    found = {}
    for file in (root / "outputs" / "runs").glob("*/*/step.json"):
        record = json.loads(file.read_text())
        for name, artifact in record["writes"].items():
            assert (file.parent / artifact["file"]).exists() if "file" in artifact else name
        found[str(file.parent)] = record["key"]
    return found


def digests(root: Path) -> dict[str, str]:
    result = tiny.go(root, overrides={"pause": 0.05})
    records = tiny.steps(root, result)
    return {
        f"{step}/{name}": artifact.sha256
        for step, record in records.items()
        for name, artifact in record.writes.items()
        if not name.startswith("report.")
    }


@pytest.mark.loop
def test_a_run_killed_at_twenty_random_moments_loses_no_finished_step(tmp_path):
    undisturbed = tmp_path / "undisturbed"
    tiny.make(undisturbed)
    began = time.monotonic()
    wanted = digests(undisturbed)
    usual = time.monotonic() - began
    root, rng = tmp_path / "killed", random.Random(5)
    tiny.make(root)
    kept: dict[str, str] = {}
    killed = 0
    for at in range(KILLS):
        if at % 4 == 3:  # something has changed, so that there is work to kill
            text = f"factor: 2\n# {at}\n"
            (root / "params" / "02_second.yaml").write_text(text)
            for step in list(kept):
                if rng.random() < 0.5:
                    Path(step, "step.json").rename(Path(step, "set-aside.json"))
                    del kept[step]
        process = start(root)
        time.sleep(rng.uniform(0.1, 0.8 * usual + 1.0))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.wait()
        now = whole_steps(root)
        assert kept.items() <= now.items()
        kept = now
    assert killed >= KILLS // 2
    assert digests(root) == wanted
    with open_ledger(root / "outputs" / "state") as ledger:
        assert ledger.steps()
