"""Training: LoRA, SFT first and DPO after it, from rows to an adapter with its card.

With a folder for checkpoints a training that was killed goes on from where it was, to the same result.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from kt_lib.checkpoints import Checkpoints
from kt_lib.columns import Tokens, by_length, dpo_columns, pair_lengths, sft_columns, sft_tokens
from kt_lib.engines import Engine, engine
from kt_lib.engines import options as engine_options
from kt_lib.errors import KtError
from kt_lib.memory import Estimate, PeakMemory, check_room, estimate
from kt_lib.recipes import DpoRecipe, SftRecipe
from kt_lib.records import Adapter, PreferencePair, SftRow
from kt_lib.trainable import open_for_training, started
from kt_lib.training_steps import OnStep, Trained, memory_told, run
from kt_lib.weights import load_tokenizer, quiet, weights_digest

log = logging.getLogger(__name__)

AnyRow = TypeVar("AnyRow", SftRow, PreferencePair)


def train_sft(
    base: Path,
    rows: Sequence[SftRow],
    out: Path,
    recipe: SftRecipe,
    on_step: OnStep | None = None,
    checkpoints: Path | None = None,
) -> Adapter:
    """A LoRA adapter that answers as the rows do; the loss is on the answers that each row's `learn` names, alone.

    `base` is a folder of safetensors, tokenizer and chat template; the adapter and its card are written to `out`. The
    same rows, recipe and machine give the same weights, also where a training was killed and goes on from what it left
    in the folder `checkpoints` (every training finds its own there, and removes it at its end). KtError, with the
    remedy, for no rows, a row longer than the recipe or the model allows, too little memory, or a loss that is no
    number; NoLocalWeights and MissingPackage where the ground is missing.
    """
    if not rows:
        raise KtError("there are no rows to train on: see what 07_datasets left out and why, and raise `train_tasks`")
    way = engine(recipe)
    saved = Checkpoints(checkpoints, "sft", weights_digest(base), recipe, rows)
    with started(way), saved as scratch:
        from trl import SFTConfig, SFTTrainer

        tokens = sft_tokens(rows, load_tokenizer(base))
        plan = _plan(base, recipe, way, [len(one.input_ids) for one in tokens], rows)
        with PeakMemory(way) as peak, memory_told(recipe, plan.longest, lambda: "before the first step"):
            model = _opened(base, None, recipe, way)
            options = _options(recipe, way) | saved.options(recipe, len(rows))
            trainer = SFTTrainer(
                model=model,
                args=SFTConfig(output_dir=str(scratch), train_sampling_strategy="group_by_length", **options),
                train_dataset=sft_columns(tokens),
                processing_class=load_tokenizer(base),
            )
            trained = run(trainer, recipe, plan.longest, saved.newest(), on_step, peak)
        return _save("sft", base, trainer, out, recipe, plan, trained, _learned(tokens))


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
        from trl import DPOConfig, DPOTrainer

        plan = _plan(base, recipe, way, lengths(pairs, base), pairs)
        rows = by_length(pairs, recipe.per_device_train_batch_size, recipe.seed)
        with PeakMemory(way) as peak, memory_told(recipe, plan.longest, lambda: "before the first step"):
            model = _opened(base, adapter_in, recipe, way)
            options = _options(recipe, way) | saved.options(recipe, len(pairs))
            trainer = DPOTrainer(
                model=model,
                args=DPOConfig(output_dir=str(scratch), train_sampling_strategy="sequential", **options),
                train_dataset=dpo_columns(rows),
                processing_class=load_tokenizer(base),
            )
            trained = run(trainer, recipe, plan.longest, saved.newest(), on_step, peak)
        name = "sft+dpo" if adapter_in else "dpo"
        return _save(name, base, trainer, out, recipe, plan, trained, f"{len(pairs):,} chosen answers")


def fitting(rows: Sequence[AnyRow], base: Path, max_length: int | None = None) -> tuple[list[AnyRow], list[AnyRow]]:
    """Rows or pairs that `max_length`, and the model itself, has room for, and those that are too long."""
    with quiet():
        most = min(max_length or math.inf, _reads(base))
        sizes = lengths(rows, base)
    fits = [row for row, size in zip(rows, sizes, strict=True) if size <= most]
    return fits, [row for row, size in zip(rows, sizes, strict=True) if size > most]


def lengths(rows: Sequence[SftRow] | Sequence[PreferencePair], base: Path) -> list[int]:
    """Tokens of each row by the model's own template; of a pair, those of the prompt with the longer answer."""
    tokenizer = load_tokenizer(base)
    pairs = [row for row in rows if isinstance(row, PreferencePair)]
    if pairs:
        return [max(sides) for sides in pair_lengths(pairs, tokenizer)]
    return [len(one.input_ids) for one in sft_tokens([row for row in rows if isinstance(row, SftRow)], tokenizer)]


# --- before ----------------------------------------------------------------------------------------------------------


class _Plan(NamedTuple):
    way: Engine
    rows: int
    longest: int
    memory: Estimate


def _plan(
    base: Path,
    recipe: SftRecipe | DpoRecipe,
    way: Engine,
    sizes: Sequence[int],
    rows: Sequence[SftRow | PreferencePair],
) -> _Plan:
    """What is known before the weights are read; what cannot end well is refused here."""
    at = max(range(len(sizes)), key=lambda one: sizes[one])
    longest, reads = sizes[at], _reads(base)
    if longest > min(recipe.max_length or math.inf, reads):
        bound = f"the model reads {reads}" if longest > reads else f"the recipe's `max_length` is {recipe.max_length}"
        raise KtError(
            f"the row of task {rows[at].task_id} has {longest} tokens and {bound}:"
            " leave it out, or shorten its conversation or its list of tools"
        )
    told = estimate(base, recipe, longest, way)
    check_room(told, recipe, longest, way)
    return _Plan(way=way, rows=len(rows), longest=longest, memory=told)


def _reads(base: Path) -> float:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(base, local_files_only=True).get_text_config()
    return getattr(config, "max_position_embeddings", None) or math.inf


def _opened(base: Path, adapter_in: Path | None, recipe: SftRecipe | DpoRecipe, way: Engine) -> Any:
    from transformers import set_seed

    set_seed(recipe.seed)
    return open_for_training(base, adapter_in, recipe, way)


def _options(recipe: SftRecipe | DpoRecipe, way: Engine) -> dict[str, Any]:
    """What both trainers are told; rows are already whole in tokens, so only packing needs to know of a length."""
    return {
        **recipe.model_dump(exclude={"lora", "load_in_4bit", "max_length"}),
        **engine_options(way, recipe),
        "data_seed": recipe.seed,
        "max_length": recipe.max_length if isinstance(recipe, SftRecipe) and recipe.packing else None,
        "report_to": "none",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
    }


def _learned(tokens: Sequence[Tokens]) -> str:
    """How many answers are learned, in words; answers that the template moved are told and warned of."""
    answers, missed = sum(one.answers for one in tokens), sum(one.missed for one in tokens)
    if not missed:
        return f"{answers:,} answers"
    log.warning(
        "%d of %d answers are not learned: the chat template writes them otherwise once the conversation went on",
        missed,
        answers + missed,
    )
    return f"{answers:,} answers; {missed:,} more stand otherwise once the conversation went on, and are left out"


# --- after -----------------------------------------------------------------------------------------------------------


def _save(
    name: str,
    base: Path,
    trainer: Any,
    out: Path,
    recipe: SftRecipe | DpoRecipe,
    plan: _Plan,
    trained: Trained,
    learned: str,
) -> Adapter:
    """Writes weights, configuration and card, none of which names a place on this machine; one process of several."""
    first, model = trainer.is_world_process_zero(), trainer.model
    if first:
        out.mkdir(parents=True, exist_ok=True)
        model.peft_config["default"].base_model_name_or_path = base.name
        model.save_pretrained(str(out), selected_adapters=["default"], save_embedding_layers=False)
    trainer.accelerator.wait_for_everyone()
    adapter = Adapter(
        name=name,
        base=weights_digest(base),
        folder=out.name,
        digest=weights_digest(out),
        rows=plan.rows,
        engine=plan.way.name,
        **trained.model_dump(),
    )
    if first:
        (out / "README.md").write_text(card(adapter, recipe, plan.way, plan.memory, learned), encoding="utf-8")
        last = adapter.losses[-1][1]
        log.info("%s: %d rows, %d steps, %.1f s, loss %.4f", name, plan.rows, adapter.steps, adapter.seconds, last)
    trainer.accelerator.wait_for_everyone()
    return adapter


def card(adapter: Adapter, recipe: SftRecipe | DpoRecipe, way: Engine, memory: Estimate, learned: str) -> str:
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
        f"- Learned: {learned}",
        f"- Took: {adapter.seconds:.1f} s",
        f"- Memory: {adapter.peak_mb:,.0f} MB at the peak; expected {memory.total_mb:,.0f} MB ({memory.formula})",
        f"- Loss: {first:.4f} at the first step, {last:.4f} at the last",
        *(f"- `{key}`: {value}" for key, value in values.items()),
    ]
    return "\n".join(lines) + "\n"
