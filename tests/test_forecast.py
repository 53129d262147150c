"""What a training is said to cost beforehand agrees with what it took."""

import pytest
import tiny_base

pytest.importorskip("trl")

from kt_lib.errors import KtError
from kt_lib.figures_of_training import live_curve
from kt_lib.forecast import forecast
from kt_lib.recipes import DpoRecipe, Lora, SftRecipe
from kt_lib.records import PreferencePair, UnpairedRow
from kt_lib.training.trainers import train_dpo, train_kto, train_sft

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


def test_answers_judged_by_themselves_are_forecast_as_kto_takes_them(tmp_path):
    base = tiny_base.make_base(tmp_path / "base")
    rows = [tiny_base.sft_row(tiny_base.task(at)) for at in range(8)]
    # One good answer of twenty-four, the longest: whatever is tried has to hold some of both kinds.
    judged = [
        UnpairedRow(
            prompt=rows[at % 8].messages[:-1],
            completion="it is so " * 20 if at == 0 else "no",
            label=at == 0,
            task_id="t",
            basis="b",
            evidence="e",
        )
        for at in range(24)
    ]
    sft, kto = forecast(base, rows, judged, SFT, DPO)
    train_sft(base, rows, tmp_path / "sft", SFT)
    made = train_kto(base, tmp_path / "sft", judged, tmp_path / "kto", DPO)
    assert (sft.name, kto.name, made.name) == ("sft", "kto", "sft+kto")
    assert (kto.rows, kto.steps, kto.tokens) == (made.rows, made.steps, made.tokens)
    assert f"8 x {kto.longest} tokens at once" in kto.memory.formula


def test_after_sft_the_adapter_is_reckoned_as_sft_made_it(tmp_path):
    base = tiny_base.make_base(tmp_path / "base")
    rows = [tiny_base.sft_row(tiny_base.task(at)) for at in range(4)]
    pairs = [
        PreferencePair(prompt=row.messages[:-1], chosen="yes", rejected="no", task_id="t", basis="b", evidence="e")
        for row in rows
    ]
    other = DPO.model_copy(update={"lora": Lora(r=64)})
    sft, dpo = forecast(base, rows, pairs, SFT, other)
    assert dpo.memory.adapter_mb == pytest.approx(sft.memory.adapter_mb * 1.5), "and its frozen copy"


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
