"""A Modelfile for Ollama beside merged weights: its TEMPLATE is derived from the model's chat template, and checked.

Ollama knows the chat templates of well-known models only; for any other it would put the bare words to the model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kt_lib.weights import load_tokenizer, quiet

MODELFILE = "Modelfile"
_NOT_IMPORTED = ("Qwen3ForCausalLM", "Qwen3MoeForCausalLM", "MistralForCausalLM")
"""Layouts that Ollama does not read as safetensors."""
_MOST_CONTEXT = 32768
_SAID = {"system": "Qsystemq", "user": "Quserq", "assistant": "Qassistantq", "tool": "Qtoolq"}
Turn = dict[str, str]


class Frame(NamedTuple):
    """What a chat template writes around each message."""

    around: dict[str, tuple[str, str]]
    """By role: what stands before the content and after it."""
    lead: str
    """What stands before a conversation without a system message."""


def modelfile(folder: Path) -> str:
    """The Modelfile for the merged model in `folder`, with the reason in a comment where a part cannot be made."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    with quiet():
        tokenizer = load_tokenizer(folder)
        frame, reason = _frame_or_reason(tokenizer)
    layout = (config.get("architectures") or ["an unknown layout"])[0]
    lines = ["# ollama create NAME -f Modelfile, in this folder", "FROM ."]
    if layout in _NOT_IMPORTED:
        lines.insert(
            0, f"# Ollama does not read safetensors of {layout}: convert to GGUF first and name that file here"
        )
    lines += [f'TEMPLATE """{go_template(frame)}"""'] if frame else [f"# no TEMPLATE: {reason}"]
    lines.append(f"PARAMETER num_ctx {min(config.get('max_position_embeddings') or 4096, _MOST_CONTEXT)}")
    if tokenizer.eos_token:
        lines.append(f"PARAMETER stop {json.dumps(tokenizer.eos_token, ensure_ascii=False)}")
    return "\n".join([*lines, "PARAMETER temperature 0"]) + "\n"


def _frame_or_reason(tokenizer: Any) -> tuple[Frame | None, str]:
    try:
        frame = frame_of(tokenizer)
    except Exception as error:  # a chat template is a program of somebody else's: it may raise anything
        return None, f"the chat template does not take a plain conversation ({' '.join(str(error).split())[:100]})"
    if frame is None:
        return None, "the chat template writes more around a message than a frame of its own"
    written = "".join([*(text for pair in frame.around.values() for text in pair), frame.lead])
    if '"""' in written or "{{" in written or "}}" in written:
        return None, "the chat template writes signs that a Modelfile cannot hold"
    return frame, ""


def frame_of(tokenizer: Any) -> Frame | None:
    """What the chat template writes around each message; None where conversations come out otherwise by it."""
    own = {role: {"role": role, "content": said} for role, said in _SAID.items()}
    after_user = _between(_rendered(tokenizer, [own["user"]]), _SAID["user"], None)
    whole = _rendered(tokenizer, [own["user"], own["assistant"]])
    after_assistant = _between(whole, _SAID["assistant"], None)
    before_assistant = _between(whole, _SAID["user"], _SAID["assistant"]).removeprefix(after_user)
    again = _rendered(tokenizer, [own["user"], own["assistant"], {"role": "user", "content": "Qagainq"}])
    before_user = _between(again, _SAID["assistant"], "Qagainq").removeprefix(after_assistant)
    told = _rendered(tokenizer, [own["system"], own["user"]])
    after_system = _between(told, _SAID["system"], _SAID["user"]).removesuffix(before_user)
    around = {
        "system": (_bare(told.partition(_SAID["system"])[0], tokenizer), after_system),
        "user": (before_user, after_user),
        "assistant": (before_assistant, after_assistant),
    }
    around |= _around_tool(tokenizer, own, after_assistant)
    lead = _bare(whole.partition(_SAID["user"])[0], tokenizer).removesuffix(before_user)
    frame = Frame(around=around, lead=lead)
    return frame if _holds(frame, tokenizer, own) else None


def written_by(frame: Frame, messages: Sequence[Turn]) -> str:
    """A conversation as the frame writes it, up to where the model goes on."""
    text = "" if messages[0]["role"] == "system" else frame.lead
    for message in messages:
        before, after = frame.around[message["role"]]
        text += f"{before}{message['content']}{after}"
    return text + frame.around["assistant"][0]


def go_template(frame: Frame) -> str:
    """The frame as Ollama's template language has it, on one line: line ends in it are the model's own."""
    roles = [
        f'{{{{ {"else " if at else ""}if eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{after}'
        for at, (role, (before, after)) in enumerate(frame.around.items())
    ]
    lead = f"{{{{ if not .System }}}}{frame.lead}{{{{ end }}}}" if frame.lead else ""
    return f"{lead}{{{{ range .Messages }}}}{''.join(roles)}{{{{ end }}}}{{{{ end }}}}{frame.around['assistant'][0]}"


def _around_tool(tokenizer: Any, own: dict[str, Turn], after_assistant: str) -> dict[str, tuple[str, str]]:
    """What stands around a tool's result; nothing where the template knows no such role, or hides it in another."""
    try:
        text = _rendered(tokenizer, [own["user"], own["assistant"], own["tool"]])
        before = _between(text, _SAID["assistant"], _SAID["tool"]).removeprefix(after_assistant)
        return {"tool": (before, _between(text, _SAID["tool"], None))}
    except Exception:  # as above
        return {}


def _holds(frame: Frame, tokenizer: Any, own: dict[str, Turn]) -> bool:
    """Whether several conversations come out of the frame as they come out of the chat template."""
    system, user, assistant, tool = (own[role] for role in _SAID)
    tries = [[user], [system, user], [user, assistant, user], [system, user, assistant, user, assistant, user]]
    if "tool" in frame.around:
        tries.append([system, user, assistant, tool])
    return all(
        written_by(frame, one) == _bare(_rendered(tokenizer, one, add_generation_prompt=True), tokenizer)
        for one in tries
    )


def _rendered(tokenizer: Any, messages: Sequence[Turn], add_generation_prompt: bool = False) -> str:
    text: str = tokenizer.apply_chat_template(
        list(messages), tokenize=False, add_generation_prompt=add_generation_prompt
    )
    return text


def _bare(text: str, tokenizer: Any) -> str:
    """Without the token that begins every text: Ollama puts it there itself."""
    return text.removeprefix(tokenizer.bos_token) if tokenizer.bos_token else text


def _between(text: str, first: str, second: str | None) -> str:
    """What stands between two texts, or after the first one; ValueError where they are not there."""
    start = text.index(first) + len(first)
    return text[start : text.index(second, start)] if second else text[start:]
