"""Answers as they are written: the pieces make the whole, it can be stopped, and a fault is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from model_server import Fault, ModelServer

from kt_lib.models.embedded import EmbeddedModel
from kt_lib.models.ollama import OllamaModel
from kt_lib.models.openai_compatible import OpenAiModel
from kt_lib.models.streaming import Streaming
from kt_lib.prompts import agent_request, chat_request
from kt_lib.records import Request
from kt_lib.world.suite import make_tasks

TASKS = make_tasks(1, "test", "main", 3)


@pytest.fixture(scope="module")
def embedded() -> EmbeddedModel:
    return EmbeddedModel()


@pytest.fixture(params=["embedded", "ollama", "openai"])
def model(request: pytest.FixtureRequest, embedded: EmbeddedModel) -> Iterator[Streaming]:
    if request.param == "embedded":
        yield embedded
        return
    with ModelServer(embedded) as server:
        if request.param == "ollama":
            yield OllamaModel("tiny", server.url)
        else:
            yield OpenAiModel("tiny:latest", f"{server.url}/v1")


def heard(model: Streaming, request: Request, most: int = 1000) -> tuple[list[str], object]:
    pieces: list[str] = []

    def hear(text: str) -> bool:
        pieces.append(text)
        return len(pieces) < most

    return pieces, model.stream(request, hear)


@pytest.mark.parametrize("at", range(3))
def test_the_pieces_are_the_answer_that_would_have_been_given_at_once(
    model: Streaming, embedded: EmbeddedModel, at: int
) -> None:
    for request in (chat_request(TASKS[at]), agent_request(TASKS[at], "json")):
        (whole,) = embedded.complete([request])
        pieces, completion = heard(model, request)
        assert len(pieces) > 3
        assert "".join(pieces) == whole.text == completion.text
        assert completion.usage == whole.usage
        assert completion.finish == whole.finish


def test_native_calls_come_whole_at_the_end(model: Streaming, embedded: EmbeddedModel) -> None:
    requests = [agent_request(task, "native") for task in make_tasks(1, "test", "main", 12)]
    called = [
        (request, one) for request, one in zip(requests, embedded.complete(requests), strict=True) if one.tool_calls
    ]
    request, whole = called[0]
    _, completion = heard(model, request)
    assert [(call.name, call.arguments) for call in completion.tool_calls] == [
        (call.name, call.arguments) for call in whole.tool_calls
    ]


def test_it_can_be_stopped(model: Streaming) -> None:
    pieces, completion = heard(model, chat_request(TASKS[0]), most=2)
    assert len(pieces) == 2
    assert completion.text == "".join(pieces)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault("mid_stream", words="out of memory"), "out of memory"),
        (Fault("half"), ""),
        (Fault("status", 503, "too busy"), "too busy"),
        (Fault("reset"), "connection"),
    ],
)
@pytest.mark.parametrize("kind", ["ollama", "openai"])
def test_a_fault_is_an_answer_that_says_so(embedded: EmbeddedModel, kind: str, fault: Fault, says: str) -> None:
    with ModelServer(embedded, always=fault) as server:
        model = OllamaModel("tiny", server.url) if kind == "ollama" else OpenAiModel("tiny:latest", f"{server.url}/v1")
        _, completion = heard(model, chat_request(TASKS[0]))
    assert completion.finish == "error"
    assert says in completion.error


def test_nobody_at_the_address_is_told_with_what_to_do() -> None:
    _, completion = heard(OllamaModel("tiny", "http://127.0.0.1:9"), chat_request(TASKS[0]))
    assert completion.finish == "error"
    assert "ollama serve" in completion.error
