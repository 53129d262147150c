"""Which way training goes on this machine, and a model opened that way.

Unsloth on an NVIDIA GPU; TRL and PEFT elsewhere, with bitsandbytes where a recipe asks for four bits.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import io
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from kt_lib.errors import ArtifactError, KtError, MissingPackage
from kt_lib.recipes import DpoRecipe, SftRecipe
from kt_lib.records import Record
from kt_lib.settings import Settings
from kt_lib.weights import import_peft, load, put_adapter, quiet, weights_digest

log = logging.getLogger(__name__)

Number = Literal["float32", "float16", "bfloat16"]

_AFTER_UNSLOTH = ("trl", "transformers", "peft")
"""What Unsloth rewrites while it is imported: imported before it, they stay as they were, and slower."""


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
        reason=f"{who} on {where} in {compute}{kept}: {_why(there, by_unsloth)}",
    )


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


@contextlib.contextmanager
def started(way: Engine) -> Iterator[None]:
    """The engine's libraries, imported in the order that they need, without noise or network."""
    if way.name == "unsloth":
        with _told():
            _import_unsloth()
    if way.precision == "nf4":
        # It tells every process on a CPU that a faster kernel could be downloaded.
        logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
        importlib.import_module("bitsandbytes")
    with quiet(way.threads, training=True):
        if way.precision == "nf4":
            _refuse_without_bitsandbytes()
        yield


def _import_unsloth() -> None:
    """Unsloth, which would download a file as a sign of life, and leave a folder of its code where it is started."""
    if "unsloth" in sys.modules:
        return
    os.environ.setdefault("UNSLOTH_DISABLE_STATISTICS", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("UNSLOTH_COMPILE_LOCATION", str(Path(tempfile.gettempdir()) / f"kt-unsloth-{os.getuid()}"))
    importlib.import_module("unsloth")


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What Unsloth prints goes to the log: a notebook shows what its reader needs."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            yield
    finally:
        for line in filter(None, map(str.strip, said.getvalue().splitlines())):
            log.info("%s", line)


def _refuse_without_bitsandbytes() -> None:
    from peft.import_utils import is_bnb_4bit_available

    if not is_bnb_4bit_available():
        raise KtError(
            "PEFT came into this process without bitsandbytes, and it remembers that: train in four bits in a new"
            " process (restart the kernel)"
        )


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
    }
    if way.name == "unsloth" and isinstance(recipe, SftRecipe):
        # Unsloth prepares rows by code of its own: it would read our tools as letters, pack rows so that attention
        # crosses from one to the next, and cut what is long. Rows in tokens pass it by, and lie end to end instead.
        told |= {"dataset_kwargs": {"skip_prepare_dataset": True}, "packing": False, "padding_free": recipe.packing}
    return told


def open_for_training(base: Path, adapter_in: Path | None, recipe: SftRecipe | DpoRecipe, way: Engine) -> Any:
    """The base with a LoRA adapter that can be trained on it: a new one, or `adapter_in` to go on from.

    A PEFT model by either engine; the trainers get it without `peft_config` and `ref_model`. Call within `started`.
    """
    weights_digest(base)
    if way.name == "unsloth":
        with _told():
            return _by_unsloth(base, adapter_in, recipe, way)
    model = load(base, dtype=_held(way), **_in_four_bits(way))
    if way.precision == "nf4":
        model = _ready_for_four_bits(model, way)
    if adapter_in is not None:
        return put_adapter(model, base, adapter_in, trainable=True)
    peft = import_peft()
    return peft.get_peft_model(model, peft.LoraConfig(**_shape(recipe), task_type="CAUSAL_LM"))


def _shape(recipe: SftRecipe | DpoRecipe) -> dict[str, Any]:
    modules = recipe.lora.target_modules
    return recipe.lora.model_dump() | {"target_modules": modules if isinstance(modules, str) else list(modules)}


def _held(way: Engine) -> str:
    return way.compute if way.precision == "nf4" else way.precision


# --- four bits -------------------------------------------------------------------------------------------------------


def _in_four_bits(way: Engine) -> dict[str, Any]:
    if way.precision != "nf4":
        return {}
    import torch
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, way.compute),
    )
    if way.device == "cpu":
        return {"quantization_config": config, "device_map": "cpu"}
    from accelerate import PartialState

    # Quantised weights cannot be moved afterwards: each process of several loads onto its own GPU.
    return {"quantization_config": config, "device_map": {"": PartialState().local_process_index}}


def _ready_for_four_bits(model: Any, way: Engine) -> Any:
    for layer in model.modules():
        # On a CPU with AVX512 in bfloat16 the first forward pass in eval mode repacks a layer's weights for good, and
        # nothing can be learned through them any more.
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
    return import_peft().prepare_model_for_kbit_training(
        model,
        use_gradient_checkpointing=way.device == "cuda",
        gradient_checkpointing_kwargs={"use_reentrant": False},
    )


# --- unsloth ---------------------------------------------------------------------------------------------------------


def _by_unsloth(base: Path, adapter_in: Path | None, recipe: SftRecipe | DpoRecipe, way: Engine) -> Any:
    from transformers import AutoConfig
    from unsloth import FastLanguageModel

    # Longer rows are refused by name before training; a smaller number here would cut them without a word.
    longest = AutoConfig.from_pretrained(base, local_files_only=True).max_position_embeddings
    named = _naming_its_base(adapter_in, base) if adapter_in else contextlib.nullcontext(base)
    with named as folder:
        model, _ = FastLanguageModel.from_pretrained(
            model_name=str(folder),
            max_seq_length=longest,
            dtype=way.compute,
            load_in_4bit=way.precision == "nf4",
            load_in_16bit=way.precision != "nf4",
            use_gradient_checkpointing="unsloth" if way.device == "cuda" else False,
            use_exact_model_name=True,
            fix_tokenizer=False,
            local_files_only=True,
            random_state=recipe.seed,
        )
    if adapter_in is not None:
        model.peft_config["default"].base_model_name_or_path = str(base)
        return model
    return FastLanguageModel.get_peft_model(
        model,
        **_shape(recipe),
        bias="none",
        use_gradient_checkpointing="unsloth" if way.device == "cuda" else False,
        random_state=recipe.seed,
    )


@contextlib.contextmanager
def _naming_its_base(adapter: Path, base: Path) -> Iterator[Path]:
    """A copy of the adapter that names where its base lies: Unsloth loads the two together, by that name."""
    with tempfile.TemporaryDirectory(prefix="kt-adapter-") as folder:
        copy = Path(folder) / "adapter"
        shutil.copytree(adapter, copy)
        file = copy / "adapter_config.json"
        try:
            config = json.loads(file.read_bytes())
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{adapter} holds no adapter that can be read ({error}): train it again") from error
        file.write_text(json.dumps(config | {"base_model_name_or_path": str(base.resolve())}), encoding="utf-8")
        yield copy
