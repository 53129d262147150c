"""Requests as they may leave this machine, and answers with what was taken out put back."""

from __future__ import annotations

import json

from kt_lib.records import ChatMessage, Completion, Request, ToolCall, ToolSpec
from kt_lib.redaction import Redaction


def redacted(request: Request) -> tuple[Request, Redaction]:
    """`request` without e-mail addresses, phone numbers, keys and tokens: messages, calls, tools and output schema.

    The redaction goes with it: the same secret has the same placeholder all through the request, and `restored` puts
    back in the answer what the model repeats, so that a verdict does not depend on where the model runs.
    """
    redaction = Redaction(json.dumps(request.model_dump()))
    sent = Request(
        messages=tuple(_message(message, redaction) for message in request.messages),
        tools=tuple(_tool(tool, redaction) for tool in request.tools),
        output_schema=redaction.redact_json(request.output_schema),
        decoding=request.decoding,
    )
    return sent, redaction


def _message(message: ChatMessage, redaction: Redaction) -> ChatMessage:
    calls = tuple(
        ToolCall(name=call.name, arguments=redaction.redact_json(call.arguments, keys=True), id=call.id)
        for call in message.tool_calls
    )
    return message.model_copy(update={"content": redaction.redact(message.content), "tool_calls": calls})


def _tool(tool: ToolSpec, redaction: Redaction) -> ToolSpec:
    return ToolSpec(
        name=tool.name,
        description=redaction.redact(tool.description),
        parameters=redaction.redact_json(tool.parameters),
    )


def restored(completion: Completion, redaction: Redaction) -> Completion:
    """`completion` with the originals in place of the placeholders of its request."""
    calls = tuple(
        call.model_copy(update={"arguments": redaction.restore_json(call.arguments)}) for call in completion.tool_calls
    )
    return completion.model_copy(update={"text": redaction.restore(completion.text), "tool_calls": calls})
