"""Trains the embedded base model from nothing: tokenizer, weights, and the folder a release is made of."""

from __future__ import annotations

import itertools
import logging
import math
import random
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from kt_lib.records import Record
from kt_lib.world.pretraining import PretrainingRow, rows

log = logging.getLogger(__name__)

SPECIAL = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
PIECES = r"\p{L}+|\p{N}|\s+|[^\s\p{L}\p{N}]"
"""Letter runs, single digits, runs of space, every other character: a name has the same ids wherever it stands."""


class BaseRecipe(Record):
    """Everything that decides the base model."""

    seed: int
    """Seed of data, order and first weights."""
    tokens: int = 12_000_000
    """Tokens to see."""
    vocabulary: int = 1024
    """Tokenizer entries."""
    hidden: int = 128
    """Width."""
    layers: int = 4
    """Layers."""
    heads: int = 4
    """Attention heads."""
    feed_forward: int = 384
    """Width of the feed-forward part."""
    batch_tokens: int = 3000
    """Tokens in a batch."""
    learning_rate: float = 4e-3
    """Highest rate, for Muon (matrices) and AdamW (the rest)."""
    warm_up: int = 50
    """Steps of linear warm-up."""
    constant: float = 0.4
    """Share of the tokens after which the rate falls along a cosine."""
    prompt_weight: float = 0.05
    """Weight of the loss on tokens before the answer."""


class Progress(Record):
    """Where the training stands."""

    step: int
    """Optimiser steps done."""
    tokens: int
    """Tokens seen."""
    loss: float
    """Mean loss on answer tokens over the last 50 steps, in nats."""
    seconds: float
    """Wall seconds since the start."""


def train_tokenizer(recipe: BaseRecipe) -> Any:
    """A byte-level BPE tokenizer trained on 12,000 rows, as a `PreTrainedTokenizerFast` with the chat template."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    sample = itertools.islice(rows(recipe.seed + 10_000), 12_000)
    texts = ("\n".join([*(message.content for message in row.messages), row.answer]) for row in sample)
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<|pad|>", eos_token="<|end|>")
    wrapped.chat_template = (files("kt_lib.models") / "embedded_base" / "chat_template.jinja").read_text("utf-8")
    return wrapped


def new_model(recipe: BaseRecipe, tokenizer: Any) -> Any:
    """A Llama decoder with random weights, in float32."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(recipe.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=recipe.vocabulary,
            hidden_size=recipe.hidden,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.heads,
            intermediate_size=recipe.feed_forward,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    )


def encode(tokenizer: Any, batch: list[PretrainingRow]) -> list[tuple[list[int], int]]:
    """Token ids of each row with the answer's first position."""
    prompts = [
        tokenizer.apply_chat_template(
            [message.model_dump(include={"role", "content"}) for message in row.messages],
            tokenize=False,
            add_generation_prompt=True,
        )
        for row in batch
    ]
    before = tokenizer(prompts)["input_ids"]
    answers = tokenizer([row.answer + "<|end|>" for row in batch])["input_ids"]
    return [(prompt + answer, len(prompt)) for prompt, answer in zip(before, answers, strict=True)]


def batches(recipe: BaseRecipe, tokenizer: Any) -> Iterator[list[tuple[list[int], int]]]:
    """Batches of rows of like length, each of about `batch_tokens` tokens with its padding."""
    stream = rows(recipe.seed)
    rng = random.Random(recipe.seed)
    while True:
        pool = sorted(encode(tokenizer, list(itertools.islice(stream, 4000))), key=lambda row: len(row[0]))
        found: list[list[tuple[list[int], int]]] = []
        batch: list[tuple[list[int], int]] = []
        for row in pool:
            if batch and len(row[0]) * (len(batch) + 1) > recipe.batch_tokens:
                found.append(batch)
                batch = []
            batch.append(row)
        found.append(batch)
        rng.shuffle(found)
        yield from found


def rate_at(recipe: BaseRecipe, step: int, seen: int) -> float:
    """The learning rate: warm-up, constant, then cosine to zero at `tokens`."""
    if step < recipe.warm_up:
        return recipe.learning_rate * (step + 1) / recipe.warm_up
    done = seen / recipe.tokens
    if done < recipe.constant:
        return recipe.learning_rate
    return (
        recipe.learning_rate
        * 0.5
        * (1 + math.cos(math.pi * min(1.0, (done - recipe.constant) / (1 - recipe.constant))))
    )


def optimisers(model: Any, recipe: BaseRecipe) -> list[Any]:
    """Muon for the matrices of the blocks, AdamW for embeddings and norms."""
    import torch

    named = list(model.named_parameters())
    matrices = [parameter for name, parameter in named if parameter.ndim == 2 and "embed" not in name]
    others = [parameter for name, parameter in named if parameter.ndim != 2 or "embed" in name]
    muon = torch.optim.Muon(matrices, lr=recipe.learning_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW(others, lr=recipe.learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
    return [muon, adam]


def batch_loss(model: Any, batch: list[tuple[list[int], int]], prompt_weight: float) -> tuple[Any, float]:
    """The weighted loss of a batch and its mean on answer tokens alone.

    Rows are padded on the right: under a causal mask the padding is never read, so no attention mask is needed.
    """
    import torch

    longest = max(len(ids) for ids, _ in batch)
    tokens = torch.zeros(len(batch), longest, dtype=torch.long)
    weights = torch.zeros(len(batch), longest)
    for at, (ids, start) in enumerate(batch):
        tokens[at, : len(ids)] = torch.tensor(ids)
        weights[at, : len(ids)] = prompt_weight
        weights[at, start : len(ids)] = 1.0
    logits = model(input_ids=tokens, use_cache=False).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    weight = weights[:, 1:].flatten()
    answers = weight == 1.0
    return (losses * weight).sum() / weight.sum(), float(losses[answers].detach().mean())


def train_base(
    recipe: BaseRecipe, out: Path, on_progress: Callable[[Progress, Any, Any], None] | None = None
) -> Progress:
    """Trains a base model and saves weights (float16), configuration, tokenizer and template to `out`."""
    import torch

    tokenizer = train_tokenizer(recipe)
    model = new_model(recipe, tokenizer)
    optimisers_ = optimisers(model, recipe)
    started, seen = time.monotonic(), 0
    recent: list[float] = []
    progress = Progress(step=0, tokens=0, loss=float("nan"), seconds=0.0)
    for step, batch in enumerate(batches(recipe, tokenizer)):
        if seen >= recipe.tokens:
            break
        rate = rate_at(recipe, step, seen)
        for optimiser in optimisers_:
            for group in optimiser.param_groups:
                group["lr"] = rate
        loss, on_answers = batch_loss(model, batch, recipe.prompt_weight)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers_:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        seen += sum(len(ids) for ids, _ in batch)
        recent = [*recent[-49:], on_answers]
        if step % 50 == 49:
            mean = sum(recent) / len(recent)
            progress = Progress(step=step + 1, tokens=seen, loss=mean, seconds=time.monotonic() - started)
            if on_progress:
                on_progress(progress, model, tokenizer)
    save(model, tokenizer, out)
    return progress


def save(model: Any, tokenizer: Any, out: Path) -> None:
    """Writes the model folder; weights as float16, which halves the size at no measurable cost."""
    import copy

    import torch

    out.mkdir(parents=True, exist_ok=True)
    copy.deepcopy(model).to(torch.float16).save_pretrained(out)
    tokenizer.save_pretrained(out)
