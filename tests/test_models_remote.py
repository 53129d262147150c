"""What may leave this machine: consent, cap, estimate, redaction, and which hosts are this machine."""

from __future__ import annotations

import socket

import pytest
from model_server import ModelServer
from test_models_served import Shouting, asked

from kt_lib.errors import ConsentRequired, ModelError
from kt_lib.models.ollama import OllamaModel
from kt_lib.models.openai_compatible import OpenAiModel
from kt_lib.models.outgoing import redacted, restored
from kt_lib.models.remote import Allowance, estimate, host_of, is_this_machine
from kt_lib.models.served import ServedModel
from kt_lib.records import ChatMessage, Completion, Decoding, Request, ToolCall, ToolSpec

DIALECTS = pytest.mark.parametrize("dialect", ["ollama", "openai"])


def as_if_remote(model: ServedModel) -> ServedModel:
    """The model as if its server stood elsewhere: a real one cannot be had in a test."""
    model.local = False
    return model


def opened(server: ModelServer, dialect: str, **bounds: object) -> ServedModel:
    if dialect == "ollama":
        return as_if_remote(OllamaModel("tiny:latest", server.url, **bounds))
    return as_if_remote(OpenAiModel("tiny:latest", f"{server.url}/v1", **bounds))


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("localhost", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", True),
        ("::", True),
        ("::ffff:8.8.8.8", False),
        ("8.8.8.8", False),
        ("10.255.254.253", False),
        ("2001:4860:4860::8888", False),
    ],
)
def test_this_machine_is_known_by_address(host: str, own: bool) -> None:
    assert is_this_machine(host) is own


def test_a_name_is_only_as_good_as_every_address_it_resolves_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolved_to(*addresses: str) -> bool:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
        return is_this_machine("localhost")

    assert resolved_to("127.0.0.1")
    assert not resolved_to("203.0.113.9")
    assert not resolved_to("127.0.0.1", "203.0.113.9")


def test_a_host_that_cannot_be_found_is_an_error_and_not_taken_for_this_machine() -> None:
    with pytest.raises(ModelError, match="cannot be found"):
        is_this_machine("no-such-host.invalid")


@pytest.mark.parametrize(
    ("address", "host"), [("http://h:1/v1", "h"), ("https://[::1]:2", "::1"), ("http://user:pw@h.example", "h.example")]
)
def test_the_host_is_taken_from_the_address(address: str, host: str) -> None:
    assert host_of(address) == host


@pytest.mark.parametrize("address", ["", "h:1", "http://", "http://[::1"])
def test_an_address_without_a_host_is_an_error(address: str) -> None:
    with pytest.raises(ModelError, match="no server address"):
        host_of(address)


@DIALECTS
def test_nothing_is_sent_without_consent_and_the_error_says_how_much_it_would_be(dialect: str) -> None:
    with ModelServer(Shouting()) as server:
        model = opened(server, dialect)
        with pytest.raises(
            ConsentRequired, match=r"127\.0\.0\.1 is not this machine, and 3 calls, about \d+ tokens.*--allow-remote"
        ):
            model.complete(asked("a", "b", "c"))
        if dialect == "ollama":
            with pytest.raises(ConsentRequired, match="--allow-remote"):
                _ = model.digest
    assert server.seen == []


@DIALECTS
def test_the_cap_is_kept_before_anything_of_the_set_is_sent(dialect: str) -> None:
    with ModelServer(Shouting()) as server:
        model = opened(server, dialect, allow_remote=True, max_calls=3)
        model.complete(asked("a", "b"))
        with pytest.raises(ConsentRequired, match=r"2 calls to .* after 2 would pass the cap of 3"):
            model.complete(asked("c", "d"))
        assert len(server.seen) == 2
        assert model.complete(asked("c"))[0].text == "C"


def test_on_this_machine_neither_consent_nor_cap_is_asked_for() -> None:
    Allowance(None, allowed=False, max_calls=0).take(asked("a"))


def test_an_estimate_counts_calls_prompt_tokens_and_the_most_that_can_come_back() -> None:
    request = Request(
        messages=(ChatMessage(role="user", content="x" * 400),),
        tools=(ToolSpec(name="t", description="d" * 400),),
        decoding=Decoding(max_tokens=50),
    )
    found = estimate([request] * 10)
    assert (found.calls, found.completion_tokens) == (10, 500)
    assert 2000 <= found.prompt_tokens <= 2100
    assert str(found).startswith("10 calls, about 2,0")


SECRET = Request(
    messages=(
        ChatMessage(role="system", content="The api_key: 9f86d081884c7d65"),
        ChatMessage(role="user", content="Mail ann@example.com, then phone (415) 555-0123"),
        ChatMessage(
            role="assistant",
            tool_calls=(ToolCall(name="mail", arguments={"to": ["ann@example.com"], "password": "rex rex"}),),
        ),
        ChatMessage(role="tool", name="mail", content="sent to ann@example.com"),
    ),
    tools=(
        ToolSpec(
            name="mail",
            description="Ask ops@example.com first",
            parameters={
                "type": "object",
                "properties": {
                    "to": {"type": "string", "default": "ann@example.com"},
                    "password": {"type": "string", "description": "the password"},
                },
            },
        ),
    ),
    output_schema={"enum": ["ann@example.com"]},
)
SECRETS = ("9f86d081884c7d65", "ann@example.com", "ops@example.com", "555-0123", "rex rex")


@DIALECTS
def test_what_goes_to_another_host_holds_no_secret_in_messages_calls_tools_or_schema(dialect: str) -> None:
    with ModelServer(Shouting()) as server:
        found = opened(server, dialect, allow_remote=True).complete([SECRET])
    sent = str(server.seen)
    assert [secret for secret in SECRETS if secret in sent] == []
    assert sent.count("<EMAIL_1>") == 5
    assert "'password': {'type': 'string', 'description': 'the password'}" in sent
    # the model called the tool with what it was told; here it is the real address again
    assert found[0].tool_calls[0].arguments == {"text": "sent to ann@example.com"}


def test_what_stays_on_this_machine_is_sent_as_it_is() -> None:
    with ModelServer(Shouting()) as server:
        OllamaModel("tiny", server.url).complete([SECRET])
    assert [secret for secret in SECRETS if secret not in str(server.seen)] == []


def test_an_answer_has_its_secrets_back_in_text_and_calls() -> None:
    sent, redaction = redacted(SECRET)
    assert "<PHONE_1>" in sent.messages[1].content
    answer = Completion(
        text='{"to": "<EMAIL_1>", "call": "<PHONE_1>", "made up": "<EMAIL_9>"}',
        tool_calls=(ToolCall(name="mail", arguments={"to": ["<EMAIL_1>"], "n": 1}),),
    )
    back = restored(answer, redaction)
    assert back.text == '{"to": "ann@example.com", "call": "(415) 555-0123", "made up": "<EMAIL_9>"}'
    assert back.tool_calls[0].arguments == {"to": ["ann@example.com"], "n": 1}


def test_half_a_surrogate_pair_can_be_redacted() -> None:
    sent, _ = redacted(asked("lone \ud800 of bob@example.com")[0])
    assert sent.messages[0].content == "lone \ud800 of <EMAIL_1>"
