"""Read the conversation a teacher model wrote, and say what speaks against learning from it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeGuard

from pydantic import ValidationError

from kt_lib.calls.begun import without_thoughts
from kt_lib.calls.protocol import read_agent
from kt_lib.calls.schemas import schema_fault
from kt_lib.records import ChatMessage, Completion, ToolCall, ToolSpec
from kt_lib.redaction import PLACEHOLDER
from kt_lib.style import broken_rules

_HTML = re.compile(
    r"<\s*/?\s*(?:a|abbr|audio|b|base|body|br|button|canvas|code|div|em|embed|form|frame|h[1-6]|head|html|i|iframe|img"
    r"|input|li|link|math|meta|object|ol|p|pre|script|select|source|span|strong|style|svg|table|td|template|textarea"
    r"|title|tr|ul|video)(?:\s[^<>]*)?/?\s*>|javascript:|<!--|<!doctype",
    re.IGNORECASE,
)
_CONTROL = re.compile(
    r"<\|[^<>|]{1,40}\|>|\[/?INST\]|</?s>|<</?SYS>>|<(?:start|end)_of_turn>"
    "|[\x00-\x08\x0b-\x1f\x7f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
_MACHINE = re.compile(r"^(?:agent|host|server|machine|node)(?:_id|_name)?$|^hostname$")
_NAMES_SOMETHING = re.compile(rf"{_MACHINE.pattern}|(?:^|_)id$|^unit$")
_LISTS_MACHINES = re.compile(r"^(?:list|discover|find|get|show)_.*(?:agent|host|server|machine|node)s?")
_NUMBERED = re.compile(r"(?<![\w.-])([A-Za-z][A-Za-z-]*?)-?\d+(?![\w-])")


class Refusal(NamedTuple):
    """Why a conversation is not learned from."""

    reason: str
    """In a few words, the same for all of its kind."""
    detail: str
    """What exactly, in words."""


class Shape(NamedTuple):
    """What a conversation is to be like."""

    fewest: int
    """Fewest messages of the user."""
    most: int
    """Most messages of the user."""
    calls: bool
    """Whether tools are called in it."""


def read_conversation(text: str) -> tuple[ChatMessage, ...] | Refusal:
    """The messages in a teacher's answer: one JSON object `{"messages": [...]}`, nothing repaired."""
    try:
        value = json.loads(without_thoughts(text), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return Refusal("not readable", f"the answer is not one JSON object: {str(error)[:120]}")
    if not isinstance(value, dict) or set(value) != {"messages"} or not isinstance(value["messages"], list):
        return Refusal("not readable", 'the answer is not {"messages": [...]}')
    messages = []
    for at, entry in enumerate(value["messages"], start=1):
        try:
            messages.append(ChatMessage.model_validate(entry))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            return Refusal("not readable", f"message {at}: {where} {first['msg']}")
    return tuple(messages)


def refusal(messages: Sequence[ChatMessage], tools: Sequence[ToolSpec], persona: str, shape: Shape) -> Refusal | None:
    """The first thing that speaks against learning from the conversation; None where nothing does."""
    checks: tuple[Callable[[], Refusal | None], ...] = (
        lambda: _dangerous(messages),
        lambda: _disordered(messages),
        lambda: _other_pattern(messages, shape),
        lambda: _bad_call(messages, tools),
        lambda: _inconsistent(messages),
        lambda: _off_voice(messages, persona),
    )
    return next((found for check in checks if (found := check())), None)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return held


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


# --- what must not be in it ------------------------------------------------------------------------------------------


def _dangerous(messages: Sequence[ChatMessage]) -> Refusal | None:
    for at, message in enumerate(messages, start=1):
        text = "\n".join([message.content, message.name or "", *(_as_text(call) for call in message.tool_calls)])
        if found := PLACEHOLDER.search(text):
            return Refusal("secret or personal data", f"message {at} held what is now {found.group()}")
        if found := _HTML.search(text):
            return Refusal("html", f"message {at}: {found.group()[:60]!r}")
        if found := _CONTROL.search(text):
            return Refusal("control token", f"message {at}: {found.group()[:40]!r}")
    return None


def _as_text(call: ToolCall) -> str:
    return f"{call.name} {json.dumps(call.arguments, ensure_ascii=False)}"


# --- its form --------------------------------------------------------------------------------------------------------


def _disordered(messages: Sequence[ChatMessage]) -> Refusal | None:
    """Who may speak when: the user first, each call answered in order, the assistant's words last."""
    waiting: list[str] = []
    before = ""
    for at, message in enumerate(messages, start=1):
        wrong = _out_of_turn(message, before, waiting)
        if wrong:
            return Refusal("out of order", f"message {at}: {wrong}")
        waiting = waiting[1:] if message.role == "tool" else [call.name for call in message.tool_calls]
        before = message.role
    if not messages or messages[-1].role != "assistant" or messages[-1].tool_calls:
        return Refusal("out of order", "it does not end with the assistant's words")
    return None


def _out_of_turn(message: ChatMessage, before: str, waiting: Sequence[str]) -> str:
    if message.role == "tool":
        if not waiting or message.name != waiting[0]:
            return f"a result of {message.name!r} that no call waits for"
        return "" if message.content.strip() else "an empty result"
    if waiting:
        return f"the call of {waiting[0]!r} has no result"
    if message.role == "user":
        words = message.content.strip() and not message.tool_calls and before in ("", "assistant")
        return "" if words else "the user speaks out of turn, says nothing or calls a tool"
    if message.role == "assistant" and before in ("user", "tool"):
        if bool(message.content.strip()) == bool(message.tool_calls):
            return "the assistant's message is either calls or words"
        return ""
    return f"{message.role} has no turn here"


def _other_pattern(messages: Sequence[ChatMessage], shape: Shape) -> Refusal | None:
    turns = sum(message.role == "user" for message in messages)
    if not shape.fewest <= turns <= shape.most:
        return Refusal("another pattern", f"{turns} messages of the user, wanted are {shape.fewest} to {shape.most}")
    if any(message.tool_calls for message in messages) != shape.calls:
        return Refusal("another pattern", "no tool is called" if shape.calls else "a tool is called where none is due")
    return None


# --- its calls and results -------------------------------------------------------------------------------------------


def _bad_call(messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]) -> Refusal | None:
    offered = {tool.name for tool in tools}
    for at, message in enumerate(messages, start=1):
        for call in message.tool_calls:
            if call.name not in offered:
                return Refusal("tool not offered", f"message {at} calls {call.name!r}")
            if fault := schema_fault(call, tools):
                return Refusal("does not fit the schema", f"message {at}: {fault}")
        if message.role == "assistant" and message.content:
            read = read_agent(Completion(text=message.content), tools, "json")
            if read.calls or read.failure:
                return Refusal("call in words", f"message {at}: {read.detail or 'what is said is a call'}")
    return None


def _inconsistent(messages: Sequence[ChatMessage]) -> Refusal | None:
    """What is called by name was said before, and what was listed stays as it was listed."""
    said, listing = "", ""
    for at, message in enumerate(messages, start=1):
        for parameter, name in _named(message.tool_calls):
            if not _stands_in(name, said):
                return Refusal("inconsistent", f"message {at} uses {name!r}, which nobody named before")
            if listing and _MACHINE.search(parameter) and not _stands_in(name, listing):
                return Refusal("inconsistent", f"message {at} uses {name!r}, which was not listed")
        if message.role == "tool" and _LISTS_MACHINES.search(message.name or ""):
            listing += f"\n{message.content}"
        elif message.role != "user" and (stranger := _stranger(message.content, listing, said)):
            return Refusal("inconsistent", f"message {at} names {stranger!r}, which was not listed")
        if message.role in ("user", "tool"):
            said += f"\n{message.content}"
    return None


def _named(calls: Sequence[ToolCall]) -> list[tuple[str, str]]:
    """Parameters and values of calls that name something there is: an agent, a host, an id."""
    given = [pair for call in calls for pair in call.arguments.items()]
    return [(parameter, name) for parameter, name in given if _NAMES_SOMETHING.search(parameter) and _is_name(name)]


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value)


def _stands_in(name: str, text: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text, re.IGNORECASE) is not None


def _stranger(text: str, listing: str, said: str) -> str | None:
    """A numbered name (`web77`) of a family that was listed (`web01`), which itself nobody named."""
    families = {found.group(1).lower() for found in _NUMBERED.finditer(listing)}
    for found in _NUMBERED.finditer(text):
        if found.group(1).lower() in families and not _stands_in(found.group(), said):
            return found.group()
    return None


# --- its voice -------------------------------------------------------------------------------------------------------


def _off_voice(messages: Sequence[ChatMessage], persona: str) -> Refusal | None:
    asked = ""
    hosts: list[str] = []
    for at, message in enumerate(messages, start=1):
        hosts += [name for _, name in _named(message.tool_calls)]
        if message.role == "user":
            asked = message.content
        elif message.role == "assistant" and message.content:
            broken = broken_rules(message.content, persona, asked, hosts)
            if broken:
                return Refusal("voice", f"message {at}: {broken[0].rule}, {broken[0].detail}")
    return None
