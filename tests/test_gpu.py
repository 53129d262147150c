"""QLoRA on an NVIDIA GPU for real, where there is one; by Unsloth's way on the CPU, where Unsloth is installed."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from test_training import pairs
from tiny_base import make_base, sft_row, task

from kt_lib.bench import gpu
from kt_lib.recipes import DpoRecipe, SftRecipe
from kt_lib.training.engines import Ground, ground

THERE = ground()
needs_gpu = pytest.mark.skipif(THERE.maker != "NVIDIA", reason=gpu.absent(THERE) or "an NVIDIA GPU is there")
needs_unsloth = pytest.mark.skipif(not THERE.unsloth, reason="Unsloth is not installed: pip install -e '.[gpu]'")

LEARN = SftRecipe(
    num_train_epochs=4, learning_rate=2e-3, per_device_train_batch_size=4, seed=1, load_in_4bit=True, max_length=512
)
PREFER = DpoRecipe(
    num_train_epochs=2, learning_rate=1e-3, beta=0.1, seed=1, per_device_train_batch_size=4, load_in_4bit=True
)

TRAINED = """
import json, pickle, sys
from pathlib import Path

by, base, out, rows, pairs, sft, dpo, before = pickle.loads(Path(sys.argv[1]).read_bytes())
exec(before)
if by != "unsloth":
    import transformers  # Unsloth is left out of a process that it did not come into first
from kt_lib.training.engines import engine
from kt_lib.training.trainers import train_dpo, train_sft

way = engine(sft)
first = train_sft(base, rows, out / "sft", sft)
second = train_dpo(base, out / "sft", pairs, out / "dpo", dpo)
import trl

print(json.dumps({"name": way.name, "device": way.device, "precision": way.precision,
                  "trainers": [trl.SFTTrainer.__name__, trl.DPOTrainer.__name__],
                  "sft": [loss for _, loss in first.losses], "dpo": [loss for _, loss in second.losses],
                  "tokens": first.tokens}))
"""


def trained(
    by: str, base: Path, out: Path, sft: SftRecipe, dpo: DpoRecipe, before: str = "", **environment: str
) -> dict:
    """SFT and then DPO by one engine in a process of its own, where `before` is run first."""
    out.mkdir()
    rows = [sft_row(task(at)) for at in range(32)]
    (out / "told").write_bytes(pickle.dumps((by, base, out, rows, pairs(16), sft, dpo, before)))
    done = subprocess.run(
        [sys.executable, "-c", TRAINED, out / "told"],
        capture_output=True, text=True, timeout=900, env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def answers_alike(base: Path, adapter: Path) -> bool:
    """Whether PEFT alone reads the adapter, and the model with it says something else than without."""
    from tiny_base import as_agent

    from kt_lib.release import answers
    from kt_lib.weights import load, load_tokenizer, quiet

    with quiet():
        asked, tokenizer = [as_agent(task(at)) for at in range(4)], load_tokenizer(base)
        return answers(load(base), tokenizer, asked) == answers(load(base, adapter), tokenizer, asked)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("by", ["unsloth", "trl+peft"])
def test_qlora_learns_on_the_gpu_and_its_adapter_is_read_by_peft(by: str, tmp_path: Path) -> None:
    if by == "unsloth" and not THERE.unsloth:
        pytest.skip("Unsloth is not installed: pip install -e '.[gpu]'")
    # Widths that Unsloth's kernels are made for.
    base = make_base(tmp_path / "base", hidden=256, layers=2)
    found = trained(by, base, tmp_path / "out", LEARN, PREFER)
    assert (found["name"], found["device"], found["precision"]) == (by, "cuda", "nf4")
    assert found["sft"][-1] < 0.7 * found["sft"][0]
    assert found["dpo"][0] == pytest.approx(0.6931, abs=0.02), "the reference is where it starts from"
    assert found["dpo"][-1] < found["dpo"][0]
    assert found["tokens"] > 0
    assert not answers_alike(base, tmp_path / "out" / "dpo")


@pytest.mark.gpu
@needs_gpu
def test_unsloth_is_measured_beside_trl_and_peft(capsys: pytest.CaptureFixture[str]) -> None:
    found = gpu.measure()
    with capsys.disabled():
        print("\n" + "\n".join(f"  {name:28} {value}" for name, value in found.items()))
    sides = ("unsloth", "trl") if THERE.unsloth else ("trl",)
    for side in sides:
        assert found[f"{side}_last_loss"] < 0.7 * found[f"{side}_first_loss"]
        assert 0 < found.get(f"{side}_share_of_peak", 0.5) < 1
    if len(sides) == 2:
        assert found["ratio_to_trl"] > 1


@needs_unsloth
@pytest.mark.skipif(bool(THERE.gpu), reason="with a GPU the test above says more")
@pytest.mark.parametrize("four_bits", [True, False])
def test_unsloth_on_the_cpu_learns_the_same_as_trl_and_peft(four_bits: bool, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", hidden=64, layers=2)
    sft, dpo = (one.model_copy(update={"load_in_4bit": four_bits}) for one in (LEARN, PREFER))
    one = trained("unsloth", base, tmp_path / "unsloth", sft, dpo, KT_UNSLOTH_ON_CPU="1")
    other = trained("trl+peft", base, tmp_path / "trl", sft, dpo)
    assert (one["name"], other["name"]) == ("unsloth", "trl+peft")
    assert one["sft"] == pytest.approx(other["sft"], rel=1e-3)
    assert one["dpo"] == pytest.approx(other["dpo"], rel=1e-2)
    assert one["sft"][-1] < one["sft"][0]
    assert not answers_alike(base, tmp_path / "unsloth" / "dpo")


@needs_unsloth
@pytest.mark.skipif(bool(THERE.gpu), reason="with a GPU the test above says more")
def test_the_trainers_that_unsloth_writes_for_a_gpu_do_with_our_rows_what_trl_does(tmp_path: Path) -> None:
    """All of Unsloth's way but its kernels: they need the GPU, and a plain model by PEFT stands in their place."""
    base = make_base(tmp_path / "base", hidden=64, layers=2)
    sft, dpo = (one.model_copy(update={"load_in_4bit": False}) for one in (LEARN, PREFER))
    on_cpu = {"UNSLOTH_ALLOW_CPU": "1", "KT_UNSLOTH_ON_CPU": "1"}
    one = trained("unsloth", base, tmp_path / "unsloth", sft, dpo, before=REWRITTEN, **on_cpu)
    other = trained("trl+peft", base, tmp_path / "trl", sft, dpo)
    assert (one["trainers"], other["trainers"]) == (
        ["UnslothSFTTrainer", "UnslothDPOTrainer"],
        ["SFTTrainer", "DPOTrainer"],
    )
    assert one["sft"] == pytest.approx(other["sft"], rel=1e-3)
    assert one["dpo"] == pytest.approx(other["dpo"], rel=1e-2)
    assert one["tokens"] == other["tokens"]


REWRITTEN = """
import os
os.environ |= {"UNSLOTH_DISABLE_STATISTICS": "1", "UNSLOTH_COMPILE_LOCATION": str(out / "compiled")}
import unsloth

del os.environ["UNSLOTH_ALLOW_CPU"]  # with it Unsloth leaves TRL's trainers as they are
from unsloth.models.rl import patch_trl_rl_trainers

patch_trl_rl_trainers()

sys.path.insert(0, "tests")
import unsloth_double

unsloth.FastLanguageModel = unsloth_double.FastLanguageModel
"""


# --- what is measured, without a GPU ---------------------------------------------------------------------------------


@pytest.mark.skipif(THERE.maker == "NVIDIA", reason="an NVIDIA GPU is there, and is measured")
def test_without_an_nvidia_gpu_nothing_is_measured_and_the_reason_is_said() -> None:
    ran = subprocess.run([sys.executable, "-m", "kt_lib", "bench", "gpu", "--json"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "needs an NVIDIA GPU, and no GPU that torch can use is there" in ran.stderr
    assert "Apple's" in gpu.absent(Ground(maker="Apple"))
    assert gpu.absent(Ground(maker="NVIDIA")) == ""


def test_the_share_of_the_peak_is_six_times_parameters_times_tokens_over_the_cards_peak() -> None:
    one = {"tokens": 1e5, "seconds": 10.0, "peak_mb": 2000.0, "first_loss": 9.0, "last_loss": 3.0, "parameters": 5e8}
    found = gpu.figures("NVIDIA A100-SXM4-80GB", {"unsloth": one, "trl+peft": one | {"seconds": 20.0, "peak_mb": 4e3}})
    assert found["unsloth_share_of_peak"] == pytest.approx(6 * 5e8 * 1e4 / 312e12)
    assert (found["ratio_to_trl"], found["memory_ratio_to_trl"]) == (2, 0.5)
    assert "trl_share_of_peak" not in gpu.figures("a card nobody knows", {"trl+peft": one})


@pytest.mark.parametrize(
    ("card", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
        ("NVIDIA A10", 125),
        ("NVIDIA A10G", 70),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("Tesla K80", None),
    ],
)
def test_a_card_is_known_by_its_whole_name(card: str, peak: float | None) -> None:
    assert gpu.peak_tflops(card) == peak


def test_measured_rows_are_long_conversations_that_fit_the_recipe() -> None:
    from kt_lib.models.embedded import packaged_base
    from kt_lib.training.trainers import lengths
    from kt_lib.weights import quiet

    with quiet():
        sizes = lengths(gpu.rows(4), packaged_base())
    assert min(sizes) > 500
    assert max(sizes) < 4096
    assert gpu.how().load_in_4bit
