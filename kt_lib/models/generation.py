"""Writes answers in batches with a KV cache, greedily or by temperature, free or inside a JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from kt_lib.records import Decoding

LEAVE = 0.2
"""Share of a batch that must be over before it is made smaller: making it smaller copies the cache."""


class Guide:
    """Keeps one answer inside a JSON Schema: forbids every next token that would leave it."""

    def __init__(self, tokenizer: Any, schema: dict[str, Any], vocabulary: int) -> None:
        import llguidance
        import llguidance.torch

        options = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
        grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema), defaults=options)
        self.matcher = llguidance.LLMatcher(tokenizer, grammar)
        self.mask = llguidance.torch.allocate_token_bitmask(1, vocabulary)

    def allow(self, logits: Any) -> None:
        """Forbids, in place, every token that the schema does not allow next. `logits` is of shape (vocabulary,)."""
        import llguidance.torch

        llguidance.torch.fill_next_token_bitmask(self.matcher, self.mask, 0)
        llguidance.torch.apply_token_bitmask_inplace(logits[None], self.mask)

    def take(self, token: int) -> None:
        """Moves on by one token."""
        self.matcher.consume_token(token)


class Answer:
    """One answer being written: its tokens so far, and how the next one is chosen."""

    def __init__(self, decoding: Decoding, guide: Guide | None) -> None:
        self.decoding = decoding
        self.guide = guide
        self.ids: list[int] = []
        self.ended = False
        self._generator: Any = None

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken as it is."""
        return self.guide is None and self.decoding.temperature <= 0

    def choose(self, logits: Any) -> int:
        """The next token from logits of shape (vocabulary,)."""
        import torch

        if self.guide:
            self.guide.allow(logits)
        if self.decoding.temperature <= 0:
            return int(logits.argmax())
        if self._generator is None:
            self._generator = torch.Generator().manual_seed(self.decoding.seed or 0)
        shares = torch.softmax(logits / self.decoding.temperature, dim=-1)
        return int(torch.multinomial(shares, 1, generator=self._generator))

    def take(self, token: int, end: int) -> bool:
        """Adds a token; False when the answer is over."""
        if token == end:
            self.ended = True
            return False
        self.ids.append(token)
        if self.guide:
            self.guide.take(token)
        return len(self.ids) < self.decoding.max_tokens


class HeardAnswer(Answer):
    """An answer that is listened to while it is written, and can be stopped."""

    def __init__(self, decoding: Decoding, guide: Guide | None, tokenizer: Any, on_text: Callable[[str], bool]) -> None:
        super().__init__(decoding, guide)
        self._tokenizer = tokenizer
        self._on_text = on_text
        self._told = ""

    def take(self, token: int, end: int) -> bool:
        """Adds a token and tells what it adds to the text; False when the answer is over or was stopped."""
        goes_on = super().take(token, end)
        text = self._tokenizer.decode(self.ids, skip_special_tokens=True)
        # A letter of several tokens is told when it is whole.
        if not text.endswith("\ufffd") and text.startswith(self._told) and text != self._told:
            piece, self._told = text[len(self._told) :], text
            goes_on = self._on_text(piece) and goes_on
        return goes_on


def write_answers(model: Any, tokenizer: Any, prompts: Sequence[list[int]], answers: Sequence[Answer]) -> None:
    """Writes every answer to its end. `prompts` are token ids, padded here on the left.

    Rows that are over leave the batch, a few at a time, so that the longest answer does not hold up the rest.
    """
    import torch

    from kt_lib.models.cache import roomy_cache

    padded = tokenizer.pad({"input_ids": list(prompts)}, padding=True, padding_side="left", return_tensors="pt")
    tokens, mask = padded["input_ids"], padded["attention_mask"]
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    alive, cache = list(answers), roomy_cache(model.config.num_hidden_layers)
    over: set[int] = set()
    with torch.inference_mode():
        while len(over) < len(alive):
            logits = model(
                input_ids=tokens, attention_mask=mask, position_ids=positions, past_key_values=cache, logits_to_keep=1
            ).logits[:, -1]
            chosen = logits.argmax(-1)
            for row, answer in enumerate(alive):
                if row in over:
                    continue
                if not answer.greedy:
                    chosen[row] = answer.choose(logits[row])
                if not answer.take(int(chosen[row]), tokenizer.eos_token_id):
                    over.add(row)
            if len(over) > len(alive) * LEAVE:
                kept = torch.tensor([row for row in range(len(alive)) if row not in over], dtype=torch.long)
                alive, over = [alive[row] for row in kept.tolist()], set()
                chosen, mask, positions = chosen[kept], mask[kept], positions[kept]
                cache.batch_select_indices(kept)
            tokens = chosen[:, None]
            mask = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=1)
            positions = positions[:, -1:] + 1
