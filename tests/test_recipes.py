"""A recipe is declared once, read with its faults told, and changed field by field."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from kt_lib.errors import ParameterError
from kt_lib.recipes import Lora, Recipe, Schedule, changed, recipe, shipped_recipes


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


WHOLE = "name: mine\nwhy: a try\nsft:\n  num_train_epochs: 1\n  learning_rate: 1e-4\n"
REST = "  per_device_train_batch_size: 2\n  seed: 1\n"


def test_every_shipped_recipe_can_be_had_by_its_name_and_says_why() -> None:
    assert shipped_recipes() == ["embedded", "qlora-7b-to-32b"]
    for name in shipped_recipes():
        assert recipe(name).name == name
        assert len(recipe(name).why) > 80


def test_the_recipe_for_large_models_is_the_documented_one() -> None:
    sft = recipe("qlora-7b-to-32b").sft
    assert (sft.lora.r, sft.load_in_4bit, sft.lr_scheduler_type, sft.num_train_epochs) == (64, True, "cosine", 3)
    assert sft.lora.target_modules == ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    assert (sft.learning_rate, sft.per_device_train_batch_size, sft.gradient_accumulation_steps) == (1e-4, 4, 4)


def test_a_learning_rate_written_as_text_is_a_number(tmp_path: Path) -> None:
    found = recipe(written(tmp_path, WHOLE + REST))
    assert found.sft.learning_rate == 1e-4
    assert found.dpo is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (WHOLE, "`sft.per_device_train_batch_size` has no value; `sft.seed` has no value"),
        (WHOLE + REST + "  seed: 2\n", "line 8: key 'seed' stands twice"),
        (WHOLE + REST + "  lora: {rank: 8}\n", "there is no `sft.lora.rank`; there are r, lora_alpha"),
        (WHOLE + REST + "  epochs: 8\n", "there is no `sft.epochs`; there are num_train_epochs, learning_rate"),
        (WHOLE.replace("1e-4", "quick") + REST, "`sft.learning_rate` is 'quick'"),
        (WHOLE.replace("1e-4", "-1") + REST, "`sft.learning_rate` is -1: input should be greater than 0"),
        (WHOLE.replace("mine", "yours") + REST, "`name` is 'yours'; a recipe is called as its file, 'mine'"),
        (
            WHOLE + REST + "  lr_scheduler_type: cosin\n",
            "`sft.lr_scheduler_type` is 'cosin': input should be 'linear'",
        ),
        (WHOLE + REST + "  warmup_steps: .inf\n", "`sft.warmup_steps` is inf"),
        (WHOLE + REST + "  packing: true\n", "`packing` needs a `max_length` to pack to"),
        ("- 1\n", "must hold `name:`"),
        ("name: [", "mine.yaml"),
    ],
)
def test_a_fault_in_a_recipe_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ParameterError) as caught:
        recipe(written(tmp_path, text))
    assert told in str(caught.value)
    assert "mine.yaml" in str(caught.value)


def test_an_unknown_name_lists_the_known_ones_and_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"no recipe is called 'embeded': take one of embedded, qlora-7b-to-32b"):
        recipe("embeded")
    with pytest.raises(ParameterError, match=r"there is no recipe .*other\.yaml"):
        recipe(tmp_path / "other.yaml")


def test_single_fields_are_changed_and_the_rest_stays() -> None:
    of = recipe("embedded")
    new = changed(of, {"learning_rate": "5e-4", "lora": {"r": 8}}, {"loss_type": "ipo"})
    assert new.sft == of.sft.model_copy(update={"learning_rate": 5e-4, "lora": Lora(r=8, lora_alpha=64)})
    assert new.dpo == of.dpo.model_copy(update={"loss_type": "ipo"})
    assert changed(of, {}, {}) == of
    assert changed(of, {}, {"num_train_epochs": 0}).dpo is None


def test_a_field_that_is_not_there_cannot_be_changed() -> None:
    of = recipe("embedded")
    with pytest.raises(ParameterError, match=r"sft of the recipe embedded: there is no `epochs`; there are num_train"):
        changed(of, {"epochs": 2}, {})
    with pytest.raises(ParameterError, match=r"there is no `lora.rank`; there are r, lora_alpha"):
        changed(of, {"lora": {"rank": 2}}, {})
    with pytest.raises(ParameterError, match="`loss_type` is 'dpo': input should be 'sigmoid'"):
        changed(of, {}, {"loss_type": "dpo"})
    alone = Recipe(name="alone", why="SFT only", sft=of.sft)
    with pytest.raises(ParameterError, match="has no DPO part to change: leave out beta"):
        changed(alone, {}, {"beta": 0.2})


def test_the_schedules_are_all_that_the_trainer_takes_without_further_settings() -> None:
    import torch
    from transformers import SchedulerType, get_scheduler

    def taken(name: str) -> bool:
        optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
        try:
            get_scheduler(name, optimiser, num_warmup_steps=2, num_training_steps=10)
        except (TypeError, ValueError):
            return False
        return True

    # These two look at an evaluation in between, and there is none.
    without = {"reduce_lr_on_plateau", "greedy"}
    assert {one.value for one in SchedulerType if taken(one.value)} - without == set(get_args(Schedule))
