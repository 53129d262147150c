"""How to train: the recipes of SFT and DPO, under the engine's own names."""

from __future__ import annotations

from kt_lib.records import Record


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
