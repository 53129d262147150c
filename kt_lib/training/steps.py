"""The steps of a training as they are taken: watched, timed, and ended with the remedy where they cannot go on."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kt_lib.errors import KtError
from kt_lib.recipes import DpoRecipe, SftRecipe
from kt_lib.records import Record
from kt_lib.training.memory import PeakMemory, remedies

OnStep = Callable[[int, int, float], None]
"""Called after every optimiser step with (steps done, steps in all, loss)."""

_NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")
"""How torch's allocators put it where they raise a plain RuntimeError."""


class Trained(Record):
    """What a training was."""

    steps: int
    """Optimiser steps."""
    seconds: float
    """Wall seconds."""
    tokens: int
    """Tokens trained on."""
    losses: tuple[tuple[int, float], ...]
    """(step, loss)."""
    peak_mb: float
    """Most memory beyond what was held before the model was loaded."""


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
    trainer.add_callback(_watch(recipe, on_step))
    if checkpoint and (checkpoint / "ref").is_dir():
        # Of two adapters the engine loads the reference alone, and training would start over from it.
        trainer.model.load_adapter(str(checkpoint), "default", is_trainable=True)
    began = time.perf_counter()
    with memory_told(recipe, longest, lambda: f"at step {trainer.state.global_step + 1} of {trainer.state.max_steps}"):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    seconds = time.perf_counter() - began
    state = trainer.state
    losses = tuple((int(one["step"]), float(one["loss"])) for one in state.log_history if "loss" in one)
    return Trained(
        steps=state.global_step, seconds=seconds, tokens=_tokens(state), losses=losses, peak_mb=peak.megabytes()
    )


@contextlib.contextmanager
def memory_told(recipe: SftRecipe | DpoRecipe, longest: int, where: Callable[[], str]) -> Iterator[None]:
    """Where memory ends within it, a KtError with the batch, the length, the place and what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        said = str(error).lower()
        if not isinstance(error, MemoryError) and not any(words in said for words in _NO_MEMORY):
            raise
        rows = "rows" if isinstance(recipe, SftRecipe) else "pairs"
        raise KtError(
            f"out of memory {where()}, with batches of {recipe.per_device_train_batch_size} {rows} of up to"
            f" {longest} tokens: {remedies(recipe, longest)}"
        ) from error


def _watch(recipe: SftRecipe | DpoRecipe, on_step: OnStep | None) -> Any:
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.before = _tokens(state)

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
            if "loss" not in logs:
                return
            loss = float(logs["loss"])
            if not math.isfinite(loss) or not math.isfinite(float(logs.get("grad_norm", 0.0))):
                raise KtError(
                    f"the loss is {loss} at step {state.global_step} of {state.max_steps}: lower the learning rate"
                    f" (it is {recipe.learning_rate:g}; a third of it is a good next try)"
                )
            if "num_tokens" in logs:
                # The engine counts from 0 again after a checkpoint.
                state.log_history[-1]["num_tokens"] = logs["num_tokens"] + self.before
            if on_step and state.is_world_process_zero:
                on_step(state.global_step, state.max_steps, loss)

    return Watch()


def _tokens(state: Any) -> int:
    """TRL's count; where Unsloth computes the loss in its place, the trainer's own."""
    counted = ("num_tokens", "num_input_tokens_seen")
    return max((int(one.get(name, 0)) for one in state.log_history for name in counted), default=0)
