"""Killing a run at any moment loses no finished step: the next run goes on, and ends with the same artifacts."""

from __future__ import annotations

import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_workspace as tiny

from kt_lib.artifacts import file_digest, folder_digest
from kt_lib.history import StepRecord, steps_in
from kt_lib.ledger import open_ledger

KILLS = 20
PAUSE = 0.04
# The driver waits in the middle of each ledger commit, so that a kill can be placed there.
GO = """
import sys, time
sys.path.insert(0, sys.argv[3])
from pathlib import Path
import tiny_workspace as tiny
from sqlalchemy import event
from sqlalchemy.engine import Engine
marker = Path(sys.argv[1]) / "in-ledger"

@event.listens_for(Engine, "commit")
def slowly(connection):
    marker.touch()
    time.sleep(0.03)
    marker.unlink()

tiny.go(Path(sys.argv[1]), overrides={"pause": float(sys.argv[4]), "count": int(sys.argv[2])})
"""


def start(root: Path, count: int) -> subprocess.Popen[bytes]:
    (root / "in-ledger").unlink(missing_ok=True)
    command = [sys.executable, "-c", GO, str(root), str(count), str(Path(__file__).parent), str(PAUSE)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)


def moments(root: Path, rng: random.Random) -> dict[str, Callable[[float], bool]]:
    """Where a kill falls: true once the run, started `seconds` ago, has come there."""
    runs, at = root / "outputs" / "runs", rng.uniform(0.1, 3.0)
    parts = rng.randint(1, 3)
    seen = itertools.count()
    return {
        "inside an artifact": lambda _: any(runs.glob("*/01_first/.numbers.jsonl.*.part")) and next(seen) >= parts,
        "inside a folder": lambda _: any(
            (folder / "a.bin").exists() and not (folder.parent / "step.json").exists()
            for folder in runs.glob("*/01_first/weights")
        ),
        "inside the ledger": lambda _: (root / "in-ledger").exists() and rng.random() < 0.2,
        "anywhere": lambda seconds: seconds > at,
    }


def killed(root: Path, count: int, is_there: Callable[[float], bool]) -> bool:
    """Start a run and kill it at a moment; False when it ended before."""
    process, began = start(root, count), time.monotonic()
    while process.poll() is None:
        if is_there(time.monotonic() - began):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.002)
    return False


def whole_steps(root: Path) -> dict[Path, StepRecord]:
    """Every finished step on disk; each of its artifacts must be what was written."""
    found = dict(steps_in(root / "outputs" / "runs"))
    for folder, record in found.items():
        for artifact in record.writes.values():
            digest = folder_digest if artifact.kind == "folder" else file_digest
            assert digest(folder / artifact.file) == artifact.sha256
    return found


def digests(root: Path, count: int) -> dict[str, str]:
    result = tiny.go(root, overrides={"pause": PAUSE, "count": count})
    return {
        f"{step}/{name}": artifact.sha256
        for step, record in tiny.steps(root, result).items()
        for name, artifact in record.writes.items()
    }


@pytest.mark.loop
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_run_killed_at_twenty_moments_loses_no_finished_step(tmp_path):
    root, rng = tmp_path / "killed", random.Random(5)
    tiny.make(root)
    kept: dict[Path, StepRecord] = {}
    places: Counter[str] = Counter()
    for attempt in range(4 * KILLS):
        # Each third attempt has something new to do; the others go on where the kill fell.
        count = 8 + attempt // 3
        there = moments(root, rng)
        place = list(there)[attempt % len(there)]
        places[place] += killed(root, count, there[place])
        now = whole_steps(root)
        assert kept.items() <= now.items()
        kept = now
        if places.total() == KILLS:
            break
    assert places.total() == KILLS
    assert all(places[place] >= 2 for place in ("inside an artifact", "inside a folder", "inside the ledger"))

    undisturbed = tmp_path / "undisturbed"
    tiny.make(undisturbed)
    assert digests(root, count) == digests(undisturbed, count)
    done = whole_steps(root)
    keys = Counter((record.notebook, record.key) for record in done.values())
    assert set(keys.values()) == {1}, "a finished step was run again"
    with open_ledger(root / "outputs" / "state") as ledger:
        assert {(one.run, one.notebook) for one in ledger.steps()} == {(one.run, one.notebook) for one in done.values()}
    with sqlite3.connect(root / "outputs" / "state" / "ledger.db") as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    raw.close()
    assert not tiny.go(root, overrides={"pause": PAUSE, "count": count}).changed
