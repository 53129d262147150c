"""What an Open WebUI message says, in any of its dialects, as parts: text, reasoning, calls, results, code, files."""

from __future__ import annotations

import re
from typing import Any

from kt_lib.records import MessagePart, Role
from kt_lib.sources.fields import dict_of, list_of, shown, text_of, text_or_none
from kt_lib.sources.openwebui_details import call_part, openai_call_part, parts_in, result_part

_THINK = re.compile(r"\s*<think(?:ing)?>(.*?)(?:</think(?:ing)?>|\Z)", re.DOTALL)


def parts_of(message: dict[str, Any], role: Role) -> tuple[MessagePart, ...]:
    """The parts of a raw message; `output[]` says more than `content` where both are there."""
    content = _content(message)
    if role == "assistant":
        parts = _answer(message, content)
    elif role == "tool":
        parts = [result_part(content, text_or_none(message.get("tool_call_id")))]
    else:
        # What a user typed is text, whatever it looks like.
        parts = [MessagePart(kind="text", text=content)] if content else []
    if message.get("files"):
        parts += _attachments(message["files"])
    if message.get("sources"):
        parts += _sources(message["sources"])
    return tuple(parts)


def _content(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(filter(None, (_item_text(item) for item in content)))
    return _item_text(content)


def _item_text(item: Any) -> str:
    """The text of a content item: plain, `{type: text, text}`, `{content}`; pictures and files have none."""
    if isinstance(item, dict):
        for key in ("text", "content", "input_text", "output_text"):
            if isinstance(item.get(key), str):
                return str(item[key])
        return "" if "type" in item else shown(item) if item else ""
    return shown(item)


def _answer(message: dict[str, Any], content: str) -> list[MessagePart]:
    if not content and isinstance(message.get("content_list"), list):
        return _phases(message["content_list"])
    written = _reasoned(content)
    output = _output(message.get("output")) if message.get("output") else []
    if output and not (_calls(written) and not _calls(output)):
        return _reconciled(output, written)
    if message.get("tool_calls"):
        written += [openai_call_part(item) for item in list_of(message["tool_calls"])]
    for key in ("reasoning_content", "thinking"):
        if (reasoning := text_of(message.get(key))) and not any(part.kind == "reasoning" for part in written):
            written.insert(0, MessagePart(kind="reasoning", text=reasoning))
    return written


def _reasoned(content: str) -> list[MessagePart]:
    """The parts of an answer's content; raw `<think>` tags at its start are reasoning."""
    if "<think" in content and (thought := _THINK.match(content)):
        reasoning = MessagePart(kind="reasoning", text=thought[1].strip())
        return [reasoning, *parts_in(content[thought.end() :])]
    return parts_in(content)


def _reconciled(output: list[MessagePart], written: list[MessagePart]) -> list[MessagePart]:
    """`output[]` in order, unless `content` says other words: then it was edited or filtered, and its words hold."""
    said = [part for part in written if part.kind == "text"]
    if not said or _words(said) == _words([part for part in output if part.kind == "text"]):
        return output
    return [part for part in output if part.kind != "text"] + said


def _calls(parts: list[MessagePart]) -> bool:
    return any(part.kind == "tool_call" for part in parts)


def _words(parts: list[MessagePart]) -> list[str]:
    return " ".join(part.text for part in parts).split()


def _output(output: Any) -> list[MessagePart]:
    """The items of `output[]` (0.8 on); a call listed again under its id (as it went on) counts once."""
    parts: list[MessagePart] = []
    at: dict[tuple[str, str | None], int] = {}
    for item in list_of(output):
        if not isinstance(item, dict):
            continue
        for part in _output_item(item):
            key = (part.kind, part.call_id)
            if part.call_id and key in at:
                parts[at[key]] = part
            else:
                at[key] = len(parts)
                parts.append(part)
    return parts


def _output_item(item: dict[str, Any]) -> list[MessagePart]:
    kind = item.get("type")
    call_id = text_or_none(item.get("call_id")) or text_or_none(item.get("id"))
    if kind == "message":
        text = _joined(item.get("content"))
        return [MessagePart(kind="text", text=text)] if text.strip() else []
    if kind == "function_call":
        return [call_part(text_of(item.get("name")), item.get("arguments"), call_id)]
    if kind == "function_call_output":
        return [result_part(_joined(item.get("output")), text_or_none(item.get("call_id")))]
    if kind == "reasoning":
        text = _joined(item.get("content")) or _joined(item.get("summary"))
        return [MessagePart(kind="reasoning", text=text)] if text.strip() else []
    if kind == "open_webui:code_interpreter":
        ran = [MessagePart(kind="code", text=text_of(item.get("code")))]
        printed = shown(item.get("output"))
        return [*ran, MessagePart(kind="attachment", text=printed)] if printed else ran
    return []


def _joined(content: Any) -> str:
    """The text of a list of content items, or of a lone one."""
    if isinstance(content, list):
        return "\n".join(filter(None, (_item_text(item) for item in content)))
    return _item_text(content)


def _phases(items: list[Any]) -> list[MessagePart]:
    """`content_list[{phase, content}]` of the Qwen Chat fork."""
    parts: list[MessagePart] = []
    for item in items:
        if not isinstance(item, dict):
            continue
        text = _joined(item.get("content"))
        if text.strip():
            thought = text_of(item.get("phase")).startswith("think")
            parts.append(MessagePart(kind="reasoning" if thought else "text", text=text))
    return parts


def _attachments(files: Any) -> list[MessagePart]:
    """Names of files, never their bytes."""
    parts = []
    for item in list_of(files):
        if isinstance(item, dict):
            inner = dict_of(item.get("file"))
            name = text_of(item.get("name")) or text_of(inner.get("filename")) or text_of(item.get("type")) or "file"
            parts.append(MessagePart(kind="attachment", text=name))
    return parts


def _sources(sources: Any) -> list[MessagePart]:
    parts = []
    for item in list_of(sources):
        source = item.get("source") if isinstance(item, dict) else None
        if isinstance(source, dict) and (name := text_of(source.get("name")) or text_of(source.get("url"))):
            parts.append(MessagePart(kind="source", text=name))
    return parts
