"""Which questions are asked of chats, attempts, edits and patterns, and that they stay the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from labels_by_hand import SOURCE, a_chat, answer, user
from openwebui_chats import answer as exported_answer
from openwebui_chats import chat as exported_chat
from openwebui_chats import user as exported_user

from kt_lib.labelling.questions import questions_from
from kt_lib.labels import VERDICTS
from kt_lib.records import (
    Attempt,
    Check,
    Conversation,
    Difference,
    Edit,
    MessagePart,
    Pattern,
    Task,
    ToolCall,
    content_id,
)
from kt_lib.sources.ingesting import ingest
from kt_lib.sources.store import Store
from kt_lib.tasks_from_chats import tasks_from_conversations
from kt_lib.world.chats import sample_export

REAL = Path(__file__).parents[2] / "shared" / "data" / "openwebui"
REQUEST = user("u1", "Show me the free disk space on this machine.")
PROSE = "To see the free disk space, run:\n\n```bash\ndf -h\n```"
DF = ToolCall(name="bash", arguments={"command": "df -h"})


def attempt(task: Task, mode: str, output: str, *calls: ToolCall, outcome: str = "unverified") -> Attempt:
    return Attempt.model_validate(
        {"task_id": task.id, "mode": mode, "model": "toy", "output": output, "calls": calls, "outcome": outcome}
    )


def difference(task: Task, chat: Attempt, agent: Attempt) -> Difference:
    return Difference(task_id=task.id, cell="unverified", chat=chat, agent=agent)


def test_each_answer_that_ended_is_asked_about_with_the_branch_before_it() -> None:
    chat = a_chat(
        REQUEST, answer("a1", "u1", PROSE), user("u2", "And who are you?", "a1"), answer("a2", "u2", "A model.")
    )
    first, second = questions_from([chat], kinds=["turn"])
    assert (first.subject, first.group, first.sides[0].text, first.sides[0].calls[0].arguments) == (
        "a1", "c", PROSE, {"command": "df -h"},
    )  # fmt: skip
    assert [one.content for one in second.context] == [REQUEST.text, PROSE, "And who are you?"]
    assert second.tools == ()


def test_nothing_is_asked_about_a_turn_that_failed_or_says_nothing() -> None:
    failed = answer("a1", "u1", PROSE, status="failed", error="out of memory")
    assert questions_from([a_chat(REQUEST, failed)]) == []
    assert questions_from([a_chat(REQUEST, answer("a1", "u1", "  "))]) == []
    assert questions_from([a_chat(REQUEST)]) == []
    assert questions_from() == []


def test_a_turn_with_a_tool_in_it_is_asked_about_by_its_last_message() -> None:
    call = MessagePart(kind="tool_call", call=DF)
    chat = a_chat(REQUEST, answer("a1", "u1", (call,)), answer("a2", "a1", "12 GB are free."))
    (turn,) = questions_from([chat], kinds=["turn"])
    assert (turn.subject, turn.sides[0].text, turn.sides[0].calls) == ("a2", "12 GB are free.", (DF,))
    (reading,) = questions_from([chat], kinds=["reading"])
    assert (reading.subject, reading.sides[0].calls) == ("a2", (DF,))
    assert [tool.name for tool in reading.tools] == ["bash"]


def test_a_reading_is_asked_where_there_are_calls_and_shows_what_the_agent_did() -> None:
    chat = a_chat(REQUEST, answer("a1", "u1", PROSE), user("u2", "Who are you?", "a1"), answer("a2", "u2", "A model."))
    (alone,) = questions_from([chat], kinds=["reading"])
    assert [side.name for side in alone.sides] == ["chat"]
    (task,) = tasks_from_conversations([chat])
    agent = attempt(task, "agent", '{"tool": "bash", "params": {"command": "df"}}', DF)
    beside = questions_from(
        [chat], differences=[difference(task, attempt(task, "chat", PROSE), agent)], kinds=["reading"]
    )
    assert [side.name for side in beside[0].sides] == ["chat", "agent"]
    assert (beside[0].sides[1].text, beside[0].id) == (agent.output, alone.id)


def test_of_two_answers_to_one_request_it_is_asked_which_is_better_and_a_third_adds_one_question() -> None:
    one, two = answer("b", "u1", "Run `df`.", created=1.0), answer("a", "u1", PROSE, created=2.0)
    (asked,) = questions_from([a_chat(REQUEST, one, two)], kinds=["preference"])
    assert [side.text for side in asked.sides] == [PROSE, "Run `df`."]
    assert asked.subject == "a b"
    third = answer("c", "u1", "Look in the settings.", created=3.0)
    more = questions_from([a_chat(REQUEST, one, two, third)], kinds=["preference"])
    assert [one.subject for one in more] == ["a b", "a c"]
    assert more[0].id == asked.id
    same = questions_from([a_chat(REQUEST, one, answer("a", "u1", "Run `df`."))], kinds=["preference"])
    assert same == []


def test_chat_and_agent_are_held_against_each_other_where_no_answer_key_decides() -> None:
    (task,) = tasks_from_conversations([a_chat(REQUEST, answer("a1", "u1", PROSE))])
    pair = difference(task, attempt(task, "chat", PROSE, DF), attempt(task, "agent", "I cannot do that."))
    (asked,) = questions_from(tasks=[task], differences=[pair], kinds=["preference"])
    assert [side.name for side in asked.sides] == ["chat", "agent"]
    assert (asked.group, asked.context, asked.tools) == ("c", task.messages, task.tools)
    keyed = task.model_copy(update={"check": Check(rule="never", evidence="answer_key")})
    assert questions_from(tasks=[keyed], differences=[pair], kinds=["preference"]) == []
    failed = difference(task, pair.chat, attempt(task, "agent", "", outcome="error"))
    assert questions_from(tasks=[task], differences=[failed], kinds=["preference"]) == []


def test_another_answer_of_the_agent_is_another_question() -> None:
    (task,) = tasks_from_conversations([a_chat(REQUEST, answer("a1", "u1", PROSE))])
    outputs = ("I cannot.", "I cannot.", "I will not.")
    pairs = [difference(task, attempt(task, "chat", PROSE), attempt(task, "agent", output)) for output in outputs]
    ids = [questions_from(tasks=[task], differences=[pair], kinds=["preference"])[0].id for pair in pairs]
    assert ids[0] == ids[1] != ids[2]


def test_an_edited_answer_is_asked_about_once_in_its_conversation(tmp_path: Path) -> None:
    edited = exported_answer("Run df -h.", originalContent="Run df.")
    (tmp_path / "export.json").write_text(json.dumps([exported_chat(exported_user("Free space?"), edited)]))
    store = Store(tmp_path / "store")
    ingest([str(tmp_path / "export.json")], store)
    chats, edits = list(store.read(Conversation)), list(store.read(Edit))
    assert len(edits) == 1
    (asked,) = questions_from(chats, edits=edits, kinds=["edit"])
    assert (asked.subject, asked.group) == (edits[0].id, "chat-1")
    assert [(side.name, side.text) for side in asked.sides] == [("draft", "Run df."), ("final", "Run df -h.")]
    assert [one.content for one in asked.context] == ["Free space?"]
    assert questions_from(chats, kinds=["edit"]) == [asked]
    (without,) = questions_from(edits=edits, kinds=["edit"])
    assert (without.id, without.context) == (asked.id, ())


def test_an_edit_whose_text_reads_otherwise_in_its_chat_is_asked_about_once() -> None:
    message = answer("a1", "u1", "Run df -h.", edited_from="Run df.", source_id="s1")
    final = "<details>thinking</details>Run df -h."
    edit = Edit(id=content_id("edit", "c", "s1", "Run df.", final), source=SOURCE, original="Run df.", final=final)
    (asked,) = questions_from([a_chat(REQUEST, message)], edits=[edit], kinds=["edit"])
    assert (asked.subject, asked.group, asked.context[-1].content) == (edit.id, "c", REQUEST.text)


def test_an_edit_at_the_very_start_of_a_chat_has_no_request() -> None:
    first = answer("a1", "", "Hello!", edited_from="Hi").model_copy(update={"parent_id": None})
    after = answer("a2", "a1", "How are you?", edited_from="What?")
    asked = questions_from([a_chat(first, after)], kinds=["edit"])
    assert [one.context for one in asked] == [(), ()]


def test_a_pattern_is_asked_about_with_examples_of_it() -> None:
    (task,) = tasks_from_conversations([a_chat(REQUEST, answer("a1", "u1", PROSE, rating=1))])
    pattern = Pattern(
        id="p1", kind="command_execution", tool="bash", template="bash(command=df <command_2>)", support=4, successes=1,
        examples=(task.id, "gone"),
    )  # fmt: skip
    right = difference(task, attempt(task, "chat", PROSE, DF, outcome="correct"), attempt(task, "agent", "no"))
    (asked,) = questions_from(tasks=[task], differences=[right], patterns=[pattern], kinds=["pattern"])
    assert (asked.subject, asked.sides[0].text) == ("p1", "bash(command=df <command_2>)")
    assert [(side.name, side.text, side.calls) for side in asked.sides[1:]] == [("example 1", REQUEST.text, (DF,))]


def ingested(folder: Path, source: Path | str) -> tuple[list[Conversation], list[Edit]]:
    store = Store(folder)
    ingest([str(source)], store)
    return list(store.read(Conversation)), list(store.read(Edit))


def test_the_sample_asks_the_same_questions_each_time_and_every_suggestion_may_be_answered(tmp_path: Path) -> None:
    (tmp_path / "export.json").write_text(json.dumps(sample_export(1, 40)))
    chats, _ = ingested(tmp_path / "store", tmp_path / "export.json")
    asked = questions_from(chats)
    assert asked == questions_from(list(chats))
    assert {one.kind for one in asked} == {"turn", "reading", "preference"}
    assert len({one.id for one in asked}) == len(asked)
    for question in asked:
        for suggestion in question.suggestions:
            assert suggestion.verdict in VERDICTS[question.kind]
            assert 0.5 <= suggestion.score <= 1
    reordered = questions_from(chats[::-1])
    assert {one.id for one in reordered} == {one.id for one in asked}


@pytest.mark.skipif(not REAL.is_dir(), reason="real Open WebUI exports do not lie beside the checkout")
def test_real_chats_ask_the_same_questions_from_both_versions_of_their_export(tmp_path: Path) -> None:
    (version,) = REAL.glob("software_0.12.4")
    (export,) = version.glob("chat-export-*.json")
    exported, _ = ingested(tmp_path / "a", export)
    stored, _ = ingested(tmp_path / "b", version / "webui_slim.db")
    asked = {one.id for one in questions_from(exported, kinds=["turn", "preference"])}
    assert len(asked) > 50
    assert asked == {one.id for one in questions_from(stored, kinds=["turn", "preference"])}
