"""Tasks from one's own chats: what becomes a task, and whose word makes a call the accepted one."""

from __future__ import annotations

from typing import Any

import pytest

from kt_lib.calls.judging import judge_agent, judge_chat
from kt_lib.records import Completion, Conversation, Message, MessagePart, Provenance, Rating, ToolCall, ToolSpec
from kt_lib.tasks_from_chats import tasks_from_conversations
from kt_lib.tools_seen import BASH, tools_seen

SOURCE = Provenance(file="export.json", sha256="0", format="openwebui.export", place="item 0")
LIST_AGENTS = ToolCall(name="list_agents", arguments={"status": "online"}, id="c1")


def said(text: str) -> tuple[MessagePart, ...]:
    return (MessagePart(kind="text", text=text),)


def called(*calls: ToolCall, text: str = "") -> tuple[MessagePart, ...]:
    parts = [MessagePart(kind="tool_call", call=call, call_id=call.id) for call in calls]
    parts += [MessagePart(kind="tool_result", text="ok", call_id=call.id) for call in calls]
    return (*parts, *(said(text) if text else ()))


def a_chat(*messages: Message, name: str = "c", system: str | None = None) -> Conversation:
    return Conversation(id=name, source=SOURCE, messages=messages, active_leaf=messages[-1].id, system=system)


def user(key: str, text: str, parent: str | None = None) -> Message:
    return Message(id=key, parent_id=parent, role="user", parts=said(text))


def answer(key: str, parent: str, parts: Any, rating: int | None = None, **more: Any) -> Message:
    return Message(
        id=key,
        parent_id=parent,
        role="assistant",
        parts=parts,
        rating=None if rating is None else Rating(value=rating),
        **more,
    )


REQUEST = user("u1", "Show me the free disk space on this machine.")
PROSE = said("To see the free disk space, run:\n\n```bash\ndf -h\n```")


def only_task(*messages: Message, tools: tuple[ToolSpec, ...] = ()) -> Any:
    (task,) = tasks_from_conversations([a_chat(*messages)], tools)
    return task


def test_a_good_rating_makes_the_calls_of_that_answer_the_accepted_ones() -> None:
    task = only_task(REQUEST, answer("a1", "u1", PROSE, rating=1))
    assert (task.check.evidence, task.check.rule) == ("rating", "exact")
    assert [(call.name, call.arguments) for call in task.check.accepted] == [("bash", {"command": ["df -h"]})]
    assert [message.content for message in task.messages] == ["Show me the free disk space on this machine."]
    assert (task.tools, task.category, task.group, task.source) == ((BASH,), "bash", "c", SOURCE)


def test_a_follow_up_that_confirms_does_so_too() -> None:
    task = only_task(REQUEST, answer("a1", "u1", PROSE), user("u2", "Perfect, that worked.", "a1"))
    assert task.check.evidence == "follow_up"
    assert task.check.accepted[0].arguments == {"command": ["df -h"]}


@pytest.mark.parametrize(
    ("rating", "follow_up"),
    [
        (None, None),
        (0, None),
        (None, "thanks"),
        (None, "And on web02?"),
        (None, "No, I meant inodes."),
        (-1, None),
        (-1, "Perfect, that worked."),
        (1, "No, that is wrong: I meant inodes."),
    ],
)
def test_without_someones_word_a_turn_is_shown_and_not_scored(rating: int | None, follow_up: str | None) -> None:
    messages = [REQUEST, answer("a1", "u1", PROSE, rating=rating)]
    tasks = tasks_from_conversations([a_chat(*messages, *([user("u2", follow_up, "a1")] if follow_up else []))])
    assert (tasks[0].check.evidence, tasks[0].check.accepted) == ("none", ())
    fresh = Completion(text="To see the free disk space, run:\n\n```bash\ndf -h\n```")
    assert judge_chat(tasks[0], fresh).outcome == "unverified"


def test_a_fresh_answer_in_either_form_is_scored_against_what_was_vouched_for() -> None:
    task = only_task(REQUEST, answer("a1", "u1", PROSE, rating=1))
    assert judge_chat(task, Completion(text="Run `df -h` to see it.")).outcome == "correct"
    assert (
        judge_agent(task, Completion(text='{"tool": "bash", "params": {"command": "df -h"}}'), "json").outcome
        == "correct"
    )
    assert (
        judge_agent(task, Completion(text='{"tool": "bash", "params": {"command": "ls"}}'), "json").outcome == "wrong"
    )


def test_an_answer_that_implies_no_call_makes_no_task() -> None:
    assert tasks_from_conversations([a_chat(user("u1", "Who are you?"), answer("a1", "u1", said("A model."), 1))]) == []
    assert tasks_from_conversations([a_chat(REQUEST)]) == []
    assert tasks_from_conversations([]) == []


def test_a_failed_turn_vouches_for_nothing() -> None:
    failed = answer("a1", "u1", PROSE, rating=1, status="failed", error="out of memory")
    assert tasks_from_conversations([a_chat(REQUEST, failed)]) == []


def test_a_regenerated_answer_is_another_answer_and_not_another_task() -> None:
    bad = answer("a1", "u1", said("Run `du -sh /` to see it."), rating=-1)
    good = answer("a2", "u1", PROSE, rating=1)
    task = only_task(REQUEST, bad, good)
    assert task.check.accepted[0].arguments == {"command": ["df -h"]}


def test_a_resent_follow_up_that_refutes_outweighs_one_that_confirms() -> None:
    messages = (REQUEST, answer("a1", "u1", PROSE), user("u2", "Perfect!", "a1"), user("u3", "No, wrong.", "a1"))
    assert only_task(*messages).check.evidence == "none"


def test_recorded_calls_are_taken_as_they_were_made_and_their_tool_gets_a_schema() -> None:
    task = only_task(REQUEST, answer("a1", "u1", called(LIST_AGENTS, text="Two are online."), rating=1))
    assert task.check.accepted[0].arguments == {"status": ["online"]}
    assert [tool.name for tool in task.tools] == ["list_agents"]
    assert task.information == "schema inferred from calls"


def test_only_the_first_step_of_several_is_asked_for() -> None:
    second = ToolCall(name="remote_bash", arguments={"command": "df -h"}, id="c2")
    in_one = answer("a1", "u1", (*called(LIST_AGENTS), *called(second, text="Done.")), rating=1)
    assert [call.name for call in only_task(REQUEST, in_one).check.accepted] == ["list_agents"]
    apart = (
        answer("a1", "u1", (MessagePart(kind="tool_call", call=LIST_AGENTS),)),
        Message(id="t1", parent_id="a1", role="tool", parts=(MessagePart(kind="tool_result", text="x", call_id="c1"),)),
        answer("a2", "t1", said("Two are online."), rating=1),
    )
    task = only_task(REQUEST, *apart)
    assert ([call.name for call in task.check.accepted], task.check.evidence) == (["list_agents"], "rating")


def test_calls_whose_form_was_broken_are_no_evidence() -> None:
    broken = (MessagePart(kind="tool_call", text='{"status": ', well_formed=False), *PROSE)
    assert tasks_from_conversations([a_chat(REQUEST, answer("a1", "u1", broken, rating=1))]) == []


def test_the_conversation_before_the_request_is_told_with_its_calls_and_results() -> None:
    chat = a_chat(
        REQUEST,
        answer("a1", "u1", called(LIST_AGENTS, text="Two are online.")),
        user("u2", "And the disk space of each?", "a1"),
        answer("a2", "u2", called(ToolCall(name="remote_bash_all", arguments={"command": "df -h"}, id="c9")), rating=1),
        system="You look after servers.",
    )
    task = tasks_from_conversations([chat])[1]
    assert [(one.role, one.content, one.name) for one in task.messages] == [
        ("system", "You look after servers.", None),
        ("user", "Show me the free disk space on this machine.", None),
        ("assistant", "", None),
        ("tool", "ok", "list_agents"),
        ("assistant", "Two are online.", None),
        ("user", "And the disk space of each?", None),
    ]
    assert task.messages[2].tool_calls == (LIST_AGENTS,)
    assert {tool.name for tool in task.tools} == {"list_agents", "remote_bash_all"}


def test_schemas_are_inferred_over_all_calls_of_a_tool() -> None:
    calls = [
        {"host": "a", "lines": 3, "deep": True},
        {"host": "b", "lines": 2.5},
        {"host": "c", "lines": None, "tags": ["x"], "where": {"k": 1}, "odd": "text"},
        {"host": "d", "odd": 4},
    ]
    message = answer(
        "a1", "u1", called(*(ToolCall(name="tail", arguments=one, id=str(n)) for n, one in enumerate(calls)))
    )
    (tool,) = tools_seen([a_chat(REQUEST, message)])
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "host": {"type": "string"},
            "lines": {"type": "number"},
            "deep": {"type": "boolean"},
            "tags": {"type": "array"},
            "where": {"type": "object"},
            "odd": {},
        },
        "required": ["host"],
    }


def test_a_known_schema_stands_before_an_inferred_one_and_the_offer_is_bounded() -> None:
    known = ToolSpec(name="list_agents", description="Lists agents.", parameters={"type": "object", "properties": {}})
    task = only_task(REQUEST, answer("a1", "u1", called(LIST_AGENTS)), tools=(known,))
    assert (task.tools, task.information) == ((known,), "schema given")
    others = [
        a_chat(REQUEST, answer("a1", "u1", called(ToolCall(name=f"tool{n}", id="x"))), name=f"chat{n}")
        for n in range(30)
    ]
    tasks = tasks_from_conversations(others)
    assert {len(task.tools) for task in tasks} == {12}
    assert all(task.category in {tool.name for tool in task.tools} for task in tasks)


def test_ids_hold_over_imports_and_differ_between_turns() -> None:
    chat = a_chat(
        REQUEST, answer("a1", "u1", PROSE), user("u2", "Free space on /var?", "a1"), answer("a2", "u2", PROSE)
    )
    first, again = tasks_from_conversations([chat]), tasks_from_conversations([chat])
    assert [task.id for task in first] == [task.id for task in again]
    assert len({task.id for task in first}) == 2


def test_a_chat_of_thousands_of_messages_is_no_problem() -> None:
    messages = [user("u0", "Show me the free disk space.")]
    for number in range(3000):
        parent = messages[-1].id
        messages.append(
            answer(f"a{number}", parent, called(ToolCall(name="bash", arguments={"command": "df"}, id="x")))
        )
    (task,) = tasks_from_conversations([a_chat(*messages)])
    assert task.check.evidence == "none"


def test_a_long_chat_gives_tasks_that_carry_its_last_messages() -> None:
    messages = [REQUEST]
    for number in range(1500):
        messages.append(answer(f"a{number}", messages[-1].id, PROSE))
        messages.append(user(f"v{number}", "And now?", f"a{number}"))
    tasks = tasks_from_conversations([a_chat(*messages)])
    assert len(tasks) == 1500
    assert max(len(task.messages) for task in tasks) <= 24
    assert {task.messages[0].role for task in tasks} == {"user"}


def test_the_tools_that_a_source_names_are_offered_and_prose_is_read_by_them() -> None:
    remote = ToolSpec(
        name="remote_bash",
        parameters={
            "type": "object",
            "properties": {"agent_id": {"type": "string"}, "command": {"type": "string"}},
            "required": ["agent_id", "command"],
        },
    )
    asked = user("u1", "how full is the disk on web-42?")
    told = a_chat(asked, answer("a1", "u1", said("Run `df -h` on `web-42`."), rating=1))
    (plain,) = tasks_from_conversations([told])
    (task,) = tasks_from_conversations([told.model_copy(update={"tools": (remote,)})])
    assert [tool.name for tool in plain.tools] == ["bash"]
    assert [tool.name for tool in task.tools] == ["remote_bash"]
    assert task.information == "schema given"
    (call,) = task.check.accepted
    assert (call.name, call.arguments) == ("remote_bash", {"agent_id": ["web-42"], "command": ["df -h"]})
