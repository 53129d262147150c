"""The `<details>` blocks that Open WebUI 0.5 to 0.9 writes into an answer: tool calls, reasoning, code runs."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from kt_lib.records import MessagePart, ToolCall
from kt_lib.sources.fields import arguments_of, dict_of, list_of, loaded, shown, text_or_none

_OPEN = re.compile(r"<details((?:\s++[\w:.-]++(?:\s*+=\s*+\"[^\"]*+\")?+)*+)\s*+>")
_ATTRIBUTE = re.compile(r"([\w:.-]++)\s*+=\s*+\"([^\"]*+)\"")
_ANY_TAG = re.compile(r"<(/?)details\b")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_SUMMARY = re.compile(r"\s*<summary>.*?</summary>\n?", re.DOTALL)
_CODE = re.compile(r"\s*```[^\n]*\n(.*?)\n?```\s*\Z", re.DOTALL)
_KINDS = ("tool_calls", "reasoning", "code_interpreter")


class Block(NamedTuple):
    """A block as it stands in the text."""

    kind: str
    attributes: dict[str, str]
    body: str
    whole: bool


def parts_in(content: str) -> list[MessagePart]:
    """The text and the blocks of an answer, in order. Blocks in a code fence or within a line are text."""
    if "<details" not in content:
        return _text(content)
    parts: list[MessagePart] = []
    for piece in _pieces(content):
        if isinstance(piece, str):
            parts += _text(piece)
        elif piece.kind == "tool_calls":
            parts += _calls(piece)
        elif piece.kind == "reasoning":
            parts.append(MessagePart(kind="reasoning", text=_quoted(piece.body), well_formed=piece.whole))
        else:
            parts += _code_run(piece)
    return parts


def _text(text: str) -> list[MessagePart]:
    text = text.strip("\n")
    return [MessagePart(kind="text", text=text)] if text.strip() else []


def _pieces(content: str) -> Iterator[str | Block]:
    """The content cut at its blocks; one pass over the lines, which knows whether it stands in a code fence."""
    fence, said, at = "", 0, 0
    while at < len(content):
        line_end = content.find("\n", at)
        line_end = len(content) if line_end < 0 else line_end
        if mark := _FENCE.match(content, at, line_end):
            fence = _after_fence(fence, mark[1], content[mark.end() : line_end])
        elif not fence and (found := _block_at(content, at, line_end)):
            block, end = found
            yield content[said:at]
            yield block
            said = at = end
            continue
        at = line_end + 1
    yield content[said:]


def _after_fence(fence: str, mark: str, rest: str) -> str:
    """The open fence after a fence line: a fence is closed by one at least as long with nothing behind it."""
    if not fence:
        return "" if mark[0] == "`" and "`" in rest else mark
    return "" if mark.startswith(fence) and not rest.strip() else fence


def _block_at(content: str, at: int, line_end: int) -> tuple[Block, int] | None:
    start = at
    while start < min(line_end, at + 4) and content[start] == " ":
        start += 1
    if start - at > 3 or not (tag := _OPEN.match(content, start)):
        return None
    attributes = dict(_ATTRIBUTE.findall(tag[1]))
    kind = attributes.get("type", "")
    if kind not in _KINDS:
        return None
    depth = 1
    for mark in _ANY_TAG.finditer(content, tag.end()):
        depth += -1 if mark[1] else 1
        if depth == 0:
            end = content.find(">", mark.end())
            end = len(content) if end < 0 else end + 1
            return Block(kind, attributes, content[tag.end() : mark.start()], True), end
    # Never closed: the stream was cut while the block was being written.
    return Block(kind, attributes, content[tag.end() :], False), len(content)


def _calls(block: Block) -> list[MessagePart]:
    """0.5 puts a list of calls in one block, later versions one call, 0.9 its result in the body."""
    attributes = block.attributes
    if "name" not in attributes and "content" in attributes:
        return _listed_calls(attributes)
    name = html.unescape(attributes.get("name", ""))
    call_id = text_or_none(html.unescape(attributes.get("id", "")))
    parts = [call_part(name, html.unescape(attributes.get("arguments", "")), call_id)]
    body = _SUMMARY.sub("", block.body, count=1).strip()
    result = attributes.get("result") or body
    if result:
        parts.append(result_part(_unwrapped(html.unescape(result)), call_id))
    return parts


def _listed_calls(attributes: dict[str, str]) -> list[MessagePart]:
    written = html.unescape(attributes["content"])
    calls = list_of(written)
    if not calls:
        return [MessagePart(kind="tool_call", text=written, well_formed=False)]
    parts = [openai_call_part(item) for item in calls]
    for result in list_of(html.unescape(attributes.get("results", ""))):
        if isinstance(result, dict):
            call_id = text_or_none(result.get("tool_call_id")) or text_or_none(result.get("id"))
            parts.append(result_part(_unwrapped(result.get("content", "")), call_id))
        else:
            parts.append(result_part(_unwrapped(result), None))
    return parts


def openai_call_part(item: Any) -> MessagePart:
    """A call as OpenAI writes it, `{id, function: {name, arguments}}`, or flat; kept as text when it is none."""
    if not isinstance(item, dict):
        return MessagePart(kind="tool_call", text=shown(item), well_formed=False)
    function = dict_of(item.get("function")) or item
    name = text_or_none(function.get("name")) or ""
    call_id = text_or_none(item.get("call_id")) or text_or_none(item.get("id"))
    return call_part(name, function.get("arguments"), call_id)


def call_part(name: str, arguments: Any, call_id: str | None) -> MessagePart:
    """A tool call; arguments that are no JSON object are kept as they were written, and marked."""
    found, written = arguments_of(arguments)
    call = ToolCall(name=name, arguments=found or {}, id=call_id) if name else None
    well_formed = found is not None and bool(name)
    return MessagePart(kind="tool_call", text=written, call=call, call_id=call_id, well_formed=well_formed)


def result_part(text: str, call_id: str | None) -> MessagePart:
    """What a tool gave back."""
    return MessagePart(kind="tool_result", text=text, call_id=call_id)


def _unwrapped(value: Any) -> str:
    """A result's text: a JSON text of a text gives the inner one, everything else stays as it was written."""
    if isinstance(value, str):
        inner = loaded(value) if value.startswith('"') else None
        return inner if isinstance(inner, str) else value
    return shown(value)


def _quoted(body: str) -> str:
    """The words of a reasoning block: the summary and the quote marks taken away, unescaped where it was escaped."""
    body = _SUMMARY.sub("", body, count=1).strip("\n")
    if body.lstrip().startswith("&gt;"):
        body = html.unescape(body)
    lines = body.split("\n")
    return "\n".join(
        line.removeprefix(">").removeprefix(" ") if line.startswith(">") else line for line in lines
    ).strip()


def _code_run(block: Block) -> list[MessagePart]:
    """Code that was run, and (as an attachment: no tool was called) what it printed."""
    body = _SUMMARY.sub("", block.body, count=1)
    code = _CODE.match(body)
    parts = [MessagePart(kind="code", text=code[1] if code else body.strip(), well_formed=block.whole)]
    if output := _unwrapped(html.unescape(block.attributes.get("output", ""))):
        parts.append(MessagePart(kind="attachment", text=output))
    return parts
