"""Memory of a training: estimated from the base's config.json before it starts, measured while it runs.

Everything is in MB of 2^20 bytes. What it is made of, and where the numbers come from:

- Weights: bytes of a parameter times their number. In four bits (NF4, its scales quantised too) a linear layer takes
  (4 + 0.127) / 8 bytes a parameter (Dettmers et al. 2023, QLoRA); what is no linear layer, and the last one, keep
  float32, for PEFT casts them so, or the computing type by Unsloth.
- Adapter: r x (in + out) parameters for each layer that gets one, and as much again for their gradients; preference
  training holds a frozen copy as its reference.
- Optimiser: AdamW's two numbers for each of them, in the adapter's own type, or in 8 bits (2 bytes, Dettmers et al.
  2022).
- Activations: what the backward pass needs, counted for one token of one Llama-like layer after Korthikanti et al.
  2022 (Reducing Activation Recomputation), for frozen weights with adapters: 4 hidden states (both norms' inputs and
  outputs), 5 of attention (queries, keys, values, output, its copy), 4 of the feed-forward part, and each adapter's
  inner values; that is what torch's hooks on saved tensors count too. Rows of unlike length need a mask of length x
  length in every layer. Recomputing leaves one hidden state a layer, and one layer whole. On top stands the loss:
  TRL's SFT takes the logits 256 tokens at a time, its DPO holds them all, three times over in float32.
- On a CPU the C library keeps what was freed, in pieces that fit nothing else: activations are taken times 1.8. Held
  against the peak of real trainings (`tests/test_memory.py` repeats two of them) it was 1.4 to 2.3 times.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
from pathlib import Path
from typing import Any, NamedTuple

from kt_lib.errors import ArtifactError, KtError
from kt_lib.recipes import DpoRecipe, Lora, SftRecipe
from kt_lib.records import Record
from kt_lib.training.engines import Engine, options

log = logging.getLogger(__name__)

_MB = 2**20
_NF4 = (4 + 0.127) / 8
_CHUNK = 256
"""Tokens whose logits TRL's SFT loss takes at once."""
_HEAP = 1.8
"""How much more than its tensors a CPU training holds, by what was measured."""
_EVERY = 0.01
"""Seconds between two looks at the memory of this process."""


class Estimate(Record):
    """What a training is expected to hold at its peak, beyond what the process held before."""

    weights_mb: float
    """The frozen base."""
    adapter_mb: float
    """The adapter, its gradients, and for preferences its frozen copy."""
    optimiser_mb: float
    """AdamW's state."""
    activations_mb: float
    """What the backward pass of the longest batch needs, with the loss."""
    total_mb: float
    """All of it."""
    formula: str
    """How it was reckoned, in words with the numbers put in."""


class _Sizes(NamedTuple):
    """Numbers of parameters."""

    linear: int
    """In linear layers but the last: what four bits are for."""
    other: int
    """In embeddings, norms, biases and the last layer."""
    adapter: int
    """In the adapter."""
    adapted: int
    """Layers that get an adapter."""
    largest: int
    """In the largest linear layer."""


def estimate(base: Path, recipe: SftRecipe | DpoRecipe, longest: int, way: Engine) -> Estimate:
    """What training the base in this folder by this recipe will hold, from its config.json alone.

    `longest` is the longest row in tokens; with packing every row is `max_length` long. ArtifactError without a
    config.json of a layout that transformers knows. See the module for the formula.
    """
    config, sizes = _read(base, recipe.lora)
    four, number = way.precision == "nf4", _bytes(way.compute)
    unsloth = way.name == "unsloth"
    weights = sizes.linear * (_NF4 if four else _bytes(way.precision))
    weights += sizes.other * (_bytes("float32") if four and not unsloth else number)
    # TRL casts the adapters of a quantised base to bfloat16; PEFT keeps any other in float32.
    each = 2 if four and not unsloth else 4
    preferences = isinstance(recipe, DpoRecipe)
    adapter = sizes.adapter * each * (3 if preferences else 2)
    optimiser = sizes.adapter * (2 if "8bit" in options(way, recipe)["optim"] else 2 * each)
    length = recipe.max_length if isinstance(recipe, SftRecipe) and recipe.packing and recipe.max_length else longest
    rows = recipe.per_device_train_batch_size * (2 if preferences else 1)
    recomputed = bool(options(way, recipe)["gradient_checkpointing"])
    activations = _activations(config, sizes, recipe, rows * length, number, recomputed)
    activations += _masks(config, recipe, rows, length, number, recomputed)
    activations *= _HEAP if way.device == "cpu" else 1
    activations += _loss(config, rows * length, number, preferences)
    if four:
        # A layer is unpacked for each product.
        activations += sizes.largest * number
    total = weights + adapter + optimiser + activations
    numbers = f"{_millions(sizes.linear)} in nf4 and {_millions(sizes.other)}" if four else ""
    return Estimate(
        weights_mb=weights / _MB,
        adapter_mb=adapter / _MB,
        optimiser_mb=optimiser / _MB,
        activations_mb=activations / _MB,
        total_mb=total / _MB,
        formula=(
            f"{numbers or _millions(sizes.linear + sizes.other)} parameters of the base,"
            f" {_millions(sizes.adapter)} of the adapter on {sizes.adapted} layers,"
            f" {rows} x {length} tokens at once in {way.compute}{', recomputed layer by layer' if recomputed else ''}"
        ),
    )


def remedies(recipe: SftRecipe | DpoRecipe, longest: int) -> str:
    """What makes a training smaller, in words, the cheapest first."""
    batch, steps = recipe.per_device_train_batch_size, recipe.gradient_accumulation_steps
    rows = "rows" if isinstance(recipe, SftRecipe) else "pairs"
    ways = []
    if batch > 1:
        ways.append(
            f"set `per_device_train_batch_size` to {math.ceil(batch / 2)} and `gradient_accumulation_steps` to"
            f" {steps * 2} (as many {rows} a step)"
        )
    ways.append(f"set aside the longest {rows} by a `max_length` below {longest}")
    if not recipe.load_in_4bit:
        ways.append("set `load_in_4bit` to true")
    return ", or ".join(ways)


def check_room(told: Estimate, recipe: SftRecipe | DpoRecipe, longest: int, way: Engine) -> None:
    """KtError where not even weights, adapter and optimiser fit; a warning where the whole estimate does not."""
    free = room_mb(way)
    where = "on the GPU" if way.device == "cuda" else "in memory"
    sure = told.total_mb - told.activations_mb
    if sure > free:
        smaller = "a smaller base" if recipe.load_in_4bit else "`load_in_4bit: true` or a smaller base"
        raise KtError(
            f"weights, adapter and optimiser alone take {sure:,.0f} MB, and {free:,.0f} MB are free {where}:"
            f" take {smaller}, or a larger machine"
        )
    if told.total_mb > free:
        log.warning(
            "training may need %s MB, and %s MB are free %s; if it ends for want of memory: %s",
            f"{told.total_mb:,.0f}",
            f"{free:,.0f}",
            where,
            remedies(recipe, longest),
        )


def room_mb(way: Engine) -> float:
    """Memory that is free where this engine trains; on a CPU no more than the container may take."""
    if way.device == "cuda":
        import torch

        return float(torch.cuda.mem_get_info()[0]) / _MB
    import psutil

    free = float(psutil.virtual_memory().available)
    folder = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):
        # `max` where there is no bound, which is no number.
        bound = int((folder / "memory.max").read_text()) - int((folder / "memory.current").read_text())
        free = min(free, float(bound))
    return free / _MB


_BEFORE: dict[int, float] = {}
"""Bytes that this process held before its first training."""


class PeakMemory:
    """The most memory held since it was made, beyond what the process held before its first training.

    Call `megabytes` once, at the end.
    """

    def __init__(self, way: Engine) -> None:
        import psutil

        self._gpu = way.device == "cuda"
        self._ended = threading.Event()
        if self._gpu:
            import torch

            torch.cuda.reset_peak_memory_stats()
            self._before = self._most = float(torch.cuda.memory_allocated())
            return
        self._process = psutil.Process()
        self._most = float(self._process.memory_info().rss)
        # A second training in one process is given the memory that the first one let go of.
        self._before = _BEFORE.setdefault(os.getpid(), self._most)
        self._watcher = threading.Thread(target=self._watch, name="kt-peak-memory", daemon=True)
        self._watcher.start()

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY):
            self._most = max(self._most, float(self._process.memory_info().rss))

    def megabytes(self) -> float:
        """The peak beyond the beginning."""
        if self._gpu:
            import torch

            self._most = float(torch.cuda.max_memory_allocated())
        else:
            self._most = max(self._most, float(self._process.memory_info().rss))
        return round((self._most - self._before) / _MB, 1)

    def __enter__(self) -> PeakMemory:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()


# --- the base, without its weights -----------------------------------------------------------------------------------


def _read(base: Path, lora: Lora) -> tuple[Any, _Sizes]:
    """The base's configuration, and its sizes by a model of that shape without numbers in it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(base, local_files_only=True)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{base} has no config.json that transformers can read ({error})") from error
    last = model.get_output_embeddings()
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not last
    }
    wanted = [one for name, one in layers.items() if _adapted(name, lora)]
    linear = sum(one.weight.numel() for one in layers.values())
    return config.get_text_config(), _Sizes(
        linear=linear,
        other=sum(one.numel() for one in model.parameters()) - linear,
        adapter=sum(lora.r * (one.in_features + one.out_features) for one in wanted),
        adapted=len(wanted),
        largest=max(one.weight.numel() for one in layers.values()),
    )


def _adapted(name: str, lora: Lora) -> bool:
    return lora.target_modules == "all-linear" or name.rpartition(".")[2] in lora.target_modules


def _activations(
    config: Any, sizes: _Sizes, recipe: SftRecipe | DpoRecipe, tokens: int, number: int, recomputed: bool
) -> float:
    hidden, layers = config.hidden_size, config.num_hidden_layers
    heads = config.num_attention_heads
    attention = heads * (getattr(config, "head_dim", None) or hidden // heads)
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    adapters = recipe.lora.r * sizes.adapted / layers
    layer = 4 * hidden + 5 * attention + 4 * inner + adapters
    # Norms are taken in float32: where the rest is not, both norms' inputs are held once more.
    per_token = layer * number + (2 * hidden * 4 if number < 4 else 0)
    # Going backward through one layer holds the gradients of its widest values.
    backward = 3 * inner * number
    if recomputed:
        return float(tokens * (layers * hidden * number + per_token + backward))
    return float(tokens * (layers * per_token + backward))


def _masks(config: Any, recipe: SftRecipe | DpoRecipe, rows: int, length: int, number: int, recomputed: bool) -> float:
    """Masks of rows side by side; packed, they are one long row."""
    packed = isinstance(recipe, SftRecipe) and recipe.packing
    places = (rows * length) ** 2 if packed else rows * length**2
    return float(places * number * (1 if recomputed else config.num_hidden_layers))


def _loss(config: Any, tokens: int, number: int, preferences: bool) -> float:
    if preferences:
        return float(tokens * config.vocab_size * (3 * 4 + (number if number < 4 else 0)))
    return float(min(_CHUNK, tokens) * config.vocab_size * 4 * 4)


def _millions(count: int) -> str:
    return f"{count / 1e6:,.{0 if count >= 100e6 else 1 if count >= 1e6 else 2}f} M"


def _bytes(type_: str) -> int:
    return 4 if type_ == "float32" else 2
