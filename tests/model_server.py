"""A real HTTP server that serves any kt model as OpenAI's and Ollama's do, and can be told to fail in their ways."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any, Literal, Self

from kt_lib.models.interface import Model
from kt_lib.records import ChatMessage, Completion, Decoding, Request, ToolCall, ToolSpec


@dataclass(frozen=True)
class Fault:
    """One way to fail.

    status: an HTTP error with `words`; slow: nothing for `seconds`, then the answer; half: half of the answer, then the
    connection is closed; broken_json; mid_stream: part of a stream, then an error line under HTTP 200; reset: the
    connection is reset; redirect: to `words`; body: `words` as the whole answer.
    """

    kind: Literal["status", "slow", "half", "broken_json", "mid_stream", "reset", "redirect", "body"]
    status: int = 500
    words: str = "something went wrong"
    seconds: float = 0.0
    retry_after: str | None = None


def no_tools(name: str) -> Fault:
    """What Ollama says of a model without tools."""
    return Fault("status", 400, f"registry.ollama.ai/library/{name}:latest does not support tools")


class ModelServer:
    """`with ModelServer(model) as server:` serves `model` as `name` on a free port of this machine.

    faults: one for each chat request in the order they come, None for none; afterwards `always`, if anything. `seen`
    holds (path, payload) of each chat request.
    """

    def __init__(
        self,
        model: Model,
        name: str = "tiny:latest",
        faults: Iterable[Fault | None] = (),
        always: Fault | None = None,
    ) -> None:
        self.model, self.name, self.always = model, name, always
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.most_at_once = 0
        self.closing = Event()
        self._under_way = 0
        self._faults: Iterator[Fault | None] = iter(faults)
        self._lock, self._model_lock = Lock(), Lock()
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = _Http(("127.0.0.1", 0), handler)
        self._thread = Thread(target=self._http.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    @property
    def url(self) -> str:
        """Ollama's address; OpenAI's is this and `/v1`."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def next_fault(self, path: str, payload: dict[str, Any]) -> Fault | None:
        with self._lock:
            self.seen.append((path, payload))
            return next(self._faults, self.always)

    def complete(self, request: Request) -> Completion:
        with self._model_lock:
            return self.model.complete([request])[0]

    def count(self, by: int) -> None:
        with self._lock:
            self._under_way += by
            self.most_at_once = max(self.most_at_once, self._under_way)


class _Http(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that went away is what some tests want."""


class _Handler(BaseHTTPRequestHandler):
    owner: ModelServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        name = self.owner.name
        answers: dict[str, Any] = {
            "/api/version": {"version": "0.12.6"},
            "/api/tags": {"models": [{"name": name, "model": name, "digest": "abc123", "size": 1}]},
            "/v1/models": {"object": "list", "data": [{"id": name, "object": "model"}]},
        }
        if self.path in answers:
            self._send(200, answers[self.path])
        else:
            self._send(404, {"error": "no such page"})

    def do_POST(self) -> None:
        payload = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        if self.path == "/api/show":
            self._send(200, {"details": {"family": "llama"}, "capabilities": ["completion", "tools"]})
            return
        dialect = {"/api/chat": _Ollama, "/v1/chat/completions": _OpenAi}.get(self.path)
        if dialect is None:
            self._send(404, {"error": "no such page"})
            return
        self.owner.count(1)
        try:
            self._chat(dialect(payload), payload)
        finally:
            self.owner.count(-1)

    def _chat(self, dialect: _Dialect, payload: dict[str, Any]) -> None:
        fault = self.owner.next_fault(self.path, payload)
        if payload["model"] not in (self.owner.name, self.owner.name.removesuffix(":latest")):
            self._send(404, dialect.error(f"model '{payload['model']}' not found"))
        elif fault is None or fault.kind == "slow":
            if fault:
                self.owner.closing.wait(fault.seconds)
            self._answer(dialect, self.owner.complete(dialect.request()))
        elif fault.kind == "status":
            headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
            self._send(fault.status, dialect.error(fault.words), headers)
        elif fault.kind == "redirect":
            self._send(307, {}, {"Location": fault.words})
        elif fault.kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
        else:
            self._spoilt(dialect, fault)

    def _spoilt(self, dialect: _Dialect, fault: Fault) -> None:
        completion = self.owner.complete(dialect.request())
        whole = (
            b"".join(dialect.stream(completion)) if dialect.streams else json.dumps(dialect.whole(completion)).encode()
        )
        if fault.kind == "half":
            self._send_bytes(200, whole[: len(whole) // 2], length=len(whole))
            self.close_connection = True
        elif fault.kind == "mid_stream":
            first = next(iter(dialect.stream(completion)))
            self._send_bytes(200, first + json.dumps({"error": fault.words}).encode() + b"\n")
        else:
            self._send_bytes(200, fault.words.encode() if fault.kind == "body" else whole[:-5] + b"}}]")

    def _answer(self, dialect: _Dialect, completion: Completion) -> None:
        if not dialect.streams:
            self._send(200, dialect.whole(completion))
            return
        self.send_response(200)
        self.send_header("Content-Type", dialect.stream_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in dialect.stream(completion):
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        self._send_bytes(status, json.dumps(body).encode(), headers)

    def _send_bytes(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


class _Dialect:
    """How requests are read and completions written."""

    streams: bool
    stream_type: str

    def __init__(self, payload: dict[str, Any]) -> None:
        self.payload = payload

    def request(self) -> Request:
        raise NotImplementedError

    def whole(self, completion: Completion) -> dict[str, Any]:
        raise NotImplementedError

    def stream(self, completion: Completion) -> Iterator[bytes]:
        raise NotImplementedError

    def error(self, words: str) -> dict[str, Any]:
        raise NotImplementedError

    def tools(self) -> tuple[ToolSpec, ...]:
        return tuple(ToolSpec.model_validate(tool["function"]) for tool in self.payload.get("tools") or [])


class _OpenAi(_Dialect):
    stream_type = "text/event-stream"

    @property
    def streams(self) -> bool:  # type: ignore[override]
        return bool(self.payload.get("stream"))

    def request(self) -> Request:
        called: dict[str, str] = {}
        messages = []
        for message in self.payload["messages"]:
            calls = []
            for call in message.get("tool_calls") or []:
                called[call["id"]] = call["function"]["name"]
                calls.append(
                    ToolCall(name=call["function"]["name"], arguments=json.loads(call["function"]["arguments"]))
                )
            name = called.get(message["tool_call_id"]) if message["role"] == "tool" else None
            content = message.get("content") or ""
            messages.append(ChatMessage(role=message["role"], content=content, tool_calls=tuple(calls), name=name))
        form = self.payload.get("response_format") or {}
        return Request(
            messages=tuple(messages),
            tools=self.tools(),
            output_schema=form["json_schema"]["schema"] if form else None,
            decoding=Decoding(
                temperature=self.payload.get("temperature", 1.0),
                max_tokens=self.payload.get("max_tokens", 256),
                seed=self.payload.get("seed"),
            ),
        )

    def whole(self, completion: Completion) -> dict[str, Any]:
        calls = [
            {"id": f"call{at}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for at, (name, arguments) in enumerate(
                [(call.name, json.dumps(call.arguments)) for call in completion.tool_calls]
                + [("unreadable", text) for text in completion.unreadable_calls]
            )
        ]
        message: dict[str, Any] = {"role": "assistant", "content": completion.text or None}
        if calls:
            message["tool_calls"] = calls
        read, written = completion.usage.prompt_tokens, completion.usage.completion_tokens
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1700000000,
            "model": self.payload["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": completion.finish}],
            "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
        }

    def stream(self, completion: Completion) -> Iterator[bytes]:
        whole = self.whole(completion)
        message = whole["choices"][0]["message"]
        calls = [{"index": at, **call} for at, call in enumerate(message.get("tool_calls") or [])]
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": piece} for piece in _pieces(completion.text)]
        deltas += [{"tool_calls": [call]} for call in calls]
        for at, delta in enumerate([*deltas, {}]):
            choice = {"index": 0, "delta": delta, "finish_reason": completion.finish if at == len(deltas) else None}
            chunk = {**whole, "object": "chat.completion.chunk", "choices": [choice]}
            yield f"data: {json.dumps(chunk)}\n\n".encode()
        yield b"data: [DONE]\n\n"

    def error(self, words: str) -> dict[str, Any]:
        return {"error": {"message": words, "type": "error", "param": None, "code": None}}


class _Ollama(_Dialect):
    stream_type = "application/x-ndjson"

    @property
    def streams(self) -> bool:  # type: ignore[override]
        return bool(self.payload.get("stream", True))

    def request(self) -> Request:
        messages = tuple(
            ChatMessage(
                role=message["role"],
                content=message.get("content") or "",
                tool_calls=tuple(
                    ToolCall(name=call["function"]["name"], arguments=call["function"]["arguments"])
                    for call in message.get("tool_calls") or []
                ),
                name=message.get("tool_name"),
            )
            for message in self.payload["messages"]
        )
        options = self.payload.get("options") or {}
        return Request(
            messages=messages,
            tools=self.tools(),
            output_schema=self.payload.get("format") or None,
            decoding=Decoding(
                temperature=options.get("temperature", 0.8),
                max_tokens=options.get("num_predict", 256),
                seed=options.get("seed"),
            ),
        )

    def whole(self, completion: Completion) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": completion.text}
        if completion.tool_calls:
            message["tool_calls"] = [
                {"function": {"name": call.name, "arguments": call.arguments}} for call in completion.tool_calls
            ]
        return {
            "model": self.payload["model"],
            "created_at": "2024-01-01T00:00:00Z",
            "message": message,
            "done": True,
            "done_reason": "length" if completion.finish == "length" else "stop",
            "total_duration": 1_000_000,
            "prompt_eval_count": completion.usage.prompt_tokens,
            "eval_count": completion.usage.completion_tokens,
        }

    def stream(self, completion: Completion) -> Iterator[bytes]:
        whole = self.whole(completion)
        for piece in _pieces(completion.text):
            part = {"model": whole["model"], "message": {"role": "assistant", "content": piece}, "done": False}
            yield json.dumps(part).encode() + b"\n"
        yield json.dumps({**whole, "message": {**whole["message"], "content": ""}}).encode() + b"\n"

    def error(self, words: str) -> dict[str, Any]:
        return {"error": words}


def _pieces(text: str) -> list[str]:
    return [text[at : at + 4] for at in range(0, len(text), 4)] or [""]
