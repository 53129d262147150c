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
import ctypes
import gc
import logging
import math
import threading
from pathlib import Path
from typing import Any, NamedTuple

from kt_lib.errors import KtError
from kt_lib.recipes import DpoRecipe, SftRecipe
from kt_lib.records import Record
from kt_lib.training.engines import Engine, options, packed_to
from kt_lib.training.layers import adapted, layers

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


def estimate(
    base: Path, recipe: SftRecipe | DpoRecipe, longest: int, way: Engine, *, unpaired: bool = False
) -> Estimate:
    """What training the base in this folder by this recipe will hold, from its config.json alone.

    `longest` is the longest row in tokens; where rows are packed, every row is `max_length` long. `unpaired` says that
    preferences are learned from answers judged by themselves. ArtifactError without a config.json of a layout that
    transformers knows, ParameterError for layers that are not there. See the module for the formula.
    """
    shape, told = layers(base), options(way, recipe)
    wanted = [shape.linear[name] for name in adapted(shape, recipe.lora)]
    linear = [one * other for one, other in shape.linear.values()]
    adapter = recipe.lora.r * sum(map(sum, wanted))
    preferences, four = isinstance(recipe, DpoRecipe), way.precision == "nf4"
    by_peft = four and way.name != "unsloth"
    number = _bytes(way.compute)
    # TRL casts the adapters of a quantised base to bfloat16; PEFT keeps any other in float32.
    each = 2 if by_peft else 4
    batch = _batch(recipe, way, longest, unpaired)
    recomputed = bool(told["gradient_checkpointing"])
    activations = _activations(shape.config, recipe.lora.r * len(wanted), batch, number, recomputed)
    activations *= _HEAP if way.device == "cpu" else 1
    weights = sum(linear) * (_NF4 if four else _bytes(way.precision))
    parts = {
        "weights_mb": weights + shape.other * (4 if by_peft else number),
        "adapter_mb": adapter * each * (3 if preferences else 2),
        "optimiser_mb": adapter * (2 if "8bit" in told["optim"] else 2 * each),
        # In four bits a layer is unpacked for each product.
        "activations_mb": activations + _loss(shape.config, batch, number, preferences) + four * max(linear) * number,
    }
    parts = {name: held / _MB for name, held in parts.items()}
    numbers = f"{_millions(sum(linear))} in nf4 and {_millions(shape.other)}" if four else ""
    formula = (
        f"{numbers or _millions(sum(linear) + shape.other)} parameters of the base,"
        f" {_millions(adapter)} of the adapter on {len(wanted)} layers,"
        f" {batch.rows} x {batch.length} tokens at once in {way.compute}"
        f"{', recomputed layer by layer' if recomputed else ''}"
    )
    return Estimate(**parts, total_mb=sum(parts.values()), formula=formula)


def remedies(recipe: SftRecipe | DpoRecipe, longest: int) -> str:
    """What makes a training smaller, in words, the cheapest first."""
    batch, steps = recipe.per_device_train_batch_size, recipe.gradient_accumulation_steps
    ways = []
    if batch > 1:
        ways.append(
            f"set `per_device_train_batch_size` to {math.ceil(batch / 2)} and `gradient_accumulation_steps` to"
            f" {steps * 2} (as many rows a step)"
        )
    ways.append(f"set aside the longest rows by a `max_length` below {longest}")
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


class PeakMemory:
    """The most memory held since it was made, beyond what was held then; watched as long as it is entered.

    What an earlier training in this process let go of is given back to the system before, so that each training
    stands for itself. Where the C library cannot do that (another one than glibc) a later training seems to need less.
    """

    def __init__(self, way: Engine) -> None:
        import psutil

        self._gpu = way.device == "cuda"
        self._ended = threading.Event()
        self._process = psutil.Process()
        self._watcher = threading.Thread(target=self._watch, name="kt-peak-memory", daemon=True)
        _give_back()
        if self._gpu:
            import torch

            torch.cuda.reset_peak_memory_stats()
        self._before = self._most = self._held()

    def _held(self) -> float:
        """Bytes held now; on a GPU the most that were."""
        if self._gpu:
            import torch

            return float(torch.cuda.max_memory_allocated())
        return float(self._process.memory_info().rss)

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY):
            self._most = max(self._most, self._held())

    def megabytes(self) -> float:
        """The peak up to now beyond the beginning."""
        self._most = max(self._most, self._held())
        return round((self._most - self._before) / _MB, 1)

    def __enter__(self) -> PeakMemory:
        if not self._gpu:
            self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()


def _give_back() -> None:
    """Gives the memory that nobody holds any more back to the system."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


# --- its parts --------------------------------------------------------------------------------------------------------


class _Batch(NamedTuple):
    """What is read at once."""

    rows: int
    """Rows; of a pair, both answers."""
    length: int
    """Tokens of each."""
    packed: bool
    """Whether they are one after another, as one long row."""

    def tokens(self) -> int:
        return self.rows * self.length


def _batch(recipe: SftRecipe | DpoRecipe, way: Engine, longest: int, unpaired: bool) -> _Batch:
    answers = 2 if isinstance(recipe, DpoRecipe) and not unpaired else 1
    packed = packed_to(recipe, way)
    return _Batch(recipe.per_device_train_batch_size * answers, packed or longest, bool(packed))


def _activations(config: Any, inside: int, batch: _Batch, number: int, recomputed: bool) -> float:
    """Bytes that the backward pass needs, the loss left out; `inside` are the adapters' inner values of one token."""
    hidden, depth = config.hidden_size, config.num_hidden_layers
    heads = config.num_attention_heads
    attention = heads * (getattr(config, "head_dim", None) or hidden // heads)
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    layer = 4 * hidden + 5 * attention + 4 * inner + inside / depth
    # Norms are taken in float32: where the rest is not, both norms' inputs are held once more.
    per_token = layer * number + (2 * hidden * 4 if number < 4 else 0)
    # Going backward through one layer holds the gradients of its widest values.
    backward = 3 * inner * number
    every = depth * hidden * number + per_token if recomputed else depth * per_token
    places = batch.tokens() ** 2 if batch.packed else batch.rows * batch.length**2
    masks = places * number * (1 if recomputed else depth)
    return float(batch.tokens() * (every + backward) + masks)


def _loss(config: Any, batch: _Batch, number: int, preferences: bool) -> float:
    if preferences:
        return float(batch.tokens() * config.vocab_size * (3 * 4 + (number if number < 4 else 0)))
    return float(min(_CHUNK, batch.tokens()) * config.vocab_size * 4 * 4)


def _millions(count: int) -> str:
    return f"{count / 1e6:,.{0 if count >= 100e6 else 1 if count >= 1e6 else 2}f} M"


def _bytes(type_: str) -> int:
    return 4 if type_ == "float32" else 2
