"""What a training is said to hold in memory agrees with what it held, and what cannot fit is told before it starts."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_base import make_base

pytest.importorskip("trl")

from kt_lib.errors import ArtifactError, KtError
from kt_lib.models.embedded import packaged_base
from kt_lib.recipes import DpoRecipe, Lora, SftRecipe, changed, recipe
from kt_lib.training.engines import Engine, Ground, engine
from kt_lib.training.memory import Estimate, check_room, estimate
from kt_lib.training.trainable import open_for_training, started

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SMALL = SftRecipe(num_train_epochs=1, learning_rate=1e-3, per_device_train_batch_size=4, seed=1)
PAIRS = DpoRecipe(num_train_epochs=1, learning_rate=1e-4, beta=0.1, seed=1, per_device_train_batch_size=4)
QLORA = recipe("qlora-7b-to-32b")
CARD = Ground(gpu="a card", maker="NVIDIA", bfloat16=True, bitsandbytes="0.49")
LAYOUTS = {  # hidden, layers, heads, of them for keys, inner; the parameters that their makers name, in billions
    "7b": (3584, 28, 28, 4, 18944, 7.62),
    "14b": (5120, 48, 40, 8, 13824, 14.77),
    "32b": (5120, 64, 40, 8, 27648, 32.76),
}


def layout(folder: Path, hidden: int, layers: int, heads: int, keys: int, inner: int, vocabulary: int = 152064) -> Path:
    """A folder with nothing but the config.json of a Qwen2 model."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": "qwen2",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys,
        "intermediate_size": inner,
        "vocab_size": vocabulary,
        "max_position_embeddings": 32768,
        "tie_word_embeddings": False,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def qlora(folder: Path, name: str, longest: int = 4096) -> Estimate:
    *shape, _ = LAYOUTS[name]
    return estimate(layout(folder / name, *shape), QLORA.sft, longest, engine(QLORA.sft, CARD))


def test_weights_and_adapter_are_counted_as_they_are_made(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", hidden=64, layers=2)
    only = Lora(r=4, target_modules=("q_proj", "down_proj"))
    for lora in (Lora(r=4), only):
        asked = SMALL.model_copy(update={"lora": lora})
        way = engine(asked)
        with started(way):
            trained, every = open_for_training(base, None, asked, way).get_nb_trainable_parameters()
        told = estimate(base, asked, 100, way)
        assert told.adapter_mb == trained * 4 * 2 / 2**20
        assert told.weights_mb == (every - trained) * 4 / 2**20
        assert told.optimiser_mb == trained * 4 * 2 / 2**20


def test_the_shipped_recipe_fits_the_cards_it_is_meant_for(tmp_path: Path) -> None:
    told = {name: qlora(tmp_path, name) for name in LAYOUTS}
    for name, (hidden, layers, heads, keys, inner, billions) in LAYOUTS.items():
        # Parameters by hand: attention with biases, feed-forward, two norms; embeddings, the last layer and its norm.
        narrow = hidden // heads * keys
        layer = 2 * hidden * hidden + 2 * hidden * narrow + hidden + 2 * narrow + 3 * hidden * inner + 2 * hidden
        assert (layers * layer + 2 * 152064 * hidden + hidden) / 1e9 == pytest.approx(billions, abs=0.01)
        linear = layers * (2 * hidden * hidden + 2 * hidden * narrow + 3 * hidden * inner)
        least, most = linear * 0.5, linear * 0.52 + (billions * 1e9 - linear) * 4.01
        assert least < told[name].weights_mb * 2**20 < most
    assert told["7b"].total_mb < 24 * 1024 < told["14b"].total_mb < told["32b"].total_mb < 80 * 1024


def test_four_bits_shorter_rows_and_smaller_batches_each_take_less(tmp_path: Path) -> None:
    base = layout(tmp_path / "7b", *LAYOUTS["7b"][:-1])

    def total(longest: int, **values: object) -> float:
        asked = changed(QLORA, values, {}).sft
        return estimate(base, asked, longest, engine(asked, CARD)).total_mb

    whole = total(4096)
    assert total(4096, load_in_4bit=False) > whole + 7.62e9 / 2**20
    assert total(2048) < whole
    assert total(4096, per_device_train_batch_size=2) < whole
    assert total(4096, lora={"r": 8}) < whole
    assert total(100, packing=True) > total(4096, per_device_train_batch_size=1), "packed rows are as long as can be"


def test_where_the_engine_does_not_pack_rows_are_reckoned_as_long_as_they_are(tmp_path: Path) -> None:
    base = layout(tmp_path / "7b", *LAYOUTS["7b"][:-1])
    asked = changed(QLORA, {"packing": True}, {}).sft
    by_trl, by_unsloth = (engine(asked, CARD.model_copy(update={"unsloth": version})) for version in ("", "2026.10.9"))
    packed, told = (estimate(base, asked, 100, way) for way in (by_trl, by_unsloth))
    assert "4 x 4096 tokens at once" in packed.formula
    assert "4 x 100 tokens at once" in told.formula
    assert told == estimate(base, QLORA.sft, 100, by_unsloth), "as without packing"


def test_preferences_take_both_answers_and_all_their_logits(tmp_path: Path) -> None:
    base = layout(tmp_path / "small", 512, 4, 8, 2, 1024, 32000)
    way = engine(PAIRS, CARD)
    sft, dpo = (estimate(base, one, 500, way) for one in (SMALL, PAIRS))
    assert dpo.activations_mb - sft.activations_mb > 2 * 4 * 500 * 32000 * 4 * 3 / 2**20
    assert dpo.adapter_mb == pytest.approx(sft.adapter_mb * 1.5), "the frozen copy"
    kto = estimate(base, PAIRS, 500, way, unpaired=True)
    assert (kto.adapter_mb, kto.optimiser_mb) == (dpo.adapter_mb, dpo.optimiser_mb)
    assert "4 x 500 tokens" in kto.formula
    assert "8 x 500 tokens" in dpo.formula


def test_a_base_that_cannot_fit_is_refused_and_one_that_may_not_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    way = engine(SMALL, Ground())
    giant = estimate(layout(tmp_path / "giant", 16384, 400, 128, 8, 53248), SMALL, 100, way)
    with pytest.raises(KtError, match=r"alone take [\d,]+ MB, and [\d,]+ MB are free in memory: take `load_in_4bit"):
        check_room(giant, SMALL, 100, way)
    small = layout(tmp_path / "small", 512, 4, 8, 2, 1024, 32000)
    check_room(estimate(small, SMALL, 100, way), SMALL, 100, way)
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        check_room(estimate(small, SMALL, 1_000_000, way), SMALL, 1_000_000, way)
    assert "set `per_device_train_batch_size` to 2 and `gradient_accumulation_steps` to 2" in caplog.text


def test_a_folder_without_a_configuration_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no config\.json that transformers can read"):
        estimate(tmp_path, SMALL, 100, engine(SMALL))


MEASURE = """
import json, sys
from pathlib import Path
from kt_lib.training.engines import engine
from kt_lib.training.memory import estimate
from kt_lib.recipes import SftRecipe
from kt_lib.records import ChatMessage, SftRow
from kt_lib.training.trainers import lengths, train_sft

base, out = Path(sys.argv[1]), Path(sys.argv[2])
recipe = SftRecipe(num_train_epochs=1, learning_rate=1e-3, per_device_train_batch_size=4, seed=1)
ask = lambda words: ChatMessage(role="user", content="atlas " * words)
answer = ChatMessage(role="assistant", content="birch cedar")
found = []
for words in map(int, sys.argv[3:]):
    rows = [
        SftRow(messages=(ask(words - at % 4), answer), kind="x", task_id=str(at), basis="made up") for at in range(12)
    ]
    peak = train_sft(base, rows, out, recipe).peak_mb
    found.append([estimate(base, recipe, max(lengths(rows, base)), engine(recipe)).total_mb, peak])
print("\\n" + json.dumps(found))
"""


def measured(base: Path, out: Path, *words: int) -> list[tuple[float, float]]:
    """Expected and measured peak of trainings on rows of so many words, one after another in a process of their own."""
    ran = subprocess.run([sys.executable, "-c", MEASURE, base, out, *map(str, words)], capture_output=True, timeout=300)
    assert ran.returncode == 0, ran.stderr.decode()[-2000:]
    return [(told, peak) for told, peak in json.loads(ran.stdout.splitlines()[-1])]


def test_the_embedded_model_holds_what_was_expected(tmp_path: Path) -> None:
    ((told, peak),) = measured(packaged_base(), tmp_path / "sft", 150)
    assert told == pytest.approx(peak, rel=0.35)


def test_a_training_after_a_larger_one_in_the_same_process_is_measured_by_itself(tmp_path: Path) -> None:
    (_, before), (told, peak) = measured(packaged_base(), tmp_path / "sft", 300, 100)
    assert before > 2 * peak
    assert told == pytest.approx(peak, rel=0.35)


@pytest.mark.loop
def test_a_qwen_of_seventy_million_parameters_holds_what_was_expected(tmp_path: Path) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    base = make_base(tmp_path / "qwen", hidden=32, layers=1)
    shape = {"hidden_size": 640, "num_hidden_layers": 12, "num_attention_heads": 10, "num_key_value_heads": 2}
    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=32000, intermediate_size=1792, tie_word_embeddings=True, **shape))
    assert 50e6 < model.num_parameters() < 100e6
    model.save_pretrained(base)
    ((told, peak),) = measured(base, tmp_path / "sft", 40)
    assert told == pytest.approx(peak, rel=0.35)


def test_an_engine_on_a_card_reckons_in_its_own_numbers(tmp_path: Path) -> None:
    base = layout(tmp_path / "7b", *LAYOUTS["7b"][:-1])
    trl = engine(QLORA.sft, CARD)
    unsloth = Engine(**trl.model_dump() | {"name": "unsloth"})
    # PEFT casts what is no linear layer to float32, Unsloth keeps it in bfloat16: embeddings and the last layer here.
    saved = estimate(base, QLORA.sft, 1000, trl).weights_mb - estimate(base, QLORA.sft, 1000, unsloth).weights_mb
    assert saved * 2**20 == pytest.approx(2 * 152064 * 3584 * 2, rel=0.01)
