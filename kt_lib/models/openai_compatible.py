"""Models on any server that speaks OpenAI's chat completions, through the `openai` client."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from kt_lib.models.faults import Declined, Transient, Unreachable, from_status, own_words
from kt_lib.models.served import CONNECT_TIMEOUT, ServedModel
from kt_lib.models.streaming import OnText, json_line, stream_from
from kt_lib.models.wire import Names, member, read_calls, read_object, read_text, tool_form, whole_number
from kt_lib.records import ChatMessage, Completion, Request, Usage, content_id

if TYPE_CHECKING:
    from openai import APIError, AsyncOpenAI

DEFAULT_ADDRESS = "https://api.openai.com/v1"


class OpenAiModel(ServedModel):
    """`openai:<model>`, on the server at OPENAI_BASE_URL, with the key in OPENAI_API_KEY where it wants one."""

    prefix = "openai"
    remedy = "see that the server runs, that OPENAI_BASE_URL is its address (it mostly ends in /v1), and OPENAI_API_KEY"

    def __init__(self, model: str, address: str | None = None, **bounds: Any) -> None:
        super().__init__(model, address or os.environ.get("OPENAI_BASE_URL") or DEFAULT_ADDRESS, **bounds)

    @property
    def digest(self) -> str:
        """A hash of name and address: this protocol has no digest, so a changed model behind them cannot be seen."""
        return content_id("openai", self.model, self.address)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncOpenAI]:
        import openai

        # a proxy or a redirect would take what was meant for this machine somewhere else
        limits = openai.Timeout(self.timeout, connect=min(self.timeout, CONNECT_TIMEOUT))
        client = openai.AsyncOpenAI(
            base_url=self.address,
            api_key=os.environ.get("OPENAI_API_KEY") or "no-key-set",
            timeout=limits,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(
                trust_env=not self.local, follow_redirects=False, timeout=limits
            ),
        )
        async with client:
            yield client

    async def models(self, client: AsyncOpenAI) -> list[str]:
        body = read_object(await _send(client, "GET", "/models"))
        entries = body.get("data") or body.get("models") or []
        return [str(entry.get("id") or entry.get("name")) for entry in entries if isinstance(entry, dict)]

    async def ask(self, client: AsyncOpenAI, request: Request) -> Completion:
        names = Names(request)
        has_tools = bool(request.tools)
        body = await _send(client, "POST", "/chat/completions", self.payload(request, names), has_tools=has_tools)
        return read_chat(body, names, has_tools=has_tools)

    def stream(self, request: Request, on_text: OnText) -> Completion:
        """One completion, told piece by piece; see `streaming.stream_from`."""
        return stream_from(self, self, request, on_text)

    path = "/chat/completions"
    stream_options: dict[str, Any] = {"stream_options": {"include_usage": True}}

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY') or 'no-key-set'}"}

    def piece(self, line: str) -> dict[str, Any] | None:
        data = line.removeprefix("data:").strip() if line.startswith(("data:", "{")) else ""
        return None if data in ("", "[DONE]") else json_line(data)

    def text(self, piece: dict[str, Any]) -> str:
        return read_text(_delta(piece).get("content"))

    def whole(self, pieces: list[dict[str, Any]], names: Names, has_tools: bool) -> Completion:
        return read_chat(json.dumps(_joined(pieces)), names, has_tools=has_tools)

    def payload(self, request: Request, names: Names) -> dict[str, Any]:
        """What is sent to `/chat/completions`."""
        decoding = request.decoding
        payload: dict[str, Any] = {
            "model": self.model,
            "messages": write_messages(request.messages, names),
            "temperature": decoding.temperature,
            "max_tokens": decoding.max_tokens,
            "stream": False,
        }
        if decoding.seed is not None:
            payload["seed"] = decoding.seed
        if request.tools:
            payload["tools"] = [tool_form(tool, names) for tool in request.tools]
        if request.output_schema is not None:
            schema = {"name": "answer", "schema": request.output_schema, "strict": is_strict(request.output_schema)}
            payload["response_format"] = {"type": "json_schema", "json_schema": schema}
        return payload


def write_messages(messages: tuple[ChatMessage, ...], names: Names) -> list[dict[str, Any]]:
    """Messages in OpenAI's form; calls without an id get one, and each result the id of the call it answers."""
    written: list[dict[str, Any]] = []
    open_calls: list[tuple[str, str]] = []
    for message in messages:
        entry: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            # nine letters and digits: what the strictest of the servers takes
            ids = [call.id or f"call{len(written):03d}{at:02d}" for at, call in enumerate(message.tool_calls)]
            open_calls = [(call.name, given) for call, given in zip(message.tool_calls, ids, strict=True)]
            entry["tool_calls"] = [
                {
                    "id": given,
                    "type": "function",
                    "function": {
                        "name": names.wire(call.name),
                        "arguments": json.dumps(call.arguments, ensure_ascii=False),
                    },
                }
                for call, given in zip(message.tool_calls, ids, strict=True)
            ]
        if message.role == "tool":
            entry["tool_call_id"] = _answered(open_calls, message.name) or f"call{len(written):03d}00"
        written.append(entry)
    return written


def _answered(open_calls: list[tuple[str, str]], name: str | None) -> str | None:
    """The id of the open call that a result named `name` answers: the first of that name, else the first."""
    if not open_calls:
        return None
    at = next((at for at, (called, _) in enumerate(open_calls) if called == name), 0)
    return open_calls.pop(at)[1]


def is_strict(schema: Any) -> bool:
    """Whether every object of a JSON Schema is closed and requires all its properties, which strict output wants."""
    if isinstance(schema, list):
        return all(is_strict(one) for one in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        closed = schema.get("additionalProperties") is False
        if not closed or set(schema.get("required") or []) != set(schema.get("properties") or {}):
            return False
    return all(is_strict(one) for key, one in schema.items() if key not in ("enum", "const", "default", "examples"))


async def _send(
    client: AsyncOpenAI, method: str, path: str, payload: dict[str, Any] | None = None, *, has_tools: bool = False
) -> str:
    """The body of one answer as text: the client's own types would hide what a server adds or leaves out."""
    import openai

    try:
        if payload is None:
            return await client.get(path, cast_to=str)
        return await client.post(path, cast_to=str, body=payload)
    except openai.APIStatusError as error:
        headers = error.response.headers
        raise from_status(
            error.status_code,
            error.response.text,
            retry_after=headers.get("retry-after"),
            location=headers.get("location"),
            has_tools=has_tools,
        ) from None
    except openai.APIConnectionError as error:
        raise _broken(error) from None


def _broken(error: APIError) -> Exception:
    cause = error.__cause__
    kind = type(cause).__name__
    if kind in ("ConnectError", "ConnectTimeout"):
        return Unreachable(f"nobody answers at this address ({cause})")
    if "Timeout" in kind:
        return TimeoutError()
    return Transient(f"the connection broke off ({cause or error})")


def read_chat(body: str, names: Names, *, has_tools: bool = False) -> Completion:
    """A completion from the body of `/chat/completions`, with whatever a server leaves out or adds.

    Raises `Transient` for a broken answer, `Declined` where a filter of the server's took the answer away.
    """
    answer = read_object(body)
    if answer.get("error"):
        raise from_status(_status_in(answer["error"]), body, has_tools=has_tools)
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise Transient(f"the answer has no choice: {body[:200]!r}")
    message = member(choice, "message") or {"content": choice.get("text")}
    reason = str(choice.get("finish_reason") or "stop").lower()
    if "filter" in reason:
        raise Declined(
            f"the server's content filter took the answer away: {own_words(message.get('refusal')) or reason}"
        )
    sent = message.get("tool_calls") or ([message["function_call"]] if message.get("function_call") else [])
    read = read_calls(sent if isinstance(sent, list) else [sent], names)
    usage = member(answer, "usage")
    cut = reason in ("length", "max_tokens", "max_length", "model_length")
    return Completion(
        text=read_text(message.get("content")) or read_text(message.get("refusal")),
        tool_calls=read.calls,
        unreadable_calls=read.unreadable,
        usage=Usage(
            prompt_tokens=whole_number(usage.get("prompt_tokens")),
            completion_tokens=whole_number(usage.get("completion_tokens")),
        ),
        finish="tool_calls" if read.calls or read.unreadable else "length" if cut else "stop",
    )


def _delta(piece: dict[str, Any]) -> dict[str, Any]:
    choices = piece.get("choices")
    return member(choices[0], "delta") if _choice(piece) and isinstance(choices, list) else {}


def _joined(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    """The pieces of a stream as the one answer they are; Transient where it stops in the middle."""
    if not pieces or pieces[-1].get("error"):
        return pieces[-1] if pieces else {}
    reasons = [one["choices"][0].get("finish_reason") for one in pieces if _choice(one)]
    reason = next((one for one in reversed(reasons) if one), None)
    if reason is None:
        raise Transient("the answer stops in the middle")
    content = "".join(read_text(_delta(one).get("content")) for one in pieces)
    calls: dict[int, dict[str, Any]] = {}
    for piece in pieces:
        for sent in _delta(piece).get("tool_calls") or []:
            call = calls.setdefault(int(sent.get("index") or 0), {"function": {"name": "", "arguments": ""}})
            call["id"] = sent.get("id") or call.get("id")
            function = member(sent, "function")
            call["function"]["name"] += str(function.get("name") or "")
            arguments = function.get("arguments")
            call["function"]["arguments"] += arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    message = {"content": content, "tool_calls": [calls[at] for at in sorted(calls)]}
    usage: dict[str, Any] = next((one["usage"] for one in reversed(pieces) if isinstance(one.get("usage"), dict)), {})
    return {"choices": [{"message": message, "finish_reason": reason}], "usage": usage}


def _choice(piece: dict[str, Any]) -> bool:
    choices = piece.get("choices")
    return isinstance(choices, list) and bool(choices) and isinstance(choices[0], dict)


def _status_in(error: Any) -> int:
    code = error.get("code") or error.get("status") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 500
