"""Agent answers read by the protocol as given: nothing repaired, every documented malformed shape named."""

from __future__ import annotations

import json

import pytest

from kt_lib.calls import failures
from kt_lib.calls.protocol import read_agent
from kt_lib.calls.writing import write_calls
from kt_lib.records import Completion, ToolCall, ToolSpec

TEXT = {"type": "string"}


def tool(name: str, *parameters: str) -> ToolSpec:
    schema = {"type": "object", "properties": dict.fromkeys(parameters, TEXT), "required": list(parameters)}
    return ToolSpec(name=name, parameters=schema)


TOOLS = (tool("remote_bash", "agent_id", "command"), tool("bash", "command"), tool("list_agents"))
RIGHT = '{"tool": "bash", "params": {"command": "df -h"}}'


def read(text: str, finish: str = "stop") -> tuple[str | None, list[tuple[str, dict[str, object]]]]:
    completion = Completion.model_validate({"text": text, "finish": finish})
    reading = read_agent(completion, TOOLS, "json")
    return reading.failure, [(call.name, dict(call.arguments)) for call in reading.calls]


@pytest.mark.parametrize(
    "text",
    [
        RIGHT,
        f"\n  {RIGHT}\n",
        '{"params": {"command": "df -h"}, "tool": "bash"}',
        '{"tool": "bash", "params": {"command": "df -h"}, "reasoning": "to see the disks"}',
        f"[{RIGHT}]",
        f"<think>The user wants disks.</think>\n{RIGHT}",
    ],
)
def test_the_whole_message_is_the_call(text: str) -> None:
    assert read(text) == (None, [("bash", {"command": "df -h"})])


def test_a_list_of_objects_is_several_calls_in_order() -> None:
    calls = (ToolCall(name="list_agents"), ToolCall(name="bash", arguments={"command": "ls"}))
    reading = read_agent(Completion(text=write_calls(calls)), TOOLS, "json")
    assert reading.calls == calls


def test_a_tool_that_was_not_offered_is_still_a_readable_call() -> None:
    assert read('{"tool": "complete", "params": {}}') == (None, [("complete", {})])


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ('{"action": "bash", "params": {"command": "df -h"}}', failures.WRONG_KEY),
        ('{"action": "remote_bash", "loop": "for each agent", "params": {"command": "df"}}', failures.WRONG_KEY),
        ('{"tool": "bash", "arguments": {"command": "df -h"}}', failures.WRONG_KEY),
        ('{"tool": "bash", "params": {"command": "df -h"}, "loop": "all"}', failures.WRONG_KEY),
        ('{"tool": "bash"}', failures.WRONG_KEY),
        ('{"tool": "bash", "params": "df -h"}', failures.WRONG_KEY),
        ('{"name": "bash", "arguments": {"command": "df -h"}}', failures.WRONG_KEY),
        ('{"bash": {"command": "df -h"}}', failures.WRONG_KEY),
        ('[{"tool": "bash", "params": {"command": "ls"}}, {"action": "bash"}]', failures.WRONG_KEY),
        ('{"tool": "none", "params": {}}', failures.TOOL_NONE),
        ('{"tool": "None", "reasoning": "I know the answer"}', failures.TOOL_NONE),
        ('{"tool": null, "params": {}}', failures.TOOL_NONE),
        ('Sure, checking: {"tool": "none", "params": {}}', failures.TOOL_NONE),
        (f"Sure! {RIGHT}", failures.PROSE_AROUND_JSON),
        (f"{RIGHT}\n\nLet me know if you need more.", failures.PROSE_AROUND_JSON),
        (f"<tool_call>\n{RIGHT}\n</tool_call>", failures.PROSE_AROUND_JSON),
        (f"[TOOL_CALLS] {RIGHT}", failures.PROSE_AROUND_JSON),
        (f"```json\n{RIGHT}\n```", failures.CODE_FENCE),
        (f"```\n{RIGHT}\n```", failures.CODE_FENCE),
        (f"I will run it.\n```json\n{RIGHT}\n```", failures.CODE_FENCE),
        ('```python\nbash(command="df -h")\n```', failures.CODE_FENCE),
        ("{'tool': 'bash', 'params': {'command': 'df -h'}}", failures.PYTHON_DICT),
        ("Plan: {'tool': 'bash', 'params': {'command': 'df -h'}}", failures.PYTHON_DICT),
        ('{"tool": "bash", "params": {"command": True}}', failures.PYTHON_DICT),
        ('{"tool": "bash", "params": {"command": "df -h"}', failures.INVALID_JSON),
        ('{"tool": "bash", "params": {"command": "df', failures.INVALID_JSON),
        ('{tool: "bash", params: {command: "df -h"}}', failures.INVALID_JSON),
        ('{"tool": "bash", "params": {"command": "df -h",}}', failures.INVALID_JSON),
        ('{"tool": "bash", "tool": "bash", "params": {"command": "df -h"}}', failures.INVALID_JSON),
        (f"{RIGHT}\n{RIGHT}", failures.INVALID_JSON),
        ('bash(command="df -h")', failures.INVALID_JSON),
        ('[bash(command="df -h")]', failures.INVALID_JSON),
        ('Action: bash\nAction Input: {"command": "df -h"}', failures.INVALID_JSON),
    ],
)
def test_a_call_that_was_begun_and_cannot_be_read_is_malformed_and_named(text: str, failure: str) -> None:
    assert read(text) == (failure, [])
    assert failure in failures.MALFORMED


@pytest.mark.parametrize(
    "text",
    [
        "The disk of web01 is 43% full.",
        "Run `df -h` on `web01`.",
        "`bash` runs a command on this machine; `list_agents` takes nothing.",
        "I can't do that.",
        '{"status": "ok", "used": "43%"}',
        '{"name": "web01", "cpu": 4}',
        '["web01", "web02"]',
        "42",
        '```json\n{"action": "opened", "number": 12}\n```',
        '```json\n{"name": "shop", "version": "1.0.0"}\n```',
        "Use {placeholders} where you like [1].",
        "In Python: d = {'colour': 'red'}",
        '{"tool": "hammer", "price": 12, "stock": 3}',
        'A JSON schema looks so: {"name": "bash", "parameters": {"type": "object", "properties": {}}}',
    ],
)
def test_a_plain_answer_is_no_call_and_not_malformed(text: str) -> None:
    assert read(text) == (None, [])


@pytest.mark.parametrize("text", ["", "  \n", "<think>hm</think>", "[]", "{}"])
def test_an_empty_reply_is_no_plain_answer(text: str) -> None:
    assert read(text) == (failures.EMPTY_REPLY, [])


def test_a_call_cut_off_at_the_token_limit_says_so() -> None:
    completion = Completion(text='{"tool": "bash", "params": {"comm', finish="length")
    assert "token limit" in str(read_agent(completion, TOOLS, "json").detail)


def test_native_calls_are_the_calls_and_the_text_beside_them_is_only_text() -> None:
    call = ToolCall(name="bash", arguments={"command": "df -h"}, id="call_1")
    reading = read_agent(Completion(text="Let me see.", tool_calls=(call,)), TOOLS, "native")
    assert (reading.calls, reading.failure) == ((call,), None)


@pytest.mark.parametrize(
    "completion",
    [
        Completion(unreadable_calls=('{"command": ',)),
        Completion(tool_calls=(ToolCall(name="none"),)),
        Completion(text=RIGHT),
        Completion(text=f"<tool_call>{json.dumps({'name': 'bash', 'arguments': {}})}</tool_call>"),
        Completion(text='{"name": "bash", "parameters": {"command": "df -h"}}'),
        Completion(text="{'tool': 'bash', 'params': {}}"),
        Completion(text='<function=bash>{"command": "ls"}</function>'),
    ],
)
def test_a_native_call_that_cannot_be_read_or_leaks_into_the_text_is_malformed(completion: Completion) -> None:
    reading = read_agent(completion, TOOLS, "native")
    assert reading.failure in failures.MALFORMED
    assert reading.calls == ()


def test_a_native_call_is_no_answer_to_the_json_protocol() -> None:
    completion = Completion(tool_calls=(ToolCall(name="bash", arguments={"command": "ls"}),))
    assert read_agent(completion, TOOLS, "json").failure in failures.MALFORMED


def test_a_plain_native_answer_abstains() -> None:
    reading = read_agent(Completion(text="The disk is fine."), TOOLS, "native")
    assert (reading.calls, reading.failure, reading.text) == ((), None, "The disk is fine.")


def test_every_failure_class_is_described() -> None:
    named = {value for key, value in vars(failures).items() if key.isupper() and isinstance(value, str)}
    assert named == set(failures.DESCRIPTIONS)
    assert named >= failures.MALFORMED
