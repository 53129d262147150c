"""Requests as they may leave this machine, and answers with what was taken out put back."""

from __future__ import annotations

import json

from kt_lib.records import Completion, Request
from kt_lib.redaction import Redaction


def redacted(request: Request) -> tuple[Request, Redaction]:
    """`request` without e-mail addresses, phone numbers, keys and tokens: messages, calls, tools and output schema.

    The redaction goes with it: the same secret has the same placeholder all through the request, and `restored` puts
    back in the answer what the model repeats, so that a verdict does not depend on where the model runs.
    """
    redaction = Redaction(json.dumps(request.model_dump()))
    sent = Request(
        messages=tuple(map(redaction.redact_message, request.messages)),
        tools=tuple(map(redaction.redact_tool, request.tools)),
        output_schema=redaction.redact_json(request.output_schema),
        decoding=request.decoding,
    )
    return sent, redaction


def restored(completion: Completion, redaction: Redaction) -> Completion:
    """`completion` with the originals in place of the placeholders of its request."""
    calls = tuple(
        call.model_copy(update={"arguments": redaction.restore_json(call.arguments)}) for call in completion.tool_calls
    )
    return completion.model_copy(update={"text": redaction.restore(completion.text), "tool_calls": calls})
