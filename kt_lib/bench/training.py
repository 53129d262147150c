"""How fast `kt` trains, against TRL's own trainer left bare, on the same rows with the same settings in one run."""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kt_lib.recipes import SftRecipe
from kt_lib.records import ChatMessage, SftRow

_CHILD = "import sys; from kt_lib.bench.training import child; child(*sys.argv[1:])"
_LEARNING_RATE = 2e-3
_BATCH = 16
_RECIPE = SftRecipe(num_train_epochs=1, learning_rate=_LEARNING_RATE, per_device_train_batch_size=_BATCH, seed=1)


def measure(rows: int = 400, rounds: int = 2) -> dict[str, float]:
    """Tokens/s of SFT (padding not counted), peak memory in MB, and the loss on all rows after one epoch.

    Bare means: TRL's `SFTTrainer` on the packaged base with the same LoRA, learning rate, batch, threads, seed and
    rows, gradient checkpointing off, and nothing else set. Each side trains `rounds` times, in turns and in processes
    of its own; the best of each counts. `ratio_to_trl` is kt's rate over TRL's; `loss_ratio` is kt's loss over TRL's.
    `cpu_ratio_to_trl` is TRL's processor time over kt's, least of each, from loading to saving: where others use the
    machine too, it says more than the clock.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        file.write_text("\n".join(row.model_dump_json() for row in sample(rows)), encoding="utf-8")
        ran = [(side, _run(side, file, Path(folder) / f"{side}{at}")) for at in range(rounds) for side in ("kt", "trl")]
    best = {
        side: min((one for name, one in ran if name == side), key=lambda one: one["seconds"]) for side in ("kt", "trl")
    }
    least = {side: min(one["cpu_seconds"] for name, one in ran if name == side) for side in ("kt", "trl")}
    kt, trl = best["kt"], best["trl"]
    rate = {side: one["tokens"] / one["seconds"] for side, one in best.items()}
    return {
        "rows": float(rows),
        "tokens": kt["tokens"],
        "tokens_per_s": rate["kt"],
        "trl_tokens_per_s": rate["trl"],
        "ratio_to_trl": rate["kt"] / rate["trl"],
        "cpu_ratio_to_trl": least["trl"] / least["kt"],
        "loss": kt["loss"],
        "trl_loss": trl["loss"],
        "loss_ratio": kt["loss"] / trl["loss"],
        "peak_mb": kt["peak_mb"],
        "trl_peak_mb": trl["peak_mb"],
    }


def sample(count: int) -> list[SftRow]:
    """Chats and agent's turns as the base itself was taught, habits and all: never learned to a loss of nothing."""
    from kt_lib.world.pretraining import agent, chat

    rng = random.Random(4711)
    made = [(chat if at % 5 < 2 else agent)(rng) for at in range(count)]
    return [
        SftRow(
            messages=(*row.messages, ChatMessage(role="assistant", content=row.answer)),
            kind="bench",
            task_id=str(at),
            basis="the embedded world",
        )
        for at, row in enumerate(made)
    ]


def _run(side: str, rows: Path, out: Path) -> dict[str, float]:
    command = [sys.executable, "-c", _CHILD, side, str(rows), str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def child(side: str, file: str, out: str) -> None:
    """What the measured process does: trains one epoch, and writes seconds, tokens, peak_mb and loss to stdout."""
    rows = [SftRow.model_validate_json(line) for line in Path(file).read_bytes().split(b"\n")]
    _import()
    began = time.process_time()
    seconds, tokens = (_kt if side == "kt" else _bare)(rows, Path(out))
    cpu = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"seconds": seconds, "cpu_seconds": cpu, "tokens": tokens, "peak_mb": peak, "loss": _loss(rows, Path(out))}
    sys.stdout.write("\n" + json.dumps(found) + "\n")


def _import() -> None:
    """What both sides need, so that neither is charged with it."""
    from kt_lib.weights import quiet

    with quiet(training=True):
        from datasets import Dataset  # noqa: F401
        from trl import SFTConfig, SFTTrainer  # noqa: F401


def _kt(rows: list[SftRow], out: Path) -> tuple[float, int]:
    from kt_lib.models.embedded import packaged_base
    from kt_lib.training.trainers import train_sft

    adapter = train_sft(packaged_base(), rows, out, _RECIPE)
    return adapter.seconds, adapter.tokens


def _bare(rows: list[SftRow], out: Path) -> tuple[float, int]:
    from kt_lib.models.embedded import packaged_base
    from kt_lib.training.engines import engine
    from kt_lib.weights import load, load_tokenizer, quiet

    with quiet(engine(_RECIPE).threads, training=True):
        from datasets import Dataset
        from peft import LoraConfig
        from transformers import set_seed
        from trl import SFTConfig, SFTTrainer

        set_seed(1)
        options: dict[str, Any] = {"num_train_epochs": 1, "learning_rate": _LEARNING_RATE, "report_to": "none"}
        options |= {
            "per_device_train_batch_size": _BATCH,
            "gradient_checkpointing": False,
            "bf16": False,
            "use_cpu": True,
        }
        options |= {
            "lr_scheduler_type": "cosine",
            "warmup_steps": 5,
            "save_strategy": "no",
            "max_length": None,
            "seed": 1,
        }
        messages = [[one.model_dump(include={"role", "content"}) for one in row.messages] for row in rows]
        trainer = SFTTrainer(
            model=load(packaged_base()),
            args=SFTConfig(output_dir=str(out), **options),
            train_dataset=Dataset.from_list([{"prompt": one[:-1], "completion": one[-1:]} for one in messages]),
            processing_class=load_tokenizer(packaged_base()),
            peft_config=LoraConfig(**_RECIPE.lora.model_dump(), task_type="CAUSAL_LM"),
        )
        began = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - began
        trainer.model.save_pretrained(str(out), save_embedding_layers=False)
        return seconds, sum(len(ids) for ids in trainer.train_dataset["input_ids"])


def _loss(rows: list[SftRow], adapter: Path) -> float:
    """Mean cross-entropy over the answer tokens of all rows, in nats."""
    import torch

    from kt_lib.models.embedded import packaged_base
    from kt_lib.weights import load, load_tokenizer, quiet

    total, count = 0.0, 0
    with quiet(), torch.inference_mode():
        model, tokenizer = load(packaged_base(), adapter).eval(), load_tokenizer(packaged_base())
        for row in rows:
            messages = [one.model_dump(include={"role", "content"}) for one in row.messages]
            prompt = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, tokenize=False)
            ids = tokenizer(tokenizer.apply_chat_template(messages, tokenize=False), return_tensors="pt")["input_ids"]
            start = len(tokenizer(prompt)["input_ids"])
            logits = model(input_ids=ids).logits[0, start - 1 : -1]
            total += float(torch.nn.functional.cross_entropy(logits, ids[0, start:], reduction="sum"))
            count += ids.shape[1] - start
    return total / count
