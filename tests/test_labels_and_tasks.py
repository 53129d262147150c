"""What labels change about the tasks of one's own chats, and that they still do after the chats come again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from labels_by_hand import a_chat, answer, label, user
from openwebui_chats import answer as exported_answer
from openwebui_chats import chat as exported_chat
from openwebui_chats import user as exported_user

from kt_lib.calls.judging import judge_agent, judge_chat
from kt_lib.labelling.questions import questions_from
from kt_lib.labels import Label, Question
from kt_lib.records import Completion, Conversation, Message, MessagePart, Task, ToolCall
from kt_lib.sources.ingesting import ingest
from kt_lib.sources.store import Store
from kt_lib.tasks import by_evidence, lacking_evidence
from kt_lib.tasks_from_chats import tasks_from_conversations

REQUEST = user("u1", "Show me the free disk space on this machine.")
PROSE = "To see the free disk space, run:\n\n```bash\ndf -h\n```"
OTHER_PROSE = "To see the free disk space, run:\n\n```bash\ndu -sh /\n```"
INODES = ToolCall(name="bash", arguments={"command": "df -i"})


def ask(chats: list[Conversation], kind: str, subject: str | None = None) -> Question:
    found = [one for one in questions_from(chats, kinds=[kind]) if subject in (None, one.subject)]
    assert len(found) == 1
    return found[0]


def only_task(messages: list[Message], *labels: Label) -> Task:
    (task,) = tasks_from_conversations([a_chat(*messages)], labels=labels)
    return task


def commands(task: Task) -> list[Any]:
    return [call.arguments["command"][0] for call in task.check.accepted]


def test_calls_labelled_right_are_the_accepted_ones() -> None:
    messages = [REQUEST, answer("a1", "u1", PROSE)]
    assert only_task(messages).check.evidence == "none"
    task = only_task(messages, label(ask([a_chat(*messages)], "reading"), "yes"))
    assert (task.check.evidence, task.check.rule, commands(task)) == ("label", "exact", ["df -h"])
    assert "calls labelled right" in task.tags
    in_bulk = only_task(messages, label(ask([a_chat(*messages)], "reading"), "yes", origin="bulk"))
    assert "calls labelled right (accepted in bulk)" in in_bulk.tags


def test_corrected_calls_are_the_accepted_ones_in_place_of_those_read() -> None:
    messages = [REQUEST, answer("a1", "u1", PROSE, rating=1)]
    task = only_task(messages, label(ask([a_chat(*messages)], "reading"), "corrected", calls=[INODES]))
    assert (task.check.evidence, commands(task)) == ("label", ["df -i"])
    assert judge_chat(task, Completion(text="Run `df -i` to see it.")).outcome == "correct"
    fresh = Completion(text='{"tool": "bash", "params": {"command": "df -h"}}')
    assert judge_agent(task, fresh, "json").outcome == "wrong"


def test_a_correction_to_no_call_makes_a_task_on_which_no_call_is_right() -> None:
    messages = [REQUEST, answer("a1", "u1", PROSE)]
    task = only_task(messages, label(ask([a_chat(*messages)], "reading"), "corrected"))
    assert (task.check.rule, task.check.evidence, task.kind) == ("never", "label", "not_calling")
    assert judge_agent(task, Completion(text="Which disk do you mean?"), "json").outcome == "correct"


@pytest.mark.parametrize(
    "call",
    [
        ToolCall(name="bash", arguments={"line": "df -i"}),
        ToolCall(name="bash", arguments={"command": 5}),
        ToolCall(name="unheard_of", arguments={}),
    ],
)
def test_corrected_calls_that_do_not_fit_the_schema_are_not_accepted_and_it_is_said(call: ToolCall) -> None:
    messages = [REQUEST, answer("a1", "u1", PROSE, rating=1)]
    task = only_task(messages, label(ask([a_chat(*messages)], "reading"), "corrected", calls=[call]))
    assert (task.check.evidence, task.check.accepted) == ("none", ())
    assert any("do not fit" in tag for tag in task.tags)


def test_calls_labelled_wrong_are_never_accepted_whatever_rating_and_follow_up_say() -> None:
    messages = [REQUEST, answer("a1", "u1", PROSE, rating=1), user("u2", "Perfect, that worked.", "a1")]
    assert only_task(messages).check.evidence == "rating"
    task = only_task(messages, label(ask([a_chat(*messages)], "reading"), "no"))
    assert (task.check.evidence, task.check.accepted) == ("none", ())


def test_calls_labelled_wrong_are_not_accepted_from_another_answer_either() -> None:
    messages = [REQUEST, answer("a1", "u1", PROSE), answer("a2", "u1", f"Sure.\n\n{PROSE}", rating=1)]
    assert only_task(messages).check.evidence == "rating"
    judged = ask([a_chat(*messages)], "reading", "a1")
    assert only_task(messages, label(judged, "no")).check.evidence == "none"


@pytest.mark.parametrize(
    ("verdict", "rating", "evidence"), [("yes", -1, "label"), ("no", 1, "none"), ("yes", None, "label")]
)
def test_a_label_on_the_turn_outranks_the_rating(verdict: str, rating: int | None, evidence: str) -> None:
    messages = [REQUEST, answer("a1", "u1", PROSE, rating=rating)]
    assert only_task(messages, label(ask([a_chat(*messages)], "turn"), verdict)).check.evidence == evidence


def test_a_label_outranks_a_rating_on_another_answer() -> None:
    messages = [REQUEST, answer("a1", "u1", OTHER_PROSE, rating=1), answer("a2", "u1", PROSE)]
    assert commands(only_task(messages)) == ["du -sh /"]
    judged = ask([a_chat(*messages)], "reading", "a2")
    assert commands(only_task(messages, label(judged, "yes"))) == ["df -h"]


def test_two_answers_labelled_right_that_differ_in_one_value_are_both_accepted() -> None:
    messages = [REQUEST, answer("a1", "u1", PROSE), answer("a2", "u1", OTHER_PROSE), answer("a3", "u1", "Use a tool.")]
    chats = [a_chat(*messages)]
    labels = [label(ask(chats, "reading", subject), "yes") for subject in ("a1", "a2")]
    task = only_task(messages, *labels)
    assert [call.arguments for call in task.check.accepted] == [{"command": ["df -h", "du -sh /"]}]
    for command, outcome in (("df -h", "correct"), ("du -sh /", "correct"), ("ls", "wrong")):
        fresh = Completion(text=json.dumps({"tool": "bash", "params": {"command": command}}))
        assert judge_agent(task, fresh, "json").outcome == outcome


def test_values_labelled_right_in_different_places_are_not_mixed() -> None:
    def made(key: str, **arguments: str) -> Message:
        return answer(key, "u1", (MessagePart(kind="tool_call", call=ToolCall(name="copy", arguments=arguments)),))

    messages = [
        REQUEST,
        made("a1", a="1", b="1"),
        made("a2", a="2", b="1"),
        made("a3", a="1", b="2"),
        made("a4", a="3", b="3"),
    ]
    chats = [a_chat(*messages)]
    labels = [label(ask(chats, "reading", f"a{n}"), "yes") for n in (1, 2, 3, 4)]
    assert only_task(messages, *labels).check.accepted[0].arguments == {"a": ["1", "2"], "b": ["1"]}


def test_a_turn_labelled_wrong_keeps_its_calls_out_unless_the_reading_was_settled() -> None:
    messages = [REQUEST, answer("a1", "u1", PROSE)]
    chats = [a_chat(*messages)]
    failed = label(ask(chats, "turn"), "no")
    assert only_task(messages, failed, label(ask(chats, "reading"), "yes")).check.evidence == "none"
    settled = label(ask(chats, "reading"), "yes", origin="settled")
    assert only_task(messages, failed, settled).check.evidence == "label"


def test_corrected_calls_are_right_also_where_the_turn_failed() -> None:
    messages = [REQUEST, answer("a1", "u1", PROSE)]
    chats = [a_chat(*messages)]
    corrected = label(ask(chats, "reading"), "corrected", calls=[INODES], number=2)
    assert commands(only_task(messages, label(ask(chats, "turn"), "no"), corrected)) == ["df -i"]


def test_corrected_calls_make_a_task_of_an_answer_that_no_call_is_read_from_any_more() -> None:
    judged = ask([a_chat(REQUEST, answer("a1", "u1", PROSE))], "reading")
    vague = [REQUEST, answer("a1", "u1", "Look at the disks.")]
    assert tasks_from_conversations([a_chat(*vague)]) == []
    task = only_task(vague, label(judged, "corrected", calls=[INODES]))
    assert (commands(task), task.category) == (["df -i"], "bash")
    none_due = only_task(vague, label(judged, "corrected"))
    assert (none_due.check.rule, none_due.category) == ("never", "no call")


def test_a_yes_to_other_calls_than_those_read_now_vouches_for_nothing_and_a_correction_still_holds() -> None:
    messages = [REQUEST, answer("a1", "u1", PROSE)]
    judged = ask([a_chat(*messages)], "reading").model_copy(update={"id": "asked when other calls were read"})
    assert only_task(messages, label(judged, "yes")).check.evidence == "none"
    assert commands(only_task(messages, label(judged, "corrected", calls=[INODES]))) == ["df -i"]


def test_labels_on_other_things_change_nothing() -> None:
    messages = [REQUEST, answer("a1", "u1", PROSE, rating=1)]
    elsewhere = a_chat(user("u1", "Show the load."), answer("z1", "u1", "Run:\n\n```bash\nuptime\n```"))
    assert only_task(messages, label(ask([elsewhere], "reading"), "no")) == only_task(messages)


def ingested(folder: Path, *records: dict[str, Any]) -> list[Conversation]:
    file = folder / "export.json"
    file.write_text(json.dumps(records))
    store = Store(folder / "store")
    ingest([str(file)], store)
    return list(store.read(Conversation))


def test_labels_hold_after_the_same_chats_are_ingested_anew_and_after_a_chat_has_grown(tmp_path: Path) -> None:
    asked, told = exported_user("Show me the free disk space on this machine."), exported_answer(PROSE)
    (tmp_path / "first").mkdir()
    chats = ingested(tmp_path / "first", exported_chat(asked, told))
    said = [label(ask(chats, "reading"), "corrected", calls=[INODES]), label(ask(chats, "turn"), "yes", number=2)]
    grown = exported_chat(
        asked, told, exported_user("And on web02?"), exported_answer("The same."), updated_at=1_760_000_000
    )
    (tmp_path / "second").mkdir()
    for records in ([exported_chat(asked, told)], [grown]):
        again = ingested(tmp_path / "second", *records)
        task = tasks_from_conversations(again, labels=said)[0]
        assert (task.check.evidence, commands(task)) == ("label", ["df -i"])
    assert len(again[0].messages) == 4
    first = {one.id for one in questions_from(chats)}
    assert first < {one.id for one in questions_from(again)}


def test_how_many_tasks_lack_evidence_is_said_and_labels_lower_it() -> None:
    chats = [
        a_chat(
            user("u1", f"Show the size of /srv/{n}."),
            answer(f"a{n}", "u1", f"Run:\n\n```bash\ndu -sh /srv/{n}\n```"),
            name=f"c{n}",
        )
        for n in range(3)
    ]
    tasks = tasks_from_conversations(chats)
    assert lacking_evidence(tasks).startswith("3 of 3 tasks from chats lack evidence: label them")
    labels = [label(ask(chats, "reading", f"a{n}"), "yes") for n in range(2)]
    tasks = tasks_from_conversations(chats, labels=labels)
    assert by_evidence(tasks) == {"label": 2, "none": 1}
    assert "1 of 3 tasks" in lacking_evidence(tasks, tied=["q"])
    assert "contradict each other evenly on 1" in lacking_evidence(tasks, tied=["q"])
    assert lacking_evidence([]).startswith("No task came from a chat")
