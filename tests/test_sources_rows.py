"""Rows of training sets, STAR dialogues and judged answers become conversations, with calls, tools and ratings."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from kt_lib.branches import JUDGED_BOTH_WAYS, PASSED_OVER
from kt_lib.conversation_rows import conversation_rows
from kt_lib.records import Conversation, Edit, Rating, SetAside, Task
from kt_lib.sources.found import Found, Unusable
from kt_lib.sources.ingesting import ingest
from kt_lib.sources.licences import Terms, licence_named
from kt_lib.sources.mapping import FileReader
from kt_lib.sources.store import Store
from kt_lib.tasks_from_chats import tasks_from_conversations
from kt_lib.tools_seen import BASH

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
WEATHER = {
    "name": "get_weather",
    "description": "Weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def found(row: dict[str, Any]) -> Found:
    """What one row gives, told by its shape alone."""
    return FileReader(Path("rows.jsonl"), "0" * 64, "lines", None, Terms()).found(row, "line 1")


def talk(row: dict[str, Any]) -> Conversation:
    (one,) = found(row).conversations
    return one


def told(chat: Conversation) -> list[tuple[str, str, list[tuple[str, Any]]]]:
    """Role, text and calls of each message of the open branch."""
    return [
        (message.role, message.text, [(part.call.name, part.call.arguments) for part in message.parts if part.call])
        for message in chat.branch()
    ]


OPENAI = {
    "messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "weather in Oslo?"},
        {"role": "assistant", "tool_calls": [{"function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}]},
        {"role": "tool", "content": "rain"},
        {"role": "assistant", "content": "It rains."},
    ],
    "tools": [{"type": "function", "function": WEATHER}],
}
CALLED = [
    ("user", "weather in Oslo?", []),
    ("assistant", "", [("get_weather", {"city": "Oslo"})]),
    ("tool", "", []),
    ("assistant", "It rains.", []),
]


def test_an_openai_row_keeps_its_calls_its_tools_and_its_system_prompt() -> None:
    chat = talk(OPENAI)
    assert told(chat) == CALLED
    assert (chat.system, [tool.name for tool in chat.tools]) == ("Be short.", ["get_weather"])


def test_toucan_writes_messages_and_tools_as_json_text() -> None:
    chat = talk({"messages": json.dumps(OPENAI["messages"]), "available_tools": json.dumps([WEATHER]), "uuid": "x"})
    assert told(chat) == CALLED
    assert chat.tools[0].parameters["required"] == ["city"]


def test_a_glaive_row_is_read_from_its_text() -> None:
    row = {
        "system": f"SYSTEM: You may call functions -\n{json.dumps(WEATHER, indent=4)}",
        "chat": "USER: weather in Oslo?\n\n\nASSISTANT: <functioncall> "
        '{"name": "get_weather", "arguments": \'{"city": "Oslo"}\'} <|endoftext|>\n\n\n'
        "FUNCTION RESPONSE: rain\n\n\nASSISTANT: It rains. <|endoftext|>",
    }
    chat = talk(row)
    assert told(chat) == CALLED
    assert [tool.name for tool in chat.tools] == ["get_weather"]


def test_a_glaive_call_that_cannot_be_read_is_kept_as_it_was() -> None:
    row = {"system": "SYSTEM: x", "chat": "USER: a\n\nASSISTANT: <functioncall> {name: oops <|endoftext|>"}
    (part,) = talk(row).messages[-1].parts
    assert not part.well_formed
    assert "oops" in part.text


def test_an_xlam_row_is_a_conversation_and_a_task_with_its_answer_key() -> None:
    tool = {"name": "rate", "parameters": {"of": {"type": "str"}, "at": {"type": "str, optional", "default": "now"}}}
    row = {
        "query": "rate of the krone?",
        "tools": json.dumps([tool]),
        "answers": json.dumps([{"name": "rate", "arguments": {"of": "NOK"}}]),
    }
    (task,) = found(row).tasks
    assert told(talk(row)) == [("user", "rate of the krone?", []), ("assistant", "", [("rate", {"of": "NOK"})])]
    assert task.check.evidence == "answer_key"
    assert task.check.accepted[0].arguments == {"of": ["NOK"]}
    schema = task.tools[0].parameters
    assert schema["required"] == ["of"]
    assert schema["properties"] == {"of": {"type": "string"}, "at": {"type": "string", "default": "now"}}


def test_a_toolace_row_has_its_tools_in_the_prompt_and_its_calls_in_pythons_form() -> None:
    tools = [{"name": "Market Trends API", "description": "d", "parameters": {"type": "dict", "properties": {}}}]
    row = {
        "system": f"You may invoke these functions: {json.dumps(tools)}. Put it as [func_name(a=1)].",
        "conversations": [
            {"from": "user", "value": "trends in the US?"},
            {"from": "assistant", "value": '[Market Trends API(trend_type="INDEX", country="us")]'},
        ],
    }
    chat = talk(row)
    assert told(chat)[1] == ("assistant", "", [("Market Trends API", {"trend_type": "INDEX", "country": "us"})])
    assert chat.tools[0].parameters["type"] == "object"


def spoken(*said: tuple[str, str, bool | None]) -> dict[str, Any]:
    return {"id": "x", "conversations": [{"from": who, "value": text, "loss": loss} for who, text, loss in said]}


OS_TOLD = "You are an assistant that will act like a person. Act: bash, finish or answer.\n\nNow, my problem is:\n\n"
OS_EXAMPLE = (
    ("human", OS_TOLD + "how many files are in /etc?", None),
    ("gpt", "Think: print them.\n\nAct: bash\n\n```bash\nls /etc\n```", False),
    ("human", "The output of the OS:\n220", None),
    ("gpt", "Think: 220.\n\nAct: answer(220)", False),
)
OS_TASK = (
    ("human", "Now, I will start a new problem in a new OS. My problem is:\n\nhow many logs?", None),
    ("gpt", "Think: count (them).\n\nAct: bash \n\n```bash\ncd /var\nls *.log | wc -l\n```", True),
    ("human", "The output of the OS:\n\n3\n# ", None),
    ("gpt", "Think: check.\nAct: bash\n\n```bash\ntrue\n```", True),
    ("human", "The output of the OS is empty.", None),
    ("gpt", "Think: it is 3.\n\nAct: answer(3 (three))", True),
)


def test_agentinstructs_acts_on_an_os_are_calls_and_its_example_is_not_learned() -> None:
    chat = talk(spoken(*OS_EXAMPLE, *OS_TASK))
    assert told(chat) == [
        ("user", "how many logs?", []),
        ("assistant", "count (them).", [("bash", {"command": "cd /var\nls *.log | wc -l"})]),
        ("tool", "", []),
        ("assistant", "check.", [("bash", {"command": "true"})]),
        ("tool", "", []),
        ("assistant", "it is 3.", [("answer", {"answer": "3 (three)"})]),
    ]
    assert [part.text for one in chat.messages for part in one.parts if part.kind == "tool_result"] == ["3\n# ", ""]
    assert ([tool.name for tool in chat.tools], chat.system) == (["bash", "answer", "finish"], None)
    (row,) = conversation_rows([chat], protocol="json", source="agentinstruct").rows
    assert row.messages[-1].content == '{"tool": "answer", "params": {"answer": "3 (three)"}}'


def test_a_finished_task_on_an_os_is_a_call_without_parameters() -> None:
    done = ("gpt", "Think: done.\n\nAct: finish", True)
    assert told(talk(spoken(*OS_TASK[:3], done)))[-1] == ("assistant", "done.", [("finish", {})])


def test_without_losses_an_example_is_a_task_like_the_next_and_its_answer_ends_it() -> None:
    plain = [{"from": who, "value": text} for who, text, _ in (*OS_EXAMPLE, *OS_TASK)]
    assert [role for role, _, _ in told(talk({"conversations": plain}))][:5] == [
        "user", "assistant", "tool", "assistant", "user",
    ]  # fmt: skip


def test_agentinstructs_sql_is_a_call_and_ok_is_not_learned() -> None:
    row = spoken(
        ("human", "I will ask you a question. Action: Operation\n```sql\nSELECT 1;\n```", None),
        ("gpt", "Ok.", False),
        ("human", "How many teenagers?", None),
        ("gpt", "Count them.\nAction: Operation\n```sql\nSELECT COUNT(*) FROM `c`\n```", True),
        ("human", "[(28,)]", None),
        ("gpt", "Action: Answer\nFinal Answer: [28]", True),
    )
    assert told(talk(row)) == [
        ("user", "How many teenagers?", []),
        ("assistant", "Count them.", [("operation", {"sql": "SELECT COUNT(*) FROM `c`"})]),
        ("tool", "", []),
        ("assistant", "", [("answer", {"answer": "[28]"})]),
    ]


def test_other_agentinstruct_tasks_keep_their_words_and_what_they_were_told() -> None:
    task = (("human", "Your task is to: heat an egg.", None), ("gpt", "Thought: go.\nAction: go to fridge 1", True))
    chat = talk(spoken(("human", "Interact with a household.", None), ("gpt", "OK.", False), *task))
    assert chat.system == "Interact with a household."
    assert told(chat) == [("user", task[0][1], []), ("assistant", task[1][1], [])]
    example = (("human", "heat a cup", None), ("gpt", "Action: think", False))
    shown = talk(spoken(("human", "Interact.", None), ("gpt", "OK.", False), *example, *task))
    assert shown.system == "User: Interact.\n\nAssistant: OK.\n\nUser: heat a cup\n\nAssistant: Action: think"


def test_an_act_that_is_not_wholly_one_leaves_the_words_of_its_row() -> None:
    two = "Think: a.\n\nAct: bash\n\n```bash\nls\n```\n\nAct: bash\n\n```bash\npwd\n```"
    assert told(talk(spoken(("human", "how many?", None), ("gpt", two, True))))[-1] == ("assistant", two, [])


def test_an_act_of_nothing_but_space_is_read_in_linear_time() -> None:
    started = time.process_time()
    for begun in ("", "Think:", "Action: Operation\n```sql\nx"):
        talk(spoken(("human", "a", None), ("gpt", f"{begun}{' ' * 100_000}b", True)))
    assert time.process_time() - started < 5


def test_an_answer_of_loss_false_amid_learned_ones_cannot_be_kept() -> None:
    with pytest.raises(Unusable, match="loss false"):
        found(spoken(("human", "a", None), ("gpt", "b", True), ("human", "c", None), ("gpt", "d", False)))


def test_an_alpaca_row_is_one_turn() -> None:
    row = {"instruction": "Translate.", "input": "hei", "output": "hello"}
    assert told(talk(row)) == [("user", "Translate.\n\nhei", []), ("assistant", "hello", [])]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"conversations": [{"from": "human", "value": "hi"}]}, "nobody answers"),
        ({"conversations": [{"from": "gpt", "value": "hi"}]}, "no user asks"),
        ({"conversations": [{"from": "martian", "value": "hi"}]}, "from 'martian'"),
        ({"query": "q", "tools": "[]", "answers": "[]"}, "without a call and without tools"),
        ({"query": "q", "tools": "[]", "answers": '["f(1)"]'}, "an answer that is no call"),
        ({"system": "s", "chat": "hm\nUSER: a\nASSISTANT: b"}, "USER: or ASSISTANT:"),
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}]},
            "weight 0",
        ),
        ({"instruction": "a", "output": "b", "history": [["c"]]}, "no pair of texts"),
        ({"instruction": "a", "chosen": "b", "rejected": ""}, "is no answer"),
        ({"system": "s", "chat": "no speaker"}, "USER: or ASSISTANT:"),
        ({"context": "[]", "generation": "{}", "reward": 1}, "without a context"),
        ({"description": "d", "prediction": " ", "correct command": "y"}, "without its request"),
        ({"description": "cut it", "prediction": "cut -c [number]", "correct command": "n"}, "a placeholder"),
        ({"description": "d", "prediction": 'find __SP__UNK -name "x"', "correct command": "y"}, "a placeholder"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(row: dict[str, Any], why: str) -> None:
    with pytest.raises(Unusable, match=why):
        found(row)


def action(text: str, reward: float) -> dict[str, Any]:
    said = json.dumps([{"role": "user", "text": "an espresso please"}])
    generation = json.dumps({"role": "agent", "api": {"get_menu_items": {"query": text}}})
    return {"conversation_id": "d", "context": said, "generation": generation, "reward": reward}


def test_judged_actions_on_one_context_are_branches_of_one_chat(tmp_path: Path) -> None:
    (tmp_path / "reward.json").write_text(json.dumps([action("espresso", 1.0), action("tea", 0.0)]))
    store = Store(tmp_path / "store")
    ingest([tmp_path / "reward.json"], store)
    (chat,) = store.read(Conversation)
    assert sorted(message.rating.value for message in chat.messages if message.rating) == [-1, 1]
    (task,) = tasks_from_conversations([chat])
    assert (task.check.evidence, task.check.accepted[0].arguments) == ("rating", {"query": ["espresso"]})


def test_a_csv_of_judged_commands_is_read_row_by_row(tmp_path: Path) -> None:
    lines = ["description,prediction,correct command", '"list, all",ls -a,y', '"list, all",ls -q,n', "odd,one"]
    (tmp_path / "judged.csv").write_text("\n".join(lines))
    store = Store(tmp_path / "store")
    report = ingest([tmp_path / "judged.csv"], store)
    (chat,) = store.read(Conversation)
    assert [message.text for message in chat.messages if message.role == "user"] == ["list, all"]
    assert (report.totals.stored, report.totals.set_aside) == (2, 1)
    (aside,) = store.read(SetAside)
    assert (aside.source.place, aside.reason) == ("line 4", "2 cells where the header has 3")


def test_a_judged_command_is_a_call_of_a_shell() -> None:
    chat = talk(
        {"description": "delete lines of [number]", "prediction": "sed /[number]/d f.c*", "correct command": "y"}
    )
    command = "sed /[number]/d f.c*"
    assert told(chat) == [("user", "delete lines of [number]", []), ("assistant", "", [("bash", {"command": command})])]
    assert chat.tools == (BASH,)


@pytest.mark.parametrize("verdicts", ["yn", "ny", "yny", "nyn", "nnny"])
def test_a_command_judged_right_and_wrong_counts_as_neither_in_any_order(verdicts: str, tmp_path: Path) -> None:
    for number, verdict in enumerate(verdicts):
        (tmp_path / f"{number}.csv").write_text(f"description,prediction,correct command\nlist,ls -a,{verdict}\n")
    store = Store(tmp_path / "store")
    ingest(sorted(tmp_path.glob("*.csv")), store)
    (chat,) = store.read(Conversation)
    assert chat.messages[-1].rating == Rating(value=0, reason=JUDGED_BOTH_WAYS)


def test_a_licence_beside_a_file_and_the_consent_stated_go_with_every_record(tmp_path: Path) -> None:
    (tmp_path / "LICENSE").write_text("MIT License\n\nPermission is hereby granted, free of charge, ...")
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "a.jsonl").write_text(json.dumps({"instruction": "a", "output": "b"}) + "\n")
    store = Store(tmp_path / "store")
    ingest([tmp_path / "rows"], store, terms=Terms(consent=True))
    (chat,) = store.read(Conversation)
    assert (chat.source.licence, chat.source.consent) == ("MIT", True)
    assert licence_named("Apache License\n   Version 2.0, January 2004") == "Apache-2.0"


@pytest.mark.skipif(not (DATA / "star").is_dir(), reason="STAR's dialogues are not beside the checkout")
def test_star_gives_calls_that_fit_its_schemas_ratings_and_edits(tmp_path: Path) -> None:
    store = Store(tmp_path)
    report = ingest([DATA / "star"], store)
    chats: list[Conversation] = list(store.read(Conversation))
    calls = [(part.call, chat) for chat in chats for m in chat.messages for part in m.parts if part.call]
    known = [{tool.name: tool for tool in chat.tools}.get(call.name) for call, chat in calls]
    assert len(chats) > 250
    assert sum(tool is not None for tool in known) > 0.95 * len(calls)
    assert report.totals.records_in == report.totals.stored + report.totals.duplicate + report.totals.set_aside
    assert report.totals.ratings > 200
    edits = list(store.read(Edit))
    assert len(edits) > 1500
    assert all(edit.original.strip() != edit.final.strip() for edit in edits)


def test_a_suggestion_that_was_passed_over_stands_beside_the_pick_where_its_words_are_known(tmp_path: Path) -> None:
    for task, others in (("bank", {"out_of_scope": "Only banks."}), ("ride", {"out_of_scope": "Only rides."})):
        words = {"ask_name": "Your name?", "ask_pin": "Your PIN?", "tell": "It is {balance:d}."} | others
        (tmp_path / "tasks" / task).mkdir(parents=True)
        (tmp_path / "tasks" / task / "responses.json").write_text(json.dumps(words))
    (tmp_path / "dialogues").mkdir()
    options = ["ask_name", "ask_pin", "tell", "out_of_scope", "unheard_of"]
    pick = {"Agent": "Wizard", "Action": "pick_suggestion", "Text": "Your name?", "ActionLabel": "ask_name"}
    events = [{"Agent": "User", "Action": "utter", "Text": "Hi"}, pick | {"ActionLabelOptions": options}]
    scenario = {"WizardCapabilities": [{"Task": "bank"}, {"Task": "ride"}]}
    dialogue = {"DialogueID": 1, "Events": events, "Scenario": scenario, "FORMAT-VERSION": 6, "BatchID": "x"}
    file = tmp_path / "dialogues" / "1.json"
    file.write_text(json.dumps(dialogue))
    store = Store(tmp_path / "store")
    ingest([file], store)
    (chat,) = store.read(Conversation)
    assert [message.text for message in chat.branch()] == ["Hi", "Your name?"]
    (other,) = [message for message in chat.messages if message not in chat.branch()]
    assert (other.text, other.parent_id) == ("Your PIN?", chat.messages[0].id)
    assert other.rating is not None
    assert (other.rating.value, other.rating.reason) == (0, PASSED_OVER)


@pytest.mark.skipif(not (DATA / "taskmaster4").is_dir(), reason="Taskmaster's rows are not beside the checkout")
def test_every_taskmaster_row_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    report = ingest([DATA / "taskmaster4"], store)
    assert report.totals.records_in == 1500
    assert report.totals.set_aside == 0
    tasks: list[Task] = tasks_from_conversations(store.read(Conversation))
    assert sum(task.check.evidence == "rating" for task in tasks) > 600
