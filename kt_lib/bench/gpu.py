"""How fast QLoRA goes on an NVIDIA GPU: by Unsloth, and by TRL and PEFT, on the same rows by one recipe in one run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import yaml

from kt_lib.errors import KtError
from kt_lib.recipes import SftRecipe, recipe
from kt_lib.records import ChatMessage, SftRow
from kt_lib.training.engines import Ground, engine, ground

SIDES = ("unsloth", "trl+peft")
_CHILD = "import sys; from kt_lib.bench.gpu import child; child(*sys.argv[1:])"
_BATCH = 8
_WARM_UP = 10
"""First steps that are not counted: kernels are compiled in them."""
_TURNS = 12
"""Chats that make one row, so that rows are as long as real conversations with tools."""


def absent(there: Ground | None = None) -> str:
    """Why nothing can be measured here; "" where it can."""
    there = there or ground()
    if there.maker == "NVIDIA":
        return ""
    other = f"the GPU is {there.maker}'s" if there.maker else "no GPU that torch can use is there"
    return f"the area `gpu` needs an NVIDIA GPU, and {other}: run `pip install -e '.[gpu]' && kt bench gpu` on one"


def measure(steps: int = 40, layers: int = 24) -> dict[str, float | str]:
    """Tokens/s, peak memory in MB, share of the card's peak and loss of QLoRA SFT by each engine.

    The base has random weights in Qwen2's layout of half a billion parameters, held in four bits (NF4); the recipe is
    the shipped one for QLoRA with batches of 8 rows. Each engine trains in a process of its own; the first 10 steps
    are not counted. A share of the peak is 6 x parameters x tokens/s over the card's dense bfloat16 peak
    (`cards.yaml`, NVIDIA's datasheets); it is left out for a card that is not there. Without Unsloth only TRL and PEFT
    are measured. KtError where there is no NVIDIA GPU.
    """
    there = ground()
    if absent(there):
        raise KtError(absent(there))
    sides = SIDES if there.unsloth else SIDES[1:]
    with tempfile.TemporaryDirectory() as folder:
        base = make_base(Path(folder) / "base", layers)
        file = Path(folder) / "rows.jsonl"
        file.write_text("\n".join(row.model_dump_json() for row in rows(steps * _BATCH)), encoding="utf-8")
        ran = {side: _run(side, base, file, Path(folder) / side) for side in sides}
    return {"card": there.gpu, **figures(there.gpu, ran)}


def figures(card: str, ran: dict[str, dict[str, float]]) -> dict[str, float]:
    """What is told of what each engine's process measured."""
    peak = peak_tflops(card)
    found: dict[str, float] = {}
    for side, one in ran.items():
        name = side.partition("+")[0]
        rate = one["tokens"] / one["seconds"]
        found |= {f"{name}_tokens_per_s": rate, f"{name}_peak_mb": one["peak_mb"]}
        found |= {f"{name}_first_loss": one["first_loss"], f"{name}_last_loss": one["last_loss"]}
        if peak:
            found[f"{name}_share_of_peak"] = 6 * one["parameters"] * rate / (peak * 1e12)
    if len(ran) == len(SIDES):
        found["ratio_to_trl"] = found["unsloth_tokens_per_s"] / found["trl_tokens_per_s"]
        found["memory_ratio_to_trl"] = found["unsloth_peak_mb"] / found["trl_peak_mb"]
    return found


def peak_tflops(card: str) -> float | None:
    """The card's dense bfloat16 peak in TFLOP/s; None for a card that is not in the table."""
    for name, peak in yaml.safe_load((files("kt_lib.bench") / "cards.yaml").read_text("utf-8")):
        # `L4` is not in `L40`, nor `A10` in `A100`.
        if re.search(rf"\b{re.escape(name)}\b", card, re.IGNORECASE):
            return float(peak)
    return None


def make_base(folder: Path, layers: int) -> Path:
    """Random weights in Qwen2's layout of half a billion parameters, with the embedded model's tokenizer."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from kt_lib.models.embedded import packaged_base
    from kt_lib.weights import load_tokenizer, quiet

    with quiet():
        tokenizer = load_tokenizer(packaged_base())
        torch.manual_seed(1)
        config = Qwen2Config(
            vocab_size=151936,
            hidden_size=896,
            num_hidden_layers=layers,
            num_attention_heads=14,
            num_key_value_heads=2,
            intermediate_size=4864,
            max_position_embeddings=4096,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
        Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def rows(count: int) -> list[SftRow]:
    """Long conversations of the embedded world, every answer of which is learned."""
    from kt_lib.bench.training import sample

    chats = sample(count * _TURNS)
    return [
        SftRow(messages=_joined(chats[at : at + _TURNS]), learn="all", kind="bench", task_id=str(at), basis="bench")
        for at in range(0, len(chats), _TURNS)
    ]


def _joined(chats: Sequence[SftRow]) -> tuple[ChatMessage, ...]:
    told = [one for chat in chats for one in chat.messages if one.role in ("user", "assistant") and one.content]
    return tuple(ChatMessage(role=one.role, content=one.content) for one in told)


def how() -> SftRecipe:
    """The shipped recipe for QLoRA, one pass over the rows of this measurement."""
    shipped = recipe("qlora-7b-to-32b").sft
    return shipped.model_copy(
        update={"num_train_epochs": 1, "per_device_train_batch_size": _BATCH, "gradient_accumulation_steps": 1}
    )


def _run(side: str, base: Path, file: Path, out: Path) -> dict[str, float]:
    command = [sys.executable, "-c", _CHILD, side, str(base), str(file), str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise KtError(f"training by {side} failed: {' '.join(done.stderr.split())[-600:] or 'no word why'}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def child(side: str, base: str, file: str, out: str) -> None:
    """What a measured process does: one pass over the rows by that engine, and what it measured to stdout."""
    if side != "unsloth":
        # Unsloth is left out of a process that it did not come into first.
        import transformers  # noqa: F401
    way = engine(how())
    if way.name != side:
        raise KtError(f"{side} was asked for, and this process trains otherwise: {way.reason}")
    from kt_lib.training.trainable import started
    from kt_lib.training.trainers import lengths, train_sft
    from kt_lib.weights import parameters

    read = [SftRow.model_validate_json(line) for line in Path(file).read_bytes().split(b"\n")]
    with started(way):
        tokens = sum(lengths(read, Path(base)))
    ended: list[float] = []

    def watch(done: int, of: int, loss: float) -> None:
        ended.append(time.perf_counter())

    adapter = train_sft(Path(base), read, Path(out), how(), watch)
    counted = len(ended) - _WARM_UP
    found = {
        "seconds": ended[-1] - ended[_WARM_UP - 1],
        "tokens": tokens * counted / len(ended),
        "peak_mb": adapter.peak_mb,
        "first_loss": adapter.losses[0][1],
        "last_loss": adapter.losses[-1][1],
        "parameters": parameters(Path(base)),
    }
    sys.stdout.write("\n" + json.dumps(found) + "\n")
