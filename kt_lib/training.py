"""Training: LoRA by TRL and PEFT, SFT first and DPO after it, from rows to an adapter with its card."""

from __future__ import annotations

import logging
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kt_lib.columns import by_length, dataset, dpo_columns, sft_columns
from kt_lib.errors import KtError, MissingPackage
from kt_lib.records import Adapter, PreferencePair, Record, SftRow
from kt_lib.weights import import_peft, load, load_tokenizer, quiet, weights_digest

log = logging.getLogger(__name__)

OnStep = Callable[[int, int, float], None]
"""Called after every optimiser step with (steps done, steps in all, loss)."""


class Lora(Record):
    """The adapter's shape, under PEFT's names."""

    r: int = 16
    """Rank."""
    lora_alpha: int = 32
    """Scale; the update is multiplied by `lora_alpha / r`."""


class SftRecipe(Record):
    """Supervised fine-tuning, under the engine's names."""

    num_train_epochs: int
    """Passes over the rows."""
    learning_rate: float
    """Peak learning rate of AdamW."""
    per_device_train_batch_size: int
    """Rows per optimiser step."""
    seed: int
    """Seed of the adapter's first weights and of the order of rows."""
    lora: Lora = Lora()
    """The adapter."""
    lr_scheduler_type: str = "cosine"
    """Shape of the learning rate."""
    warmup_steps: int = 5
    """Steps of linear warm-up."""


class DpoRecipe(Record):
    """Direct preference optimisation, under the engine's names."""

    num_train_epochs: int
    """Passes over the pairs."""
    learning_rate: float
    """Peak learning rate of AdamW."""
    beta: float
    """How closely the policy is held to the reference."""
    seed: int
    """Seed of the order of pairs, and of the adapter's first weights where there was no SFT."""
    per_device_train_batch_size: int = 8
    """Pairs per optimiser step."""
    lora: Lora = Lora()
    """The adapter, where there was no SFT to go on from."""
    lr_scheduler_type: str = "cosine"
    """Shape of the learning rate."""
    warmup_steps: int = 3
    """Steps of linear warm-up."""


class Engine(Record):
    """Which way training goes on this machine."""

    name: str
    """`trl+peft`."""
    device: str
    """`cpu` or `cuda`."""
    threads: int
    """Threads of a kernel on the CPU."""
    reason: str
    """Why this way, in words; the adapter's card says it."""


def engine() -> Engine:
    """The one place that says how this machine trains, and why.

    More than two threads do not help matrices of this size, and more threads than free cores are far slower.
    MissingPackage without the `train` extra.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingPackage("training needs torch, trl and peft: pip install -e '.[train]'") from error
    threads = min(2, torch.get_num_threads())
    if torch.cuda.is_available():
        card = torch.cuda.get_device_name(0)
        return Engine(name="trl+peft", device="cuda", threads=threads, reason=f"TRL and PEFT on {card} in bfloat16")
    reason = f"TRL and PEFT on the CPU in float32, {threads} thread(s): no NVIDIA GPU is there, and Unsloth needs one"
    return Engine(name="trl+peft", device="cpu", threads=threads, reason=reason)


def train_sft(
    base: Path, rows: Sequence[SftRow], out: Path, recipe: SftRecipe, on_step: OnStep | None = None
) -> Adapter:
    """A LoRA adapter that answers as the last message of each row does; the loss is on that message alone.

    `base` is a folder of safetensors, tokenizer and chat template; the adapter and its card are written to `out`. The
    same rows, recipe and machine give the same weights. KtError, with the remedy, for no rows, a row longer than the
    model reads, or a loss that is no number; NoLocalWeights and MissingPackage where the ground is missing.
    """
    if not rows:
        raise KtError("there are no rows to train on: see what 07_datasets left out and why, and raise `train_tasks`")
    way = engine()
    with quiet(way.threads, training=True), tempfile.TemporaryDirectory() as scratch:
        from transformers import set_seed
        from trl import SFTConfig, SFTTrainer

        set_seed(recipe.seed)
        model = load(base)
        options = _options(recipe, way) | {"completion_only_loss": True, "train_sampling_strategy": "group_by_length"}
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(output_dir=scratch, **options),
            train_dataset=dataset([sft_columns(row) for row in rows]),
            processing_class=load_tokenizer(base),
            peft_config=_lora_config(recipe.lora),
        )
        _refuse_long(trainer.train_dataset["input_ids"], model, [row.task_id for row in rows])
        trained = _run(trainer, recipe.learning_rate, on_step)
        return _save("sft", base, trainer.model, out, recipe, len(rows), trained, way)


def train_dpo(
    base: Path,
    adapter_in: Path | None,
    pairs: Sequence[PreferencePair],
    out: Path,
    recipe: DpoRecipe,
    on_step: OnStep | None = None,
) -> Adapter:
    """An adapter that prefers each pair's chosen answer to the rejected one, held to where it started.

    It goes on from `adapter_in` (whose frozen copy is the reference), or starts on the bare base. Same errors as
    `train_sft`.
    """
    if not pairs:
        raise KtError("there are no preference pairs to train on: set `dpo_epochs` to 0, or raise `max_pairs`")
    way = engine()
    with quiet(way.threads, training=True), tempfile.TemporaryDirectory() as scratch:
        from transformers import set_seed
        from trl import DPOConfig, DPOTrainer

        set_seed(recipe.seed)
        model = load(base, adapter_in, trainable=True)
        options = _options(recipe, way) | {"beta": recipe.beta, "train_sampling_strategy": "sequential"}
        rows = by_length(pairs, recipe.per_device_train_batch_size, recipe.seed)
        trainer = DPOTrainer(
            model=model,
            args=DPOConfig(output_dir=scratch, **options),
            train_dataset=dataset([dpo_columns(pair) for pair in rows]),
            processing_class=load_tokenizer(base),
            peft_config=None if adapter_in else _lora_config(recipe.lora),
        )
        for side in ("chosen_ids", "rejected_ids"):
            sides = zip(trainer.train_dataset["prompt_ids"], trainer.train_dataset[side], strict=True)
            _refuse_long([prompt + answer for prompt, answer in sides], model, [pair.task_id for pair in rows])
        trained = _run(trainer, recipe.learning_rate, on_step)
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
    """What both trainers are told; gradients are recomputed only where memory is dearer than time."""
    return {
        **recipe.model_dump(exclude={"lora", "beta"}),
        "data_seed": recipe.seed,
        "max_length": None,
        "gradient_checkpointing": way.device != "cpu",
        "use_cpu": way.device == "cpu",
        "bf16": way.device != "cpu",
        "dataloader_pin_memory": way.device != "cpu",
        "optim": "adamw_torch_fused",
        "save_strategy": "no",
        "report_to": "none",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
    }


def _lora_config(lora: Lora) -> Any:
    return import_peft().LoraConfig(**lora.model_dump(), target_modules="all-linear", task_type="CAUSAL_LM")


class _Trained(Record):
    steps: int
    seconds: float
    tokens: int
    losses: tuple[tuple[int, float], ...]


def _run(trainer: Any, learning_rate: float, on_step: OnStep | None) -> _Trained:
    """Trains, watching every step: a loss that is no number ends it at once."""
    from transformers import PrinterCallback, TrainerCallback

    losses: list[tuple[int, float]] = []
    tokens = 0

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
            nonlocal tokens
            if "loss" not in logs:
                return
            loss = float(logs["loss"])
            if not math.isfinite(loss) or not math.isfinite(float(logs.get("grad_norm", 0.0))):
                raise KtError(
                    f"the loss is {loss} at step {state.global_step} of {state.max_steps}: lower the learning rate"
                    f" (it is {learning_rate:g}; a third of it is a good next try)"
                )
            losses.append((state.global_step, loss))
            tokens = int(logs.get("num_tokens", tokens))
            if on_step:
                on_step(state.global_step, state.max_steps, loss)

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Watch())
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    return _Trained(steps=trainer.state.global_step, seconds=seconds, tokens=tokens, losses=tuple(losses))


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
        f"LoRA on all linear layers of the base with digest `{adapter.base}`; its own digest is `{adapter.digest}`.",
        "",
        f"- Engine: {way.reason}",
        f"- Trained on: {adapter.rows:,} rows, {adapter.tokens:,} tokens seen, {adapter.steps} optimiser steps",
        f"- Took: {adapter.seconds:.1f} s",
        f"- Loss: {first:.4f} at the first step, {last:.4f} at the last",
        *(f"- `{key}`: {value}" for key, value in values.items()),
    ]
    return "\n".join(lines) + "\n"
