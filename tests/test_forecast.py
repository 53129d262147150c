"""What a training is said to cost beforehand agrees with what it took."""

import pytest
import tiny_base

pytest.importorskip("trl")

from kt_lib.errors import KtError
from kt_lib.figures_of_training import live_curve
from kt_lib.forecast import forecast
from kt_lib.recipes import DpoRecipe, Lora, SftRecipe
from kt_lib.records import PreferencePair
from kt_lib.training.trainers import train_dpo, train_sft

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SFT = SftRecipe(num_train_epochs=2, learning_rate=1e-3, per_device_train_batch_size=4, seed=1, lora=Lora(r=4))
DPO = DpoRecipe(num_train_epochs=1, learning_rate=1e-4, beta=0.1, seed=1, lora=Lora(r=4))


def test_tokens_and_steps_are_those_of_the_training(tmp_path):
    base = tiny_base.make_base(tmp_path / "base")
    rows = [tiny_base.sft_row(tiny_base.task(at)) for at in range(9)]
    pairs = [
        PreferencePair(prompt=row.messages[:-1], chosen="yes", rejected="no no", task_id="t", basis="b", evidence="e")
        for row in rows
    ]
    told = {one.name: one for one in forecast(base, rows, pairs, SFT, DPO)}
    sft = train_sft(base, rows, tmp_path / "sft", SFT, live_curve("sft"))
    assert (told["sft"].rows, told["sft"].steps, told["sft"].tokens) == (sft.rows, sft.steps, sft.tokens)
    dpo = train_dpo(base, tmp_path / "sft", pairs, tmp_path / "dpo", DPO)
    assert (told["dpo"].rows, told["dpo"].steps, told["dpo"].tokens) == (dpo.rows, dpo.steps, dpo.tokens)
    assert told["sft"].longest * 9 * 2 >= told["sft"].tokens
    assert told["sft"].seconds > 0


def test_gathered_and_packed_steps_are_counted_as_they_are_taken(tmp_path):
    base = tiny_base.make_base(tmp_path / "base")
    rows = [tiny_base.sft_row(tiny_base.task(at)) for at in range(21)]
    gathered = SFT.model_copy(update={"gradient_accumulation_steps": 2})
    packed = SFT.model_copy(update={"packing": True, "max_length": 512, "per_device_train_batch_size": 1})
    for recipe, off in ((gathered, 0), (packed, 2)):
        (told,) = forecast(base, rows, [], recipe, None)
        assert told.steps == pytest.approx(train_sft(base, rows, tmp_path / "sft", recipe).steps, abs=off)
        assert told.memory.total_mb > 0
    with pytest.raises(KtError, match="no rows to train on"):
        forecast(base, [], [], SFT, None)


def test_without_pairs_or_without_a_recipe_only_sft_is_forecast(tmp_path):
    base = tiny_base.make_base(tmp_path / "base")
    assert [one.name for one in forecast(base, [tiny_base.sft_row(tiny_base.task(0))], [], SFT, DPO)] == ["sft"]


def test_the_bar_goes_to_its_end_and_says_the_loss(capsys):
    on_step = live_curve("sft")
    for done in (1, 2, 3):
        on_step(done, 3, 0.5 / done)
    said = capsys.readouterr().err
    assert "3/3" in said
    assert "loss=0.1667" in said
