"""Which way training goes: chosen by what is there, said with its reason, and opened that way."""

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
from unsloth_double import put_into

from kt_lib.artifacts import write_rows
from kt_lib.errors import MissingPackage
from kt_lib.recipes import DpoRecipe, Lora, SftRecipe
from kt_lib.training.engines import Engine, Ground, engine, ground, options, packed_to
from kt_lib.training.plan import trainer_options
from kt_lib.training.trainable import open_for_training, started
from kt_lib.training.trainers import train_sft

QUICK = SftRecipe(num_train_epochs=1, learning_rate=3e-3, per_device_train_batch_size=4, seed=1)
IN_FOUR_BITS = QUICK.model_copy(update={"load_in_4bit": True})
H100 = Ground(gpu="NVIDIA H100", maker="NVIDIA", bfloat16=True, unsloth="2026.10.9", bitsandbytes="0.50.2", threads=16)


def test_an_nvidia_gpu_with_unsloth_trains_by_unsloth() -> None:
    way = engine(IN_FOUR_BITS, H100)
    assert (way.name, way.device, way.precision, way.compute) == ("unsloth", "cuda", "nf4", "bfloat16")
    assert way.reason == ("Unsloth 2026.10.9 on NVIDIA H100 in bfloat16, the base in nf4: an NVIDIA GPU is there")


def test_an_nvidia_gpu_without_unsloth_trains_by_trl_and_says_how_to_be_faster() -> None:
    way = engine(QUICK, H100.model_copy(update={"unsloth": ""}))
    assert (way.name, way.device, way.precision) == ("trl+peft", "cuda", "bfloat16")
    assert "pip install -e '.[gpu]'" in way.reason


def test_unsloth_is_left_out_where_its_elders_are_in_the_process_already() -> None:
    way = engine(QUICK, H100.model_copy(update={"too_early": ("transformers", "peft")}))
    assert way.name == "trl+peft"
    assert "transformers, peft came before Unsloth" in way.reason
    assert "start a new one" in way.reason


@pytest.mark.parametrize(
    ("there", "device", "said"),
    [
        (Ground(threads=4), "cpu", "the CPU with 2 thread(s) in float32: no NVIDIA GPU is there"),
        (Ground(threads=1, unsloth="2026.10.9"), "cpu", "Unsloth needs one"),
        (Ground(gpu="Apple's GPU", maker="Apple", threads=8), "cpu", "the GPU is Apple's"),
        (Ground(gpu="MI300X", maker="AMD", bfloat16=True, unsloth="1"), "cuda", "the GPU is AMD's"),
    ],
)
def test_elsewhere_trl_and_peft_train_and_the_reason_is_said(there: Ground, device: str, said: str) -> None:
    way = engine(QUICK, there)
    assert (way.name, way.device) == ("trl+peft", device)
    assert said in way.reason


def test_unsloth_trains_on_a_cpu_only_when_asked_to() -> None:
    there = Ground(unsloth="2026.10.9", bitsandbytes="0.50.2", unsloth_on_cpu=True)
    way = engine(IN_FOUR_BITS, there)
    assert (way.name, way.device, way.precision, way.compute) == ("unsloth", "cpu", "nf4", "float32")
    assert "KT_UNSLOTH_ON_CPU" in way.reason


def test_a_card_without_bfloat16_computes_in_what_each_engine_can() -> None:
    t4 = H100.model_copy(update={"gpu": "Tesla T4", "bfloat16": False})
    assert engine(IN_FOUR_BITS, t4).compute == "float16"
    assert options(engine(IN_FOUR_BITS, t4), IN_FOUR_BITS)["fp16"]
    by_trl = engine(IN_FOUR_BITS, t4.model_copy(update={"unsloth": ""}))
    assert by_trl.compute == "float32"
    assert not options(by_trl, IN_FOUR_BITS)["fp16"]


def test_four_bits_without_bitsandbytes_are_refused_with_both_remedies() -> None:
    with pytest.raises(MissingPackage, match=r"bitsandbytes is not installed.*`load_in_4bit` to false"):
        engine(IN_FOUR_BITS, Ground())


def test_rows_pass_by_what_unsloth_would_do_to_them() -> None:
    by_unsloth = engine(QUICK, H100)
    packed = QUICK.model_copy(update={"packing": True, "max_length": 512})
    told = options(by_unsloth, packed)
    assert told["dataset_kwargs"] == {"skip_prepare_dataset": True}
    assert (told["packing"], told["padding_free"]) == (False, False)
    assert "go together instead of being packed" in engine(packed, H100).reason
    assert packed_to(packed, by_unsloth) == 0
    by_trl = engine(packed, H100.model_copy(update={"unsloth": ""}))
    assert packed_to(packed, by_trl) == trainer_options(packed, by_trl)["max_length"] == 512
    assert packed_to(QUICK, by_trl) == 0
    assert trainer_options(packed, by_unsloth)["packing"] is False
    prefer = DpoRecipe(num_train_epochs=1, learning_rate=1e-4, beta=0.1, seed=1)
    assert "dataset_kwargs" not in options(by_unsloth, prefer)


def test_this_machine_is_looked_at_without_importing_what_trains() -> None:
    look = (
        "import sys; from kt_lib.training.engines import engine, ground; from kt_lib.recipes import recipe;"
        "engine(recipe('embedded').sft, ground());"
        "sys.exit(bool({'unsloth', 'trl', 'transformers', 'peft', 'bitsandbytes'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", look], timeout=120).returncode == 0
    assert ground().threads >= 1


# --- opened ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("models") / "base", hidden=64, layers=2)


def on_this_cpu(recipe: SftRecipe) -> Engine:
    way = engine(recipe)
    if way.device != "cpu":
        pytest.skip("tests/test_gpu.py holds this on a GPU")
    return way


def test_only_the_adapter_learns_and_it_has_the_shape_of_the_recipe(base: Path) -> None:
    recipe = QUICK.model_copy(update={"lora": Lora(r=4, target_modules=("q_proj", "v_proj"))})
    way = on_this_cpu(recipe)
    with started(way):
        model = open_for_training(base, None, recipe, way)
    learned = {name for name, one in model.named_parameters() if one.requires_grad}
    assert learned
    assert all("lora_" in name and ("q_proj" in name or "v_proj" in name) for name in learned)
    assert {min(one.shape) for one in model.parameters() if one.requires_grad} == {4}


def test_a_base_in_four_bits_learns_on_the_cpu_also_after_it_has_answered() -> None:
    """In a process of its own: PEFT remembers whether bitsandbytes was there when it came."""
    done = subprocess.run([sys.executable, "-c", AFTER_ANSWERING], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["held"] == ["torch.uint8"]
    assert found["bytes"] < 0.3 * found["bytes_in_float32"]
    assert found["losses"][-1] < 0.5 * found["losses"][0]


AFTER_ANSWERING = """
import json, sys
from kt_lib.training.engines import engine
from kt_lib.models.embedded import packaged_base
from kt_lib.recipes import SftRecipe
from kt_lib.training.trainable import open_for_training, started

recipe = SftRecipe(num_train_epochs=1, learning_rate=3e-3, per_device_train_batch_size=4, seed=1, load_in_4bit=True)
way = engine(recipe)
assert (way.name, way.device, way.precision) == ("trl+peft", "cpu", "nf4"), way
with started(way):
    import torch

    model = open_for_training(packaged_base(), None, recipe, way)
    linear = [one for name, one in model.named_parameters() if "base_layer.weight" in name]
    ids = torch.randint(3, 900, (2, 24), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        model.eval()(input_ids=ids)
    learned = [one for one in model.train().parameters() if one.requires_grad]
    steps, losses = torch.optim.AdamW(learned, lr=1e-2), []
    for _ in range(30):
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        steps.step()
        steps.zero_grad()
        losses.append(float(loss.detach()))
shapes = [module.in_features * module.out_features for module in model.modules() if hasattr(module, "base_layer")
          for module in [module.base_layer]]
print(json.dumps({
    "held": sorted({str(one.dtype) for one in linear}),
    "bytes": sum(one.nbytes for one in linear),
    "bytes_in_float32": 4 * sum(shapes),
    "losses": losses,
}))
"""


def test_four_bits_after_a_training_without_them_are_refused_with_the_remedy(base: Path, tmp_path: Path) -> None:
    told = (
        "import sys; from kt_lib.training.engines import engine; from kt_lib.training.trainable import started\n"
        "from kt_lib.recipes import recipe; from kt_lib.errors import KtError\n"
        "plain = recipe('embedded').sft\n"
        "with started(engine(plain)): pass\n"
        "try:\n"
        "    with started(engine(plain.model_copy(update={'load_in_4bit': True}))): pass\n"
        "except KtError as error: sys.exit('restart the kernel' in str(error) and 7)\n"
    )
    on_this_cpu(QUICK)
    assert subprocess.run([sys.executable, "-c", told], timeout=120).returncode == 7


def test_the_card_of_an_adapter_says_which_engine_trained_it_and_why(base: Path, tmp_path: Path) -> None:
    way = on_this_cpu(QUICK)
    adapter = train_sft(base, [sft_row(task(at)) for at in range(4)], tmp_path / "sft", QUICK)
    assert adapter.engine == way.name
    assert f"- Engine: {way.reason}" in (tmp_path / "sft" / "README.md").read_text()


# --- by Unsloth, its front door stood in for ------------------------------------------------------------------------


def by_unsloth(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command in a process where Unsloth is installed, and asked for without a GPU."""
    if ground().gpu:
        pytest.skip("tests/test_gpu.py holds this on a GPU")
    path = os.pathsep.join([str(put_into(folder / "site")), os.environ.get("PYTHONPATH", "")])
    there = {"PYTHONPATH": path, "KT_UNSLOTH_ON_CPU": "1"}
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=300, env=os.environ | there
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def test_kt_train_lets_unsloth_into_the_process_first(tmp_path: Path) -> None:
    rows = [sft_row(task(at)) for at in range(8)]
    write_rows(tmp_path, "rows", rows)
    asked = ["-m", "kt_lib", "train", str(tmp_path / "rows.jsonl"), "--out", str(tmp_path / "out"), "--json"]
    by_unsloth(tmp_path, *asked, "--set", "sft.num_train_epochs=1")
    card = (tmp_path / "out" / "sft" / "README.md").read_text()
    assert "- Engine: Unsloth 2026.10.9 on the CPU" in card


def test_a_forecast_sft_and_dpo_after_it_go_by_unsloth_as_the_notebook_calls_them(tmp_path: Path) -> None:
    (tmp_path / "told").write_bytes(pickle.dumps((tmp_path, [sft_row(task(at)) for at in range(12)], pairs(8))))
    told = by_unsloth(tmp_path, "-c", LIKE_THE_NOTEBOOK, str(tmp_path / "told")).stdout
    assert json.loads(told.splitlines()[-1]) == {"engines": ["unsloth", "unsloth"], "adapters": ["sft", "sft+dpo"]}
    config = json.loads((tmp_path / "dpo" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "embedded_base", "the card of an adapter names no place"
    layers = "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj"
    assert sorted(config["target_modules"]) == sorted(layers.split()), "all linear layers but the last"


LIKE_THE_NOTEBOOK = """
import json, pickle, sys
from pathlib import Path

out, rows, pairs = pickle.loads(Path(sys.argv[1]).read_bytes())
from kt_lib.training.engines import engine
from kt_lib.forecast import forecast
from kt_lib.models.embedded import packaged_base
from kt_lib.recipes import changed, recipe
from kt_lib.training.trainers import train_dpo, train_sft

how = changed(recipe("embedded"), {"num_train_epochs": 1}, {"num_train_epochs": 1})
forecast(packaged_base(), rows, pairs, how.sft, how.dpo)
made = [train_sft(packaged_base(), rows, out / "sft", how.sft)]
made.append(train_dpo(packaged_base(), out / "sft", pairs, out / "dpo", how.dpo))
print(json.dumps({"engines": [one.engine for one in made], "adapters": [one.name for one in made]}))
"""
