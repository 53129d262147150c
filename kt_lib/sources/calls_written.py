"""Calls and results as training sets write them into a text, and turns put together as a model would have made them.

Seen: `<tool_call>` and `<tool_response>` in the card of `NousResearch/hermes-function-calling-v1`; `<functioncall>`
with its arguments as JSON in single quotes in `glaiveai/glaive-function-calling-v2`; a Python dict with JSON text in it
as the content of a `tool_call` message in Toucan's SFT part (read so in `neulab/agent-data-protocol`,
datasets/toucan_1_5m/raw_to_standardized.py); `[Name(key="value")]`, with names that hold spaces, and results as
`[{"name": ..., "results": ...}]` in ToolACE.
"""

from __future__ import annotations

import ast
import keyword
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from kt_lib.calls.python_calls import Unreadable, parse_calls
from kt_lib.records import MessagePart, ToolSpec
from kt_lib.sources.chains import Turn
from kt_lib.sources.fields import loaded, shown, text_or_none
from kt_lib.sources.openwebui_details import call_part, result_part
from kt_lib.sources.tools_written import as_json, loose_value

_TAGGED = re.compile(
    r"<tool_call>(.*?)(?:</tool_call>|\Z)|<functioncall>(.*?)(?:</functioncall>|<\|endoftext\|>|\Z)", re.DOTALL
)
_RESPONSES = re.compile(r"<tool_response>(.*?)(?:</tool_response>|\Z)", re.DOTALL)
_JSON_IN_QUOTES = re.compile(r"\"arguments\"\s*:\s*'(.*)'\s*}\s*\Z", re.DOTALL)
_QUOTED = re.compile(r"(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')", re.DOTALL)
_JSON_WORDS = {"true": "True", "false": "False", "null": "None"}
_JSON_WORD = re.compile(r"([=,\[:(]\s*)(true|false|null)\b(?!\s*[(=])")


def assistant_parts(text: str, tools: Sequence[ToolSpec]) -> tuple[MessagePart, ...]:
    """What an assistant says, with the calls in it as calls; a call that cannot be read is kept and marked as such."""
    if tools and (calls := _python_calls(text.strip(), [tool.name for tool in tools])):
        return calls
    parts: list[MessagePart] = []
    at = 0
    for tag in _TAGGED.finditer(text):
        parts += [*_words(text[at : tag.start()]), *call_parts(tag[1] or tag[2] or "")]
        at = tag.end()
    return (*parts, *_words(text[at:])) if parts else ((MessagePart(kind="text", text=text),) if text else ())


def _words(text: str) -> list[MessagePart]:
    text = text.strip()
    return [MessagePart(kind="text", text=text)] if text else []


def joined(turns: Iterable[Turn]) -> list[Turn]:
    """The turns with calls in one turn with the words and calls right before them: calls made at once are parallel."""
    found: list[Turn] = []
    for role, parts in turns:
        calls = role == "assistant" and any(part.kind == "tool_call" for part in parts)
        if calls and found and found[-1][0] == "assistant":
            found[-1] = role, (*found[-1][1], *parts)
        else:
            found.append((role, parts))
    return found


# --- calls -----------------------------------------------------------------------------------------------------------


def call_parts(written: str) -> list[MessagePart]:
    """The call or calls of a text that is an object `{name, arguments}` or a list of them, as JSON or as Python."""
    written = written.strip().removeprefix("\\n").removesuffix("\\n").strip()
    value = loose_value(written)
    parts = [_named(one) for one in (value if isinstance(value, list) else [value])]
    if value and all(parts):
        return [part for part in parts if part]
    found = _quoted_call(written) if value is None else None
    return [found or MessagePart(kind="tool_call", text=written, well_formed=False)]


def _named(value: Any) -> MessagePart | None:
    """An object as a call; None where it names no function."""
    if not isinstance(value, dict):
        return None
    inner = value["function"] if isinstance(value.get("function"), dict) else value
    name = text_or_none(inner.get("name"))
    arguments = inner["arguments"] if "arguments" in inner else inner.get("parameters")
    return call_part(name, {} if arguments == [] else arguments, None) if name else None


def _quoted_call(written: str) -> MessagePart | None:
    """`{"name": "f", "arguments": '{"a": "it's"}'}`: JSON in single quotes that may hold single quotes itself."""
    quoted = _JSON_IN_QUOTES.search(written)
    whole = loaded(written[: quoted.start()] + '"arguments": {}}') if quoted else None
    if not quoted or not isinstance(whole, dict):
        return None
    arguments = quoted[1] if loaded(quoted[1]) is not None else quoted[1].replace("\\'", "'")
    return _named(whole | {"arguments": arguments})


def _python_calls(text: str, names: Sequence[str]) -> tuple[MessagePart, ...]:
    """The calls of a text that is nothing but `[Name(key=value), ...]`; none where it does not begin like that."""
    whole = text.startswith("[") and re.search(r"\)\s*\]\Z", text)
    if not whole and not any(re.match(rf"\[\s*{re.escape(name)}\s*\(", text) for name in names):
        return ()
    plain, known = _as_python(text, names)
    unreadable = (MessagePart(kind="tool_call", text=text, well_formed=False),)
    try:
        calls = parse_calls(plain)
        if calls is None or _has_positional(plain):
            return unreadable
        return tuple(
            call_part(
                known.get(call.name, call.name),
                {known.get(name, name): as_json(value) for name, value in call.arguments.items()},
                None,
            )
            for call in calls
        )
    except (Unreadable, TypeError):
        return unreadable


def _has_positional(text: str) -> bool:
    """Whether a call has a value without a name, of which nothing says what it is for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd escape in a row is not our warning
        body = ast.parse(text, mode="eval").body
    return any(isinstance(one, ast.Call) and one.args for one in getattr(body, "elts", [body]))


def _as_python(text: str, names: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The text with every name written as an identifier and JSON's words as Python's, and which name is which.

    What stands in quotes stays as it is. Names of tools hold spaces and slashes, those of parameters are words like
    `from`, or hold hyphens.
    """
    known: dict[str, str] = {}
    pieces = _QUOTED.split(text)
    for number, name in enumerate(sorted(set(names), key=len, reverse=True)):
        if not name.replace(".", "_").isidentifier():
            known[f"tool_{number}_"] = name
            there = re.compile(rf"((?:^|[\[,])\s*){re.escape(name)}\s*(?=\()")
            pieces[::2] = [there.sub(rf"\g<1>tool_{number}_", piece) for piece in pieces[::2]]

    def parameter(found: re.Match[str]) -> str:
        if found[2].isidentifier() and not keyword.iskeyword(found[2]):
            return found[0]
        known[alias := f"parameter_{len(known)}_"] = found[2]
        return f"{found[1]}{alias}="

    odd = re.compile(r"([(,]\s*)([$@\w][\w.$@\[\]-]*)\s*=(?!=)")
    pieces[::2] = [odd.sub(parameter, piece) for piece in pieces[::2]]
    pieces[::2] = [_JSON_WORD.sub(lambda found: found[1] + _JSON_WORDS[found[2]], piece) for piece in pieces[::2]]
    return "".join(pieces), known


# --- results ---------------------------------------------------------------------------------------------------------


def result_parts(text: str, calls: Sequence[MessagePart]) -> tuple[MessagePart, ...]:
    """What came back for these calls: one result each where the text tells them apart, in the order of the calls."""
    blocks = [block.strip() for block in _RESPONSES.findall(text)] or [text]
    found = [one for block in blocks for one in _named_results(block)]
    names = [part.call.name for part in calls if part.call]
    if found and all(name is not None for name, _ in found) and sorted(str(n) for n, _ in found) == sorted(names):
        left = list(found)
        ordered = [left.pop(next(at for at, (name, _) in enumerate(left) if name == due)) for due in names]
        return tuple(result_part(said, None) for _, said in ordered)
    return tuple(result_part(block, None) for block in blocks)


def _named_results(block: str) -> list[tuple[str | None, str]]:
    """The results in a block with the names they bear."""
    value = loose_value(block) if block.lstrip().startswith(("{", "[")) and "name" in block else None
    entries = value if isinstance(value, list) else [value]
    return [_named_result(entry) or (None, block) for entry in entries]


def _named_result(entry: Any) -> tuple[str, str] | None:
    """`{name, results}` of ToolACE, `{name, content}` of Hermes."""
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        return None
    key = next((key for key in ("results", "content") if key in entry), None)
    return (entry["name"], shown(entry[key])) if key and len(entry) == 2 else None
