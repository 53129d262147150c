"""Merging, checking, shelving, promoting and exporting a real, tiny model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_base import as_agent, odd_row, task

from kt_lib.errors import ArtifactError, GateRefused, ModelError, NoLocalWeights
from kt_lib.ledger import Ledger
from kt_lib.models.embedded import EmbeddedModel, packaged_base
from kt_lib.recipes import SftRecipe
from kt_lib.records import ModelVersion, Score, Verdict
from kt_lib.release import base_or_reason, export, folder_of, local_base, merge, place, promote
from kt_lib.statistics import paired_counts, wilson
from kt_lib.training.trainers import train_sft
from kt_lib.versions import new_version
from kt_lib.weights import check_weights, model_digest, weights_digest

ASKED = [as_agent(task(at)) for at in range(6)]
VERDICT = Verdict(
    variant="sft",
    suite="target",
    table=paired_counts(50, 2, 40, 8),
    verdict="better",
    passed=True,
    margin=0.05,
    discordance=0.42,
    power=0.2,
    needed=1319,
    reason="made up",
)
SCORE = Score(variant="sft", mode="agent", suite="main", metric="success", rate=wilson(90, 100))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("release")
    base = packaged_base()
    recipe = SftRecipe(num_train_epochs=3, learning_rate=5e-3, per_device_train_batch_size=4, seed=1)
    train_sft(base, [odd_row(at) for at in range(12)], folder / "sft", recipe)
    merge(base, folder / "sft", folder / "merged", ASKED)
    return {"base": base, "sft": folder / "sft", "merged": folder / "merged"}


def version_of(merged: Path, passed: bool = True) -> ModelVersion:
    return new_version(
        [],
        base="sha256:base",
        adapter="sha256:adapter",
        digest=model_digest(merged),
        run="run 1",
        data="sha256:data",
        scores=[SCORE],
        verdicts=[VERDICT],
        passed=passed,
        now=1000.0,
    )


def test_the_merged_model_answers_as_the_adapter_on_its_base(made: dict[str, Path]) -> None:
    adapted = EmbeddedModel(made["base"], made["sft"]).complete(ASKED)
    merged = EmbeddedModel(made["merged"]).complete(ASKED)
    assert [one.text for one in merged] == [one.text for one in adapted]
    assert [one.text for one in merged] != [one.text for one in EmbeddedModel(made["base"]).complete(ASKED)]


def test_merging_again_gives_the_same_digest(made: dict[str, Path], tmp_path: Path) -> None:
    assert merge(made["base"], made["sft"], tmp_path / "again", ASKED) == model_digest(made["merged"])
    assert [file.name for file in tmp_path.iterdir()] == ["again"], "nothing half-made is left behind"


def test_a_large_base_is_merged_in_its_own_type(made: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    merge(made["base"], made["sft"], tmp_path / "m", ASKED, exact_up_to=100_000)
    types = {str(one.dtype) for one in load_file(tmp_path / "m" / "model.safetensors").values()}
    assert types == {"torch.float16"}, "the embedded base is given in float16"
    kept = EmbeddedModel(made["merged"]).complete(ASKED)
    assert [one.text for one in EmbeddedModel(tmp_path / "m").complete(ASKED)] == [one.text for one in kept]


def test_an_adapter_trained_in_four_bits_is_merged_into_the_base_in_full(tmp_path: Path) -> None:
    """In a process of its own: PEFT remembers whether bitsandbytes was there when it came."""
    ran = subprocess.run([sys.executable, "-c", IN_FOUR_BITS, tmp_path], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-3000:]
    config = json.loads((tmp_path / "merged" / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["dtype"] == "float32"
    assert [one.text for one in EmbeddedModel(tmp_path / "merged").complete(ASKED)] == [
        one.text for one in EmbeddedModel(packaged_base(), tmp_path / "sft").complete(ASKED)
    ]


IN_FOUR_BITS = """
import sys
from pathlib import Path
sys.path.insert(0, "tests")
from test_release import ASKED
from tiny_base import odd_row
from kt_lib.models.embedded import packaged_base
from kt_lib.recipes import SftRecipe
from kt_lib.release import merge
from kt_lib.training.trainers import train_sft

out = Path(sys.argv[1])
recipe = SftRecipe(num_train_epochs=1, learning_rate=5e-3, per_device_train_batch_size=4, seed=1, load_in_4bit=True)
train_sft(packaged_base(), [odd_row(at) for at in range(12)], out / "sft", recipe)
merge(packaged_base(), out / "sft", out / "merged", ASKED)
"""


def test_what_a_killed_merge_left_behind_is_no_hindrance(made: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / ".making-m").mkdir()
    (tmp_path / ".making-m" / "model.safetensors").write_bytes(b"half")
    (tmp_path / "m").mkdir()
    assert merge(made["base"], made["sft"], tmp_path / "m", ASKED) == model_digest(made["merged"])


def test_an_adapter_with_weights_that_are_no_numbers_is_not_merged(made: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(made["sft"], tmp_path / "broken")
    file = tmp_path / "broken" / "adapter_model.safetensors"
    weights = load_file(file)
    weights[min(weights)][:] = float("nan")
    save_file(weights, file)
    with pytest.raises(ArtifactError, match="broken"):
        merge(made["base"], tmp_path / "broken", tmp_path / "out", ASKED)
    assert not (tmp_path / "out").exists()


def test_without_requests_to_compare_on_nothing_is_merged(made: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="give a few requests"):
        merge(made["base"], made["sft"], tmp_path / "out", [])


def test_a_version_stands_on_its_shelf_with_a_card(made: dict[str, Path], tmp_path: Path) -> None:
    version = version_of(made["merged"])
    folder = place(tmp_path, made["merged"], version, notes=["The weakness was put there on purpose."])
    card = (folder / "README.md").read_text()
    assert folder == tmp_path / "models" / "1.0.0" == folder_of(version, tmp_path)
    for words in ("90.0% | 82.6% to 94.5% | 100", "| target | better | yes |", "sha256:data", "on purpose"):
        assert words in card
    assert str(tmp_path) not in card
    assert "FROM ." in (folder / "Modelfile").read_text()
    assert "<|assistant|>{{ .Content }}<|end|>" in (folder / "Modelfile").read_text()
    weights = (folder / "model.safetensors").stat()
    assert place(tmp_path, made["merged"], version) == folder
    assert (folder / "model.safetensors").stat() == weights, "weights in use are not touched, only the card is renewed"
    assert "on purpose" not in (folder / "README.md").read_text()
    assert (
        EmbeddedModel(folder).complete(ASKED[:1])[0].text == EmbeddedModel(made["merged"]).complete(ASKED[:1])[0].text
    )


def test_only_what_the_version_was_made_of_is_placed(made: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"is not what version 1\.0\.0 was made of"):
        place(tmp_path, made["base"], version_of(made["merged"]))


def test_weights_that_were_changed_behind_the_ledgers_back_are_not_used(made: dict[str, Path], tmp_path: Path) -> None:
    version = version_of(made["merged"])
    with pytest.raises(ArtifactError, match="kt run"):
        folder_of(version, tmp_path)
    config = place(tmp_path, made["merged"], version) / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"rms_norm_eps": 0.1}))
    with pytest.raises(ArtifactError, match=r"not what was released as 1\.0\.0"):
        export(version, tmp_path, tmp_path / "out")


def test_an_export_is_the_whole_folder_and_overwrites_nothing(made: dict[str, Path], tmp_path: Path) -> None:
    version = version_of(made["merged"])
    folder = place(tmp_path, made["merged"], version)
    (tmp_path / "empty").mkdir()
    out = export(version, tmp_path, tmp_path / "empty")
    assert {file.name for file in out.iterdir()} == {file.name for file in folder.iterdir()}
    assert model_digest(out) == version.digest
    with pytest.raises(ArtifactError, match="nothing is overwritten"):
        export(version, tmp_path, out)


def test_the_gate_decides_who_is_promoted_and_a_champion_is_crowned_once(made: dict[str, Path], tmp_path: Path) -> None:
    with Ledger(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        stopped, passed = version_of(made["merged"], passed=False), version_of(made["merged"])
        ledger.record_version(stopped)
        with pytest.raises(GateRefused, match="the gate did not pass it"):
            promote(ledger, stopped, "please")
        ledger.record_version(passed)
        assert ledger.version("1.0.0").promoted, "newer evidence on the same weights replaces the old"
        assert promote(ledger, passed, "run 1") is not None
        assert promote(ledger, passed, "run 2") is None
        assert [one.reason for one in ledger.championships()] == ["run 1"]


def test_the_base_of_a_model_is_found_by_its_name_or_the_lack_of_weights_is_told(
    made: dict[str, Path], tmp_path: Path
) -> None:
    assert local_base("embedded", "", tmp_path) == packaged_base()
    assert local_base("ollama:qwen2.5:7b", str(made["base"]), tmp_path) == made["base"]
    assert local_base(str(made["base"]), "", tmp_path) == made["base"]
    folder, reason = base_or_reason("ollama:qwen2.5:7b", "", tmp_path)
    assert folder is None
    assert "no local weights" in reason
    with pytest.raises(NoLocalWeights, match="local_base=FOLDER"):
        local_base("openai:some-model", "", tmp_path)
    with pytest.raises(ModelError, match="no safetensors"):
        local_base("embedded", str(tmp_path), tmp_path)


def test_a_released_version_can_be_trained_on(
    made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KT_LEDGER", raising=False)
    version = version_of(made["merged"])
    folder = place(tmp_path, made["merged"], version)
    with Ledger(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        ledger.record_version(version)
    assert local_base("embedded@1.0.0", "", tmp_path) == folder


def test_other_weights_than_recorded_are_refused(made: dict[str, Path]) -> None:
    check_weights(made["sft"], weights_digest(made["sft"]), "the adapter")
    with pytest.raises(ArtifactError, match=r"the adapter in .* make it again"):
        check_weights(made["sft"], "sha256:other", "the adapter")
