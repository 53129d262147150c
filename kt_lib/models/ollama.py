"""Models on an Ollama server, through the `ollama` client."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kt_lib.errors import ModelError, ModelNotFound
from kt_lib.models.apart import run_apart
from kt_lib.models.faults import Declined, Transient, Unreachable, from_status
from kt_lib.models.remote import prompt_tokens
from kt_lib.models.served import CONNECT_TIMEOUT, ServedModel
from kt_lib.models.streaming import OnText, json_line, stream_from
from kt_lib.models.wire import Names, member, read_calls, read_object, read_text, tool_form, whole_number
from kt_lib.records import ChatMessage, Completion, Request, Usage, content_id

if TYPE_CHECKING:
    from ollama import AsyncClient

DEFAULT_CONTEXT = 4096
"""Tokens an Ollama server keeps where it is not told; what goes beyond is cut off without a word."""


class OllamaModel(ServedModel):
    """`ollama:<model>`, on the server at OLLAMA_HOST."""

    prefix = "ollama"
    remedy = "see that Ollama runs there (`ollama serve`) and that OLLAMA_HOST is its address"

    def __init__(self, model: str, address: str | None = None, **bounds: Any) -> None:
        super().__init__(model, server_address(address), **bounds)
        self._context = DEFAULT_CONTEXT

    @cached_property
    def digest(self) -> str:
        """Ollama's digest of the model; `ModelNotFound` when the server has no such model."""
        self.allowance.check()

        async def find(_: Any) -> str:
            async with self.connect() as client:
                try:
                    tags = await self._tags(client)
                except ModelError as error:
                    raise type(error)(f"{self.name} at {self.shown_address}: {error}: {self.remedy}") from None
                for tag in tags:
                    if self.has([str(tag.get("name")), str(tag.get("model"))]):
                        return str(tag.get("digest") or content_id("ollama", tag))
                raise await self._with_remedy(client, ModelNotFound(f"model {self.model!r} not found"))

        return run_apart(find)

    def has(self, there: Sequence[str]) -> bool:
        return (self.model if ":" in self.model else f"{self.model}:latest") in there

    def missing_remedy(self) -> str:
        return f"pull it with `ollama pull {self.model}`"

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncClient]:
        import httpx
        from ollama import AsyncClient

        # a proxy or a redirect would take what was meant for this machine somewhere else
        client = AsyncClient(
            self.address,
            timeout=httpx.Timeout(self.timeout, connect=min(self.timeout, CONNECT_TIMEOUT)),
            trust_env=not self.local,
            follow_redirects=False,
        )
        async with client:
            yield client

    async def models(self, client: AsyncClient) -> list[str]:
        return [str(tag.get("name") or tag.get("model")) for tag in await self._tags(client)]

    async def version(self, client: AsyncClient) -> str:
        """The server's version."""
        return str(read_object(await _send(client, "GET", "/api/version")).get("version", "unknown"))

    async def _tags(self, client: AsyncClient) -> list[dict[str, Any]]:
        tags = read_object(await _send(client, "GET", "/api/tags")).get("models") or []
        return [tag for tag in tags if isinstance(tag, dict)]

    async def ask(self, client: AsyncClient, request: Request) -> Completion:
        names = Names(request)
        body = await _send(client, "POST", "/api/chat", self.payload(request, names), has_tools=bool(request.tools))
        return read_chat(body, names, has_tools=bool(request.tools))

    def stream(self, request: Request, on_text: OnText) -> Completion:
        """One completion, told piece by piece; see `streaming.stream_from`."""
        return stream_from(self, self, request, on_text)

    path = "/api/chat"
    stream_options: dict[str, Any] = {}

    def headers(self) -> dict[str, str]:
        return {}

    def piece(self, line: str) -> dict[str, Any] | None:
        return json_line(line)

    def text(self, piece: dict[str, Any]) -> str:
        return read_text(member(piece, "message").get("content"))

    def whole(self, pieces: list[dict[str, Any]], names: Names, has_tools: bool) -> Completion:
        return read_chat("\n".join(map(json.dumps, pieces)), names, has_tools=has_tools)

    def payload(self, request: Request, names: Names) -> dict[str, Any]:
        """What is sent to `/api/chat`."""
        decoding = request.decoding
        options: dict[str, Any] = {"temperature": decoding.temperature, "num_predict": decoding.max_tokens}
        if decoding.seed is not None:
            options["seed"] = decoding.seed
        # half as much again, since the estimate is one; a context only grows, because a change reloads the model
        while self._context < 1.5 * prompt_tokens(request) + decoding.max_tokens:
            self._context *= 2
        if self._context > DEFAULT_CONTEXT:
            options["num_ctx"] = self._context
        payload: dict[str, Any] = {
            "model": self.model,
            "messages": [_message(message, names) for message in request.messages],
            "stream": False,
            "options": options,
        }
        if request.tools:
            payload["tools"] = [tool_form(tool, names) for tool in request.tools]
        if request.output_schema is not None:
            payload["format"] = request.output_schema
        return payload


def server_address(address: str | None = None) -> str:
    """The server's URL: `address` or OLLAMA_HOST as Ollama takes it (`:11434`, `host`, a URL), or Ollama's default."""
    from ollama import Client

    with Client(address or os.environ.get("OLLAMA_HOST")) as client:
        return str(client._client.base_url).rstrip("/")


def _message(message: ChatMessage, names: Names) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        written["tool_calls"] = [
            {"function": {"name": names.wire(call.name), "arguments": call.arguments}} for call in message.tool_calls
        ]
    if message.role == "tool" and message.name:
        written["tool_name"] = names.wire(message.name)
    return written


async def _send(
    client: AsyncClient, method: str, path: str, payload: dict[str, Any] | None = None, *, has_tools: bool = False
) -> str:
    """The body of one answer, as text.

    By the connection inside the client and not by its `chat`, which drops from a tool's schema what its types do not
    know (nested properties, anyOf, bounds) and refuses a whole answer for arguments sent as text.
    """
    import httpx

    try:
        response = await client._client.request(method, path, json=payload)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise Unreachable(f"nobody answers at this address ({error})") from None
    except httpx.TimeoutException as error:
        raise TimeoutError from error
    except httpx.TransportError as error:
        raise Transient(f"the connection broke off ({error or type(error).__name__})") from None
    if not response.is_success:
        raise from_status(
            response.status_code,
            response.text,
            retry_after=response.headers.get("retry-after"),
            location=response.headers.get("location"),
            has_tools=has_tools,
        )
    return str(response.text)


def read_chat(body: str, names: Names, *, has_tools: bool = False) -> Completion:
    """A completion from the body of `/api/chat`: one object, or the lines of a stream.

    Raises `Transient` for an answer that is broken or cut off, and for an error told in a line under HTTP 200.
    """
    lines = (
        [read_object(line) for line in body.split("\n") if line.strip()] if _is_stream(body) else [read_object(body)]
    )
    text, last = "", lines[-1]
    calls: list[Any] = []
    for line in lines:
        if line.get("error"):
            told = from_status(500, json.dumps(line), has_tools=has_tools)
            raise Transient(str(told)) if isinstance(told, Declined) else told
        message = member(line, "message")
        content = message.get("content")
        text += content if isinstance(content, str) else read_text(content)
        sent = message.get("tool_calls") or []
        calls += sent if isinstance(sent, list) else [sent]
    if last.get("done") is not True and (len(lines) > 1 or "message" not in last):
        raise Transient(f"the answer stops in the middle: {body[-200:]!r}")
    read = read_calls(calls, names)
    reason = "length" if last.get("done_reason") == "length" else "stop"
    return Completion(
        text=read_text(text),
        tool_calls=read.calls,
        unreadable_calls=read.unreadable,
        usage=Usage(
            prompt_tokens=whole_number(last.get("prompt_eval_count")),
            completion_tokens=whole_number(last.get("eval_count")),
        ),
        finish="tool_calls" if read.calls or read.unreadable else reason,
    )


def _is_stream(body: str) -> bool:
    first, _, rest = body.strip().partition("\n")
    return bool(rest.strip()) and first.startswith("{") and first.rstrip().endswith("}")
