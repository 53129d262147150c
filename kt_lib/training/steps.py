"""The steps of a training as they are taken: watched, timed, and ended with the remedy where they cannot go on."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from kt_lib.errors import KtError
from kt_lib.recipes import DpoRecipe, SftRecipe
from kt_lib.records import Record
from kt_lib.training.memory import PeakMemory, remedies

log = logging.getLogger(__name__)

OnStep = Callable[[int, int, float], None]
"""Called after every optimiser step with (steps done, steps in all, loss)."""

_NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")
"""How torch's allocators put it where they raise a plain RuntimeError."""

_RISEN, _CLEARLY = 1.5, 0.1
"""A loss this many times the first, and this much above it, over the last quarter of the steps is no unlucky batch."""

_COUNTED = ("num_tokens", "num_input_tokens_seen")
"""Tokens by TRL's count; where Unsloth computes the loss in its place, by the trainer's own."""


class Trained(Record):
    """What a training was, also where it was killed and went on: what was lost at the kill is not counted."""

    steps: int
    """Optimiser steps."""
    seconds: float
    """Wall seconds of all of them."""
    tokens: int
    """Tokens trained on."""
    losses: tuple[tuple[int, float], ...]
    """(step, loss)."""
    peak_mb: float
    """Most memory beyond what was held before the model was loaded, in whichever process that was."""


def run(
    trainer: Any,
    recipe: SftRecipe | DpoRecipe,
    longest: int,
    checkpoint: Path | None,
    on_step: OnStep | None,
    peak: PeakMemory,
) -> Trained:
    """Trains, from a checkpoint on where there is one; a loss that is no number ends it at once.

    `longest` is the longest row in tokens. KtError with the remedy for such a loss and where memory ends.
    """
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_watch(recipe, on_step, peak))
    if checkpoint and (checkpoint / "ref").is_dir():
        # Of two adapters the engine loads the reference alone, and training would start over from it.
        trainer.model.load_adapter(str(checkpoint), "default", is_trainable=True)
    if checkpoint:
        _read_on_a_numbered_cpu()
    with memory_told(recipe, longest, lambda: f"at step {trainer.state.global_step + 1} of {trainer.state.max_steps}"):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    state = trainer.state
    trained = Trained(
        steps=state.global_step,
        seconds=_most(state, "seconds"),
        tokens=int(_most(state, *_COUNTED)),
        losses=tuple((int(one["step"]), float(one["loss"])) for one in state.log_history if "loss" in one),
        peak_mb=_most(state, "peak_mb"),
    )
    if told := risen(trained.losses):
        log.warning("%s (it is %g)", told, recipe.learning_rate)
    return trained


def risen(losses: Sequence[tuple[int, float]]) -> str:
    """In words, with the remedy, that the loss ended well above the first one; empty where it did not."""
    first, last = losses[0][1], mean(loss for _, loss in losses[-max(1, len(losses) // 4) :])
    if first <= 0 or last < max(first * _RISEN, first + _CLEARLY):
        return ""
    return (
        f"the loss rose from {first:.4g} to {last:.4g} in the mean of the last quarter of the steps: nothing good was"
        " learned; lower the learning rate"
    )


@functools.cache
def _read_on_a_numbered_cpu() -> None:
    """Several processes on a CPU read a checkpoint for the device `cpu:0`, which torch knows as `cpu` alone."""
    from torch.serialization import register_package

    register_package(100, lambda held: None, lambda held, place: held if place.startswith("cpu:") else None)


@contextlib.contextmanager
def memory_told(recipe: SftRecipe | DpoRecipe, longest: int, where: Callable[[], str]) -> Iterator[None]:
    """Where memory ends within it, a KtError with the batch, the length, the place and what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _of_memory(error):
            raise
        raise KtError(
            f"out of memory {where()}, with batches of {recipe.per_device_train_batch_size} rows of up to"
            f" {longest} tokens: {remedies(recipe, longest)}"
        ) from error


def _of_memory(error: RuntimeError | MemoryError) -> bool:
    import torch

    said = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in said for words in _NO_MEMORY)


def _watch(recipe: SftRecipe | DpoRecipe, on_step: OnStep | None, peak: PeakMemory) -> Any:
    """Looks at every step; what it adds to the engine's log lies in every checkpoint, and is there after a kill."""
    from transformers import TrainerCallback, set_seed

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.began = time.perf_counter() - _most(state, "seconds")
            self.tokens, self.peak_mb = _most(state, *_COUNTED), _most(state, "peak_mb")

        def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            # The engine draws the order of an epoch's rows from torch's own generator, and sets that generator back
            # only after the first rows of a resumed epoch. Each epoch has a seed, the same in every process.
            set_seed(_seed_of(recipe, int(state.epoch or 0)))

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.epoch == int(state.epoch):
                # From a checkpoint between two epochs the generator is set back before the rows are drawn.
                set_seed(_seed_of(recipe, int(state.epoch)))

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
            told = state.log_history[-1]
            told["seconds"] = time.perf_counter() - self.began
            told["peak_mb"] = max(self.peak_mb, peak.megabytes())
            if "num_tokens" in logs:
                # The engine counts from 0 again after a checkpoint.
                told["num_tokens"] = logs["num_tokens"] + self.tokens
            if "loss" not in logs:
                return
            # In float16 the engine leaves out a step whose gradient is none, and scales the next one otherwise.
            looked_at = ("loss",) if args.fp16 else ("loss", "grad_norm")
            for name in looked_at:
                _refuse_no_number(name, logs, f"at step {state.global_step} of {state.max_steps}", recipe)
            if on_step and state.is_world_process_zero:
                on_step(state.global_step, state.max_steps, float(logs["loss"]))

    return Watch()


def _seed_of(recipe: SftRecipe | DpoRecipe, epoch: int) -> int:
    # A wide stride: the second epoch under one seed is not the first under the next. numpy takes 32 bits.
    return (recipe.seed + 1_000_003 * epoch) % 2**32


def _refuse_no_number(name: str, logs: dict[str, float], where: str, recipe: SftRecipe | DpoRecipe) -> None:
    value = float(logs.get(name, 0.0))
    if not math.isfinite(value):
        what = "gradient" if name == "grad_norm" else name
        raise KtError(
            f"the {what} is {value} {where}: lower the learning rate (it is {recipe.learning_rate:g}; a third of it is"
            " a good next try), and where that does not help look for broken numbers in the base's weights"
        )


def _most(state: Any, *names: str) -> float:
    """The highest value under these names in the engine's log; 0 where it has none."""
    return max((float(one.get(name, 0)) for one in state.log_history for name in names), default=0.0)
