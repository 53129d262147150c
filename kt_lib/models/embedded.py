"""The embedded model: a small decoder made by this project, run in this process, in batches with a KV cache."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from kt_lib.calls.protocol import read_agent
from kt_lib.errors import MissingPackage, ModelNotFound
from kt_lib.models.generation import Answer, Guide, HeardAnswer, write_answers
from kt_lib.records import Completion, Request, ToolCall, Usage
from kt_lib.weights import load, quiet

_ONE_AT_A_TIME = threading.RLock()
"""Two threads that import transformers or load weights at once trip over one another's half-made modules."""
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
            raise ModelNotFound(
                f"no model weights in {self.folder}: make them with `kt base train --out {self.folder}`"
            )

    @cached_property
    def digest(self) -> str:
        """sha256 over weights, configuration, tokenizer and template (and the adapter's weights)."""
        parts = [
            self.folder / name for name in ("model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja")
        ]
        if self.adapter:
            parts.append(self.adapter / "adapter_model.safetensors")
        found = hashlib.sha256()
        for part in parts:
            found.update(hashlib.sha256(part.read_bytes()).digest())
        return f"sha256:{found.hexdigest()[:32]}"

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer with its chat template."""
        with _ONE_AT_A_TIME:
            try:
                from transformers import PreTrainedTokenizerFast
            except ImportError as error:
                needs = "the embedded model needs torch and transformers: pip install 'kt[train]'"
                raise MissingPackage(needs) from error
            return PreTrainedTokenizerFast.from_pretrained(self.folder, padding_side="left")

    @cached_property
    def weights(self) -> Any:
        """The model in float32, adapter merged, ready to generate."""
        with _ONE_AT_A_TIME, quiet():
            model = load(self.folder, self.adapter)
        return (model.merge_and_unload() if self.adapter else model).eval()

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
            answers = [Answer(requests[at].decoding, self.guide(requests[at])) for at in chosen]
            write_answers(self.weights, self.tokenizer, [encoded[at] for at in chosen], answers)
            seconds = (time.perf_counter() - began) / len(chosen)
            for at, answer in zip(chosen, answers, strict=True):
                found[at] = self.completion(requests[at], len(encoded[at]), answer, seconds)
            if progress:
                progress(min(start + BATCH, len(order)), len(order))
        return [completion for completion in found if completion is not None]

    def stream(self, request: Request, on_text: Callable[[str], bool]) -> Completion:
        """One completion, told piece by piece; `on_text` says False to stop. The text is the same as `complete`'s."""
        began = time.perf_counter()
        encoded = self.tokenizer([self.render(request)], add_special_tokens=False)["input_ids"]
        answer = HeardAnswer(request.decoding, self.guide(request), self.tokenizer, on_text)
        write_answers(self.weights, self.tokenizer, encoded, [answer])
        return self.completion(request, len(encoded[0]), answer, time.perf_counter() - began)

    def render(self, request: Request) -> str:
        """The prompt as the model reads it."""
        tools = [{"type": "function", "function": tool.model_dump()} for tool in request.tools]
        messages = [message.model_dump(exclude_none=True) for message in request.messages]
        text: str = self.tokenizer.apply_chat_template(
            messages, tools=tools or None, tokenize=False, add_generation_prompt=True
        )
        return text

    def completion(self, request: Request, read: int, answer: Answer, seconds: float) -> Completion:
        """The answer as a server would give it: with tools on offer, a well-formed call becomes a native one."""
        text = self.tokenizer.decode(answer.ids, skip_special_tokens=True)
        calls = native_calls(text, request) if request.tools else ()
        return Completion(
            text="" if calls else text,
            tool_calls=calls,
            usage=Usage(prompt_tokens=read, completion_tokens=len(answer.ids)),
            seconds=seconds,
            finish="tool_calls" if calls else "stop" if answer.ended else "length",
        )

    def guide(self, request: Request) -> Guide | None:
        """What keeps the answer inside the request's schema, where it has one."""
        if request.output_schema is None:
            return None
        return Guide(self.guidance, request.output_schema, self.weights.config.vocab_size)

    @cached_property
    def guidance(self) -> Any:
        """The tokenizer as llguidance reads it, for constrained output."""
        import llguidance.hf

        return llguidance.hf.from_tokenizer(self.tokenizer, n_vocab=self.weights.config.vocab_size)


def native_calls(text: str, request: Request) -> tuple[ToolCall, ...]:
    """The calls in a text that is, as a whole, the protocol's form; none otherwise."""
    return read_agent(Completion(text=text), request.tools, "json").calls
