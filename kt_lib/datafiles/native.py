"""Conversations in the JSON protocol as native tool calling: what `prompts.agent_request` wrote, taken back.

The prompt that asks for the protocol gives way to the tools that it lists, with the types and the marks of what is
optional that stand there, and the calls written as text become calls. Nothing is guessed: what cannot be written again
as it was is left as it is, or is `Unusable` where it must be native.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import JsonValue

from kt_lib.calls.protocol import read_agent
from kt_lib.calls.writing import write_calls
from kt_lib.datafiles.messages import Unusable
from kt_lib.prompts import AGENT_PROMPTS, describe
from kt_lib.records import ChatMessage, Completion, ToolSpec

TAKEN_BACK = (
    "the calls written in the JSON protocol became `tool_calls`, and the prompt that asks for it the `tools` it lists"
)
_TOOL_LINE = re.compile(r"([^\s(),]+)\(([^()\n]*)\)(?: - (.+))?")
_LIKE_A_TOOL = re.compile(r"[^()\n]+\([^()\n]*\)(?: - .*)?")
_PARAMETER = re.compile(r"([^\s,:?()\[\]']+)(\?)?(?:: (integer|number|boolean|array|object|null))?")


class Native(NamedTuple):
    """A conversation with its calls as calls, and the tools that were offered."""

    messages: tuple[ChatMessage, ...]
    tools: tuple[ToolSpec, ...]


def has_written_results(messages: Sequence[ChatMessage]) -> bool:
    """Whether a tool's result answers something other than a native call."""
    native = False
    for message in messages:
        if message.role == "tool" and not native:
            return True
        native = native if message.role == "tool" else bool(message.tool_calls)
    return False


def as_native(messages: Sequence[ChatMessage]) -> Native:
    """A conversation that kt put in the JSON protocol, natively; `Unusable` says why that cannot be done."""
    if any(message.tool_calls for message in messages):
        raise Unusable("it holds native calls beside those written as text")
    if any(message.role == "system" for message in messages[1:]):
        raise Unusable("a system message stands after the first message")
    own, tools = _offered(messages)
    told = [message for message in messages if message.role != "system"]
    called = [answer_as_native(message.content, tools) if message.role == "assistant" else message for message in told]
    _check_results(called)
    return Native((*([ChatMessage(role="system", content=own)] if own else ()), *called), tools)


def answer_as_native(text: str, tools: Sequence[ToolSpec]) -> ChatMessage:
    """An answer in the protocol as a message: its calls, or its words. `Unusable` for a call that is not right."""
    reading = read_agent(Completion(text=text), tools, "json")
    if reading.failure:
        raise Unusable(f"an answer in it is a broken call ({reading.failure}), which native calling cannot say")
    if not reading.calls:
        return ChatMessage(role="assistant", content=text)
    if json.loads(text) != json.loads(write_calls(reading.calls)):
        raise Unusable("an answer in it holds words beside its calls, which native calling would lose")
    unknown = next((call.name for call in reading.calls if call.name not in {tool.name for tool in tools}), None)
    if unknown is not None:
        raise Unusable(f"it calls `{unknown[:60]}`, which its prompt does not list")
    return ChatMessage(role="assistant", tool_calls=reading.calls)


def _check_results(messages: Sequence[ChatMessage]) -> None:
    """Every call has its result, but for those that end the conversation."""
    waiting = 0
    for message in messages:
        if message.role == "tool":
            waiting -= 1
            if waiting < 0:
                raise Unusable("a tool's result follows no call")
            continue
        if waiting:
            raise Unusable(f"{waiting} call(s) in it have no result of their own")
        waiting = len(message.tool_calls)


# --- the prompt ------------------------------------------------------------------------------------------------------


def _offered(messages: Sequence[ChatMessage]) -> tuple[str, tuple[ToolSpec, ...]]:
    """The system's own words and the tools, of a prompt that asks for the JSON protocol and lists tools."""
    system = messages[0].content if messages and messages[0].role == "system" else ""
    begins = next((f"{one}\nTools:\n" for one in AGENT_PROMPTS.values() if system.startswith(f"{one}\nTools:\n")), None)
    if begins is None:
        raise Unusable("its calls are written as text, and no prompt of kt's says which tools were offered")
    lines = system.removeprefix(begins).split("\n")
    tools: list[ToolSpec] = []
    for line in lines:
        tool = _tool(line)
        if tool is None:
            break
        tools.append(tool)
    rest = lines[len(tools) :]
    if unclear := next((line for line in rest if _LIKE_A_TOOL.fullmatch(line)), None):
        raise Unusable(f"its prompt does not tell tools from words at {unclear[:60]!r}")
    return "\n".join(rest), tuple(tools)


def _tool(line: str) -> ToolSpec | None:
    """The tool that `prompts.describe` wrote as this line; None where it wrote none."""
    found = _TOOL_LINE.fullmatch(line)
    written = found[2].split(", ") if found and found[2] else []
    parameters = [_PARAMETER.fullmatch(one) for one in written]
    if not found or not all(parameters):
        return None
    known = [one for one in parameters if one]
    properties: dict[str, JsonValue] = {one[1]: {"type": one[3] or "string"} for one in known}
    required: list[JsonValue] = [one[1] for one in known if not one[2]]
    schema: dict[str, JsonValue] = {"type": "object", "properties": properties, "required": required}
    tool = ToolSpec(name=found[1], description=found[3] or "", parameters=schema)
    return tool if describe(tool) == line else None
