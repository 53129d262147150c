"""The ledger keeps versions, champions and run history, durably and for several processes."""

import sqlite3
import subprocess
import sys

import pytest

from kt_lib.errors import ArtifactError, GateRefused
from kt_lib.history import RunRecord, StepRecord
from kt_lib.ledger import Ledger, open_ledger
from kt_lib.records import ModelVersion


def version(number, digest=None):
    return ModelVersion(version=number, base="embedded", adapter="a", digest=digest or f"d{number}", run="r", data="x")


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    monkeypatch.delenv("KT_LEDGER", raising=False)
    with open_ledger(tmp_path / "state") as opened:
        yield opened


def test_every_commit_is_on_disk_before_it_returns(ledger, tmp_path):
    ledger.record_version(version("1.0.0"))
    with ledger._engine.connect() as connection:
        pragmas = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert pragmas == ["wal", 2]
    other = sqlite3.connect(tmp_path / "state" / "ledger.db")
    assert other.execute("SELECT version FROM versions").fetchall() == [("1.0.0",)]
    other.close()


def test_promotion_and_rollback_keep_the_whole_history(ledger):
    for number in ("1.0.0", "1.1.0", "1.2.0"):
        ledger.record_version(version(number))
        ledger.promote(number, "the gate let it through")
    assert ledger.champion().version == "1.2.0"
    ledger.roll_back("worse on Mondays")
    assert ledger.champion().version == "1.1.0"
    ledger.roll_back("worse still")
    ledger.roll_back("back to the start")
    assert ledger.champion() is None
    with pytest.raises(GateRefused, match="nothing to roll back"):
        ledger.roll_back("once more")
    assert [one.version for one in ledger.championships()] == ["1.0.0", "1.1.0", "1.2.0", "1.1.0", "1.0.0", None]


def test_a_promotion_after_a_rollback_goes_back_to_what_people_had(ledger):
    for number in ("1.0.0", "1.1.0", "1.2.0"):
        ledger.record_version(version(number))
    ledger.promote("1.0.0", "a")
    ledger.promote("1.1.0", "b")
    ledger.roll_back("c")
    ledger.promote("1.2.0", "d")
    assert ledger.roll_back("e").version == "1.0.0"


def test_a_number_cannot_be_given_to_other_weights(ledger):
    ledger.record_version(version("1.0.0"))
    ledger.record_version(version("1.0.0"))
    assert len(ledger.versions()) == 1
    with pytest.raises(ArtifactError, match="other weights"):
        ledger.record_version(version("1.0.0", digest="else"))


def test_an_unknown_version_is_told_with_those_there_are(ledger):
    ledger.record_version(version("1.0.0"))
    with pytest.raises(ArtifactError, match=r"'2\.0\.0'.*1\.0\.0"):
        ledger.promote("2.0.0", "why not")
    assert ledger.championships() == []


def test_runs_and_steps_are_stored_once(ledger):
    run = RunRecord(id="r1", name="n", runbook="runbook.yaml", status="running", created=1.0)
    ledger.record_run(run)
    ledger.record_run(run.model_copy(update={"status": "finished"}))
    assert [one.status for one in ledger.runs()] == ["finished"]
    step = StepRecord(notebook="01_first", run="r1", status="finished", key="k", fingerprint=None)
    assert ledger.record_steps([step, step]) == 1
    assert ledger.record_steps([step]) == 0
    assert ledger.steps("r1") == [step]


def test_a_ledger_of_a_newer_kt_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    Ledger(url).close()
    raw = sqlite3.connect(tmp_path / "ledger.db")
    raw.execute("UPDATE about SET value = '99' WHERE name = 'schema'")
    raw.commit()
    raw.close()
    with pytest.raises(ArtifactError, match="schema 99"):
        Ledger(url)


def test_four_processes_write_at_once_and_nothing_is_lost(tmp_path):
    code = (
        "import sys; from pathlib import Path; from kt_lib.ledger import open_ledger; "
        "from kt_lib.records import ModelVersion\n"
        "with open_ledger(Path(sys.argv[1])) as ledger:\n"
        "    for n in range(10):\n"
        "        ledger.record_version(ModelVersion(version=f'{sys.argv[2]}.{n}.0', base='b', adapter='a', "
        "digest='d', run='r', data='x'))\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(n)]) for n in range(4)]
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    with open_ledger(tmp_path) as ledger:
        assert len(ledger.versions()) == 40
