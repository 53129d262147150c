"""Which part of the split one's own chats and tasks fall into: copies and near copies together, the rest by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from labels_by_hand import a_chat, answer, user

from kt_lib.leakage import measure_leakage
from kt_lib.records import ChatMessage, Check, Conversation, SftRow, Task
from kt_lib.sources.ingesting import ingest
from kt_lib.sources.store import Store
from kt_lib.tasks import own_tasks, parts_of_chats
from kt_lib.tasks_from_chats import tasks_from_conversations

OPENWEBUI = Path(__file__).parents[2] / "shared" / "data" / "openwebui"
PLACES = "web01 web02 db1 db2 mail proxy backup build cache queue".split()


def a_request(number: int, host: str = "") -> str:
    host = host or f"{PLACES[number % 10]}-{number}"
    return f"Show me the free disk space on {host} and tell me which of its {number} folders has grown since yesterday."


def disk_chat(number: int, name: str, words: str = "") -> Conversation:
    reply = answer(f"{name}a", f"{name}u", f"To see it, run:\n\n```bash\ndf -h /mnt/{number}\n```", rating=1)
    return a_chat(user(f"{name}u", words or a_request(number)), reply, name=name)


def parts_by_chat(chats: list[Conversation], seed: int = 1) -> dict[str, str]:
    return {one.chat: one.part for one in parts_of_chats(chats, list(tasks_from_conversations(chats)), seed)}


def leaks_of(chats: list[Conversation], threshold: float = 0.95) -> int:
    tasks = own_tasks(tasks_from_conversations(chats), chats, 1)
    rows = [
        SftRow(messages=task.messages, kind="agent_call", task_id=task.id, basis="test")
        for task in tasks
        if task.part == "train"
    ]
    assert rows
    assert len(rows) < len(tasks)
    return len(measure_leakage(tasks, rows, [], [], threshold).leaks)


def test_the_same_chats_under_other_ids_fall_into_the_same_parts_and_nothing_leaks() -> None:
    chats = [disk_chat(number, f"{export}-{number}") for export in ("first", "second") for number in range(30)]
    parts = parts_by_chat(chats)
    assert [parts[f"first-{number}"] for number in range(30)] == [parts[f"second-{number}"] for number in range(30)]
    assert set(parts.values()) == {"train", "dev", "test"}
    assert leaks_of(chats) == 0


def test_near_copies_are_taken_for_copies() -> None:
    chats = [disk_chat(number, f"first-{number}") for number in range(30)]
    chats += [disk_chat(number, f"later-{number}", f"Please: {a_request(number).upper()}") for number in range(30)]
    parts = parts_by_chat(chats)
    assert [parts[f"first-{number}"] for number in range(30)] == [parts[f"later-{number}"] for number in range(30)]
    assert leaks_of(chats, 0.8) == 0


def test_chats_that_have_no_copy_stay_where_their_id_puts_them_when_others_come() -> None:
    few = [disk_chat(number, f"chat-{number}") for number in range(30)]
    more = [*few, *(disk_chat(number, f"new-{number}") for number in range(30, 60))]
    assert parts_by_chat(more).items() > parts_by_chat(few).items()


def test_a_chat_that_grew_stays_in_its_part() -> None:
    short = [disk_chat(number, f"chat-{number}") for number in range(30)]
    long = [
        one.model_copy(update={"messages": (*one.messages, user(f"{one.id}more", "And the inodes?", f"{one.id}a"))})
        for one in short
    ]
    assert parts_by_chat(long) == parts_by_chat(short)


def test_chats_and_their_tasks_are_in_one_part() -> None:
    chats = [disk_chat(number, f"{export}-{number}") for export in ("first", "second") for number in range(30)]
    tasks = own_tasks(tasks_from_conversations(chats), chats, 1)
    parts = parts_by_chat(chats)
    assert len(tasks) == 60
    assert all(task.part == parts[task.group] for task in tasks)


def test_a_chat_that_only_repeats_what_a_task_asks_is_in_the_tasks_part() -> None:
    tasks = [
        Task(
            id=f"file-{number}",
            messages=(ChatMessage(role="user", content=a_request(number)),),
            check=Check(rule="never", evidence="answer_key"),
        )
        for number in range(30)
    ]
    chats = [
        a_chat(
            user(f"{number}u", a_request(number)),
            answer(f"{number}a", f"{number}u", "I cannot see it."),
            user(f"{number}v", "Then tell me a joke about folders.", f"{number}a"),
            answer(f"{number}b", f"{number}v", "They have no sense of humour."),
            name=f"chat-{number}",
        )
        for number in range(30)
    ]
    by_task = {task.id: task.part for task in own_tasks(tasks, chats, 1)}
    by_chat = {one.chat: one.part for one in parts_of_chats(chats, tasks, 1)}
    assert [by_task[f"file-{number}"] for number in range(30)] == [by_chat[f"chat-{number}"] for number in range(30)]
    assert len(set(by_task.values())) == 3


def test_all_chats_of_the_sample_are_for_training() -> None:
    chats = [disk_chat(number, f"chat-{number}") for number in range(5)]
    assert {one.part for one in parts_of_chats(chats, [], None)} == {"train"}


@pytest.mark.skipif(not OPENWEBUI.is_dir(), reason="the real Open WebUI exports are not beside the checkout")
def test_two_installations_exports_of_the_same_real_chats_leak_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    ingest([OPENWEBUI], store)
    chats = list(store.read(Conversation))
    assert len(chats) == 33
    assert leaks_of(chats) == 0


def test_what_is_asked_after_other_words_is_in_the_part_of_the_chat_that_asks_it_alone() -> None:
    asked = "Calculate the area of a triangle with base 10 units and height 5 units"
    begun = ("hi there, I have some questions about my homework", "hello", asked)
    politely = (f"Well then, would you be so kind and help me with this: {asked}",)
    given = [a_task(f"t{at}", *words) for at, words in enumerate((begun, (asked,), politely))]
    for seed in range(20):
        own = own_tasks(given, [], seed)
        assert len({task.part for task in own}) == 1, seed


def a_task(name: str, *said: str) -> Task:
    told = tuple(ChatMessage(role="assistant" if at % 2 else "user", content=text) for at, text in enumerate(said))
    return Task(id=name, messages=told, check=Check(rule="never", evidence="none"))
