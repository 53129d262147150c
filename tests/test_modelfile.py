"""A Modelfile whose TEMPLATE writes what the model's own chat template writes, or says why there is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from kt_lib.modelfile import frame_of, go_template, modelfile, written_by
from kt_lib.models.embedded import packaged_base
from kt_lib.weights import load_tokenizer

CHATML = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are Qwen.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}{% endfor %}"
)
LAST_USER_FIRST = "{{ messages[-1].content }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
QUOTES = CHATML.replace("<|im_start|>", '"""')
TALK = [
    {"role": "system", "content": "You act."},
    {"role": "user", "content": "Which agents?"},
    {"role": "assistant", "content": '{"tool": "list_agents", "params": {}}'},
    {"role": "tool", "content": "web01, db01"},
    {"role": "assistant", "content": "Two."},
    {"role": "user", "content": "The first: how full?"},
]


def model_with(template: str | None, folder: Path, **config: object) -> Path:
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(packaged_base() / name, folder / name)
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    held = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(held | config))
    return folder


@pytest.mark.parametrize("template", [None, CHATML])
def test_a_conversation_comes_out_of_the_template_as_out_of_the_models_own(
    template: str | None, tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(model_with(template, tmp_path / "model"))
    frame = frame_of(tokenizer)
    assert frame is not None
    for start, end in ((0, 6), (0, 4), (0, 2), (1, 2), (1, 6)):
        own = tokenizer.apply_chat_template(TALK[start:end], tokenize=False, add_generation_prompt=True)
        assert written_by(frame, TALK[start:end]) == own


def test_the_modelfile_names_weights_template_stop_and_context(tmp_path: Path) -> None:
    text = modelfile(model_with(CHATML, tmp_path / "model"))
    assert "\nFROM .\n" in text
    assert (
        'TEMPLATE """{{ if not .System }}<|im_start|>system\nYou are Qwen.<|im_end|>\n{{ end }}'
        '{{ range .Messages }}{{ if eq .Role "system" }}<|im_start|>system\n{{ .Content }}<|im_end|>\n'
    ) in text
    assert '{{ end }}{{ end }}<|im_start|>assistant\n"""' in text
    assert 'PARAMETER stop "<|end|>"' in text
    assert "PARAMETER num_ctx 2048" in text


def test_what_the_template_language_would_trim_is_not_there(tmp_path: Path) -> None:
    frame = frame_of(load_tokenizer(model_with(CHATML, tmp_path / "model")))
    assert frame is not None
    template = go_template(frame)
    assert "{{-" not in template
    assert "-}}" not in template
    assert template.count("{{ end }}") == template.count("{{ if ") + template.count("{{ range ")


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (NO_SYSTEM, "does not take a plain conversation"),
        (LAST_USER_FIRST, "more around a message than a frame"),
        (QUOTES, "signs that a Modelfile cannot hold"),
    ],
)
def test_a_template_that_cannot_be_written_is_told_and_not_guessed(template: str, words: str, tmp_path: Path) -> None:
    text = modelfile(model_with(template, tmp_path / "model"))
    assert f"# no TEMPLATE: the chat template {'writes ' if 'plain' not in words else ''}{words}" in text
    assert '"""' not in text


def test_a_layout_that_ollama_does_not_read_is_told(tmp_path: Path) -> None:
    text = modelfile(model_with(None, tmp_path / "model", architectures=["Qwen3ForCausalLM"]))
    assert "does not read safetensors of Qwen3ForCausalLM: convert to GGUF first" in text
