"""Calls read from chat prose: what is meant is read with its words, what is not meant is left alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kt_lib.calls.measuring import labelled_tools, labelled_turns, measure_reader
from kt_lib.calls.prose import LONGEST, read_chat
from kt_lib.calls.shapes import cast
from kt_lib.records import ChatMessage, ToolSpec

OPS = labelled_tools()["ops"]
HOUSE = labelled_tools()["property"]
TEXT = {"type": "string"}
REPO = (
    *labelled_tools()["repo"],
    ToolSpec(name="bash", parameters={"type": "object", "properties": {"command": TEXT}, "required": ["command"]}),
)


def read(text: str, tools: tuple[ToolSpec, ...] = OPS, asked: str = "") -> list[tuple[str, dict[str, Any]]]:
    messages = (ChatMessage(role="user", content=asked),) if asked else ()
    return [(call.name, dict(call.arguments)) for call in read_chat(text, tools, messages).calls]


def on(host: str, command: str) -> tuple[str, dict[str, Any]]:
    return "remote_bash", {"agent_id": host, "command": command}


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("Run `df -h` on `web01`.", [on("web01", "df -h")]),
        ("On `web01`, run `df -h`.", [on("web01", "df -h")]),
        ("Run `df -h`.", [("bash", {"command": "df -h"})]),
        ("Use `list_agents`.", [("list_agents", {})]),
        ("ssh into web01 and run `uptime`.", [on("web01", "uptime")]),
        ("`ssh root@web01 'uptime'`", [on("web01", "uptime")]),
        ("Run `df -h` on `web01` and `db-2`.", [on("web01", "df -h"), on("db-2", "df -h")]),
        ("On every agent, run `date`.", [("remote_bash_all", {"command": "date"})]),
        ("First run `df -h` on `a1`. Then run `free -m` on `a1`.", [on("a1", "df -h"), on("a1", "free -m")]),
    ],
)
def test_a_command_goes_to_the_tool_that_takes_it_with_the_machine_named(text: str, calls: list[Any]) -> None:
    assert read(text) == calls


@pytest.mark.parametrize(
    "text", ["Run `git status` in `/srv/app`.", "In `/srv/app`, run `git status`.", "`cd /srv/app && git status`"]
)
def test_a_command_with_a_folder_goes_to_the_tool_that_takes_both(text: str) -> None:
    assert read(text, REPO) == [("run_in_repo", {"path": "/srv/app", "command": "git status"})]


@pytest.mark.parametrize(
    "text",
    [
        "Use `create_work_order` with unit `12B`, issue `leaking sink` and priority `high`.",
        'create_work_order(unit="12B", issue="leaking sink", priority="high")',
        'Call `create_work_order`:\n\n- unit: 12B\n- issue: "leaking sink"\n- priority: HIGH',
        '{"tool": "create_work_order", "params": {"unit": "12B", "issue": "leaking sink", "priority": "high"}}',
        "I'd use **create_work_order**. Set the unit to `12B`, the issue to `leaking sink` and the priority to `high`.",
    ],
)
def test_a_tool_named_with_its_values_is_a_call_in_any_of_its_forms(text: str) -> None:
    assert read(text, HOUSE) == [("create_work_order", {"unit": "12B", "issue": "leaking sink", "priority": "high"})]


@pytest.mark.parametrize(
    "text",
    [
        "`chmod` changes the permissions of a file.",
        "Don't run `rm -rf /srv` on web01.",
        "I would not use `kill -9` here.",
        "Shall I run `df -h` on `web01`?",
        "I ran `df -h` on `web01`: 43% used.",
        "Replace `<host>` yourself: `ssh <host>`",
        "The file is `/etc/hosts`, the flag `-h`.",
        "Done, it says: `nginx is up`.",
        "`list_agents` lists the agents; `remote_bash` takes `agent_id` and `command`.",
        "Hello! How can I help?",
    ],
)
def test_what_is_not_meant_is_not_read(text: str) -> None:
    assert read(text) == []


def test_an_explanation_that_was_asked_for_holds_no_call() -> None:
    text = "Run `df -h` to see free space; `du -sh` measures a folder."
    assert read(text, asked="what does df do?") == []
    assert read("Run `df -h`.", asked="how full is the disk?") != []


def test_the_words_a_call_was_read_from_are_kept_and_stand_in_the_answer() -> None:
    text = "Good question. On `web01`, run `df -h`. It is quick."
    call = read_chat(text, OPS).calls[0]
    assert call.read_from == "On `web01`, run `df -h`."
    for turn in (*labelled_turns("dev"), *labelled_turns("test")):
        for read_call in read_chat(turn.answer, labelled_tools()[turn.tools], turn.messages).calls:
            assert read_call.read_from
            assert read_call.read_from.strip() in turn.answer


def test_nothing_is_taken_from_the_conversation_into_a_call() -> None:
    asked = ChatMessage(role="user", content="show the disks of web01")
    calls = read_chat("Run `df -h`.", OPS, (asked,)).calls
    assert [call.arguments for call in calls] == [{"command": "df -h"}]


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("1,200", {"type": "integer"}, 1200),
        ("22.5", {"type": "number"}, 22.5),
        ("22", {"type": "number"}, 22),
        ("Yes", {"type": "boolean"}, True),
        ("HIGH", {"type": "string", "enum": ["low", "high"]}, "high"),
        ("Ana, Bo and Cy", {"type": "array", "items": {"type": "string"}}, ["Ana", "Bo", "Cy"]),
        ("[1, 2]", {"type": "array", "items": {"type": "integer"}}, [1, 2]),
        ('{"a": 1}', {"type": "object"}, {"a": 1}),
        ("text", {"type": ["null", "string"]}, "text"),
        ("anything", {}, "anything"),
    ],
)
def test_values_become_what_the_schema_says(text: str, schema: dict[str, Any], value: Any) -> None:
    assert cast(text, schema) == value
    assert type(cast(text, schema)) is type(value)


@pytest.mark.parametrize(
    ("text", "schema"),
    [("a few", {"type": "integer"}), ("maybe", {"type": "boolean"}), ("x", {"type": "string", "enum": ["y"]})],
)
def test_words_that_are_no_such_value_are_refused(text: str, schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        cast(text, schema)


@settings(max_examples=150, deadline=None)
@given(
    st.text(alphabet=st.sampled_from("`*_ab{}[]()\"'\n:=.,-#|<>$ run on web01 df -h tool list_agents"), max_size=300)
)
def test_any_text_can_be_read(text: str) -> None:
    read_chat(text, (*OPS, *HOUSE))


@pytest.mark.parametrize(
    "piece", ["run `df -h`. ", "- `df -h`\n", "{'tool': 'bash', ", "bash(", "**", "`", '{"tool": ']
)
def test_a_hostile_answer_is_read_in_bounded_time(piece: str) -> None:
    import time

    began = time.perf_counter()
    read_chat(piece * (2 * LONGEST // len(piece)), (*OPS, *HOUSE))
    assert time.perf_counter() - began < 5


def test_the_labelled_turns_are_many_and_many_of_them_are_traps() -> None:
    turns = [*labelled_turns("dev"), *labelled_turns("test")]
    assert len(turns) == len({turn.id for turn in turns}) == len({turn.answer for turn in turns}) >= 120
    trap = {"negation", "alternative", "condition", "afterthought", "output", "placeholder"}
    assert sum(not turn.calls or turn.kind in trap for turn in turns) / len(turns) >= 0.4
    tools = labelled_tools()
    for turn in turns:
        names = {tool.name for tool in tools[turn.tools]}
        assert {call.name for call in turn.calls} <= names, turn.id


def test_the_reader_keeps_its_measured_figures_on_the_turns_it_was_not_adjusted_on() -> None:
    measured: dict[str, Any] = measure_reader("test")
    assert measured["n"] == 117
    assert measured["false_positives"]["value"] <= 2 / 50
    assert measured["misses"]["value"] <= 5 / 67
    assert measured["misread"]["value"] <= 4 / 67
    assert measured["right"]["low"] >= 0.83
    for name in ("false_positives", "misses", "misread", "right"):
        assert 0 <= measured[name]["low"] <= measured[name]["value"] <= measured[name]["high"] <= 1
    assert measure_reader("dev")["right"]["value"] == 1.0  # adjusted on these: no proof of anything else
