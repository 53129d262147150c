"""Attempts per second of the embedded model, beside transformers' own `generate` on the same prompts."""

from __future__ import annotations

import time

from kt_lib.models.embedded import BATCH, EmbeddedModel
from kt_lib.prompts import agent_request, chat_request
from kt_lib.world.suite import make_tasks

LONGEST = 96
"""Tokens that every right answer fits in: bare `generate` is not made to wait for a runaway."""


def measure(count: int = 192, rounds: int = 2) -> dict[str, float]:
    """Chat and agent attempts/s, tokens/s, seconds to load, and the ratio to bare `generate` with the same batches.

    The best of `rounds` counts for each side, in turns, on one and the same warm model.
    """
    import torch  # noqa: F401  (its import is not the model's loading)
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: F401

    began = time.perf_counter()
    model = EmbeddedModel()
    assert model.weights is not None
    assert model.tokenizer is not None
    loading = time.perf_counter() - began
    tasks = make_tasks(1, "test", "main", count)
    agent = [agent_request(task, "json") for task in tasks]
    chat = [chat_request(task) for task in tasks]
    model.complete(agent[:BATCH])
    ours, theirs, chats, tokens = [], [], [], 0
    for _ in range(rounds):
        began = time.perf_counter()
        done = model.complete(agent)
        ours.append(time.perf_counter() - began)
        tokens = sum(one.usage.completion_tokens for one in done)
        theirs.append(bare(model, [model.render(request) for request in agent], LONGEST))
        began = time.perf_counter()
        model.complete(chat)
        chats.append(time.perf_counter() - began)
    return {
        "agent_attempts_per_s": count / min(ours),
        "chat_attempts_per_s": count / min(chats),
        "tokens_per_s": tokens / min(ours),
        "bare_generate_attempts_per_s": count / min(theirs),
        "ratio_to_generate": min(theirs) / min(ours),
        "loading_s": loading,
    }


def bare(model: EmbeddedModel, prompts: list[str], most: int) -> float:
    """Seconds of transformers' `generate` on the same prompts, sorted and batched alike, cut to the answers."""
    import torch

    tokenizer, ordered = model.tokenizer, sorted(prompts, key=len)
    began = time.perf_counter()
    for start in range(0, len(ordered), BATCH):
        batch = tokenizer(ordered[start : start + BATCH], return_tensors="pt", padding=True, padding_side="left")
        inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
        with torch.inference_mode():
            written = model.weights.generate(**inputs, max_new_tokens=most, do_sample=False)
        tokenizer.batch_decode(written[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return time.perf_counter() - began
