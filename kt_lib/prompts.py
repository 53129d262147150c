"""What a model is told: the chat prompt, the agent prompts, how tools are listed, and the requests made of a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from kt_lib.calls.writing import write_calls
from kt_lib.records import ChatMessage, Decoding, Example, Protocol, Request, Task, ToolSpec

CHAT_PROMPT = "Answer in words: name the command or tool, with its values."
PROTOCOL_PROMPT = (
    'To act, answer with one JSON object {"tool": name, "params": {...}}. If no tool is needed, answer in words.'
)
AGENT_PROMPTS = {
    "plain": PROTOCOL_PROMPT,
    "strict": f'{PROTOCOL_PROMPT} The keys are "tool" and "params". Write nothing around the object.',
    "steps": f"You are an agent. First choose the one tool that fits, then take every value from the conversation."
    f" {PROTOCOL_PROMPT} Write nothing else.",
}
"""Named prompt variants; `plain` is what everything is measured against."""


def list_tools(tools: Sequence[ToolSpec]) -> str:
    """The tools as a prompt lists them, a line each: `name(parameter, other: integer, optional?) - description`."""
    return "Tools:\n" + "\n".join(describe(tool) for tool in tools)


def describe(tool: ToolSpec) -> str:
    """One line for one tool."""
    properties = cast(dict[str, dict[str, object]], tool.parameters.get("properties") or {})
    required = cast(list[str], tool.parameters.get("required") or [])
    written = []
    for name, schema in properties.items():
        kind = schema.get("type", "string") if isinstance(schema, dict) else "string"
        mark = "" if name in required else "?"
        written.append(f"{name}{mark}" if kind == "string" else f"{name}{mark}: {kind}")
    about = f" - {tool.description}" if tool.description else ""
    return f"{tool.name}({', '.join(written)}){about}"


def with_system(text: str, messages: Sequence[ChatMessage]) -> tuple[ChatMessage, ...]:
    """The conversation with `text` put before its own system message, if it has one."""
    own = [message.content for message in messages if message.role == "system"]
    rest = [message for message in messages if message.role != "system"]
    return (ChatMessage(role="system", content="\n".join([text, *own])), *rest)


def chat_request(task: Task, decoding: Decoding = Decoding()) -> Request:
    """The task as a chat: the same tools are named, the answer is prose."""
    listing = f"\n{list_tools(task.tools)}" if task.tools else ""
    return Request(messages=with_system(CHAT_PROMPT + listing, task.messages), decoding=decoding)


def agent_request(
    task: Task,
    protocol: Protocol,
    *,
    prompt: str = "plain",
    examples: Sequence[Example] = (),
    constrained: bool = False,
    decoding: Decoding = Decoding(),
) -> Request:
    """The task as an agent's request, by the JSON protocol or by native tool calling.

    `examples` become earlier turns. `constrained` asks for output that follows `output_schema`.
    """
    turns = [*(turn for example in examples for turn in shot(example)), *task.messages]
    schema = output_schema(task.tools) if constrained else None
    if protocol == "native":
        system = [ChatMessage(role="system", content=AGENT_PROMPTS[prompt])] if prompt != "plain" else []
        return Request(messages=(*system, *turns), tools=task.tools, output_schema=schema, decoding=decoding)
    listing = f"{AGENT_PROMPTS[prompt]}\n{list_tools(task.tools)}"
    return Request(messages=with_system(listing, as_protocol_text(turns)), output_schema=schema, decoding=decoding)


def shot(example: Example) -> tuple[ChatMessage, ...]:
    """An example as turns: the request, then the right calls or the plain answer."""
    answer = ChatMessage(role="assistant", content="" if example.calls else example.answer, tool_calls=example.calls)
    return (*example.messages, answer)


def as_protocol_text(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Earlier calls written as the JSON protocol writes them, for models that see only text."""
    return [
        message.model_copy(update={"content": write_calls(message.tool_calls), "tool_calls": ()})
        if message.tool_calls
        else message
        for message in messages
    ]


def output_schema(tools: Sequence[ToolSpec]) -> dict[str, object]:
    """JSON Schema of one protocol object: one of the tools with its own parameters."""
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {
                    "tool": {"const": tool.name},
                    "params": {**tool.parameters, "additionalProperties": False},
                },
                "required": ["tool", "params"],
                "additionalProperties": False,
            }
            for tool in tools
        ]
    }
