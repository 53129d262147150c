"""The front door: every form of the same chats gives the same, nothing twice, and totals that reconcile."""

from __future__ import annotations

import copy
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from openwebui_chats import answer, chat, user
from typer.testing import CliRunner

from kt_lib.errors import ArtifactError, SourceError, WorkspaceBusy
from kt_lib.records import Attempt, Conversation, Edit, SetAside, Task
from kt_lib.sources.found import Feedback
from kt_lib.sources.ingesting import IngestReport, ingest
from kt_lib.sources.store import Store

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
REAL = DATA / "openwebui" / "software_0.12.4"
FORMS = ("chat-export-1795219000000.json", "chats_all.raw", "chats_all_db.json", "webui_slim.db")
real_data = pytest.mark.skipif(not REAL.is_dir(), reason=f"the supplied data is not at {DATA}")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "ingest")


def write(folder: Path, value: Any, name: str = "chats.json") -> Path:
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def reconciled(report: IngestReport) -> IngestReport:
    for totals in (report.totals, *(file.totals for file in report.files)):
        assert totals.records_in == totals.stored + totals.duplicate + totals.set_aside
    return report


def without_source(store: Store) -> dict[str, Any]:
    return {one.id: one.model_dump(exclude={"source"}) for one in store.read(Conversation)}


# --- the real files --------------------------------------------------------------------------------------------------


@real_data
def test_four_forms_of_the_same_chats_give_the_same_conversations(tmp_path: Path) -> None:
    read = []
    for form in FORMS:
        store = Store(tmp_path / form)
        totals = reconciled(ingest([REAL / form], store)).totals
        assert (totals.conversations, totals.messages, totals.branches, totals.ratings) == (16, 222, 22, 16)
        assert (totals.tool_calls, totals.tool_results, totals.set_aside) == (30, 30, 0)
        read.append(without_source(store))
    assert read[0] == read[1] == read[2] == read[3]


@real_data
def test_one_form_after_another_adds_nothing(store: Store) -> None:
    ingest([REAL / FORMS[0]], store)
    before = without_source(store)
    totals = reconciled(ingest([REAL / form for form in FORMS], store)).totals
    assert (totals.stored, totals.duplicate, totals.conversations, totals.ratings) == (0, 80, 0, 0)
    assert without_source(store) == before


@real_data
@pytest.mark.parametrize("order", [1, -1])
def test_feedback_before_or_after_its_chats_rates_each_message_once(store: Store, order: int) -> None:
    files = [REAL / FORMS[0], REAL / "feedbacks_export.json"][::order]
    totals = [reconciled(ingest([file], store)).totals for file in files]
    assert sum(one.ratings for one in totals) == 16
    assert sum(one.conversations for one in totals) == 16
    other = Store(store.folder.parent / "other")
    ingest([REAL / FORMS[0]], other)
    assert without_source(store) == without_source(other)


@real_data
def test_the_older_dialect_gives_the_same_calls(tmp_path: Path) -> None:
    new, old = Store(tmp_path / "new"), Store(tmp_path / "old")
    ingest([REAL / FORMS[0]], new)
    ingest([REAL.parent / "software_0.6.43" / FORMS[0]], old)
    assert calls_in(new) == calls_in(old) != []


def calls_in(store: Store) -> list[str]:
    parts = [part for one in store.read(Conversation) for message in one.messages for part in message.parts]
    return sorted(part.call.model_dump_json(exclude={"id"}) for part in parts if part.call is not None)


@real_data
def test_a_real_blob_of_an_older_version_is_read(store: Store) -> None:
    totals = ingest([REAL.parent / "importer_webui-json.json"], store).totals
    assert (totals.conversations, totals.messages) == (1, 2)


@pytest.mark.skipif(not (DATA / "intercode").is_dir(), reason=f"the supplied data is not at {DATA}")
def test_intercode_items_are_a_task_and_an_attempt_each_and_files_share_tasks(store: Store) -> None:
    folder = DATA / "intercode" / "sql"
    chat_side = ingest([folder / "ic_sql_multiturn_gpt-3.5-1_turns.subset.json"], store).totals
    agent_side = ingest([folder / "ic_sql_multiturn_gpt-3.5_10_turns.subset.json"], store).totals
    assert (chat_side.tasks, chat_side.attempts, agent_side.attempts) == (318, 318, 318)
    assert len({task.id for task in store.read(Task)}) == 318
    attempts = list(store.read(Attempt))
    assert sum(one.outcome == "correct" for one in attempts if one.mode == "chat") == 25
    assert {one.model for one in attempts} == {"gpt-3.5"}


# --- once each -------------------------------------------------------------------------------------------------------


def test_a_chat_that_grew_is_the_same_chat_grown(store: Store, tmp_path: Path) -> None:
    short = chat(user(id="u"), answer(id="a"))
    long = chat(user(id="u"), answer(id="a"), user("more", id="v"), answer("yes", id="b"), updated_at=1_750_000_200)
    ingest([write(tmp_path, [short])], store)
    totals = reconciled(ingest([write(tmp_path, [long])], store)).totals
    assert (totals.stored, totals.grown, totals.conversations, totals.messages, totals.branches) == (1, 1, 0, 2, 0)
    assert reconciled(ingest([write(tmp_path, [short])], store)).totals.duplicate == 1
    (found,) = store.read(Conversation)
    assert [message.text for message in found.branch()] == ["hello", "hi", "more", "yes"]


@pytest.mark.parametrize("order", [1, -1])
def test_two_versions_merge_to_the_same_in_either_order(store: Store, tmp_path: Path, order: int) -> None:
    first = chat(user(id="u"), answer("one", id="a"), answer("kept", id="x", parentId="u"), current="a")
    second = chat(user(id="u"), answer("one, edited", id="a"), user("more", id="v"), updated_at=1_750_000_200)
    for record in [first, second][::order]:
        reconciled(ingest([write(tmp_path, [record])], store))
    (found,) = store.read(Conversation)
    assert [message.text for message in found.branch()] == ["hello", "one, edited", "more"]
    assert sorted(message.text for message in found.messages) == ["hello", "kept", "more", "one, edited"]
    assert len({message.id for message in found.messages}) == 4


def test_two_chats_that_only_share_an_id_are_kept_apart(store: Store, tmp_path: Path) -> None:
    records = [chat(user("a", id="1")), chat(user("b", id="2"))]
    assert reconciled(ingest([write(tmp_path, records)], store)).totals.conversations == 2
    assert reconciled(ingest([write(tmp_path, records)], store)).totals.duplicate == 2
    assert any("another chat" in note for one in store.read(Conversation) for note in one.notes)


def test_a_shared_copy_is_a_version_of_its_chat(store: Store, tmp_path: Path) -> None:
    original = chat(user(id="u"), answer(id="a"), user("more", id="v"))
    copied = dict(chat(user(id="u"), answer(id="a")), id="share-9", user_id="shared-chat-1")
    totals = reconciled(ingest([write(tmp_path, [copied, original, copied])], store)).totals
    assert (totals.conversations, totals.messages, totals.duplicate) == (1, 3, 1)
    assert [one.id for one in store.read(Conversation)] == ["chat-1"]


def row(chat_id: str = "chat-1", message_id: str = "a", rating: int = -1, **more: Any) -> dict[str, Any]:
    meta = {"chat_id": chat_id, "message_id": message_id}
    return {"id": "f", "type": "rating", "data": {"rating": rating}, "meta": meta, "updated_at": 1_750_000_050, **more}


@pytest.mark.parametrize("order", [1, -1])
def test_feedback_joins_by_chat_and_message(store: Store, tmp_path: Path, order: int) -> None:
    files = [write(tmp_path, [chat(user(id="u"), answer(id="a"))]), write(tmp_path, [row()], "feedback.json")]
    reports = [reconciled(ingest([file], store)) for file in files[::order]]
    assert [report.totals.ratings for report in reports] == ([0, 1] if order == 1 else [1, 0])
    (found,) = store.read(Conversation)
    assert [message.rating.value if message.rating else None for message in found.messages] == [None, -1]
    assert ingest(files, store).totals.duplicate == 2


def test_feedback_and_annotation_on_one_message_are_one_rating(store: Store, tmp_path: Path) -> None:
    record = chat(user(id="u"), answer(id="a", annotation={"rating": -1}))
    totals = ingest([write(tmp_path, [record]), write(tmp_path, [row()], "feedback.json")], store).totals
    assert (totals.ratings, totals.stored, totals.duplicate) == (1, 1, 1)


def test_the_later_of_two_ratings_holds(store: Store, tmp_path: Path) -> None:
    rows = [row(rating=1, updated_at=1_750_000_900), row(rating=-1)]
    ingest([write(tmp_path, [chat(user(id="u"), answer(id="a"))]), write(tmp_path, rows, "f.json")], store)
    (found,) = store.read(Conversation)
    assert found.messages[1].rating is not None
    assert found.messages[1].rating.value == 1


def test_feedback_about_an_unknown_message_waits(store: Store, tmp_path: Path) -> None:
    totals = ingest([write(tmp_path, [row(message_id="later")])], store).totals
    assert (totals.ratings, totals.conversations) == (1, 0)
    assert [one.message_id for one in store.read(Feedback)] == ["later"]


@pytest.mark.parametrize("order", [1, -1])
def test_a_snapshot_stands_in_until_the_chat_itself_comes(store: Store, tmp_path: Path, order: int) -> None:
    seen = chat(user(id="u"), answer("before the edit", id="a"), answer("deleted since", id="gone", parentId="u"))
    now = chat(user(id="u"), answer("after the edit", id="a"))
    files = [write(tmp_path, [row(snapshot={"chat": seen})], "f.json"), write(tmp_path, [now])]
    ingest(files[::order], store)
    (found,) = store.read(Conversation)
    assert [message.text for message in found.messages] == ["hello", "after the edit"]
    assert found.messages[1].rating is not None


def test_edits_are_kept_once(store: Store, tmp_path: Path) -> None:
    record = chat(user(id="u"), answer("final", id="a", originalContent="draft"))
    assert ingest([write(tmp_path, [record])], store).totals.edits == 1
    assert ingest([write(tmp_path, [dict(record, title="renamed", updated_at=1_750_009_999)])], store).totals.edits == 0
    assert len(list(store.read(Edit))) == 1


def test_the_same_row_is_set_aside_once(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path, [chat(user()), {"what": 1}])
    for _ in range(2):
        assert reconciled(ingest([path], store)).totals.set_aside == 1
    (aside,) = store.read(SetAside)
    assert (aside.source.place, aside.source.file) == ("item 2", "chats.json")
    assert "nothing known" in aside.reason
    assert aside.excerpt == '{"what":1}'


# --- what cannot be used ---------------------------------------------------------------------------------------------


def test_a_file_cut_off_in_its_middle_keeps_what_was_whole(store: Store, tmp_path: Path) -> None:
    whole = json.dumps([dict(chat(user(str(number))), id=str(number)) for number in range(5)])
    report = reconciled(ingest([write(tmp_path, whole[:-200])], store))
    assert (report.totals.stored, report.totals.set_aside) == (4, 1)
    assert report.problems == ()
    assert "byte" in next(store.read(SetAside)).reason


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([{"mapping": {}, "title": "x"}], "ChatGPT"),
        ([{"chat_messages": [{"sender": "human"}]}], "Claude"),
        ([{"id": "simple_1", "ground_truth": []}], "BFCL answer"),
        ("id,text\n1,x", "id,text"),
    ],
)
def test_a_file_mistaken_for_a_chat_is_told_what_it_looks_like(
    store: Store, tmp_path: Path, value: Any, says: str
) -> None:
    report = reconciled(ingest([write(tmp_path, value)], store))
    assert says in report.problems[0]
    assert report.totals.stored == 0


def test_a_missing_file_does_not_stop_the_others(store: Store, tmp_path: Path) -> None:
    report = ingest([tmp_path / "none.json", write(tmp_path, [chat(user())])], store)
    assert report.totals.conversations == 1
    assert "does not exist" in report.problems[0]


def test_a_folder_is_all_its_files_but_answer_keys(store: Store, tmp_path: Path) -> None:
    inner = tmp_path / "in" / "possible_answer"
    inner.mkdir(parents=True)
    write(inner, {"id": "x", "ground_truth": []})
    write(inner.parent, [chat(user())])
    write(inner.parent, "words", "notes.txt")
    report = ingest([tmp_path / "in"], store)
    assert (report.totals.records_in, report.problems) == (1, ())


def test_surrogates_and_unwritable_text_are_mended(store: Store, tmp_path: Path) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": ["\\ud800"]}'}
    path = write(tmp_path, [chat(user("half \ud83d", id="\ude00"), answer("ok", output=[call]), title="\ud800")])
    assert ingest([path], store).totals.stored == 1
    (found,) = store.read(Conversation)
    assert found.messages[0].text == "half \ufffd"
    assert ingest([path], store).totals.duplicate == 1


def test_a_record_nested_too_deeply_is_set_aside_even_with_broken_text(store: Store, tmp_path: Path) -> None:
    deep = json.loads("[" * 700 + '"\\ud800"' + "]" * 700)
    records = [chat(user(deep), answer(annotation=deep), title="\ud800"), chat(user(), answer(output=deep, error=deep))]
    report = reconciled(ingest([write(tmp_path, records)], store))
    assert report.totals.records_in == 2
    assert len(list(store.read(Conversation))) == report.totals.stored


def test_a_file_whose_name_is_no_text_is_read(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "chats-\udcff.json"
    path.write_text(json.dumps([chat(user()), 5]))
    totals = ingest([path], store).totals
    assert (totals.stored, totals.set_aside) == (1, 1)
    assert next(store.read(Conversation)).source.file == "chats-\ufffd.json"


def test_what_is_no_file_is_refused_in_words(store: Store, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    report = ingest([tmp_path / "pipe", tmp_path], store)
    assert "is no file" in report.problems[0]
    assert "holds no file" in report.problems[1]


def test_a_store_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder is due")
    with pytest.raises(ArtifactError, match="cannot be written"):
        ingest([write(tmp_path, [chat(user())])], Store(tmp_path / "state" / "ingest"))


# --- the database ----------------------------------------------------------------------------------------------------


def database(path: Path, chats: list[tuple[Any, ...]], messages: list[tuple[Any, ...]] = ()) -> Path:  # type: ignore[assignment]
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE chat (id TEXT, user_id TEXT, title TEXT, chat JSON, meta JSON, updated_at BIGINT)")
        made.execute(
            "CREATE TABLE chat_message (id TEXT, chat_id TEXT, role TEXT, parent_id TEXT, content JSON, done INT)"
        )
        made.execute("CREATE TABLE message (id TEXT, content TEXT)")
        made.executemany("INSERT INTO chat VALUES (?,?,?,?,?,?)", chats)
        made.executemany("INSERT INTO chat_message VALUES (?,?,?,?,?,?)", messages)
        made.execute("INSERT INTO message VALUES ('m', 'a channel post')")
    made.close()
    return path


def test_rows_of_a_database_are_chats_and_broken_ones_are_set_aside(store: Store, tmp_path: Path) -> None:
    blob = json.dumps(chat(user(), answer())["chat"])
    rows = [
        ("a", "u", "T", blob, '{"tags": ["ops"]}', 1_750_000_000),
        ("b", "u", "T", "null", "null", 1),
        ("c", "u", "T", '{"history": ', "null", 1),
        ("d", "u", None, None, None, None),
        ("e", "shared-a", "T", blob, "null", 1_750_000_001),
        ("f", "u", b"\xff\xfe", blob.encode(), 5, "x"),
    ]
    report = reconciled(ingest([database(tmp_path / "webui.db", rows)], store))
    assert (report.totals.stored, report.totals.duplicate, report.totals.set_aside) == (2, 1, 3)
    assert [one.source.place for one in store.read(SetAside)] == ["chat row b", "chat row c", "chat row d"]
    assert next(store.read(Conversation)).tags == ("ops",)


def test_a_chat_whose_messages_are_rows_is_built_from_them(store: Store, tmp_path: Path) -> None:
    messages = [("c-u", "c", "user", None, '"hello"', 1), ("c-a", "c", "assistant", "u", '"hi"', 0)]
    path = database(tmp_path / "webui.db", [("c", "u", "T", '{"history": {"messages": {}}}', "{}", 1)], messages)
    ingest([path], store)
    (found,) = store.read(Conversation)
    assert [(message.source_id, message.text, message.status) for message in found.branch()] == [
        ("u", "hello", "ok"),
        ("a", "hi", "unfinished"),
    ]


def test_a_database_is_not_written_to_and_another_is_refused(store: Store, tmp_path: Path) -> None:
    path = database(tmp_path / "webui.db", [])
    before = path.read_bytes()
    ingest([path], store)
    assert path.read_bytes() == before
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE x (id TEXT)").connection.close()
    assert "without a `chat` table" in ingest([tmp_path / "other.db"], store).problems[0]
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(before[:100] + b"\x00" * 500)
    assert "SQLite" in ingest([damaged], store).problems[0]


# --- whole or not at all ---------------------------------------------------------------------------------------------


def test_two_at_once_are_told(store: Store, tmp_path: Path) -> None:
    store.folder.mkdir(parents=True)
    with FileLock(store.folder / ".lock"), pytest.raises(WorkspaceBusy, match="another process"):
        ingest([write(tmp_path, [chat(user())])], store)


def test_an_ingest_that_dies_keeps_nothing_of_itself_and_can_be_repeated(store: Store, tmp_path: Path) -> None:
    ingest([write(tmp_path, [chat(user("first"))])], store)
    before = store.path(Conversation).read_bytes()
    second = write(tmp_path, [dict(chat(user(str(number))), id=str(number)) for number in range(100)], "second.json")

    def dies(_: Path, records: int) -> None:
        if records == 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest([second], store, progress=dies)
    assert store.path(Conversation).read_bytes() == before
    assert ingest([second], store).totals.conversations == 100
    assert {path.name for path in store.folder.iterdir()} == {"conversations.jsonl", ".lock"}


def test_a_killed_ingest_leaves_the_store_as_it_was(store: Store, tmp_path: Path) -> None:
    ingest([write(tmp_path, [chat(user("first"))])], store)
    before = store.path(Conversation).read_bytes()
    second = write(tmp_path, [dict(chat(user(str(number))), id=str(number)) for number in range(50)], "second.json")
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from kt_lib.sources.ingesting import ingest; from kt_lib.sources.store import Store\n"
        "stop = lambda _, n: os.kill(os.getpid(), signal.SIGKILL) if n == 40 else None\n"
        "ingest([sys.argv[1]], Store(Path(sys.argv[2])), progress=stop)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(second), str(store.folder)], check=False)
    assert done.returncode == -9
    assert store.path(Conversation).read_bytes() == before
    assert reconciled(ingest([second], store)).totals.conversations == 50


def test_a_damaged_store_is_told_and_not_added_to(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path, [chat(user())])
    ingest([path], store)
    store.path(Conversation).write_bytes(store.path(Conversation).read_bytes()[:-20])
    with pytest.raises(ArtifactError, match="line 1 is damaged"):
        ingest([path], store)
    with pytest.raises(ArtifactError, match="line 1"):
        list(store.read(Conversation))


def test_a_copied_file_adds_nothing(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path, [chat(user())])
    shutil.copy(path, tmp_path / "copy.json")
    assert ingest([path, tmp_path / "copy.json"], store).totals.duplicate == 1


def test_a_wrong_answer_file_stops_before_anything_is_kept(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path, [chat(user())])
    with pytest.raises(SourceError, match="no BFCL answer file"):
        ingest([path], store, answers=path)
    assert list(store.read(Conversation)) == []


def test_the_order_of_records_does_not_change_the_conversations(tmp_path: Path) -> None:
    records = [dict(chat(user(str(number)), answer()), id=str(number)) for number in range(4)]
    grown = copy.deepcopy(records[0])
    grown["chat"]["history"]["messages"]["z"] = {"id": "z", "parentId": "m1", **user("more")}
    grown["updated_at"] = 1_750_000_900
    both = [*records, grown]
    stores = [Store(tmp_path / "one"), Store(tmp_path / "two")]
    ingest([write(tmp_path, both)], stores[0])
    ingest([write(tmp_path, both[::-1])], stores[1])
    assert without_source(stores[0]) == without_source(stores[1])


# --- the command -----------------------------------------------------------------------------------------------------

KEYS = (
    "records_in stored duplicate set_aside conversations messages branches tool_calls tool_results ratings edits tasks"
    " attempts"
).split()


def test_the_command_prints_one_json_object_and_says_what_is_wrong_on_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kt_lib.cli.app import app

    monkeypatch.setenv("KT_STATE", str(tmp_path / "state"))
    good, bad = write(tmp_path, [chat(user(), answer())]), write(tmp_path, "x,y", "bad.json")
    done = CliRunner().invoke(app, ["ingest", "--json", str(good), str(bad)])
    said = json.loads(done.stdout)
    assert done.exit_code == 1
    assert set(KEYS) <= set(said)
    assert (said["records_in"], said["stored"], said["messages"]) == (1, 1, 2)
    assert "bad.json" in done.stderr
    again = CliRunner().invoke(app, ["ingest", str(good)])
    assert again.exit_code == 0
    assert "1 records in = 0 stored + 1 duplicate + 0 set aside" in again.stdout
