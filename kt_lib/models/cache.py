"""A KV cache with room to grow: a new token is written in place, where transformers' own copies the whole cache."""

from __future__ import annotations

from typing import Any

from transformers.cache_utils import Cache, DynamicLayer

ROOM = 48
"""Tokens of room made at a time; answers are mostly shorter."""


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer as views of larger tensors, shapes (batch, heads, tokens, width)."""

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Adds new tokens and gives all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._room = [key_states[..., :0, :], value_states[..., :0, :]]
        held: int = self.get_seq_length()
        total = held + key_states.shape[-2]
        if total > self._room[0].shape[-2]:
            held_before: list[Any] = [self.keys, self.values]  # type: ignore[has-type]
            self._room = [self._larger(key_states, old, total) for old in held_before]
        for room, new in zip(self._room, (key_states, value_states), strict=True):
            room[..., held:total, :] = new
        self.keys, self.values = (room[..., :total, :] for room in self._room)
        return self.keys, self.values

    def _larger(self, like: Any, old: Any, total: int) -> Any:
        batch, heads, _, width = like.shape
        room = like.new_empty(batch, heads, total + ROOM, width)
        if old.numel():
            room[..., : old.shape[-2], :] = old
        return room

    def batch_select_indices(self, indices: Any) -> None:
        """Keeps only these rows of the batch."""
        held = self.get_seq_length()
        self._room = [room[indices] for room in self._room]
        self.keys, self.values = (room[..., :held, :] for room in self._room)


def roomy_cache(layers: int) -> Cache:
    """An empty cache for a model of so many layers."""
    return Cache(layers=[RoomyLayer() for _ in range(layers)])
