"""Rows in the forms that public training sets have, each with own content, as their cards and readers show them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_sources_rows import found, talk, told

from kt_lib.conversation_rows import conversation_rows
from kt_lib.dataset_sources import Workplace, gathered
from kt_lib.mixes import Mix
from kt_lib.records import ChatMessage, Conversation, SftRow
from kt_lib.sources.calls_written import assistant_parts
from kt_lib.sources.ingesting import ingest
from kt_lib.sources.store import Store
from kt_lib.sources.tools_written import tools_in_text, tools_listed

TIDE = {
    "type": "function",
    "function": {
        "name": "harbour-get_tide",
        "description": "Height of the tide.",
        "parameters": {"type": "object", "properties": {"port": {"type": "string"}}, "required": ["port"]},
    },
}
CALM = [("harbour-get_tide", {"port": "Bergen"}), ("harbour-get_tide", {"port": "Moss"})]


def learned(chat: Conversation) -> SftRow:
    """The row that is learned from a conversation, in the native protocol; a failure says why there is none."""
    made = conversation_rows([chat], protocol="native", source="s")
    assert not made.left_out, made.left_out
    assert not made.cut, made.cut
    (row,) = made.rows
    return row


def results(row: SftRow) -> list[tuple[str | None, str]]:
    return [(one.name, one.content) for one in row.messages if one.role == "tool"]


def system_of(row: SftRow) -> list[str]:
    return [one.content for one in row.messages if one.role == "system"]


# --- Toucan: neulab/agent-data-protocol, datasets/toucan_1_5m/sample_raw.json ----------------------------------------

DECLARED = f"<|im_system|>tool_declare<|im_middle|>{json.dumps([TIDE, TIDE])}<|im_end|>"


def toucan(messages: list[dict[str, Any]], **columns: str) -> dict[str, Any]:
    about = {"uuid": "9f", "subset_name": "single-turn-original", "question": "q", "target_tools": "get_tide"}
    return {**about, "messages": json.dumps(messages), "metadata": "{}", **columns}


def function_call(port: str) -> dict[str, Any]:
    return {"name": "harbour-get_tide", "arguments": json.dumps({"port": port})}


KIMI = [
    {"role": "system", "content": DECLARED},
    {"role": "user", "content": "tides in Bergen and Moss?"},
    {"role": "assistant", "content": "I look them up."},
    {"role": "assistant", "content": "", "function_call": function_call("Bergen")},
    {"role": "assistant", "content": "", "function_call": function_call("Moss")},
    {"role": "function", "name": "harbour-get_tide", "content": '{"height": 90}'},
    {"role": "function", "name": "harbour-get_tide", "content": '{"height": 30}'},
    {"role": "assistant", "content": "90 and 30 cm."},
]
SFT = [
    {"role": "user", "content": "tides in Bergen and Moss?"},
    {"role": "assistant", "content": "I look them up."},
    *({"role": "tool_call", "content": str(function_call(port))} for port in ("Bergen", "Moss")),
    *({"role": "tool_response", "content": json.dumps({"height": height})} for height in (90, 30)),
    {"role": "assistant", "content": "90 and 30 cm."},
]


@pytest.mark.parametrize(
    "row",
    [
        toucan(KIMI, available_tools=json.dumps([TIDE, TIDE])),
        toucan(KIMI),
        toucan(SFT, tools=json.dumps([TIDE])),
    ],
)
def test_several_calls_at_once_are_one_turn_of_toucan_and_its_tools_are_listed_once(row: dict[str, Any]) -> None:
    chat = talk(row)
    assert told(chat)[1] == ("assistant", "I look them up.", CALM)
    assert [tool.name for tool in chat.tools] == ["harbour-get_tide"]
    made = learned(chat)
    assert results(made) == [("harbour-get_tide", '{"height": 90}'), ("harbour-get_tide", '{"height": 30}')]
    assert not any("tool_declare" in text for text in system_of(made))


def test_a_toucan_row_in_which_no_tool_helps_is_words_with_the_tools_it_was_offered() -> None:
    told_no = [SFT[0], {"role": "assistant", "content": "No tool of mine tells the weather."}]
    chat = talk(toucan(told_no, tools=json.dumps([TIDE]), subset_name="irrelevant"))
    row = learned(chat)
    assert (row.kind, [tool.name for tool in row.tools]) == ("no_call", ["harbour-get_tide"])


def test_a_tool_call_of_ms_swift_is_json() -> None:
    messages = [
        {"role": "user", "content": "tide in Moss?"},
        {"role": "tool_call", "content": '{"name": "harbour-get_tide", "arguments": {"port": "Moss"}}'},
        {"role": "tool_response", "content": "30"},
        {"role": "assistant", "content": "30 cm."},
    ]
    assert told(talk({"messages": messages, "tools": json.dumps([TIDE])}))[1] == ("assistant", "", CALM[1:])


def test_a_toucan_call_that_cannot_be_read_is_never_learned_as_words() -> None:
    broken = [SFT[0], {"role": "tool_call", "content": "{'name': 'harbour-get_tide', 'arguments': '{"}, *SFT[4:]]
    chat = talk(toucan(broken, tools=json.dumps([TIDE])))
    made = conversation_rows([chat], protocol="native", source="s")
    assert made.left_out == {"a call that cannot be read": 1}


def test_orca_agentinstruct_has_its_messages_as_text_and_an_empty_system_prompt() -> None:
    messages = [{"role": "system", "content": ""}, *map(dict, (KIMI[1], KIMI[-1]))]
    row = learned(talk({"messages": json.dumps(messages)}))
    assert [one.role for one in row.messages] == ["user", "assistant"]


# --- Glaive: glaiveai/glaive-function-calling-v2 ---------------------------------------------------------------------

FLAT_TIDE = TIDE["function"] | {"name": "get_tide"}  # type: ignore[operator]
GLAIVE_SYSTEM = (
    "SYSTEM: You are a helpful assistant with access to the following functions. Use them if required -\n"
    f"{json.dumps(FLAT_TIDE, indent=4)}\n"
)


def glaive(call: str, system: str = GLAIVE_SYSTEM) -> Conversation:
    return talk(
        {
            "system": system,
            "chat": f"USER: tide in Moss?\n\n\nASSISTANT: I look. <|endoftext|>\n\n\nASSISTANT: <functioncall> {call}"
            ' <|endoftext|>\n\n\nFUNCTION RESPONSE: {"height": 30}\n\n\nASSISTANT: 30 cm. <|endoftext|>\n\n\n',
        }
    )


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("""{"name": "get_tide", "arguments": '{"port": "Moss"}'}""", {"port": "Moss"}),
        ("""{"name": "get_tide", "arguments": '{"port": "St John's"}'}""", {"port": "St John's"}),
        (r"""{"name": "get_tide", "arguments": '{"port": "St John\'s"}'}""", {"port": "St John's"}),
        ("""{"name": "get_tide", "arguments": {"port": "Moss"}}""", {"port": "Moss"}),
        ("""{"name": "get_tide", "arguments": '{\n  "port": "Moss"\n}'}""", {"port": "Moss"}),
        ("""{"name": "get_tide"}""", {}),
    ],
)
def test_a_glaive_call_has_its_arguments_in_single_quotes_or_as_they_are(call: str, arguments: Any) -> None:
    assert told(glaive(call))[1] == ("assistant", "I look.", [("get_tide", arguments)])


def test_a_glaive_row_is_learned_with_its_tool_and_without_the_prompt_that_lists_it() -> None:
    row = learned(glaive("""{"name": "get_tide", "arguments": '{"port": "Moss"}'}"""))
    assert [tool.name for tool in row.tools] == ["get_tide"]
    assert results(row) == [("get_tide", '{"height": 30}')]
    assert not any("Use them if required" in text for text in system_of(row))


def test_a_glaive_row_without_functions_keeps_what_the_system_says() -> None:
    system = "SYSTEM: You are a helpful assistant, with no access to external functions.\n\n"
    chat = talk({"system": system, "chat": "USER: hi\n\n\nASSISTANT: Hello. <|endoftext|>\n\n\n"})
    assert system_of(learned(chat)) == ["You are a helpful assistant, with no access to external functions."]


# --- xLAM: Salesforce/xlam-function-calling-60k ----------------------------------------------------------------------

XLAM_TOOL = {
    "name": "search",
    "description": "Finds ships.",
    "parameters": {
        "type": {"description": "What kind.", "type": "str", "default": "ferry"},
        "ids": {"description": "Which.", "type": "List[int]"},
        "box": {"description": "Where.", "type": "List[Union[int, float]], optional"},
        "at": {"description": "When.", "type": "Tuple[float, float]"},
        "flag": {"description": "Flag.", "type": "bool, optional", "default": ""},
        "more": {"description": "More.", "type": "Dict[str, Any]"},
        "by": {"description": "How.", "type": "Callable[[float], float]"},
    },
}


def test_xlams_types_become_a_json_schema_and_what_has_a_default_is_optional() -> None:
    (tool,) = tools_listed(json.dumps([XLAM_TOOL]))
    properties = tool.parameters["properties"]
    assert properties == {
        "type": {"type": "string", "description": "What kind.", "default": "ferry"},
        "ids": {"type": "array", "items": {"type": "integer"}, "description": "Which."},
        "box": {"type": "array", "items": {"type": "number"}, "description": "Where."},
        "at": {"type": "array", "items": {"type": "number"}, "description": "When."},
        "flag": {"type": "boolean", "description": "Flag."},
        "more": {"type": "object", "description": "More."},
        "by": {"description": "How."},
    }
    assert tool.parameters["required"] == ["ids", "at", "more", "by"]


def test_an_xlam_row_with_two_answers_is_two_calls_in_one_turn() -> None:
    calls = [{"name": "search", "arguments": {"ids": [n], "at": [0.5, 1], "more": {}, "by": "x"}} for n in (1, 2)]
    row = {"id": 7, "query": "ships 1 and 2", "answers": json.dumps(calls), "tools": json.dumps([XLAM_TOOL])}
    (one,) = found(row).tasks
    made = learned(talk(row))
    assert [call.arguments["ids"] for call in made.messages[-1].tool_calls] == [[1], [2]]
    assert (one.check.rule, len(one.check.accepted), one.kind) == ("exact", 2, "main")


def test_an_xlam_row_without_an_answer_is_a_task_at_which_nothing_may_be_called() -> None:
    gave = found({"query": "who won?", "answers": "[]", "tools": json.dumps([XLAM_TOOL])})
    (task,) = gave.tasks
    assert gave.conversations == ()
    assert (task.check.rule, task.check.accepted, task.kind) == ("never", (), "not_calling")


# --- ToolACE: Team-ACE/ToolACE ---------------------------------------------------------------------------------------

ACE_TOOLS = [
    {
        "name": "Tide Table API",
        "description": "d",
        "parameters": {
            "type": "dict",
            "properties": {
                "from": {"type": "str"},
                "days": {"type": "int", "required": True},
                "scale": {"type": "float"},
                "box": {"type": "dict", "properties": {"x": {"type": "float"}}},
                "open": {"type": "bool"},
            },
            "required": ["from"],
        },
        "required": None,
    },
    {"name": "/ship/find", "description": "d", "parameters": {"type": "dict", "properties": {"q": {"type": "any"}}}},
]
ACE_SYSTEM = (
    "You are an expert in composing functions. You should only return the function call in tools call sections.\n"
    "If you decide to invoke any of the function(s), you MUST put it in the format of [func_name1(params_name1="
    "params_value1, params_name2=params_value2...), func_name2(params)]\nYou SHOULD NOT include any other text in the"
    f" response.\nHere is a list of functions in JSON format that you can invoke:\n{json.dumps(ACE_TOOLS)}"
)


def toolace(*said: tuple[str, str]) -> Conversation:
    conversations = [{"from": speaker, "value": value} for speaker, value in said]
    return talk({"system": ACE_SYSTEM, "conversations": conversations})


def test_toolaces_parallel_calls_and_their_results_come_apart() -> None:
    chat = toolace(
        ("user", "tide and ship?"),
        ("assistant", '[Tide Table API(from="Moss (old), x=1", days=2, open=true), /ship/find(q="a")]'),
        ("tool", '[{"name": "/ship/find", "results": ["s"]}, {"name": "Tide Table API", "results": {"height": 30}}]'),
        ("assistant", "30 cm, and one ship."),
    )
    calls = [("Tide Table API", {"from": "Moss (old), x=1", "days": 2, "open": True}), ("/ship/find", {"q": "a"})]
    assert told(chat)[1] == ("assistant", "", calls)
    row = learned(chat)
    assert results(row) == [("Tide Table API", '{"height":30}'), ("/ship/find", '["s"]')]
    assert not any("composing functions" in text for text in system_of(row))


def test_toolaces_schemas_are_json_schemas_at_every_depth() -> None:
    tide, ship = tools_in_text(ACE_SYSTEM)
    assert tide.parameters == {
        "type": "object",
        "properties": {
            "from": {"type": "string"},
            "days": {"type": "integer"},
            "scale": {"type": "number"},
            "box": {"type": "object", "properties": {"x": {"type": "number"}}},
            "open": {"type": "boolean"},
        },
        "required": ["from", "days"],
    }
    assert ship.parameters["properties"] == {"q": {}}


def test_toolace_says_in_words_that_no_tool_helps() -> None:
    row = learned(toolace(("user", "weather?"), ("assistant", "None of the functions can be used for this.")))
    assert (row.kind, row.messages[-1].content) == ("no_call", "None of the functions can be used for this.")


@pytest.mark.parametrize(
    "written",
    [
        '[/ship/find("a")]',
        '[/ship/find(q="a]',
        '[/ship/find(q="a")] and then',
        '[Unknown Tool(q="a")]',
        "[/ship/find(q=open('x').read() + {})]",
    ],
)
def test_a_toolace_turn_that_is_no_whole_call_is_not_learned_as_a_call_with_less_in_it(written: str) -> None:
    chat = toolace(("user", "a"), ("assistant", written))
    assert conversation_rows([chat], protocol="native", source="s").rows == ()


def test_a_list_in_words_is_no_call() -> None:
    tools = tools_in_text(ACE_SYSTEM)
    for words in ("[1, 2]", "[a note](https://example.org)", "[see (below)] for more", "Call f(a=1)."):
        assert [part.kind for part in assistant_parts(words, tools)] == ["text"]


# --- Hermes: NousResearch/hermes-function-calling-v1 -----------------------------------------------------------------

HERMES_SYSTEM = (
    "You are a function calling AI model. You are provided with function signatures within <tools> </tools> XML tags."
    f"\n<tools>\n{[TIDE]!r}\n</tools>\nFor each function call return a json object with function name and arguments"
    " within <tool_call> </tool_call> tags with the following schema:\n<tool_call>\n{'arguments': <args-dict>, 'name':"
    " <function-name>}\n</tool_call>\n"
)


def test_hermes_writes_tools_and_calls_as_python_between_tags() -> None:
    call = "<tool_call>\n{'arguments': {'port': '%s'}, 'name': 'harbour-get_tide'}\n</tool_call>"
    answer = '<tool_response>\n{"name": "harbour-get_tide", "content": {"height": %d}}\n</tool_response>\n'
    row = {
        "id": "75",
        "conversations": [
            {"from": "system", "value": HERMES_SYSTEM},
            {"from": "human", "value": "tides?"},
            {"from": "gpt", "value": f"I look.\n{call % 'Bergen'}\n{call % 'Moss'}\n"},
            {"from": "tool", "value": answer % 90 + answer % 30},
            {"from": "gpt", "value": "90 and 30."},
        ],
        "category": "Sea",
        "task": "Tides",
    }
    chat = talk(row)
    assert told(chat)[1] == ("assistant", "I look.", CALM)
    made = learned(chat)
    assert results(made) == [("harbour-get_tide", '{"height":90}'), ("harbour-get_tide", '{"height":30}')]
    assert not any("<tools>" in text for text in system_of(made))


def test_hermes_with_one_json_tool_a_line_and_qwens_messages_are_read_too() -> None:
    call = '<tool_call>\n{"name": "harbour-get_tide", "arguments": {"port": "Moss"}}\n</tool_call>'
    system = f"<tools>\n{json.dumps(TIDE)}\n{json.dumps(TIDE | {'function': FLAT_TIDE})}\n</tools>"
    messages = [
        ChatMessage(role="system", content=system),
        ChatMessage(role="user", content="tide?"),
        ChatMessage(role="assistant", content=call),
    ]
    chat = talk({"messages": [one.model_dump(include={"role", "content"}) for one in messages]})
    assert told(chat)[1] == ("assistant", "", CALM[1:])
    assert [tool.name for tool in chat.tools] == ["harbour-get_tide", "get_tide"]


# --- LLaMA-Factory's ShareGPT and Alpaca: hiyouga/LLaMA-Factory, data/README.md --------------------------------------


def test_llama_factory_has_speakers_for_calls_and_for_what_comes_back() -> None:
    row = {
        "conversations": [
            {"from": "human", "value": "tide?"},
            {"from": "function_call", "value": '{"name": "get_tide", "arguments": {"port": "Moss"}}'},
            {"from": "observation", "value": '{"height": 30}'},
            {"from": "gpt", "value": "30 cm."},
        ],
        "tools": json.dumps([FLAT_TIDE]),
    }
    made = learned(talk(row))
    assert made.messages[-3].tool_calls[0].arguments == {"port": "Moss"}
    assert results(made) == [("get_tide", '{"height": 30}')]
    assert talk({**row, "tools": "[]"}).tools == ()


def test_turns_before_the_question_stand_in_alpacas_history() -> None:
    row = {"instruction": "and?", "input": "", "output": "c", "system": "s", "history": [["a", "b"]]}
    assert told(talk(row)) == [("user", "a", []), ("assistant", "b", []), ("user", "and?", []), ("assistant", "c", [])]


@pytest.mark.parametrize("tag", [True, False])
def test_an_answer_tagged_as_unwanted_is_not_learned(tag: bool) -> None:
    chat = talk({"instruction": "a", "output": "b", "kto_tag": tag})
    assert bool(conversation_rows([chat], protocol="native", source="s").rows) == tag


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": [{"from": "human", "value": "a"}], "chosen": {"from": "gpt", "value": "good"},
         "rejected": {"from": "gpt", "value": "bad"}},
        {"instruction": "a", "input": "", "chosen": "good", "rejected": "bad"},
    ],
)  # fmt: skip
def test_the_better_of_two_answers_is_learned_and_both_are_one_chat(row: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    store = Store(tmp_path / "store")
    ingest([tmp_path / "rows.jsonl"], store)
    (chat,) = store.read(Conversation)
    assert sorted(message.rating.value for message in chat.messages if message.rating) == [-1, 1]
    assert learned(chat).messages[-1].content == "good"


# --- AgentInstruct: THUDM/AgentInstruct ------------------------------------------------------------------------------


def test_agentinstruct_and_toucan_come_as_parquet(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    act = "Think: count them.\n\nAct: bash\n\n```bash\nls | wc -l\n```"
    said = [
        {"from": "human", "loss": None, "value": "how many?"},
        {"from": "gpt", "loss": True, "value": act},
        {"from": "human", "loss": None, "value": "The output of the OS:\n3"},
        {"from": "gpt", "loss": True, "value": "Think: it is 3.\n\nAct: answer(3)"},
    ]
    rows = [{"conversations": said, "id": "os_0"}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "os.parquet")
    more = [toucan(SFT, tools=json.dumps([TIDE])), toucan([{"role": "martian", "content": "x"}])]
    parquet.write_table(pyarrow.Table.from_pylist(more), tmp_path / "toucan.parquet")
    store = Store(tmp_path / "store")
    report = ingest([tmp_path], store)
    assert (report.totals.conversations, report.totals.set_aside, report.problems) == (2, 1, ())
    chats = {chat.source.format: chat for chat in store.read(Conversation)}
    assert [text for _, text, _ in told(chats["sharegpt.row"])] == ["how many?", "count them.", "", "it is 3."]
    assert chats["openai.row"].source.place == "row 1"


def test_a_parquet_file_that_is_cut_off_is_told(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "x.parquet").write_bytes(b"PAR1....")
    (problem,) = ingest([tmp_path / "x.parquet"], Store(tmp_path / "store")).problems
    assert "no whole Parquet file" in problem


# --- in a mix --------------------------------------------------------------------------------------------------------


def test_a_mix_draws_from_toucans_parquet_and_keeps_what_weights_say(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    (tmp_path / "toucan").mkdir()
    rows = [toucan(SFT, tools=json.dumps([TIDE]))]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "toucan" / "train-00000.parquet")
    weighted = [*KIMI[1:3], KIMI[1], KIMI[-1] | {"weight": 1}]
    weighted[1] = weighted[1] | {"weight": 0}
    (tmp_path / "own.jsonl").write_text(json.dumps({"messages": weighted}) + "\n")
    sources = {
        "toucan": {"count": 5, "files": [str(tmp_path / "toucan")], "licence": "Apache-2.0"},
        "weighted": {"count": 5, "files": [str(tmp_path / "own.jsonl")]},
    }
    mix = Mix.model_validate({"name": "a try", "rows": 10, "sources": sources})
    given = gathered(mix, Workplace(), "native")
    (row,) = given["toucan"].rows
    assert (len(row.messages[1].tool_calls), row.licence) == (2, "Apache-2.0")
    (own,) = given["weighted"].rows
    assert (own.learn, own.messages[-1].content) == ("last", KIMI[-1]["content"])
