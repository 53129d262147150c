"""The embedded model: a small decoder made by this project, run in this process, in batches with a KV cache."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from kt_lib.errors import MissingPackage, ModelNotFound
from kt_lib.records import Completion, Decoding, Request, ToolCall, Usage

BATCH = 96
"""Requests decoded together; more gains nothing on two cores."""


def packaged_base() -> Path:
    """The folder of the base model that ships with kt."""
    with as_file(files("kt_lib.models") / "embedded_base") as folder:
        return folder


class EmbeddedModel:
    """A Llama-layout model from a folder of safetensors, tokenizer and chat template, with an optional LoRA adapter.

    Raises ModelNotFound when the folder holds no weights, MissingPackage without the `train` extra.
    """

    def __init__(self, folder: Path | None = None, adapter: Path | None = None, name: str = "embedded") -> None:
        self.folder = folder or packaged_base()
        self.adapter = adapter
        self.name = name
        if not (self.folder / "model.safetensors").is_file():
            raise ModelNotFound(f"no model weights in {self.folder}: make them with `kt base train --out {self.folder}`")

    @cached_property
    def digest(self) -> str:
        """sha256 over weights, configuration, tokenizer and template (and the adapter's weights)."""
        parts = [self.folder / name for name in ("model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja")]
        if self.adapter:
            parts.append(self.adapter / "adapter_model.safetensors")
        found = hashlib.sha256()
        for part in parts:
            found.update(hashlib.sha256(part.read_bytes()).digest())
        return f"sha256:{found.hexdigest()[:32]}"

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer with its chat template."""
        try:
            from transformers import PreTrainedTokenizerFast
        except ImportError as error:
            raise MissingPackage("the embedded model needs torch and transformers: pip install 'kt[train]'") from error
        return PreTrainedTokenizerFast.from_pretrained(self.folder, padding_side="left")

    @cached_property
    def weights(self) -> Any:
        """The model in float32, adapter merged, ready to generate."""
        import torch
        from transformers import LlamaForCausalLM

        model = LlamaForCausalLM.from_pretrained(self.folder, dtype=torch.float32)
        if self.adapter:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, str(self.adapter)).merge_and_unload()
        return model.eval()

    def complete(
        self, requests: Sequence[Request], progress: Callable[[int, int], None] | None = None
    ) -> list[Completion]:
        """One completion per request, in order. `progress(done, total)` is called after each batch."""
        prompts = [self.render(request) for request in requests]
        encoded = self.tokenizer(prompts, add_special_tokens=False)["input_ids"] if prompts else []
        order = sorted(range(len(requests)), key=lambda at: (requests[at].output_schema is None, len(encoded[at])))
        found: list[Completion | None] = [None] * len(requests)
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            began = time.perf_counter()
            written = self.generate([encoded[at] for at in chosen], [requests[at] for at in chosen])
            seconds = (time.perf_counter() - began) / len(chosen)
            for at, (ids, ended) in zip(chosen, written, strict=True):
                found[at] = self.completion(requests[at], len(encoded[at]), ids, ended, seconds)
            if progress:
                progress(min(start + BATCH, len(order)), len(order))
        return [completion for completion in found if completion is not None]

    def render(self, request: Request) -> str:
        """The prompt as the model reads it."""
        tools = [{"type": "function", "function": tool.model_dump()} for tool in request.tools]
        messages = [message.model_dump(exclude_none=True) for message in request.messages]
        text: str = self.tokenizer.apply_chat_template(
            messages, tools=tools or None, tokenize=False, add_generation_prompt=True
        )
        return text

    def completion(self, request: Request, read: int, ids: list[int], ended: bool, seconds: float) -> Completion:
        """The answer as a server would give it: with tools on offer, a well-formed call becomes a native one."""
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        calls = native_calls(text) if request.tools else ()
        return Completion(
            text="" if calls else text,
            tool_calls=calls,
            usage=Usage(prompt_tokens=read, completion_tokens=len(ids)),
            seconds=seconds,
            finish="tool_calls" if calls else "stop" if ended else "length",
        )

    def generate(self, prompts: list[list[int]], requests: list[Request]) -> list[tuple[list[int], bool]]:
        """Token ids written for each prompt, and whether each came to its end by itself.

        Rows that have ended leave the batch, so that the longest answer does not hold up the rest.
        """
        import torch
        from transformers import DynamicCache

        tokenizer, end = self.tokenizer, self.tokenizer.eos_token_id
        padded = tokenizer.pad({"input_ids": prompts}, padding=True, return_tensors="pt")
        tokens, mask = padded["input_ids"], padded["attention_mask"]
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        guides = [Guide(self, request.output_schema) if request.output_schema else None for request in requests]
        samplers = [sampler(request.decoding) for request in requests]
        written: list[list[int]] = [[] for _ in prompts]
        ended = [False] * len(prompts)
        alive, cache = list(range(len(prompts))), DynamicCache(config=self.weights.config)
        with torch.inference_mode():
            while alive:
                logits = self.weights(
                    input_ids=tokens, attention_mask=mask, position_ids=positions, past_key_values=cache, logits_to_keep=1
                ).logits[:, -1]
                for row, at in enumerate(alive):
                    guide = guides[at]
                    if guide:
                        guide.allow(logits[row])
                chosen = [int(token) for token in logits.argmax(-1)]
                keep = []
                for row, at in enumerate(alive):
                    token = chosen[row] if samplers[at] is None else samplers[at](logits[row])
                    chosen[row] = token
                    ended[at] = token == end
                    if not ended[at]:
                        written[at].append(token)
                        if guides[at]:
                            guides[at].take(token)
                    if not ended[at] and len(written[at]) < requests[at].decoding.max_tokens:
                        keep.append(row)
                if len(keep) < len(alive):
                    kept = torch.tensor(keep, dtype=torch.long)
                    if keep:
                        cache.batch_select_indices(kept)
                    mask, positions = mask[kept], positions[kept]
                    alive, chosen = [alive[row] for row in keep], [chosen[row] for row in keep]
                tokens = torch.tensor(chosen, dtype=torch.long)[:, None]
                mask = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=1)
                positions = positions[:, -1:] + 1
        return list(zip(written, ended, strict=True))

    @cached_property
    def guidance(self) -> Any:
        """The tokenizer as llguidance reads it, for constrained output."""
        import llguidance.hf

        return llguidance.hf.from_tokenizer(self.tokenizer, n_vocab=self.weights.config.vocab_size)


class Guide:
    """Keeps one answer inside a JSON Schema: forbids every next token that would leave it."""

    def __init__(self, model: EmbeddedModel, schema: dict[str, Any]) -> None:
        import llguidance
        import llguidance.torch

        options = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
        grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema), defaults=options)
        self.matcher = llguidance.LLMatcher(model.guidance, grammar)
        self.mask = llguidance.torch.allocate_token_bitmask(1, model.weights.config.vocab_size)

    def allow(self, logits: Any) -> None:
        """Forbids, in place, every token that the schema does not allow next."""
        import llguidance.torch

        llguidance.torch.fill_next_token_bitmask(self.matcher, self.mask, 0)
        llguidance.torch.apply_token_bitmask_inplace(logits[None], self.mask)

    def take(self, token: int) -> None:
        """Moves on by one token."""
        self.matcher.consume_token(token)


def sampler(decoding: Decoding) -> Callable[[Any], int] | None:
    """Draws from the softmax at a temperature, with the request's own seed; None is greedy."""
    if decoding.temperature <= 0:
        return None
    import torch

    generator = torch.Generator().manual_seed(decoding.seed or 0)

    def draw(logits: Any) -> int:
        shares = torch.softmax(logits / decoding.temperature, dim=-1)
        return int(torch.multinomial(shares, 1, generator=generator))

    return draw


def native_calls(text: str) -> tuple[ToolCall, ...]:
    """The calls in a text that is, as a whole, one protocol object or a list of them; none otherwise."""
    try:
        read = json.loads(text)
    except ValueError:
        return ()
    objects = read if isinstance(read, list) else [read]
    if not objects or not all(isinstance(each, dict) and {"tool", "params"} <= set(each) for each in objects):
        return ()
    if not all(isinstance(each["tool"], str) and isinstance(each["params"], dict) for each in objects):
        return ()
    return tuple(ToolCall(name=each["tool"], arguments=each["params"]) for each in objects)
