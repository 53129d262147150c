"""The same task in another form of prompt: what is right stays right, and what was right by heart does not."""

from typing import Any

import pytest

from kt_lib.attempts import answers_rightly
from kt_lib.calls.writing import write_calls
from kt_lib.prompt_formats import FORMATS, format_of, in_format, in_other_formats
from kt_lib.prompts import list_tools
from kt_lib.records import AcceptedCall, ChatMessage, Check, Task, ToolCall, ToolSpec
from kt_lib.world.suite import make_tasks

TASKS = [*make_tasks(1, "test", "main", 40), *make_tasks(1, "test", "multi_turn", 20)]


def right_answer(task: Task) -> str:
    return write_calls(
        [ToolCall(name=key.name, arguments={k: v[0] for k, v in key.arguments.items()}) for key in task.check.accepted]
    )


@pytest.mark.parametrize("name", FORMATS)
def test_the_answer_key_of_a_changed_task_passes_the_checker(name: str) -> None:
    changed = [in_format(task, name) for task in TASKS]
    assert all(answers_rightly(task, right_answer(task), "json") for task in changed)


def test_with_other_names_the_old_answer_is_wrong_and_in_other_orders_it_stays_right() -> None:
    for task in TASKS:
        old = right_answer(task)
        assert not answers_rightly(in_format(task, "renamed"), old, "json")
        assert answers_rightly(in_format(task, "key_order"), old, "json")
        assert answers_rightly(in_format(task, "tool_order"), old, "json")
        assert answers_rightly(in_format(task, "extra_tools"), old, "json")


def test_other_names_reach_the_earlier_turns_too() -> None:
    task = next(in_format(task, "renamed") for task in TASKS if any(m.tool_calls for m in task.messages))
    offered = {tool.name for tool in task.tools}
    assert {call.name for m in task.messages for call in m.tool_calls} <= offered
    assert {m.name for m in task.messages if m.role == "tool"} <= offered


def test_each_form_really_changes_what_the_model_is_shown() -> None:
    for name in FORMATS:
        changed = sum(list_tools(in_format(task, name).tools) != list_tools(task.tools) for task in TASKS)
        # a list of one tool, or of tools with one parameter, has no other order
        assert changed >= 0.8 * len(TASKS), name


def test_the_forms_take_turns_and_a_longer_list_begins_with_the_shorter_one() -> None:
    first, longer = in_other_formats(TASKS[:8]), in_other_formats(TASKS)
    assert [format_of(task) for task in first] == [*FORMATS, *FORMATS]
    assert longer[:8] == first
    assert len({task.id for task in longer} | {task.id for task in TASKS}) == 2 * len(TASKS)


def test_a_form_that_would_change_nothing_gives_way_to_one_that_does() -> None:
    alone = TASKS[0].model_copy(update={"tools": TASKS[0].tools[:1]})
    for name in FORMATS:
        assert list_tools(in_format(alone, name).tools) != list_tools(alone.tools), name


def test_no_tool_is_put_beside_a_task_that_it_would_serve() -> None:
    weather = TASKS[0].model_copy(
        update={"messages": (ChatMessage(role="user", content="what is the weather in Paris?"),)}
    )
    for at in range(40):
        task = in_format(weather.model_copy(update={"id": f"t{at}"}), "extra_tools")
        assert "get_weather" not in {tool.name for tool in task.tools}


# --- tools as people bring them --------------------------------------------------------------------------------------


def tool(name: str, *parameters: str, description: str = "") -> ToolSpec:
    schema = {"type": "object", "properties": {one: {"type": "string"} for one in parameters}}
    return ToolSpec(name=name, description=description, parameters={**schema, "required": list(parameters)})


def asked(*tools: ToolSpec, key: str = "", said: str = "do it for a", **more: Any) -> Task:
    accepted = AcceptedCall(name=key or tools[0].name, arguments={"x": ["a"]})
    check = Check(rule="exact", accepted=(accepted,), evidence="answer_key")
    return Task(
        id=f"{said} {key}", messages=(ChatMessage(role="user", content=said),), tools=tools, check=check, **more
    )


def test_a_key_and_earlier_calls_in_another_spelling_of_the_name_go_with_it() -> None:
    task = asked(tool("math.sqrt", "x"), tool("math.power", "x"), key="math_sqrt")
    earlier = ChatMessage(role="assistant", tool_calls=(ToolCall(name="math_power", arguments={"x": "b"}),))
    result = ChatMessage(role="tool", name="math_power", content="4")
    talk = (*task.messages, earlier, result, *task.messages)
    changed = in_format(task.model_copy(update={"messages": talk}), "renamed")
    names = {one.name for one in changed.tools}
    assert names.isdisjoint({"math.sqrt", "math.power"})
    assert changed.messages[1].tool_calls[0].name in names
    assert changed.messages[2].name in names
    assert answers_rightly(changed, right_answer(changed), "json")
    assert not answers_rightly(changed, right_answer(task), "json")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bash", '{"tool": "bash", "params": {"x": "b"}}'),
        ("bash", "run it with `bash` as before"),
        ("readFile", "use readFile on a"),
        ("files.read", "use files.read on a"),
        ("read-file", "use read-file on a"),
    ],
)
def test_a_tool_that_is_called_by_its_name_in_the_talk_keeps_it(name: str, said: str) -> None:
    changed = in_format(asked(tool(name, "x"), tool("other", "x"), said=said), "renamed")
    assert name in {one.name for one in changed.tools}
    assert format_of(changed) == "extra_tools"


def test_a_word_that_is_also_a_tools_name_is_no_reason_to_keep_it() -> None:
    changed = in_format(asked(tool("search", "x"), said="please search for a"), "renamed")
    assert format_of(changed) == "renamed"
    assert changed.messages[0].content == "please search for a"


def test_descriptions_speak_of_the_tools_by_their_new_names() -> None:
    first = tool("get_user", "x", description="Gives a user. Ask `find` and find_user first; find is quick.")
    nested = ToolSpec(
        name="find_user",
        parameters={"type": "object", "properties": {"x": {"type": "string", "description": "as get_user gives it"}}},
    )
    changed = in_format(asked(first, nested, tool("find", "x")), "renamed")
    get, find_user, find = (one.name for one in changed.tools)
    assert changed.tools[0].description == f"Gives a user. Ask `{find}` and {find_user} first; find is quick."
    assert changed.tools[1].parameters["properties"] == {"x": {"type": "string", "description": f"as {get} gives it"}}


def test_no_new_name_is_one_that_another_tool_had() -> None:
    names = ["run", "x_run", "ops.run", "run_fn", "call_run", "run_action"]
    tasks = [asked(*(tool(name, "x") for name in names), said=f"do it for a {at}") for at in range(60)]
    changed = [one for one in (in_format(task, "renamed") for task in tasks) if format_of(one) == "renamed"]
    assert len(changed) > 50, "`run_v3` is free"
    for task in changed:
        new = {one.name.replace(".", "_") for one in task.tools}
        assert len(new) == len(names)
        assert not new & {name.replace(".", "_") for name in names}


@pytest.mark.parametrize(
    ("said", "offered", "decoy"),
    [
        ("will it rain in Paris?", tool("forecast", "x"), "get_weather"),
        ("show it for Paris", tool("openWeather", "x"), "get_weather"),
        ("how is it outside in Paris?", tool("lookup", "x", description="The weather of a city"), "get_weather"),
        ("what are 5 euros in dollars?", tool("exchange", "x"), "convert_currency"),
        ("what is 5 in dollars?", tool("exchange", "x", "currency"), "convert_currency"),
        ("who wrote Emma?", tool("lookup", "x"), "search_web"),
        ("say hello in French", tool("lookup", "x"), "translate"),
        ("put lunch with Ann on my calendar", tool("lookup", "x"), "create_event"),
    ],
)
def test_nothing_is_put_beside_that_would_serve_as_well(said: str, offered: ToolSpec, decoy: str) -> None:
    beside = set()
    for at in range(40):
        task = asked(offered, said=said).model_copy(update={"id": f"t{at}"})
        beside |= {one.name for one in in_format(task, "extra_tools").tools}
    assert decoy not in beside
    assert len(beside) > 1


def test_a_task_that_no_form_changes_is_left_out() -> None:
    everything = "weather web event translate currency song restaurant stock"
    plain = asked(tool("bash", "x"), said=f"`bash` {everything}")
    assert list_tools(in_format(plain, "key_order").tools) == list_tools(plain.tools)
    assert in_other_formats([plain, TASKS[0]]) == in_other_formats([TASKS[1], TASKS[0]])[1:]
