"""The same task in another form of prompt: what is right stays right, and what was right by heart does not."""

import pytest

from kt_lib.attempts import answers_rightly
from kt_lib.calls.writing import write_calls
from kt_lib.prompt_formats import FORMATS, format_of, in_format, in_other_formats
from kt_lib.prompts import list_tools
from kt_lib.records import ChatMessage, Task, ToolCall
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
