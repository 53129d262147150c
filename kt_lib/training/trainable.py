"""A base with an adapter on it that can be trained, opened by the engine that was chosen."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import io
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kt_lib.errors import KtError
from kt_lib.recipes import DpoRecipe, SftRecipe
from kt_lib.training.adapter_files import CONFIG, config_of
from kt_lib.training.engines import Engine
from kt_lib.weights import import_peft, load, put_adapter, quiet, weights_digest

log = logging.getLogger(__name__)

_LONGEST = 32768
"""Tokens of a row where the base's configuration names no bound."""


@contextlib.contextmanager
def started(way: Engine) -> Iterator[None]:
    """The engine's libraries, imported in the order that they need, without noise or network."""
    if way.name == "unsloth":
        with _told():
            _import_unsloth()
    if way.precision == "nf4":
        # It tells every process on a CPU that a faster kernel could be downloaded.
        logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
        importlib.import_module("bitsandbytes")
    with quiet(way.threads, training=True):
        if way.precision == "nf4":
            _refuse_without_bitsandbytes()
        yield


def _import_unsloth() -> None:
    """Unsloth, which would download a file as a sign of life, and leave a folder of its code where it is started."""
    if "unsloth" in sys.modules:
        return
    os.environ.setdefault("UNSLOTH_DISABLE_STATISTICS", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if "UNSLOTH_COMPILE_LOCATION" not in os.environ:
        # Python reads code from there: nobody else may write into it, so it has no name that could be guessed.
        folder = tempfile.mkdtemp(prefix="kt-unsloth-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["UNSLOTH_COMPILE_LOCATION"] = folder
    importlib.import_module("unsloth")


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What Unsloth prints goes to the log: a notebook shows what its reader needs."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            yield
    finally:
        for line in filter(None, map(str.strip, said.getvalue().splitlines())):
            log.info("%s", line)


def _refuse_without_bitsandbytes() -> None:
    from peft.import_utils import is_bnb_4bit_available

    if not is_bnb_4bit_available():
        raise KtError(
            "PEFT came into this process without bitsandbytes, and it remembers that: train in four bits in a new"
            " process (restart the kernel)"
        )


def open_for_training(base: Path, adapter_in: Path | None, recipe: SftRecipe | DpoRecipe, way: Engine) -> Any:
    """The base with a LoRA adapter that can be trained on it: a new one, or `adapter_in` to go on from.

    A PEFT model by either engine; the trainers get it without `peft_config` and `ref_model`. Call within `started`.
    """
    weights_digest(base)
    if way.name == "unsloth":
        with _told():
            return _by_unsloth(base, adapter_in, recipe, way)
    model = load(base, dtype=_held(way), **_in_four_bits(way))
    if way.precision == "nf4":
        model = _ready_for_four_bits(model, way)
    if adapter_in is not None:
        return put_adapter(model, base, adapter_in, trainable=True)
    peft = import_peft()
    return peft.get_peft_model(model, peft.LoraConfig(**_shape(recipe), task_type="CAUSAL_LM"))


def _shape(recipe: SftRecipe | DpoRecipe) -> dict[str, Any]:
    modules = recipe.lora.target_modules
    return recipe.lora.model_dump() | {"target_modules": modules if isinstance(modules, str) else list(modules)}


def _held(way: Engine) -> str:
    return way.compute if way.precision == "nf4" else way.precision


# --- four bits -------------------------------------------------------------------------------------------------------


def _in_four_bits(way: Engine) -> dict[str, Any]:
    if way.precision != "nf4":
        return {}
    import torch
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, way.compute),
    )
    if way.device == "cpu":
        return {"quantization_config": config, "device_map": "cpu"}
    from accelerate import PartialState

    # Quantised weights cannot be moved afterwards: each process of several loads onto its own GPU.
    return {"quantization_config": config, "device_map": {"": PartialState().local_process_index}}


def _ready_for_four_bits(model: Any, way: Engine) -> Any:
    for layer in model.modules():
        # On a CPU with AVX512 in bfloat16 the first forward pass in eval mode repacks a layer's weights for good, and
        # nothing can be learned through them any more.
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
    return import_peft().prepare_model_for_kbit_training(
        model,
        use_gradient_checkpointing=way.device == "cuda",
        gradient_checkpointing_kwargs={"use_reentrant": False},
    )


# --- unsloth ---------------------------------------------------------------------------------------------------------


def _by_unsloth(base: Path, adapter_in: Path | None, recipe: SftRecipe | DpoRecipe, way: Engine) -> Any:
    import torch
    from transformers import AutoConfig
    from unsloth import FastLanguageModel

    # Longer rows are refused by name before training; a smaller number here would cut them without a word.
    config = AutoConfig.from_pretrained(base, local_files_only=True).get_text_config()
    longest = getattr(config, "max_position_embeddings", None) or _LONGEST
    named = _naming_its_base(adapter_in, base) if adapter_in else contextlib.nullcontext(base)
    with named as folder:
        model, _ = FastLanguageModel.from_pretrained(
            model_name=str(folder),
            max_seq_length=longest,
            dtype=getattr(torch, way.compute),
            load_in_4bit=way.precision == "nf4",
            load_in_16bit=way.precision != "nf4",
            use_gradient_checkpointing="unsloth" if way.device == "cuda" else False,
            use_exact_model_name=True,
            fix_tokenizer=False,
            local_files_only=True,
            random_state=recipe.seed,
        )
    if adapter_in is not None:
        model.peft_config["default"].base_model_name_or_path = str(base)
        return model
    return FastLanguageModel.get_peft_model(
        model,
        **_shape(recipe) | {"target_modules": _named_layers(model, recipe)},
        bias="none",
        use_gradient_checkpointing="unsloth" if way.device == "cuda" else False,
        random_state=recipe.seed,
    )


def _named_layers(model: Any, recipe: SftRecipe | DpoRecipe) -> list[str]:
    """Layers by name: of a word for all of them, versions of Unsloth take each letter for a layer."""
    if not isinstance(recipe.lora.target_modules, str):
        return list(recipe.lora.target_modules)
    from torch.nn import Linear

    last = model.get_output_embeddings()
    found = ((name, layer) for name, layer in model.named_modules() if isinstance(layer, Linear) and layer is not last)
    return sorted({name.rpartition(".")[2] for name, _ in found})


@contextlib.contextmanager
def _naming_its_base(adapter: Path, base: Path) -> Iterator[Path]:
    """A copy of the adapter that names where its base lies: Unsloth loads the two together, by that name."""
    with tempfile.TemporaryDirectory(prefix="kt-adapter-") as folder:
        copy = Path(folder) / "adapter"
        shutil.copytree(adapter, copy)
        named = config_of(adapter) | {"base_model_name_or_path": str(base.resolve())}
        (copy / CONFIG).write_text(json.dumps(named), encoding="utf-8")
        yield copy
