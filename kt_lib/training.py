"""Training: LoRA, SFT first and DPO after it, from rows to an adapter with its card.

With a folder for checkpoints a training that was killed goes on from where it was, to the same result.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kt_lib.checkpoints import Checkpoints
from kt_lib.columns import by_length, dataset, dpo_columns, sft_columns
from kt_lib.engines import Engine, engine, open_for_training, started
from kt_lib.engines import options as engine_options
from kt_lib.errors import KtError
from kt_lib.recipes import DpoRecipe, SftRecipe
from kt_lib.records import Adapter, PreferencePair, Record, SftRow
from kt_lib.weights import load_tokenizer, weights_digest

log = logging.getLogger(__name__)

OnStep = Callable[[int, int, float], None]
"""Called after every optimiser step with (steps done, steps in all, loss)."""


def train_sft(
    base: Path,
    rows: Sequence[SftRow],
    out: Path,
    recipe: SftRecipe,
    on_step: OnStep | None = None,
    checkpoints: Path | None = None,
) -> Adapter:
    """A LoRA adapter that answers as the last message of each row does; the loss is on that message alone.

    `base` is a folder of safetensors, tokenizer and chat template; the adapter and its card are written to `out`. The
    same rows, recipe and machine give the same weights, also where a training was killed and goes on from what it left
    in the folder `checkpoints` (every training finds its own there, and removes it at its end). KtError, with the
    remedy, for no rows, a row longer than the model reads, or a loss that is no number; NoLocalWeights and
    MissingPackage where the ground is missing.
    """
    if not rows:
        raise KtError("there are no rows to train on: see what 07_datasets left out and why, and raise `train_tasks`")
    way = engine(recipe)
    saved = Checkpoints(checkpoints, "sft", weights_digest(base), recipe, rows)
    with started(way), saved as scratch:
        from transformers import set_seed
        from trl import SFTConfig, SFTTrainer

        set_seed(recipe.seed)
        model = open_for_training(base, None, recipe, way)
        options = (
            _options(recipe, way)
            | saved.options(recipe, len(rows))
            | {"completion_only_loss": True, "train_sampling_strategy": "group_by_length"}
        )
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(output_dir=str(scratch), **options),
            train_dataset=dataset([sft_columns(row) for row in rows]),
            processing_class=load_tokenizer(base),
        )
        _refuse_long(trainer.train_dataset["input_ids"], model, [row.task_id for row in rows])
        trained = _run(trainer, recipe.learning_rate, saved.newest(), on_step)
        return _save("sft", base, trainer.model, out, recipe, len(rows), trained, way)


def train_dpo(
    base: Path,
    adapter_in: Path | None,
    pairs: Sequence[PreferencePair],
    out: Path,
    recipe: DpoRecipe,
    on_step: OnStep | None = None,
    checkpoints: Path | None = None,
) -> Adapter:
    """An adapter that prefers each pair's chosen answer to the rejected one, held to where it started.

    It goes on from `adapter_in` (whose frozen copy is the reference), or starts on the bare base. Same
    errors, and the same use of `checkpoints`, as `train_sft`.
    """
    if not pairs:
        raise KtError("there are no preference pairs to train on: set `dpo_epochs` to 0, or raise `max_pairs`")
    way = engine(recipe)
    start = weights_digest(adapter_in) if adapter_in else ""
    saved = Checkpoints(checkpoints, "dpo", weights_digest(base) + start, recipe, pairs)
    with started(way), saved as scratch:
        from transformers import set_seed
        from trl import DPOConfig, DPOTrainer

        set_seed(recipe.seed)
        model = open_for_training(base, adapter_in, recipe, way)
        options = _options(recipe, way) | saved.options(recipe, len(pairs)) | {"train_sampling_strategy": "sequential"}
        rows = by_length(pairs, recipe.per_device_train_batch_size, recipe.seed)
        trainer = DPOTrainer(
            model=model,
            args=DPOConfig(output_dir=str(scratch), **options),
            train_dataset=dataset([dpo_columns(pair) for pair in rows]),
            processing_class=load_tokenizer(base),
        )
        for side in ("chosen_ids", "rejected_ids"):
            sides = zip(trainer.train_dataset["prompt_ids"], trainer.train_dataset[side], strict=True)
            _refuse_long([prompt + answer for prompt, answer in sides], model, [pair.task_id for pair in rows])
        trained = _run(trainer, recipe.learning_rate, saved.newest(), on_step)
        name = "sft+dpo" if adapter_in else "dpo"
        return _save(name, base, trainer.model, out, recipe, len(pairs), trained, way)


# --- the engine ------------------------------------------------------------------------------------------------------


def _refuse_long(ids: Sequence[Sequence[int]], model: Any, names: Sequence[str]) -> None:
    most = getattr(model.config, "max_position_embeddings", None) or math.inf
    longest = max(range(len(ids)), key=lambda at: len(ids[at]))
    if len(ids[longest]) > most:
        raise KtError(
            f"the row of task {names[longest]} has {len(ids[longest])} tokens and the model reads {most}:"
            " leave it out, or shorten its conversation or its list of tools"
        )


def _options(recipe: SftRecipe | DpoRecipe, way: Engine) -> dict[str, Any]:
    """What both trainers are told."""
    return {
        **engine_options(way),
        **recipe.model_dump(exclude={"lora", "load_in_4bit", "max_length"}),
        "data_seed": recipe.seed,
        "max_length": recipe.max_length if getattr(recipe, "packing", False) else None,
        "report_to": "none",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
    }


class _Trained(Record):
    steps: int
    seconds: float
    tokens: int
    losses: tuple[tuple[int, float], ...]


def _run(trainer: Any, learning_rate: float, checkpoint: Path | None, on_step: OnStep | None) -> _Trained:
    """Trains, from a checkpoint on where there is one; a loss that is no number ends it at once."""
    from transformers import PrinterCallback, TrainerCallback

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
                    f" (it is {learning_rate:g}; a third of it is a good next try)"
                )
            if "num_tokens" in logs:
                # The engine counts from 0 again after a checkpoint.
                state.log_history[-1]["num_tokens"] = logs["num_tokens"] + self.before
            if on_step:
                on_step(state.global_step, state.max_steps, loss)

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Watch())
    if checkpoint and (checkpoint / "ref").is_dir():
        # Of two adapters the engine loads the reference alone, and training would start over from it.
        trainer.model.load_adapter(str(checkpoint), "default", is_trainable=True)
    began = time.perf_counter()
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    seconds = time.perf_counter() - began
    state = trainer.state
    losses = tuple((int(one["step"]), float(one["loss"])) for one in state.log_history if "loss" in one)
    return _Trained(steps=state.global_step, seconds=seconds, tokens=_tokens(state), losses=losses)


def _tokens(state: Any) -> int:
    return max((int(one.get("num_tokens", 0)) for one in state.log_history), default=0)


def _save(
    name: str,
    base: Path,
    model: Any,
    out: Path,
    recipe: SftRecipe | DpoRecipe,
    rows: int,
    trained: _Trained,
    way: Engine,
) -> Adapter:
    """Writes weights, configuration and card, none of which names a place on this machine."""
    out.mkdir(parents=True, exist_ok=True)
    model.peft_config["default"].base_model_name_or_path = base.name
    model.save_pretrained(str(out), selected_adapters=["default"], save_embedding_layers=False)
    adapter = Adapter(
        name=name,
        base=weights_digest(base),
        folder=out.name,
        digest=weights_digest(out),
        rows=rows,
        **trained.model_dump(),
    )
    (out / "README.md").write_text(card(adapter, recipe, way), encoding="utf-8")
    log.info(
        "%s: %d rows, %d steps, %.1f s, loss %.4f", name, rows, adapter.steps, adapter.seconds, adapter.losses[-1][1]
    )
    return adapter


def card(adapter: Adapter, recipe: SftRecipe | DpoRecipe, way: Engine) -> str:
    """The adapter's card in Markdown: what it is, from what, how it was trained, by which engine and why."""
    values = recipe.model_dump(exclude={"lora"}) | recipe.lora.model_dump()
    first, last = adapter.losses[0][1], adapter.losses[-1][1]
    lines = [
        "---",
        "library_name: peft",
        "pipeline_tag: text-generation",
        "---",
        f"# Adapter `{adapter.name}`",
        "",
        f"LoRA adapter for the base with digest `{adapter.base}`; its own digest is `{adapter.digest}`.",
        "",
        f"- Engine: {way.reason}",
        f"- Trained on: {adapter.rows:,} rows, {adapter.tokens:,} tokens seen, {adapter.steps} optimiser steps",
        f"- Took: {adapter.seconds:.1f} s",
        f"- Loss: {first:.4f} at the first step, {last:.4f} at the last",
        *(f"- `{key}`: {value}" for key, value in values.items()),
    ]
    return "\n".join(lines) + "\n"
