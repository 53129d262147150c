"""The main job through the front door, with a smaller recipe: a measured gap is closed, released, and stands still."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="the whole loop needs the `train` extra")

ROOT = Path(__file__).parents[1]
NARROW = "agent_call"
"""Single calls alone: a mix made narrow on purpose."""
SMALL = {
    "train_tasks": 160, "dev_tasks": 60, "test_tasks": 120, "guard_tasks": 60, "guard_bound": 60, "persona_tasks": 5,
    "sft": "{num_train_epochs: 2}", "ablations": f"[{NARROW}]",
}  # fmt: skip

pytestmark = pytest.mark.loop


def kt(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "KT_STATE": str(root / "elsewhere")}
    command = [sys.executable, "-m", "kt_lib", *words]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("workspace")
    for name in ("notebooks", "params"):
        shutil.copytree(ROOT / name, root / name)
    shutil.copy(ROOT / "runbook.yaml", root)
    values = [word for name, value in SMALL.items() for word in ("-p", f"{name}={value}")]
    ran = kt(root, "run", *values)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return root, values, json.loads((root / "outputs" / "report.json").read_text())


def trained(report):
    """The figures after training, of the promoted version or of a candidate that this few tasks could not promote."""
    return report["candidate"] or {
        "agent_success": report["agent_success_after"],
        "malformed": report["malformed_after"],
        "chat_success": report["chat_success_after"],
    }


def test_the_gap_is_there_and_training_closes_it(finished):
    _, _, report = finished
    assert report["chat_success"]["value"] > 0.85
    assert 0.2 < report["agent_success_before"]["value"] < 0.6
    assert trained(report)["agent_success"]["value"] > report["agent_success_before"]["high"]
    assert trained(report)["malformed"]["value"] < 0.1


def test_a_mix_of_single_calls_alone_is_stopped_by_the_guard_that_it_broke(finished):
    _, _, report = finished
    by_suite = {row["suite"]: {one["variant"]: one for one in row["trainings"]} for row in report["ablation"]}
    narrow, whole = by_suite["not_calling"][f"sft:{NARROW}"], by_suite["not_calling"]["sft"]
    assert (narrow["verdict"], narrow["passed"]) == ("worse", False)
    assert whole["value"] > narrow["high"]
    assert by_suite["target"][f"sft:{NARROW}"]["passed"], (
        "on what it learned it is better: only the guard shows the harm"
    )


def test_every_rate_has_its_interval_and_n(finished):
    _, _, report = finished
    for name in ("chat_success", "agent_success_before", "malformed_before"):
        rate = report[name]
        assert rate["low"] <= rate["value"] <= rate["high"]
        assert rate["n"] == 120
    assert sum(report["paired"]["before"].values()) == 120
    assert {guard["suite"] for guard in report["guards"]} == {
        "plain_chat",
        "not_calling",
        "multi_turn",
        "prompt_formats",
    }
    assert {lever["lever"] for lever in report["levers"]} >= {"constrained", "prompt:strict", "few_shot:3"}


def test_a_second_run_does_nothing_and_says_so(finished):
    root, values, _ = finished
    again = kt(root, "run", *values)
    assert again.returncode == 0
    assert "runs (" not in again.stdout


def test_only_what_depends_on_a_parameter_would_run_again(finished):
    root, values, _ = finished
    plan = kt(root, "plan", *values, "-p", "dpo={beta: 0.2}").stdout
    for step in ("01_ingest", "03_difference", "04_knowledge", "06_improve", "07_datasets"):
        assert "reuse" in next(line for line in plan.splitlines() if step in line), plan
    assert "dpo" in next(line for line in plan.splitlines() if "08_train" in line)


def test_the_version_is_recorded_and_can_be_taken_away_as_a_folder(finished):
    root, _, report = finished
    (version,) = report["versions"]
    assert version["version"] in kt(root, "versions").stdout
    ran = kt(root, "export", version["version"], "--to", str(root / "away"))
    assert ran.returncode == 0, ran.stderr
    assert (root / "away" / "model.safetensors").is_file()
    assert version["digest"][:20] in (root / "away" / "README.md").read_text()


def test_the_report_asks_nothing_of_any_network(finished):
    root, _, _ = finished
    page = (root / "outputs" / "report.html").read_text()
    assert "default-src 'none'" in page or "default-src &#39;none&#39;" in page
    assert len(page) < 6_000_000
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_a_wrong_parameter_ends_with_two_before_any_kernel_starts(finished):
    root, _, _ = finished
    ran = kt(root, "run", "-p", "sft_epochz=2")
    assert ran.returncode == 2
    assert "sft_epochz" in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1
