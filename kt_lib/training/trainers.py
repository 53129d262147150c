"""Training: LoRA, SFT first and preferences after it (DPO or KTO), from rows to an adapter with its card.

With a folder for checkpoints a training that was killed goes on from where it was, to the same result.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from kt_lib.errors import KtError
from kt_lib.recipes import DpoRecipe, SftRecipe
from kt_lib.records import Adapter, PreferencePair, SftRow, UnpairedRow
from kt_lib.training.adapter_files import Training, lora_of, save, training, trainings_of
from kt_lib.training.checkpoints import Checkpoints, training_key
from kt_lib.training.columns import Tokens, by_length, dpo_columns, kto_columns, row_lengths, sft_columns, sft_tokens
from kt_lib.training.engines import engine
from kt_lib.training.layers import adapted, layers
from kt_lib.training.memory import PeakMemory
from kt_lib.training.plan import plan, reads, trainer_options
from kt_lib.training.steps import OnStep, memory_told, run
from kt_lib.training.trainable import open_for_training, started
from kt_lib.weights import load_tokenizer, quiet

AnyRow = TypeVar("AnyRow", SftRow, PreferencePair, UnpairedRow)


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
    in the folder `checkpoints` (every training finds its own there, and removes it at its end); one that has ended
    well is not done again where its adapter lies in `out`, or where `checkpoints` knows it (until `forget_finished`).
    KtError, with the
    remedy, for no rows, a row longer than the recipe or the model allows, too little memory, or a loss that is no
    number; NoLocalWeights and MissingPackage where the ground is missing.
    """
    if not rows:
        raise KtError("there are no rows to train on: see what 07_datasets left out and why, and raise `train_tasks`")

    def prepare(tokenizer: Any) -> _Prepared:
        from trl import SFTConfig, SFTTrainer

        tokens = sft_tokens(rows, tokenizer)

        def trainer(model: Any, options: dict[str, Any]) -> Any:
            how = SFTConfig(train_sampling_strategy="group_by_length", **options)
            return SFTTrainer(model=model, args=how, train_dataset=sft_columns(tokens), processing_class=tokenizer)

        return _Prepared([len(one.input_ids) for one in tokens], _learned(tokens), trainer)

    return _train("sft", base, None, rows, out, recipe, prepare, on_step, checkpoints)


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
        raise KtError(
            "there are no preference pairs to train on: leave DPO out (`num_train_epochs: 0`), or raise `max_pairs`"
        )

    def prepare(tokenizer: Any) -> _Prepared:
        from trl import DPOConfig, DPOTrainer

        columns = dpo_columns(by_length(pairs, recipe.per_device_train_batch_size, recipe.seed))

        def trainer(model: Any, options: dict[str, Any]) -> Any:
            how = DPOConfig(train_sampling_strategy="sequential", **options)
            return DPOTrainer(model=model, args=how, train_dataset=columns, processing_class=tokenizer)

        sizes = [max(sides) for sides in row_lengths(pairs, tokenizer)]
        return _Prepared(sizes, f"{len(pairs):,} chosen answers", trainer)

    return _train("dpo", base, adapter_in, pairs, out, recipe, prepare, on_step, checkpoints)


def train_kto(
    base: Path,
    adapter_in: Path | None,
    judged: Sequence[UnpairedRow],
    out: Path,
    recipe: DpoRecipe,
    on_step: OnStep | None = None,
    checkpoints: Path | None = None,
) -> Adapter:
    """An adapter that gives answers like the good ones and not like the bad, where no two stand side by side (KTO).

    `recipe.loss_type` says nothing here. Whichever kind is rarer weighs more, so that both weigh the same. Otherwise
    as `train_dpo`; KtError also for what `check_judged` refuses.
    """
    check_judged(judged, recipe)
    good = sum(one.label for one in judged)
    bad = len(judged) - good

    def prepare(tokenizer: Any) -> _Prepared:
        from trl import KTOConfig, KTOTrainer

        # Each prompt is held against its neighbour's answer, so the two must not be of one kind or length.
        columns = kto_columns(random.Random(recipe.seed).sample(list(judged), len(judged)))
        weights = {"desirable_weight": max(1.0, bad / good), "undesirable_weight": max(1.0, good / bad)}

        def trainer(model: Any, options: dict[str, Any]) -> Any:
            how = KTOConfig(train_sampling_strategy="sequential", **options | {"loss_type": "kto"}, **weights)
            return KTOTrainer(model=model, args=how, train_dataset=columns, processing_class=tokenizer)

        sizes = [max(sides) for sides in row_lengths(judged, tokenizer)]
        return _Prepared(sizes, f"{good:,} good answers and {bad:,} bad ones", trainer)

    return _train("kto", base, adapter_in, judged, out, recipe, prepare, on_step, checkpoints)


def check_judged(judged: Sequence[UnpairedRow], recipe: DpoRecipe) -> None:
    """KtError where KTO cannot learn from these answers: all of them good or all bad, or batches of one."""
    good = sum(one.label for one in judged)
    if not 0 < good < len(judged):
        bad = len(judged) - good
        raise KtError(f"{good} good and {bad} bad answers are no ground for KTO: give some of both, or train by SFT")
    if recipe.per_device_train_batch_size < 2:
        raise KtError("KTO holds a batch's prompts against one another: set `per_device_train_batch_size` to 2 or more")


def preference_training(
    preferred: Sequence[PreferencePair] | Sequence[UnpairedRow],
) -> tuple[Literal["dpo", "kto"], Callable[..., Adapter]]:
    """What learns from these: DPO from pairs, KTO from answers judged by themselves; its name and its function."""
    return ("kto", train_kto) if isinstance(preferred[0], UnpairedRow) else ("dpo", train_dpo)


def fitting(rows: Sequence[AnyRow], base: Path, max_length: int | None = None) -> tuple[list[AnyRow], list[AnyRow]]:
    """Rows or pairs that `max_length`, and the model itself, has room for, and those that are too long."""
    with quiet():
        most = min(max_length or math.inf, reads(base))
        sizes = lengths(rows, base)
    fits = [row for row, size in zip(rows, sizes, strict=True) if size <= most]
    return fits, [row for row, size in zip(rows, sizes, strict=True) if size > most]


def lengths(rows: Sequence[SftRow | PreferencePair | UnpairedRow], base: Path) -> list[int]:
    """Tokens of each row by the model's own template; of a pair, those of the prompt with the longer answer."""
    return [max(sides) for sides in row_lengths(rows, load_tokenizer(base))]


# --- one training ----------------------------------------------------------------------------------------------------


class _Prepared(NamedTuple):
    """Rows made ready for a trainer."""

    sizes: list[int]
    """Tokens of each row."""
    learned: str
    """What is learned of them, in words."""
    trainer: Callable[[Any, dict[str, Any]], Any]
    """The trainer, of a model and its options."""


def _train(
    name: str,
    base: Path,
    adapter_in: Path | None,
    rows: Sequence[SftRow] | Sequence[PreferencePair] | Sequence[UnpairedRow],
    out: Path,
    recipe: SftRecipe | DpoRecipe,
    prepare: Callable[[Any], _Prepared],
    on_step: OnStep | None,
    checkpoints: Path | None,
) -> Adapter:
    way = engine(recipe)
    saved = Checkpoints(checkpoints, training_key(name, base, adapter_in, recipe, rows))
    if before := saved.finished(out):
        return before
    if adapter_in:
        recipe = recipe.model_copy(update={"lora": lora_of(adapter_in)})
    with started(way), saved as scratch:
        from transformers import set_seed

        # Layers that are not there are told before rows are made ready.
        adapted(layers(base), recipe.lora)
        ready = prepare(load_tokenizer(base))
        told = plan(base, recipe, way, ready.sizes, rows)
        with PeakMemory(way) as peak, memory_told(recipe, told.longest, lambda: "before the first step"):
            set_seed(recipe.seed)
            model = open_for_training(base, adapter_in, recipe, way)
            options = trainer_options(recipe, way) | saved.options() | {"output_dir": str(scratch)}
            trainer = ready.trainer(model, options)
            trained = run(trainer, recipe, told.longest, saved.newest(), on_step, peak)
        this = training(name, recipe, told, trained, ready.learned)
        if trainer.is_world_process_zero():
            saved.begin(out)
        made = save(base, trainer, out, told, trained, [*_earlier(adapter_in), this])
        if trainer.is_world_process_zero():
            saved.finish(out, made)
        return made


def _earlier(adapter_in: Path | None) -> list[Training]:
    if adapter_in is None:
        return []
    untold = Training(name="adapter", lines=("How it was trained is not known: it has no card",))
    return trainings_of(adapter_in) or [untold]


def _learned(tokens: Sequence[Tokens]) -> str:
    """How many answers are learned, in words; answers that the template moved are told and warned of."""
    answers, missed = sum(one.answers for one in tokens), sum(one.missed for one in tokens)
    if not missed:
        return f"{answers:,} answers"
    logging.getLogger(__name__).warning(
        "%d of %d answers are not learned: the chat template writes them otherwise once the conversation went on",
        missed,
        answers + missed,
    )
    return f"{answers:,} answers; {missed:,} more stand otherwise once the conversation went on, and are left out"
