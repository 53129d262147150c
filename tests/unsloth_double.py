"""A double of Unsloth's front door, written by hand: a model by PEFT behind the same calls, and a strict porter.

It stands in for the package where none is installed, and for the kernels alone, which need a GPU, where it is.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TOO_EARLY = [name for name in ("trl", "transformers", "peft") if name in sys.modules]
"""What Unsloth had to come before, and did not."""


class FastLanguageModel:
    """The two calls that open a model for training."""

    @staticmethod
    def from_pretrained(
        model_name: str,
        max_seq_length: int,
        dtype: Any,
        load_in_4bit: bool,
        load_in_16bit: bool,
        use_gradient_checkpointing: Any,
        use_exact_model_name: bool,
        fix_tokenizer: bool,
        local_files_only: bool,
        random_state: int,
    ) -> tuple[Any, None]:
        """A base, or the adapter in the folder on the base that it names."""
        from kt_lib.weights import load, put_adapter

        assert local_files_only
        assert load_in_4bit != load_in_16bit
        folder = Path(model_name)
        named = folder / "adapter_config.json"
        base = Path(json.loads(named.read_text())["base_model_name_or_path"]) if named.is_file() else folder
        model = load(base)
        return _marked(
            put_adapter(model, base, folder, trainable=True) if base != folder else model, max_seq_length
        ), None

    @staticmethod
    def get_peft_model(model: Any, bias: str, use_gradient_checkpointing: Any, random_state: int, **shape: Any) -> Any:
        """The model with a new adapter on it."""
        import peft

        assert isinstance(shape["target_modules"], list), "each letter of a word is taken for a layer"
        config = peft.LoraConfig(**shape, bias=bias, task_type="CAUSAL_LM")
        return _marked(peft.get_peft_model(model, config), model.max_seq_length)


def _marked(model: Any, longest: int) -> Any:
    """With what Unsloth's trainers ask a model for."""
    model.max_seq_length, model._unsloth_gradient_checkpointing = longest, False
    model.for_training = lambda use_gradient_checkpointing=None: model.train()
    model.for_inference = lambda: model.eval()
    return model


def put_into(folder: Path) -> Path:
    """A folder for PYTHONPATH in which this is the package `unsloth`, installed."""
    about = folder / "unsloth-2026.10.9.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: unsloth\nVersion: 2026.10.9\n")
    (folder / "unsloth").mkdir()
    porter = "\nif TOO_EARLY:\n    raise ImportError(f'{TOO_EARLY} came before Unsloth')\n"
    (folder / "unsloth" / "__init__.py").write_text(Path(__file__).read_text() + porter)
    return folder
