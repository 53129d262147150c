"""Model servers over real HTTP, with the faults they have: retried, recorded or raised, never lost and never zero."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Sequence

import pytest
from model_server import Fault, ModelServer, no_tools

from kt_lib.errors import ModelError, ModelNotFound, ToolsNotSupported
from kt_lib.models.interface import Progress
from kt_lib.models.ollama import OllamaModel
from kt_lib.models.openai_compatible import OpenAiModel
from kt_lib.models.served import HOPELESS, TRIES, ServedModel
from kt_lib.records import ChatMessage, Completion, Request, ToolCall, ToolSpec, Usage

WEATHER = ToolSpec(name="weather.get", description="Weather", parameters={"type": "object", "properties": {}})
DIALECTS = pytest.mark.parametrize("dialect", ["ollama", "openai"])


class Shouting:
    """Answers in capitals; calls the first tool with the text where there is one."""

    name = "shouting"
    digest = "sha256:shouting"

    def complete(self, requests: Sequence[Request], progress: Progress | None = None) -> list[Completion]:
        return [self.answer(request) for request in requests]

    def answer(self, request: Request) -> Completion:
        said = request.messages[-1].content
        usage = Usage(prompt_tokens=len(said), completion_tokens=3)
        if request.tools:
            call = ToolCall(name=request.tools[0].name, arguments={"text": said})
            return Completion(text="", tool_calls=(call,), usage=usage, finish="tool_calls")
        return Completion(text=said.upper(), usage=usage, seconds=9.0)


def opened(server: ModelServer, dialect: str, model: str = "tiny:latest", **bounds: float) -> ServedModel:
    settings = {"first_wait": 0.01, "timeout": 5.0, **bounds}
    if dialect == "ollama":
        return OllamaModel(model, server.url, **settings)
    return OpenAiModel(model, f"{server.url}/v1", **settings)


def asked(*texts: str, tools: tuple[ToolSpec, ...] = ()) -> list[Request]:
    return [Request(messages=(ChatMessage(role="user", content=text),), tools=tools) for text in texts]


@DIALECTS
def test_many_requests_come_back_in_order_with_tokens_and_their_own_seconds(dialect: str) -> None:
    heard: list[tuple[int, int]] = []
    with ModelServer(Shouting()) as server:
        found = opened(server, dialect).complete(
            asked(*(f"text {at}" for at in range(25))), lambda done, total: heard.append((done, total))
        )
    assert [one.text for one in found] == [f"TEXT {at}" for at in range(25)]
    assert found[3].usage == Usage(prompt_tokens=6, completion_tokens=3)
    assert all(0 < one.seconds < 5 for one in found)
    assert heard == [(at, 25) for at in range(1, 26)]


@DIALECTS
def test_no_request_asks_nothing(dialect: str) -> None:
    with ModelServer(Shouting()) as server:
        assert opened(server, dialect).complete([]) == []
    assert server.seen == []


@DIALECTS
def test_no_more_requests_are_under_way_than_allowed_and_the_first_goes_alone(dialect: str) -> None:
    slow = Fault("slow", seconds=0.05)
    with ModelServer(Shouting(), always=slow) as server:
        opened(server, dialect, concurrency=3).complete(asked(*("x" * 10)))
    assert server.most_at_once == 3


TRANSIENT = [
    Fault("half"),
    Fault("broken_json"),
    Fault("reset"),
    Fault("mid_stream"),
    Fault("status", 429, "slow down"),
    Fault("status", 429, "slow down", retry_after="0.01"),
    Fault("status", 500, "llama runner process has terminated"),
    Fault("status", 503, "server busy"),
    Fault("body", words=""),
    Fault("body", words="[]"),
    Fault("body", words="{}"),
    Fault("body", words='{"error": {"message": "overloaded"}}'),
]


@DIALECTS
@pytest.mark.parametrize("fault", TRANSIENT, ids=lambda fault: f"{fault.kind} {fault.status} {fault.words[:20]}")
@pytest.mark.parametrize("place", [0, 1])
def test_a_fault_that_passes_is_tried_again_and_leaves_no_trace(dialect: str, fault: Fault, place: int) -> None:
    with ModelServer(Shouting(), faults=[None] * place + [fault, fault]) as server:
        found = opened(server, dialect).complete(asked("a", "b", "c"))
    assert [one.text for one in found] == ["A", "B", "C"]
    assert all(one.finish == "stop" and one.error is None for one in found)
    assert len(server.seen) == 5


@DIALECTS
def test_another_try_is_told_with_its_cause_to_who_asks_for_it_and_puts_nothing_into_a_notebook(
    dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level("INFO"),
        ModelServer(Shouting(), faults=[None, Fault("status", 503, "server busy")]) as server,
    ):
        opened(server, dialect).complete(asked("a", "b"))
    assert [record.name for record in caplog.records if record.levelname == "WARNING"] == []
    assert "again in" in caplog.text
    assert "server busy" in caplog.text


@DIALECTS
def test_a_fault_that_stays_is_that_requests_completion_in_the_servers_own_words(dialect: str) -> None:
    faults = [None] + [Fault("status", 500, "CUDA out of memory")] * TRIES
    with ModelServer(Shouting(), faults=faults) as server:
        found = opened(server, dialect, concurrency=1).complete(asked("a", "b", "c"))
    assert [one.finish for one in found] == ["stop", "error", "stop"]
    assert found[1].error == f"CUDA out of memory (HTTP 500), after {TRIES} tries"
    assert found[1].text == ""


@DIALECTS
def test_a_request_the_server_declines_is_not_sent_again(dialect: str) -> None:
    with ModelServer(Shouting(), faults=[Fault("status", 400, "prompt too long")]) as server:
        found = opened(server, dialect).complete(asked("a", "b"))
    assert found[0].error == "prompt too long (HTTP 400)"
    assert found[1].text == "B"
    assert len(server.seen) == 2


@DIALECTS
def test_a_server_that_is_asked_to_wait_longer_than_a_minute_is_not_waited_for(dialect: str) -> None:
    with ModelServer(Shouting(), faults=[None, Fault("status", 429, "come back later", retry_after="3600")]) as server:
        found = opened(server, dialect, concurrency=1).complete(asked("a", "b"))
    assert found[1].error == "come back later (HTTP 429)"


@DIALECTS
def test_the_wait_a_server_asks_for_is_kept(dialect: str) -> None:
    with ModelServer(Shouting(), faults=[Fault("status", 429, retry_after="0.3")]) as server:
        started = time.monotonic()
        opened(server, dialect).complete(asked("a"))
    assert 0.3 <= time.monotonic() - started < 3


@DIALECTS
def test_a_slow_answer_is_a_timeout_and_not_asked_for_twice(dialect: str) -> None:
    with ModelServer(Shouting(), faults=[None, Fault("slow", seconds=30)]) as server:
        found = opened(server, dialect, timeout=0.3, concurrency=1).complete(asked("a", "b", "c"))
    assert [one.finish for one in found] == ["stop", "error", "stop"]
    assert found[1].error == "timeout: no answer within 0.3 s"
    assert 0.3 <= found[1].seconds < 3
    assert len(server.seen) == 3


@DIALECTS
def test_a_model_that_is_not_there_is_an_error_that_names_those_that_are(dialect: str) -> None:
    with (
        ModelServer(Shouting(), name="qwen2.5:7b") as server,
        pytest.raises(ModelNotFound, match=r"model 'llama9' not found.*on the server: qwen2\.5:7b") as caught,
    ):
        opened(server, dialect, "llama9").complete(asked("a", "b"))
    assert ("ollama pull llama9" in str(caught.value)) == (dialect == "ollama")
    assert len(server.seen) == 1


@DIALECTS
def test_a_model_without_tools_is_an_error_that_says_what_to_do(dialect: str) -> None:
    with ModelServer(Shouting(), always=no_tools("tiny")) as server:
        model = opened(server, dialect)
        with pytest.raises(ToolsNotSupported, match=r"does not support tools \(HTTP 400\).*protocol=json"):
            model.complete(asked("a", "b", tools=(WEATHER,)))
        assert len(server.seen) == 1


@DIALECTS
def test_nobody_at_the_address_is_an_error_at_once(dialect: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    model = OllamaModel("x", address) if dialect == "ollama" else OpenAiModel("x", f"{address}/v1")
    started = time.monotonic()
    with pytest.raises(ModelError, match=rf"127\.0\.0\.1:{port}.*nobody answers.*(OLLAMA_HOST|OPENAI_BASE_URL)"):
        model.complete(asked("a", "b"))
    assert time.monotonic() - started < 5


@DIALECTS
def test_a_server_that_goes_away_costs_only_the_requests_it_did_not_answer(dialect: str) -> None:
    with ModelServer(Shouting()) as server:
        model = opened(server, dialect)
        assert model.complete(asked("a"))[0].text == "A"
    found = model.complete(asked("b", "c"))
    assert [one.finish for one in found] == ["error", "error"]
    assert "nobody answers" in (found[0].error or "")


@DIALECTS
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_an_error_for_all(dialect: str, status: int) -> None:
    with (
        ModelServer(Shouting(), always=Fault("status", status, "bad key")) as server,
        pytest.raises(ModelError, match="refuses the key: bad key"),
    ):
        opened(server, dialect).complete(asked("a", "b"))


@DIALECTS
def test_a_server_that_never_gets_anything_done_is_given_up_in_its_own_words(dialect: str) -> None:
    with (
        ModelServer(Shouting(), always=Fault("status", 500, "disk full")) as server,
        pytest.raises(ModelError, match=f"{HOPELESS} requests failed and none succeeded.*disk full"),
    ):
        opened(server, dialect, first_wait=0.001).complete(asked(*("x" * 50)))
    assert len(server.seen) < 50


@DIALECTS
def test_a_redirect_is_not_followed(dialect: str) -> None:
    with (
        ModelServer(Shouting()) as elsewhere,
        ModelServer(Shouting(), always=Fault("redirect", words=f"{elsewhere.url}/api/chat")) as server,
        pytest.raises(ModelError, match="sends its callers on to http"),
    ):
        opened(server, dialect).complete(asked("secret"))
    assert elsewhere.seen == []


@DIALECTS
def test_a_proxy_in_the_environment_is_not_told_what_is_said_on_this_machine(
    dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ModelServer(Shouting()) as proxy, ModelServer(Shouting()) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert opened(server, dialect).complete(asked("a"))[0].text == "A"
    assert proxy.seen == []


@DIALECTS
def test_a_wrong_path_is_told_from_a_missing_model(dialect: str) -> None:
    with ModelServer(Shouting()) as server:
        wrong = f"{server.url}/wrong"
        model = OllamaModel("x", wrong) if dialect == "ollama" else OpenAiModel("x", wrong)
        with pytest.raises(ModelError, match="no model server at this address") as caught:
            model.complete(asked("a"))
    assert not isinstance(caught.value, ModelNotFound)


@DIALECTS
def test_dotted_tool_names_go_out_with_underscores_and_come_back_dotted(dialect: str) -> None:
    with ModelServer(Shouting()) as server:
        found = opened(server, dialect).complete(asked("Oslo", tools=(WEATHER,)))
    assert server.seen[0][1]["tools"][0]["function"]["name"] == "weather_get"
    assert [(call.name, call.arguments) for call in found[0].tool_calls] == [("weather.get", {"text": "Oslo"})]
    assert found[0].finish == "tool_calls"


@DIALECTS
def test_it_works_where_an_event_loop_is_running_as_in_a_notebook(dialect: str) -> None:
    async def cell() -> list[Completion]:
        return opened(server, dialect).complete(asked("a", "b"))

    with ModelServer(Shouting()) as server:
        assert [one.text for one in asyncio.run(cell())] == ["A", "B"]


@DIALECTS
def test_an_interrupt_ends_what_is_under_way(dialect: str) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with ModelServer(Shouting(), faults=[None], always=Fault("slow", seconds=30)) as server:
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            opened(server, dialect, timeout=60).complete(asked("a", "b", "c"), interrupt)
        assert time.monotonic() - started < 10
    assert threading.active_count() <= before


@DIALECTS
def test_text_that_is_no_utf_8_fails_alone(dialect: str) -> None:
    with ModelServer(Shouting()) as server:
        found = opened(server, dialect).complete(asked("a", "lone \ud800 surrogate", "c"))
    assert [one.finish for one in found] == ["stop", "error", "stop"]
    assert "UTF-8" in (found[1].error or "")
