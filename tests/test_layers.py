"""The layers of a base are known without its weights, and layers that are to learn are held against them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_base import make_base

pytest.importorskip("trl")

from kt_lib.errors import ArtifactError, ParameterError
from kt_lib.recipes import Lora, SftRecipe
from kt_lib.training.engines import engine
from kt_lib.training.layers import adapted, layers
from kt_lib.training.trainable import open_for_training, started

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("models") / "base", hidden=64, layers=2)


@pytest.mark.parametrize(
    "wanted", ["all-linear", ("q_proj", "down_proj"), ("self_attn.o_proj",), ("model.layers.1.mlp.up_proj", "k_proj")]
)
def test_the_layers_that_are_counted_are_those_that_get_an_adapter(base: Path, wanted: tuple[str, ...]) -> None:
    recipe = SftRecipe(
        num_train_epochs=1,
        learning_rate=1e-3,
        per_device_train_batch_size=1,
        seed=1,
        lora=Lora(r=4, target_modules=wanted),
    )
    way = engine(recipe)
    with started(way):
        model = open_for_training(base, None, recipe, way)
    given = {name.partition("base_model.model.")[2] for name, one in model.named_modules() if hasattr(one, "lora_A")}
    assert given
    assert set(adapted(layers(base), recipe.lora)) == given


def test_every_number_of_the_base_is_in_a_linear_layer_or_elsewhere(base: Path) -> None:
    from safetensors.torch import load_file

    held = layers(base)
    in_linear = sum(one * other for one, other in held.linear.values())
    assert in_linear + held.other == sum(one.numel() for one in load_file(base / "model.safetensors").values())
    assert held.linear["model.layers.0.mlp.down_proj"] == (64, 192)


@pytest.mark.parametrize("wrong", ["q_prj", "proj", "lm_head", "embed_tokens"])
def test_a_name_that_no_linear_layer_ends_with_is_told_with_those_there_are(base: Path, wrong: str) -> None:
    with pytest.raises(ParameterError) as caught:
        adapted(layers(base), Lora(target_modules=("q_proj", wrong)))
    assert f"`target_modules` of the recipe names {wrong}, and no linear layer" in str(caught.value)
    assert "there are down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj, or `all-linear`" in str(
        caught.value
    )


def test_layers_that_gpt2_holds_the_other_way_round_count_too(tmp_path: Path) -> None:
    shape = {"model_type": "gpt2", "n_embd": 32, "n_layer": 1, "n_head": 2, "vocab_size": 50}
    (tmp_path / "config.json").write_text(json.dumps(shape))
    assert set(layers(tmp_path).linear) == {
        f"transformer.h.0.{name}" for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    }


def test_a_folder_without_a_configuration_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no config\.json that transformers can read"):
        layers(tmp_path)
