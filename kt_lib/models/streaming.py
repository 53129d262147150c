"""Answers as they are written: pieces of text while a model writes, the whole completion at the end."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

from kt_lib.errors import ModelTimeout
from kt_lib.models.apart import run_apart
from kt_lib.models.faults import Declined, Transient, Unreachable, from_status
from kt_lib.models.outgoing import redacted, restored
from kt_lib.models.served import CONNECT_TIMEOUT, ServedModel
from kt_lib.models.wire import Names
from kt_lib.records import Completion, Request

OnText = Callable[[str], bool]
"""Called with each piece of text as it is written; False stops the model."""


class Streaming(Protocol):
    """A model that can be listened to while it writes."""

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...
    def stream(self, request: Request, on_text: OnText) -> Completion: ...


class Dialect(Protocol):
    """How a server's stream is read."""

    path: str
    """Where chats are asked for, below the server's address."""
    stream_options: dict[str, Any]
    """What a stream is asked for besides; servers may count tokens only on request."""

    def headers(self) -> dict[str, str]: ...
    def payload(self, request: Request, names: Names) -> dict[str, Any]: ...
    def piece(self, line: str) -> dict[str, Any] | None: ...
    def text(self, piece: dict[str, Any]) -> str: ...
    def whole(self, pieces: list[dict[str, Any]], names: Names, has_tools: bool) -> Completion: ...


def stream_from(model: ServedModel, dialect: Dialect, request: Request, on_text: OnText) -> Completion:
    """One request to a server, told piece by piece; where it is stopped, what was written until then.

    A fault is a completion with `finish="error"`, as in `complete`; nothing is tried again, for something was shown
    already. `ConsentRequired` before anything is sent; `ModelNotFound` and `ToolsNotSupported` with their remedies.
    """
    model.allowance.take([request])
    return run_apart(lambda _: _stream(model, dialect, request, on_text))


async def _stream(model: ServedModel, dialect: Dialect, request: Request, on_text: OnText) -> Completion:
    import asyncio

    sent, redaction = (request, None) if model.local else redacted(request)
    started, names = time.perf_counter(), Names(sent)
    try:
        async with asyncio.timeout(model.timeout):
            completion = await _listen(model, dialect, sent, names, on_text)
    except TimeoutError:
        completion = Completion(finish="error", error=f"timeout: no whole answer within {model.timeout:g} s")
    except (Declined, Transient, ModelTimeout) as error:
        completion = Completion(finish="error", error=str(error))
    except Unreachable as error:
        completion = Completion(finish="error", error=f"{model.name} at {model.shown_address}: {error}: {model.remedy}")
    completion = completion.model_copy(update={"seconds": time.perf_counter() - started})
    return restored(completion, redaction) if redaction else completion


async def _listen(model: ServedModel, dialect: Dialect, request: Request, names: Names, on_text: OnText) -> Completion:
    pieces: list[dict[str, Any]] = []
    payload = dialect.payload(request, names) | {"stream": True} | dialect.stream_options
    async with _lines(model, dialect, payload, bool(request.tools)) as lines:
        async for line in lines:
            piece = dialect.piece(line)
            if piece is None:
                continue
            pieces.append(piece)
            text = dialect.text(piece)
            if text and not on_text(text):
                return Completion(text="".join(dialect.text(one) for one in pieces))
    return dialect.whole(pieces, names, bool(request.tools))


@asynccontextmanager
async def _lines(
    model: ServedModel, dialect: Dialect, payload: dict[str, Any], has_tools: bool
) -> AsyncIterator[AsyncIterator[str]]:
    import httpx

    # A proxy or a redirect would take what was meant for this machine somewhere else.
    limits = httpx.Timeout(model.timeout, connect=min(model.timeout, CONNECT_TIMEOUT))
    client = httpx.AsyncClient(timeout=limits, trust_env=not model.local, follow_redirects=False)
    try:
        async with (
            client,
            client.stream(
                "POST", f"{model.address}{dialect.path}", json=payload, headers=dialect.headers()
            ) as response,
        ):
            if not response.is_success:
                body = (await response.aread()).decode("utf-8", "replace")
                location, wait = response.headers.get("location"), response.headers.get("retry-after")
                raise from_status(response.status_code, body, retry_after=wait, location=location, has_tools=has_tools)
            yield response.aiter_lines()
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise Unreachable(f"nobody answers at this address ({error})") from None
    except httpx.TimeoutException as error:
        raise TimeoutError from error
    except httpx.TransportError as error:
        raise Transient(f"the connection broke off ({error or type(error).__name__})") from None


def json_line(line: str) -> dict[str, Any] | None:
    """The object on a line; None for an empty one. Transient for anything else."""
    if not line.strip():
        return None
    try:
        value = json.loads(line)
    except ValueError:
        raise Transient(f"a piece of the answer is no JSON: {line[:200]!r}") from None
    if not isinstance(value, dict):
        raise Transient(f"a piece of the answer is no object: {line[:200]!r}")
    return value
