"""Weights on disk and in memory: their digests, and a base with its adapter loaded without noise or network."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kt_lib.errors import ArtifactError, MissingPackage, NoLocalWeights


def weights_digest(folder: Path) -> str:
    """`sha256:` and 64 hex digits over the names and bytes of every safetensors file in `folder`, in order of name.

    NoLocalWeights when there is none.
    """
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        raise NoLocalWeights(f"no safetensors in {folder}: name the folder that holds the model's own weights")
    digest = hashlib.sha256()
    for file in found:
        digest.update(file.name.encode() + file_digest(file))
    return f"sha256:{digest.hexdigest()}"


def model_digest(folder: Path) -> str:
    """A digest over everything that decides what a model answers: weights, configuration, tokenizer and template."""
    digest = hashlib.sha256(weights_digest(folder).encode())
    for name in ("config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja"):
        if (folder / name).is_file():
            digest.update(name.encode() + file_digest(folder / name))
    return f"sha256:{digest.hexdigest()}"


def file_digest(file: Path) -> bytes:
    """sha256 of a file, read a piece at a time."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def parameters(folder: Path) -> int:
    """Numbers in the safetensors of `folder`, read from their headers; what is tied is counted once."""
    from safetensors import safe_open

    found = 0
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as weights:
            found += sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    return found


def check_weights(folder: Path, digest: str, what: str) -> None:
    """ArtifactError unless the weights in `folder` have this digest; `what` names them in the message."""
    found = weights_digest(folder)
    if found != digest:
        raise ArtifactError(f"{what} in {folder} has digest {found[:23]}, recorded is {digest[:23]}: make it again")


def load(folder: Path, adapter: Path | None = None, *, dtype: str = "float32", **how: Any) -> Any:
    """The model in `folder`, with `adapter` on it (not merged) where one is given; NoLocalWeights without weights.

    `how` is told to `from_pretrained` beside it. Call within `quiet`.
    """
    weights_digest(folder)
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True, **how)
    return model if adapter is None else put_adapter(model, folder, adapter)


def put_adapter(model: Any, folder: Path, adapter: Path, *, trainable: bool = False) -> Any:
    """The model loaded from `folder` with `adapter` on it, not merged."""
    peft = import_peft()
    model = peft.PeftModel.from_pretrained(model, str(adapter), is_trainable=trainable, local_files_only=True)
    # On disk an adapter names no place; in memory PEFT wants one, or asks the hub for it when it saves a checkpoint.
    model.peft_config["default"].base_model_name_or_path = str(folder)
    return model


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in `folder`, with its chat template; ArtifactError where there is none."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if not tokenizer.chat_template:
        raise ArtifactError(f"the tokenizer in {folder} has no chat template: add `chat_template.jinja` to the folder")
    return tokenizer


def import_peft() -> Any:
    """PEFT, without bitsandbytes where no GPU could use it: that import alone takes 1 to 10 seconds."""
    import torch

    if "peft" in sys.modules or torch.cuda.is_available() or "bitsandbytes" in sys.modules:
        import peft

        return peft
    sys.modules["bitsandbytes"] = None  # type: ignore[assignment]
    try:
        import peft
        from peft.import_utils import is_bnb_4bit_available, is_bnb_available

        # Both remember their first answer, and PEFT asks them again for every layer it wraps.
        is_bnb_available(), is_bnb_4bit_available()
    finally:
        del sys.modules["bitsandbytes"]
    return peft


@contextlib.contextmanager
def quiet(threads: int | None = None, *, training: bool = False) -> Iterator[None]:
    """Hugging Face libraries without progress bars, telemetry or a look at the network; `threads` for torch's kernels.

    What was set before is set again afterwards. MissingPackage without what is needed (`training`: TRL and datasets).
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    try:
        import huggingface_hub.constants
        import torch
        from transformers.utils import logging as transformers_logging

        if training:
            import_peft()
            import trl  # noqa: F401
        datasets: Any = importlib.import_module("datasets") if training else sys.modules.get("datasets")
    except ImportError as error:
        raise MissingPackage("training needs torch, transformers, trl and peft: pip install -e '.[train]'") from error
    hub = huggingface_hub.constants
    telemetry, offline = hub.HF_HUB_DISABLE_TELEMETRY, hub.HF_HUB_OFFLINE
    hub.HF_HUB_DISABLE_TELEMETRY = hub.HF_HUB_OFFLINE = True
    before = torch.get_num_threads()
    bars, level = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    maps = bool(datasets and not datasets.are_progress_bars_disabled())
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    if maps:
        datasets.disable_progress_bars()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        hub.HF_HUB_DISABLE_TELEMETRY, hub.HF_HUB_OFFLINE = telemetry, offline
        torch.set_num_threads(before)
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
        if maps:
            datasets.enable_progress_bars()
