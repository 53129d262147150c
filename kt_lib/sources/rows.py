"""Rows of training sets as conversations: OpenAI messages, ShareGPT, AgentInstruct, Alpaca, and Toucan's messages."""

from __future__ import annotations

from typing import Any

from kt_lib.records import MessagePart, Provenance, Role, ToolSpec
from kt_lib.sources.chains import Turn, conversation_from, said
from kt_lib.sources.fields import list_of, loaded, shown, text_of
from kt_lib.sources.found import Found, Unusable
from kt_lib.sources.toolsets import python_call_parts, tools_in_text
from kt_lib.sources.trajectories import messages_in, tool_from, turns_of

_SPEAKERS: dict[str, Role] = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "model": "assistant",
    "chatgpt": "assistant", "bing": "assistant", "system": "system", "tool": "tool", "observation": "tool",
    "function_response": "tool", "function_call": "assistant",
}  # fmt: skip


def openai_row(row: dict[str, Any], source: Provenance) -> Found:
    """`{messages, tools}`; messages and tools may be JSON text, as in Toucan, and tools in MCP's form."""
    turns = turns_of(
        messages_in(row) or list_of(_unpacked(row.get("messages"))) or list_of(_unpacked(row.get("conversation")))
    )
    return Found(conversations=(conversation_from(_without_notes(turns), source, tools=tools_of(row)),))


def tools_of(row: dict[str, Any]) -> list[ToolSpec]:
    """The tools of a row, whatever it calls them."""
    for key in ("tools", "available_tools", "target_tools", "functions"):
        if found := [tool for tool in map(tool_from, list_of(_unpacked(row.get(key)))) if tool]:
            return found
    return []


def _unpacked(value: Any) -> Any:
    return loaded(value) if isinstance(value, str) else value


def _without_notes(turns: list[Turn]) -> list[Turn]:
    """The turns without what a model noted for itself between its calls and that says nothing."""
    return [(role, parts) for role, parts in turns if parts or role != "assistant"]


def sharegpt_row(row: dict[str, Any], source: Provenance) -> Found:
    """`{conversations: [{from, value}]}`: ShareGPT, AgentInstruct, and ToolACE, whose system prompt lists its tools and
    whose answers hold calls in Python's form.
    """
    spoken = [_spoken(one, number) for number, one in enumerate(row["conversations"], 1)]
    if system := text_of(row.get("system")):
        spoken.insert(0, ("system", system))
    tools = tools_of(row) or tools_in_text(next((text for role, text in spoken if role == "system"), ""))
    turns = [_turn(role, text, tools) for role, text in spoken]
    return Found(conversations=(conversation_from(turns, source, tools=tools, title=shown(row.get("id"))),))


def _spoken(one: Any, number: int) -> tuple[Role, str]:
    if not isinstance(one, dict):
        raise Unusable(f"message {number} is no object")
    role = _SPEAKERS.get(text_of(one.get("from") or one.get("role")).lower())
    if role is None:
        raise Unusable(f"message {number} is from {shown(one.get('from'))[:40]!r}")
    return role, shown(one.get("value") if "value" in one else one.get("content"))


def _turn(role: Role, text: str, tools: list[ToolSpec]) -> Turn:
    if role == "tool":
        return role, (MessagePart(kind="tool_result", text=text),)
    calls = python_call_parts(text, tools) if role == "assistant" and tools else ()
    return (role, calls) if calls else said(role, text)


def alpaca_row(row: dict[str, Any], source: Provenance) -> Found:
    """`{instruction, input, output}`."""
    asked = "\n\n".join(filter(None, (text_of(row.get("instruction")), text_of(row.get("input")))))
    turns = [said("user", asked), said("assistant", text_of(row.get("output")))]
    if system := text_of(row.get("system")):
        turns.insert(0, said("system", system))
    return Found(conversations=(conversation_from(turns, source),))
