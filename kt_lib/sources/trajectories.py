"""Agent trajectories with a reward: OpenAI messages, and the form of tau-bench's result files."""

from __future__ import annotations

from typing import Any

from pydantic import JsonValue

from kt_lib.records import (
    AcceptedCall,
    Attempt,
    ChatMessage,
    Check,
    Conversation,
    Message,
    MessagePart,
    Provenance,
    Role,
    Task,
    ToolCall,
    ToolSpec,
    content_id,
)
from kt_lib.sources.calls_written import call_parts, joined
from kt_lib.sources.chains import Turn, chain
from kt_lib.sources.fields import dict_of, json_value, list_of, number_of, seconds_of, shown, text_of, text_or_none
from kt_lib.sources.found import Found, Unusable
from kt_lib.sources.openwebui_details import openai_call_part, result_part

REWARDS = ("reward", "rewards", "final_reward", "score", "success", "resolved", "is_correct")
_ROLES: dict[str, Role] = {
    "user": "user", "human": "user", "assistant": "assistant", "system": "system", "developer": "system",
    "tool": "tool", "function": "tool", "tool_call": "assistant", "tool_response": "tool",
}  # fmt: skip


def messages_in(record: dict[str, Any]) -> list[Any]:
    """The messages of a trajectory, whatever they are called."""
    for key in ("messages", "traj", "trajectory", "conversation"):
        if found := list_of(record.get(key)):
            return found
    return []


def trajectory_from(record: dict[str, Any], source: Provenance) -> Found:
    """A trajectory -> the whole of it as a conversation, what was asked as a task, and how it went as an attempt."""
    reward = _reward(record)
    messages = chain(turns_of(messages_in(record)))
    asked = next((number for number, message in enumerate(messages, 1) if message.role == "user"), None)
    if asked is None:
        raise Unusable("a trajectory in which no user asks anything")
    info = dict_of(record.get("info"))
    identity = shown(record.get("id") if record.get("id") is not None else record.get("task_id"))
    calls = tuple(part.call for message in messages for part in message.parts if part.call and part.well_formed)
    task = _task(record, messages[:asked], source, _check(reward, calls, info))
    model = text_or_none(record.get("model")) or text_or_none(info.get("model")) or "unknown"
    trial = shown(record.get("trial"))
    conversation = Conversation(
        id=content_id("trajectory", identity, trial, [message.id for message in messages]),
        source=source,
        title=f"trajectory {identity}".strip(),
        models=(model,),
        messages=tuple(messages),
        active_leaf=messages[-1].id,
        created=seconds_of(record.get("timestamp")) or seconds_of(record.get("created_at")),
    )
    last = next((message.text for message in reversed(messages) if message.role == "assistant"), "")
    attempt = Attempt(
        task_id=task.id,
        mode="agent",
        protocol="native",
        model=model,
        output=last,
        calls=calls,
        outcome="correct" if reward >= 1 else "wrong",
        detail=f"recorded reward {reward:g}" + (f", trial {trial}" if trial else ""),
    )
    return Found(conversations=(conversation,), tasks=(task,), attempts=(attempt,))


def _reward(record: dict[str, Any]) -> float:
    """The reward: a number or a boolean; of several the last."""
    for key in REWARDS:
        if key in record and record[key] is not None:
            raw = record[key]
            if isinstance(raw, dict):
                raw = raw.get("reward", raw.get("total"))
            if isinstance(raw, list):
                raw = raw[-1] if raw else None
            reward = float(raw) if isinstance(raw, bool) else number_of(raw)
            if reward is None:
                raise Unusable(f"`{key}` is {shown(record[key])[:40]!r}, not a number")
            return reward
    raise Unusable("a trajectory without a reward")


def turns_of(raw: list[Any]) -> list[Turn]:
    """OpenAI's messages as turns, calls made at once in one; `Unusable` names the first that is none."""
    turns: list[Turn] = []
    for number, one in enumerate(raw, 1):
        if not isinstance(one, dict):
            raise Unusable(f"message {number} is no object")
        role = _ROLES.get(text_of(one.get("role")).lower())
        if role is None:
            raise Unusable(f"message {number} has role {shown(one.get('role'))[:40]!r}")
        turns.append((role, _parts(one, role)))
    return joined(turns)


def _parts(message: dict[str, Any], role: Role) -> tuple[MessagePart, ...]:
    text = _text(message.get("content"))
    if text_of(message["role"]).lower() == "tool_call":
        return tuple(call_parts(text))
    if role == "tool":
        return (result_part(text, text_or_none(message.get("tool_call_id"))),)
    parts = [MessagePart(kind="text", text=text)] if text else []
    if reasoning := text_of(message.get("reasoning_content")) or text_of(message.get("thinking")):
        parts.insert(0, MessagePart(kind="reasoning", text=reasoning))
    if role == "assistant":
        parts += [openai_call_part(call) for call in list_of(message.get("tool_calls"))]
        if isinstance(message.get("function_call"), dict):
            parts.append(openai_call_part(message["function_call"]))
    return tuple(parts)


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(filter(None, (text_of(item.get("text")) for item in content if isinstance(item, dict))))
    return shown(content)


def _check(reward: float, calls: tuple[ToolCall, ...], info: dict[str, Any]) -> Check:
    """tau-bench's own actions are the answer key; else the calls of a trajectory that got the full reward."""
    actions = list_of(dict_of(info.get("task")).get("actions"))
    keys = [openai_call_part({"name": one.get("name"), "arguments": one.get("kwargs", one.get("arguments"))}).call
            for one in actions if isinstance(one, dict)]  # fmt: skip
    if key := [call for call in keys if call is not None]:
        return Check(rule="all", accepted=tuple(map(_accepted, key)), evidence="answer_key")
    accepted = tuple(map(_accepted, calls)) if reward >= 1 else ()
    return Check(rule="all", accepted=accepted, evidence="recorded_result")


def _accepted(call: ToolCall) -> AcceptedCall:
    return AcceptedCall(name=call.name, arguments={key: [value] for key, value in call.arguments.items()})


def _task(record: dict[str, Any], messages: list[Message], source: Provenance, check: Check) -> Task:
    asked = tuple(ChatMessage(role=message.role, content=message.text) for message in messages)
    tools = tuple(filter(None, map(tool_from, list_of(record.get("tools")))))
    identity = content_id(
        "trajectory", [message.model_dump(mode="json") for message in asked], [tool.name for tool in tools]
    )
    return Task(
        id=identity,
        messages=asked,
        tools=tools,
        check=check,
        category=text_or_none(record.get("category")) or "trajectory",
        group=identity,
        information="tools given" if tools else "tools not stated",
        tags=("recorded",),
        source=source,
    )


def tool_from(raw: Any) -> ToolSpec | None:
    """A tool in OpenAI's form (`function`, `parameters`) or MCP's (`inputSchema`); None when it has no name."""
    if not isinstance(raw, dict):
        return None
    inner = raw["function"] if isinstance(raw.get("function"), dict) else raw
    name = text_or_none(inner.get("name"))
    if name is None:
        return None
    schema: JsonValue = json_value(next((inner[key] for key in ("parameters", "inputSchema", "input_schema")
                                         if isinstance(inner.get(key), dict)), {}))  # fmt: skip
    return ToolSpec(
        name=name, description=text_of(inner.get("description")), parameters=schema if isinstance(schema, dict) else {}
    )
