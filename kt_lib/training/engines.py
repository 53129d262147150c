"""Which way training goes on this machine, and why.

Unsloth on an NVIDIA GPU; TRL and PEFT elsewhere, with bitsandbytes where a recipe asks for four bits.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from typing import Any, Literal

from kt_lib.errors import MissingPackage
from kt_lib.recipes import DpoRecipe, SftRecipe
from kt_lib.records import Record
from kt_lib.settings import Settings

Number = Literal["float32", "float16", "bfloat16"]

_AFTER_UNSLOTH = ("trl", "transformers", "peft")
"""What Unsloth rewrites while it is imported: imported before it, they stay as they were, and slower."""

_NEVER_PACKS = ("unsloth",)
"""It packs while it prepares rows, which ours pass by (`options`)."""


class Ground(Record):
    """What this machine and this process offer a training."""

    gpu: str = ""
    """Name of the first GPU that torch can use; empty without one."""
    maker: Literal["", "NVIDIA", "AMD", "Apple"] = ""
    """Whose GPU it is; empty without one."""
    bfloat16: bool = False
    """Whether the GPU computes in bfloat16."""
    unsloth: str = ""
    """Version of Unsloth; empty where it is not installed."""
    bitsandbytes: str = ""
    """Version of bitsandbytes; empty where it is not installed."""
    too_early: tuple[str, ...] = ()
    """Libraries in this process that Unsloth must be imported before, and was not."""
    threads: int = 1
    """Threads that torch would use on the CPU."""
    unsloth_on_cpu: bool = False
    """Whether KT_UNSLOTH_ON_CPU asks for Unsloth without a GPU."""


class Engine(Record):
    """Which way training goes on this machine."""

    name: Literal["unsloth", "trl+peft"]
    """The libraries that train."""
    device: Literal["cpu", "cuda"]
    """Where it computes, under torch's name (`cuda` for AMD's GPUs too)."""
    precision: Literal["nf4", "bfloat16", "float32"]
    """How the frozen base lies in memory."""
    compute: Number
    """The type that is computed in."""
    threads: int
    """Threads of a kernel on the CPU."""
    reason: str
    """Why this way, in words; the adapter's card says it."""


def ground() -> Ground:
    """Looks at this machine and this process; nothing is imported but torch. MissingPackage without it."""
    try:
        import torch
    except ImportError as error:
        raise MissingPackage("training needs torch, trl and peft: pip install -e '.[train]'") from error
    found: dict[str, Any] = {}
    if torch.cuda.is_available():
        maker = "AMD" if torch.version.hip else "NVIDIA"
        found = {"gpu": torch.cuda.get_device_name(0), "maker": maker, "bfloat16": torch.cuda.is_bf16_supported()}
    elif torch.backends.mps.is_available():
        found = {"gpu": "Apple's GPU", "maker": "Apple"}
    early = () if "unsloth" in sys.modules else tuple(name for name in _AFTER_UNSLOTH if name in sys.modules)
    return Ground(
        **found,
        unsloth=_version("unsloth"),
        bitsandbytes=_version("bitsandbytes"),
        too_early=early,
        threads=torch.get_num_threads(),
        unsloth_on_cpu=Settings().unsloth_on_cpu,
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package) if importlib.util.find_spec(package) else ""
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return ""


def engine(recipe: SftRecipe | DpoRecipe, there: Ground | None = None) -> Engine:
    """The one place that says how this machine trains by this recipe, and why; MissingPackage where it cannot.

    Unsloth only with an NVIDIA GPU: without one it falls back to a slow way of its own.
    """
    there = there or ground()
    if recipe.load_in_4bit and not there.bitsandbytes:
        raise MissingPackage(
            "the recipe asks for four bits, and bitsandbytes is not installed: pip install -e '.[train]',"
            " or set `load_in_4bit` to false"
        )
    nvidia = there.maker == "NVIDIA"
    on_gpu = there.maker in ("NVIDIA", "AMD")
    by_unsloth = bool(there.unsloth) and not there.too_early and (nvidia or there.unsloth_on_cpu)
    compute = _compute(there, by_unsloth)
    precision: Literal["nf4", "bfloat16", "float32"] = "bfloat16" if compute == "bfloat16" else "float32"
    if recipe.load_in_4bit:
        precision = "nf4"
    # More than two threads do not help matrices of this size, and more threads than free cores are far slower.
    threads = min(2, there.threads)
    where = there.gpu if on_gpu else f"the CPU with {threads} thread(s)"
    kept = f", the base in {precision}" if precision != compute else ""
    name: Literal["unsloth", "trl+peft"] = "unsloth" if by_unsloth else "trl+peft"
    who = f"Unsloth {there.unsloth}" if by_unsloth else "TRL and PEFT"
    return Engine(
        name=name,
        device="cuda" if on_gpu else "cpu",
        precision=precision,
        compute=compute,
        threads=threads,
        reason=f"{who} on {where} in {compute}{kept}: {_why(there, by_unsloth)}{_unpacked(recipe, name)}",
    )


def _unpacked(recipe: SftRecipe | DpoRecipe, name: str) -> str:
    asked = isinstance(recipe, SftRecipe) and recipe.packing
    return "; rows of like length go together instead of being packed" if asked and name in _NEVER_PACKS else ""


def packed_to(recipe: SftRecipe | DpoRecipe, way: Engine) -> int:
    """Tokens of the rows that this engine really packs others into; 0 where it reads each row by itself."""
    asked = isinstance(recipe, SftRecipe) and recipe.packing and way.name not in _NEVER_PACKS
    return recipe.max_length or 0 if asked else 0


def _compute(there: Ground, by_unsloth: bool) -> Number:
    if there.maker not in ("NVIDIA", "AMD"):
        return "float32"
    if there.bfloat16:
        return "bfloat16"
    # TRL keeps the adapters of a four-bit base in bfloat16, which the scaler of float16 gradients refuses.
    return "float16" if by_unsloth else "float32"


def _why(there: Ground, by_unsloth: bool) -> str:
    if by_unsloth:
        return "an NVIDIA GPU is there" if there.maker == "NVIDIA" else "KT_UNSLOTH_ON_CPU asks for it without a GPU"
    if there.too_early and there.unsloth and (there.maker == "NVIDIA" or there.unsloth_on_cpu):
        return f"{', '.join(there.too_early)} came before Unsloth in this process; start a new one to train by Unsloth"
    if there.maker == "NVIDIA":
        return "Unsloth is not installed; pip install -e '.[gpu]' makes this faster"
    if there.maker:
        return f"the GPU is {there.maker}'s, and Unsloth is used on NVIDIA's alone"
    return "no NVIDIA GPU is there, and Unsloth needs one"


def options(way: Engine, recipe: SftRecipe | DpoRecipe) -> dict[str, Any]:
    """What the trainers are told of the machine; it goes before what the recipe says.

    Gradients are recomputed only where memory is dearer than time.
    """
    gpu = way.device == "cuda"
    told: dict[str, Any] = {
        "use_cpu": not gpu,
        "bf16": way.compute == "bfloat16",
        "fp16": way.compute == "float16",
        "gradient_checkpointing": gpu,
        "gradient_checkpointing_kwargs": {"use_reentrant": False} if gpu and way.name != "unsloth" else None,
        "dataloader_pin_memory": gpu,
        "optim": "paged_adamw_8bit" if gpu and way.precision == "nf4" else "adamw_torch_fused",
        # TRL's own default; Unsloth has another one, and a recipe means the same by both.
        "weight_decay": 0.0,
    }
    if way.name == "unsloth" and isinstance(recipe, SftRecipe):
        # Unsloth prepares rows by code of its own: it would read our tools as letters, and cut what is long. Rows in
        # tokens pass it by, and with it the packing; left to itself it would drop the padding instead.
        told |= {"dataset_kwargs": {"skip_prepare_dataset": True}, "packing": False, "padding_free": False}
        # It computes the loss in TRL's place, which is where TRL counts tokens.
        told["include_num_input_tokens_seen"] = "non_padding"
    return told
