"""What is sent to model servers and how their answers are read, word for word."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_server import Fault, ModelServer
from test_models_served import Shouting, asked, opened

from kt_lib.errors import ModelError
from kt_lib.models import ollama, openai_compatible
from kt_lib.models.faults import Declined, Transient, from_status, own_words, seconds_of
from kt_lib.models.ollama import OllamaModel
from kt_lib.models.openai_compatible import OpenAiModel, is_strict
from kt_lib.models.wire import Names, read_text
from kt_lib.records import ChatMessage, Completion, Decoding, Request, ToolCall, ToolSpec

NESTED: dict[str, Any] = {
    "type": "object",
    "properties": {"at": {"type": "object", "properties": {"x": {"type": "integer", "minimum": 1}}, "required": ["x"]}},
    "required": ["at"],
    "additionalProperties": False,
}
HISTORY = Request(
    messages=(
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", content="Two cities"),
        ChatMessage(
            role="assistant",
            content="Looking.",
            tool_calls=(
                ToolCall(name="geo.find", arguments={"city": "Oslo", "n": 1}),
                ToolCall(name="weather", arguments={"city": "Rome"}, id="given"),
            ),
        ),
        ChatMessage(role="tool", content="sunny", name="weather"),
        ChatMessage(role="tool", content="60N", name="geo.find"),
        ChatMessage(role="user", content="And now?"),
    ),
    tools=(ToolSpec(name="geo.find", description="Find", parameters=NESTED), ToolSpec(name="weather")),
    output_schema=NESTED,
    decoding=Decoding(temperature=0.5, max_tokens=77, seed=11),
)


def names_of(*tools: str) -> Names:
    return Names(Request(messages=(), tools=tuple(ToolSpec(name=tool) for tool in tools)))


def test_ollama_gets_arguments_as_objects_results_by_tool_name_and_the_whole_schema() -> None:
    sent = OllamaModel("m", "http://127.0.0.1:1").payload(HISTORY, Names(HISTORY))
    assert sent["messages"][2] == {
        "role": "assistant",
        "content": "Looking.",
        "tool_calls": [
            {"function": {"name": "geo_find", "arguments": {"city": "Oslo", "n": 1}}},
            {"function": {"name": "weather", "arguments": {"city": "Rome"}}},
        ],
    }
    assert sent["messages"][4] == {"role": "tool", "content": "60N", "tool_name": "geo_find"}
    assert sent["tools"][0] == {
        "type": "function",
        "function": {"name": "geo_find", "description": "Find", "parameters": NESTED},
    }
    assert sent["tools"][1]["function"]["parameters"] == {"type": "object", "properties": {}}
    assert sent["format"] == NESTED
    assert sent["options"] == {"temperature": 0.5, "num_predict": 77, "seed": 11}
    assert sent["stream"] is False


def test_openai_gets_arguments_as_text_and_each_result_the_id_of_its_call() -> None:
    sent = OpenAiModel("m", "http://127.0.0.1:1/v1").payload(HISTORY, Names(HISTORY))
    calls = sent["messages"][2]["tool_calls"]
    assert [call["function"]["name"] for call in calls] == ["geo_find", "weather"]
    assert json.loads(calls[0]["function"]["arguments"]) == {"city": "Oslo", "n": 1}
    assert len(calls[0]["id"]) == 9
    assert calls[0]["id"].isalnum()
    assert calls[1]["id"] == "given"
    assert [message.get("tool_call_id") for message in sent["messages"][3:5]] == ["given", calls[0]["id"]]
    assert sent["response_format"]["json_schema"]["schema"] == NESTED
    assert (sent["temperature"], sent["max_tokens"], sent["seed"]) == (0.5, 77, 11)


@pytest.mark.parametrize("dialect", ["ollama", "openai"])
def test_a_history_of_calls_and_results_arrives_as_it_was(dialect: str) -> None:
    class Keeping(Shouting):
        got: list[Request] = []

        def answer(self, request: Request) -> Completion:
            self.got.append(request)
            return Completion(text="ok")

    with ModelServer(Keeping()) as server:
        opened(server, dialect).complete([HISTORY])
    wired = HISTORY.model_dump_json().replace("geo.find", "geo_find").replace('"given"', "null")
    got = Keeping.got.pop()
    assert got.messages == Request.model_validate_json(wired).messages
    assert got.tools[0].parameters == NESTED
    assert (got.output_schema, got.decoding) == (HISTORY.output_schema, HISTORY.decoding)


def test_a_long_prompt_asks_ollama_for_a_context_it_fits_in_and_never_for_a_smaller_one_again() -> None:
    model = OllamaModel("m", "http://127.0.0.1:1")
    contexts = [
        model.payload(request, Names(request))["options"].get("num_ctx")
        for request in asked("short", "long " * 5000, "short")
    ]
    assert contexts == [None, 16384, 16384]


def test_strict_output_is_asked_for_only_where_the_schema_allows_it() -> None:
    assert is_strict({"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False})
    assert not is_strict(NESTED)
    assert not is_strict({"anyOf": [{"type": "object", "properties": {}}]})


def test_names_that_would_fall_together_stay_apart() -> None:
    names = names_of("a.b", "a_b", "a b", "x" * 80, "x" * 70, "é")
    wired = [names.wire(name) for name in ("a.b", "a_b", "a b", "x" * 80, "x" * 70, "é")]
    assert wired == ["a_b", "a_b_2", "a_b_3", "x" * 64, "x" * 60 + "_2", "_"]
    assert [names.own(one) for one in wired] == ["a.b", "a_b", "a b", "x" * 80, "x" * 70, "é"]
    assert names.own("never_sent") == "never_sent"


def openai_answer(message: dict[str, Any], reason: str | None = "stop", **more: Any) -> Completion:
    body = {"choices": [{"message": message, "finish_reason": reason}], **more}
    return openai_compatible.read_chat(json.dumps(body), names_of("geo.find"))


def ollama_answer(message: dict[str, Any], **more: Any) -> Completion:
    return ollama.read_chat(json.dumps({"message": message, "done": True, **more}), names_of("geo.find"))


CALL = {"name": "geo_find", "arguments": {"city": "Oslo"}}
CALL_AS_TEXT = {"name": "geo_find", "arguments": '{"city": "Oslo"}'}


@pytest.mark.parametrize(
    "message",
    [
        {"tool_calls": [{"id": "1", "type": "function", "function": CALL_AS_TEXT}]},
        {"content": None, "tool_calls": [{"function": CALL}], "extra": 1},
        {"content": "", "tool_calls": [CALL]},
        {"content": [], "tool_calls": {"function": CALL_AS_TEXT}},
        {"function_call": CALL_AS_TEXT},
    ],
)
def test_a_call_is_read_in_whatever_form_a_server_sends_it(message: dict[str, Any]) -> None:
    found = openai_answer(message, reason=None)
    assert [(call.name, call.arguments) for call in found.tool_calls] == [("geo.find", {"city": "Oslo"})]
    assert (found.finish, found.text, found.usage.prompt_tokens) == ("tool_calls", "", 0)


@pytest.mark.parametrize("call", [CALL, CALL_AS_TEXT])
def test_ollama_calls_are_read_as_objects_and_as_text(call: dict[str, Any]) -> None:
    found = ollama_answer({"content": "", "tool_calls": [{"function": call}]})
    assert [(one.name, one.arguments) for one in found.tool_calls] == [("geo.find", {"city": "Oslo"})]


@pytest.mark.parametrize("arguments", ['{"city": "Os', "[1]", "Oslo", [1], 3])
def test_arguments_that_cannot_be_read_are_kept_as_sent(arguments: Any) -> None:
    call = {"name": "geo_find", "arguments": arguments}
    for found in (
        openai_answer({"tool_calls": [{"id": "1", "function": call}, {"function": CALL}]}),
        ollama_answer({"tool_calls": [{"function": call}, {"function": CALL}]}),
    ):
        assert [json.loads(one) for one in found.unreadable_calls] == [call]
        assert len(found.tool_calls) == 1


@pytest.mark.parametrize(("sent", "read"), [(None, {}), ("", {}), ("{}", {})])
def test_no_arguments_are_no_arguments(sent: Any, read: dict[str, Any]) -> None:
    assert (
        ollama_answer({"tool_calls": [{"function": {"name": "x", "arguments": sent}}]}).tool_calls[0].arguments == read
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("plain", "plain"),
        (None, ""),
        ([{"type": "text", "text": "a"}, {"type": "reasoning", "text": "x"}, {"type": "image_url"}, "b"], "ab"),
        ("<think>hm\nhm</think>\n\nyes", "yes"),
        ("\n<thinking>hm</thinking> yes", "yes"),
        ("<think>cut off", ""),
        ("the template opened it</think>\nyes", "yes"),
        ("say `<think>` to think", "say `<think>` to think"),
    ],
)
def test_reasoning_is_kept_out_of_the_text(content: Any, text: str) -> None:
    assert read_text(content) == text
    assert openai_answer({"content": content, "reasoning_content": "hm", "reasoning": "hm"}).text == text


def test_ollamas_thinking_is_kept_out_of_the_text() -> None:
    assert ollama_answer({"content": "yes", "thinking": "hm"}).text == "yes"


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("stop", "stop"), ("length", "length"), ("max_tokens", "length"), (None, "stop"), ("eos", "stop")],
)
def test_why_it_ended_is_read_in_the_words_of_many_servers(reason: str | None, finish: str) -> None:
    assert openai_answer({"content": "x"}, reason).finish == finish


def test_an_answer_a_filter_took_away_is_a_declined_request_and_not_an_empty_answer() -> None:
    with pytest.raises(Declined, match="content filter"):
        openai_answer({"content": None}, "content_filter")


def test_an_ollama_stream_that_was_not_asked_for_is_read_all_the_same() -> None:
    lines = [
        {"message": {"content": "<think>"}, "done": False},
        {"message": {"content": "hm</think>he"}, "done": False},
        {"message": {"content": "llo", "tool_calls": [{"function": CALL}]}, "done": False},
        {"message": {"content": ""}, "done": True, "done_reason": "stop", "prompt_eval_count": 7, "eval_count": 2},
    ]
    body = "\n".join(json.dumps(line) for line in lines) + "\n"
    found = ollama.read_chat(body, names_of("geo.find"))
    assert (found.text, found.usage.prompt_tokens, found.usage.completion_tokens) == ("hello", 7, 2)
    assert found.tool_calls[0].name == "geo.find"
    with pytest.raises(Transient, match="stops in the middle"):
        ollama.read_chat("\n".join(body.split("\n")[:3]), names_of())


def test_an_error_line_under_http_200_is_told_in_its_own_words() -> None:
    body = '{"message": {"content": "he"}, "done": false}\n{"error": "model runner has stopped"}\n'
    with pytest.raises(Transient, match="model runner has stopped"):
        ollama.read_chat(body, names_of())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"error": "model not found"}', "model not found"),
        ('{"error": {"message": "too long", "code": 1}}', "too long"),
        ('{"detail": [{"msg": "field required"}]}', '[{"msg": "field required"}]'),
        ('{"object": "error", "message": "The model does not exist."}', "The model does not exist."),
        ("<html><h1>502 Bad Gateway</h1></html>", "502 Bad Gateway"),
        ("", ""),
        ('{"status": 1}', '{"status": 1}'),
    ],
)
def test_a_servers_words_are_found_in_every_form(body: str, words: str) -> None:
    assert own_words(body) == words


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (400, "registry.ollama.ai/library/gemma:2b does not support tools", "ToolsNotSupported"),
        (
            400,
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
            "ToolsNotSupported",
        ),
        (500, "tools param requires --jinja flag", "ToolsNotSupported"),
        (404, 'model "x" not found, try pulling it first', "ModelNotFound"),
        (404, "The model `x` does not exist.", "ModelNotFound"),
        (404, "404 page not found", "ModelError"),
        (400, "prompt is too long", "Declined"),
        (429, "rate limit reached for model x", "Transient"),
        (503, "model x is loading", "Transient"),
        (500, "the tool result could not be read", "Transient"),
    ],
)
def test_errors_are_told_apart_by_status_and_words(status: int, words: str, kind: str) -> None:
    assert type(from_status(status, json.dumps({"error": words}), has_tools=True)).__name__ == kind


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    assert seconds_of("2.5") == 2.5
    assert seconds_of("Thu, 01 Jan 1970 00:00:00 GMT") == 0.0
    assert seconds_of("soon") is None
    assert seconds_of(None) is None


def test_the_double_streams_as_the_clients_of_both_dialects_expect() -> None:
    import ollama as ollama_client
    import openai

    said = [{"role": "user", "content": "hello there"}]
    with ModelServer(Shouting()) as server:
        with ollama_client.Client(server.url) as client:
            parts = list(client.chat("tiny:latest", said, stream=True))
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0) as client:
            chunks = list(client.chat.completions.create(model="tiny:latest", messages=said, stream=True))
    assert "".join(part.message.content or "" for part in parts) == "HELLO THERE"
    assert parts[-1].done
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "HELLO THERE"


def test_the_clients_of_both_dialects_see_the_doubles_faults() -> None:
    import ollama as ollama_client

    with (
        ModelServer(Shouting(), always=Fault("mid_stream", words="runner stopped")) as server,
        ollama_client.Client(server.url) as client,
        pytest.raises(ollama_client.ResponseError, match="runner stopped"),
    ):
        list(client.chat("tiny", [{"role": "user", "content": "hello"}], stream=True))


KEYS = st.sampled_from(
    ["choices", "message", "content", "tool_calls", "function", "name", "arguments", "error", "usage", "done", "id"]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KEYS, ANYTHING, max_size=5), st.sampled_from([ollama.read_chat, openai_compatible.read_chat]))
def test_whatever_a_server_sends_is_a_completion_or_a_model_error(body: dict[str, Any], read: Any) -> None:
    for sent in (body, {"choices": [body], "message": body, "done": True}, {"choices": [{"message": body}]}):
        try:
            found = read(json.dumps(sent), names_of("a"))
        except ModelError:
            continue
        Completion.model_validate_json(found.model_dump_json())


@pytest.mark.parametrize("read", [ollama.read_chat, openai_compatible.read_chat])
def test_half_a_surrogate_pair_and_bottomless_nesting_do_no_harm(read: Any) -> None:
    deep = "[" * 600 + "]" * 600
    for content, arguments in (('"a \\ud800 b"', '{"x": "\\udc00"}'), ('"a"', f'{{"x": {deep}}}'), (deep, '"\\ud800"')):
        call = f'{{"function": {{"name": "f", "arguments": {arguments}}}}}'
        message = f'{{"content": {content}, "tool_calls": [{call}]}}'
        found = read(f'{{"message": {message}, "done": true, "choices": [{{"message": {message}}}]}}', names_of("f"))
        assert found.model_dump_json()
        assert len(found.tool_calls) + len(found.unreadable_calls) == 1
