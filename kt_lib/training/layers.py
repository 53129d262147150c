"""The layers of a base, known from its config.json alone by a model of that shape without numbers in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from kt_lib.errors import ArtifactError, ParameterError
from kt_lib.recipes import Lora


class Layers(NamedTuple):
    """What a base is built of."""

    config: Any
    """Its configuration, that of the part that reads text."""
    linear: dict[str, tuple[int, int]]
    """The two widths of each linear layer but the last, by its name."""
    other: int
    """Numbers elsewhere: in embeddings, norms, biases and the last layer."""


def layers(base: Path) -> Layers:
    """The layers of the base in this folder; ArtifactError without a config.json of a layout transformers knows."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.pytorch_utils import Conv1D

    try:
        config = AutoConfig.from_pretrained(base, local_files_only=True)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{base} has no config.json that transformers can read ({error})") from error
    last = model.get_output_embeddings()
    linear = {
        name: (module.weight.shape[0], module.weight.shape[1])
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not last
    }
    numbers = sum(one.numel() for one in model.parameters()) - sum(one * other for one, other in linear.values())
    return Layers(config=config.get_text_config(), linear=linear, other=numbers)


def adapted(of: Layers, lora: Lora) -> list[str]:
    """Names of the layers that get an adapter.

    ParameterError, with the names there are, where one of `target_modules` is no end of a linear layer's name.
    """
    if lora.target_modules == "all-linear":
        return list(of.linear)
    ends = {wanted: [name for name in of.linear if f".{name}".endswith(f".{wanted}")] for wanted in lora.target_modules}
    unknown = [wanted for wanted, found in ends.items() if not found]
    if unknown:
        known = ", ".join(sorted({name.rpartition(".")[2] for name in of.linear}))
        raise ParameterError(
            f"`target_modules` of the recipe names {', '.join(unknown)}, and no linear layer of the model is called so:"
            f" there are {known}, or `all-linear` for all of them"
        )
    return [name for name in of.linear if any(name in found for found in ends.values())]
