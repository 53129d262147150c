"""`kt dataset build`: a declared mix from what there is, short where a source is short, frozen with its card."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tiny_base
from test_cli import kt

from kt_lib.datafiles.layouts import read_dataset, write_pairs, write_rows
from kt_lib.datafiles.lengths import estimate
from kt_lib.dataset_building import Built, build, mix_of, shipped_mixes
from kt_lib.dataset_sources import Workplace
from kt_lib.errors import ParameterError, SetupError, SourceError
from kt_lib.generator.dialogues import generate
from kt_lib.mixes import Mix
from kt_lib.records import ChatMessage, PreferencePair, SftRow, Task
from kt_lib.world.suite import make_tasks

pytest.importorskip("huggingface_hub")
HOME = Path(__file__).parents[1]
CHAT = [
    {"role": "user", "content": "Which port does the mail relay use?"},
    {"role": "assistant", "content": "Port 25."},
]
CHAT_ANSWER = ChatMessage(role="assistant", content="I shall do it tonight.")


def built(folder: Path, sources: dict[str, Any], place: Workplace = Workplace(), **more: Any) -> Built:
    mix = Mix.model_validate({"name": "a try", "rows": 60, "sources": sources})
    return build(mix, place, folder, protocol="json", ruler=estimate(), threshold=0.95, **more)


def chats(path: Path, *asked: str) -> str:
    rows = [{"messages": [{"role": "user", "content": text}, CHAT[1]]} for text in asked]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return str(path)


def lines(made: Built) -> dict[str, tuple[int, int, int]]:
    return {line.name: (line.asked, line.available, line.used) for line in made.sources}


def test_what_is_absent_leaves_its_share_empty_and_the_files_hold_what_the_report_says(tmp_path: Path) -> None:
    made = built(tmp_path, {"corrections": 8, "conversational": 12, "toucan": 0.5})
    assert lines(made)["toucan"] == (30, 0, 0)
    assert (made.rows, made.pairs) == (20, 8)
    for ending in ("jsonl", "parquet"):
        read = read_dataset(tmp_path / f"rows.{ending}")
        assert Counter(row.source for row in read.rows) == {"corrections": 8, "conversational": 12}
        assert not read.set_aside
        assert len(read_dataset(tmp_path / f"pairs.{ending}").pairs) == 8
    assert "its share stays empty" in (tmp_path / "README.md").read_text()
    told = json.loads((tmp_path / "mix.json").read_text())
    assert told["digest"] == made.digest
    assert told["mix"]["sources"]["toucan"] == 0.5


def test_the_same_mix_of_the_same_things_is_the_same_dataset(tmp_path: Path) -> None:
    one, two = (built(tmp_path / name, {"corrections": 8, "conversational": 9}) for name in ("one", "two"))
    assert one.digest == two.digest
    assert one.files == two.files


def test_a_source_is_read_from_files_and_carries_their_licence(tmp_path: Path) -> None:
    path = chats(tmp_path / "talk.jsonl", "Which port does the mail relay use?", "When does the night backup begin?")
    made = built(tmp_path / "out", {"curated": {"count": 10, "files": [path], "licence": "CC-BY-4.0"}})
    assert lines(made)["curated"] == (10, 2, 2)
    rows = read_dataset(tmp_path / "out" / "rows.jsonl").rows
    assert {row.licence for row in rows} == {"CC-BY-4.0"}
    assert [turn.content for turn in rows[0].messages if turn.role == "assistant"] == ["Port 25."]


def test_nothing_near_an_evaluation_task_gets_in_whatever_source_it_stands_in(tmp_path: Path) -> None:
    held = tiny_base.task(3, part="test")
    asked = held.messages[-1].content
    path = chats(tmp_path / "talk.jsonl", asked, f"{asked}, thank you", "When does the night backup begin?")
    made = built(tmp_path / "out", {"curated": {"count": 10, "files": [path]}}, Workplace(tasks=[held]))
    rows = read_dataset(tmp_path / "out" / "rows.jsonl").rows
    assert [row.messages[-2].content for row in rows] == ["When does the night backup begin?"]
    assert made.leakage.leaks == ()
    step = next(one for one in made.funnel if one.step == "far from every evaluation task")
    assert sum(step.left_out.values()) == 2


def test_for_others_only_what_may_be_passed_on_is_written_and_the_report_says_what_is_missing(tmp_path: Path) -> None:
    free = chats(tmp_path / "free.jsonl", "Which port does the mail relay use?")
    closed = chats(tmp_path / "closed.jsonl", "When does the night backup begin?")
    sources = {
        "toucan": {"count": 5, "files": [free], "licence": "Apache-2.0"},
        "glaive": {"count": 5, "files": [closed], "licence": "CC-BY-NC-4.0"},
    }
    assert built(tmp_path / "own", sources).rows == 2
    made = built(tmp_path / "shared", sources, purpose="share")
    assert lines(made) == {"toucan": (5, 1, 1), "glaive": (5, 0, 0)}
    assert any("CC-BY-NC-4.0 forbids" in why for step in made.funnel for why in step.left_out)


def test_of_no_source_are_there_more_pairs_than_rows_were_asked_of_it(tmp_path: Path) -> None:
    pair = PreferencePair(
        prompt=(ChatMessage(role="user", content="hello"),),
        chosen="yes",
        rejected="no",
        task_id="t",
        basis="b",
        evidence="e",
    )
    many = [pair.model_copy(update={"chosen": f"yes, {number} {number} {number}"}) for number in range(40)]
    made = built(tmp_path, {"existing": 5, "corrections": 8}, Workplace(pairs=many))
    assert Counter(one.source for one in read_dataset(tmp_path / "pairs.jsonl").pairs) == {
        "existing": 5,
        "corrections": 8,
    }
    assert made.pairs_funnel[-1].left_out == {"more than 5 of `existing`": 35}


def test_every_generated_row_and_pair_is_far_from_the_tasks_of_the_embedded_world(tmp_path: Path) -> None:
    tasks: list[Task] = [*make_tasks(1, "test", "main", 300), *make_tasks(1, "test", "multi_turn", 100)]
    made = built(tmp_path, {"corrections": 24, "conversational": 36}, Workplace(tasks=tasks))
    assert made.leakage.evaluation_tasks == 400
    assert made.leakage.leaks == ()
    assert made.rows == 60


def test_a_mix_ships_that_adds_up_to_ten_thousand_rows() -> None:
    mix = mix_of("documented")
    assert sum(mix.asked(mix.rows).values()) == mix.rows == 10_000
    assert "documented" in shipped_mixes()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: x\nrows: 10\nsources: {a: 0.7, b: 0.6}\n", "add up to 1.3"),
        ("name: x\nrows: 10\nsources: {a: lots}\n", "sources.a"),
        ("name: x\nname: y\nrows: 10\nsources: {}\n", "stands twice"),
        ("- a\n- b\n", "holds no fields"),
    ],
)
def test_a_file_that_is_no_mix_is_refused_in_words(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError, match=says):
        mix_of(str(path))


def test_a_name_nobody_knows_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(ParameterError, match="documented"):
        mix_of("dokumented")


# --- through the front door ------------------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    root.mkdir()
    for name in ("runbook.yaml", "notebooks", "params"):
        source = HOME / name
        shutil.copytree(source, root / name) if source.is_dir() else shutil.copy(source, root / name)
    return root


def test_the_command_builds_from_what_is_there_and_the_result_passes_validation(workspace: Path) -> None:
    sources = "{corrections: 16, conversational: 0.5, existing: 0.3, curated: 10}"
    (workspace / "mine.yaml").write_text(f"name: mine\nrows: 50\nsources: {sources}\n")
    told = kt(workspace, "dataset", "build", "mine.yaml", "--rows", "100", "--out", "made", "--json")
    assert told.returncode == 0, told.stderr
    made = json.loads(told.stdout)
    used = {one["name"]: one["used"] for one in made["sources"]}
    assert used == {"corrections": 32, "conversational": 50, "existing": 0, "curated": 0}
    assert made["leakage"]["leaks"] == []
    assert made["leakage"]["evaluation_tasks"] > 1000, "those that a first run here would be judged on"
    assert kt(workspace, "dataset", "validate", "made/rows.jsonl", "--max-length", "8192").returncode == 0
    assert (
        kt(workspace, "dataset", "validate", "made/pairs.parquet", "--fewest", "10", "--max-length", "8192").returncode
        == 0
    )


def test_a_source_that_the_mix_does_not_have_is_refused_with_those_it_has(workspace: Path) -> None:
    told = kt(workspace, "dataset", "build", "--files", "tucan=x.jsonl")
    assert told.returncode == 2
    assert "no source 'tucan'" in told.stderr
    assert "toucan" in told.stderr


# --- whoever wrote the files ------------------------------------------------------------------------------------------


def written(path: Path, **terms: Any) -> str:
    rows = [
        SftRow(
            messages=(ChatMessage(role="user", content=text), ChatMessage(role="assistant", content="Port 25.")),
            kind="conversation", task_id=text, basis="b", **terms,
        )
        for text in ("Which port does the mail relay use?", "When does the night backup begin?")
    ]  # fmt: skip
    write_rows(path, rows)
    return str(path)


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_rows_own_refusal_and_licence_stand_whatever_file_it_comes_in_and_whatever_is_said_of_it(
    tmp_path: Path, ending: str
) -> None:
    refused = written(tmp_path / f"refused.{ending}", consent=False)
    closed = written(tmp_path / f"closed.{ending}", licence="CC-BY-NC-4.0")
    for name, path in (("refused", refused), ("closed", closed)):
        source = {"web": {"count": 9, "files": [path], "licence": "MIT", "consent": True}, "corrections": 8}
        made = built(tmp_path / name, source, purpose="share")
        assert lines(made)["web"][2] == 0, name


def test_a_secret_in_somebody_elses_rows_does_not_get_into_the_dataset(tmp_path: Path) -> None:
    key = "sk-ant-api03-" + "a1B2c3D4e5" * 9 + "AA"
    path = tmp_path / "rows.parquet"
    messages = (ChatMessage(role="user", content=f"use {key} please"), ChatMessage(role="assistant", content="Done."))
    write_rows(path, [SftRow(messages=messages, kind="conversation", task_id="t", basis="b")])
    built(tmp_path / "out", {"web": {"count": 9, "files": [str(path)]}})
    assert key not in (tmp_path / "out" / "rows.jsonl").read_text()


def test_a_folder_that_holds_other_things_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(SetupError, match="holds other things"):
        built(tmp_path, {"corrections": 8})
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_source_that_nobody_makes_and_no_file_gives_is_named_where_nothing_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="corections comes from `--files`"):
        built(tmp_path / "out", {"corections": 10})


def test_fewer_rows_are_fewer_of_every_source() -> None:
    mix = mix_of("documented").scaled(500)
    assert sum(mix.asked(mix.rows).values()) == 500


def test_native_conversations_are_never_told_to_write_json() -> None:
    rows = list(generate(120, 3, protocol="native"))
    assert all(sum(turn.role == "system" for turn in row.messages) <= 1 for row in rows)
    assert not any("JSON object" in row.messages[0].content for row in rows)


def test_pairs_of_two_sources_that_contradict_one_another_are_both_left_out(tmp_path: Path) -> None:
    asked = (ChatMessage(role="user", content="list everything here"),)
    one = PreferencePair(prompt=asked, chosen="ls -a", rejected="ls", task_id="t", basis="b", evidence="e")
    path = tmp_path / "pairs.parquet"
    write_pairs(path, [one.model_copy(update={"chosen": "ls", "rejected": "ls -a"})])
    sources = {"existing": 5, "web": {"count": 5, "files": [str(path)]}, "corrections": 8}
    made = built(tmp_path / "out", sources, Workplace(pairs=[one]))
    assert {pair.source for pair in read_dataset(tmp_path / "out" / "pairs.jsonl").pairs} == {"corrections"}
    (step,) = (step for step in made.pairs_funnel if step.step == "contradicted by no other")
    assert sum(step.left_out.values()) == 2


def test_a_source_of_pairs_alone_is_not_called_absent(tmp_path: Path) -> None:
    asked = (ChatMessage(role="user", content="list everything here"),)
    pair = PreferencePair(prompt=asked, chosen="ls -a", rejected="ls", task_id="t", basis="b", evidence="e")
    made = built(tmp_path, {"existing": 5, "corrections": 8}, Workplace(pairs=[pair]))
    assert made.sources[0].note == "gives no rows, and 1 pairs"


# --- what is private stays so -----------------------------------------------------------------------------------------


def own_chat(path: Path) -> str:
    """An Open WebUI export of one chat."""
    said = {
        "q": {"id": "q", "parentId": None, "childrenIds": ["a"], "role": "user", "content": CHAT[0]["content"]},
        "a": {"id": "a", "parentId": "q", "childrenIds": [], "role": "assistant", "content": "Port 25.", "done": True},
    }
    history = {"currentId": "a", "messages": said}
    path.write_text(json.dumps([{"id": "c1", "chat": {"title": "mail", "models": ["m"], "history": history}}]))
    return str(path)


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_private_chats_stay_private_in_every_file_they_are_written_to(tmp_path: Path, ending: str) -> None:
    export = own_chat(tmp_path / "chats.json")
    built(tmp_path / "own", {"team": {"count": 9, "files": [export], "licence": "MIT"}})
    rows = read_dataset(tmp_path / "own" / f"rows.{ending}").rows
    assert [row.private for row in rows] == [True]
    again = {"web": {"count": 9, "files": [str(tmp_path / "own" / f"rows.{ending}")], "licence": "MIT"}}
    with pytest.raises(SetupError, match="1 nobody says that the people in it agreed"):
        built(tmp_path / "shared", again, purpose="share")
    assert kt(tmp_path, "dataset", "convert", f"own/rows.{ending}", "out.jsonl", "--layout", "trl").returncode == 0
    told = kt(tmp_path, "dataset", "convert", "out.jsonl", "shared.jsonl", "--layout", "trl", "--for", "share")
    assert told.returncode == 1
    assert "nobody says that the people in it agreed" in told.stderr


def test_of_a_run_only_what_made_up_tasks_ask_is_not_private(tmp_path: Path) -> None:
    made_up = tiny_base.task(3, part="train").model_copy(update={"entities": ("maple-17",)})
    row = SftRow(
        messages=(ChatMessage(role="user", content="restart it"), ChatMessage(role="assistant", content="Done.")),
        kind="agent_call", task_id=made_up.id, basis="b",
    )  # fmt: skip
    typed = row.model_copy(update={"task_id": "playground-1", "messages": (row.messages[0], CHAT_ANSWER)})
    place = Workplace(rows=[row, typed], tasks=[made_up])
    built(tmp_path, {"existing": 5}, place)
    rows = read_dataset(tmp_path / "rows.jsonl").rows
    assert {one.task_id: one.private for one in rows} == {made_up.id: False, "playground-1": True}


def test_where_nothing_may_be_shared_it_is_said_why_and_how_often(tmp_path: Path) -> None:
    path = chats(tmp_path / "closed.jsonl", "When does the night backup begin?", "Which port is it?")
    source = {"web": {"count": 5, "files": [path], "licence": "CC-BY-NC-4.0"}}
    with pytest.raises(SetupError, match=r"2 CC-BY-NC-4\.0 forbids commercial use"):
        built(tmp_path / "out", source, purpose="share")
    made = built(tmp_path / "both", source | {"corrections": 8}, purpose="share")
    assert made.sources[0].note == "none of its 2 rows is left: the steps below say why"


# --- folders as they are found ----------------------------------------------------------------------------------------

PARAMETERS = {"type": "dict", "properties": {}, "required": []}
TASK = {
    "id": "simple_python_0",
    "question": [[{"role": "user", "content": "add 2 and 3"}]],
    "function": [{"name": "add", "description": "adds", "parameters": PARAMETERS}],
}


def test_what_cannot_be_read_in_a_folder_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    chats(folder / "good.jsonl", "Which port does the mail relay use?")
    written(folder / "rows.parquet")
    (folder / "bad.jsonl").write_text("not json at all\n")
    (folder / "empty.parquet").touch()
    made = built(tmp_path / "out", {"web": {"count": 9, "files": [str(folder)]}})
    assert lines(made)["web"] == (9, 2, 2), "one talk stands in two files"
    named = " ".join(made.left_out["web"])
    assert "(in bad.jsonl)" in named or str(folder / "bad.jsonl") in named
    assert str(folder / "empty.parquet") in named


@pytest.mark.parametrize("name", ["chat.ndjson", "chat.raw"])
def test_talk_beside_training_rows_is_read_whatever_ending_it_has_that_is_ingested(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    written(folder / "rows.parquet")
    chats(folder / name, "How large may a letter be that the relay takes?")
    assert lines(built(tmp_path / "out", {"web": {"count": 9, "files": [str(folder)]}}))["web"][1] == 3


@pytest.mark.parametrize("name", ["zero.jsonl", "zero.parquet", "zero.json"])
def test_a_file_named_that_is_empty_is_refused_whatever_its_ending(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    sources = {"web": {"count": 9, "files": [str(tmp_path / name)]}, "corrections": 8}
    with pytest.raises(SourceError, match="empty"):
        built(tmp_path / "out", sources)


def test_a_file_of_tasks_says_that_it_gives_no_talk(tmp_path: Path) -> None:
    (tmp_path / "BFCL_v4_simple.json").write_text(json.dumps(TASK) + "\n")
    source = {"bfcl": {"count": 9, "files": [str(tmp_path / "BFCL_v4_simple.json")]}, "corrections": 8}
    made = built(tmp_path / "out", source)
    assert "gives tasks and results, not conversations (in BFCL_v4_simple.json)" in made.sources[0].note
    assert list(made.left_out["bfcl"].values()) == [1]


# --- as much as is asked for ------------------------------------------------------------------------------------------


def test_pairs_shrink_with_the_mix_that_scales_to_a_short_source(tmp_path: Path) -> None:
    asked = (ChatMessage(role="user", content="list everything here"),)
    pair = PreferencePair(prompt=asked, chosen="ls -a", rejected="ls", task_id="t", basis="b", evidence="e")
    many = [pair.model_copy(update={"chosen": f"ls -a {number} {number * 7} {number * 3}"}) for number in range(40)]
    sources = {"web": {"share": 0.5, "files": [written(tmp_path / "rows.jsonl")]}, "existing": 0.5}
    mix = Mix.model_validate({"name": "a try", "rows": 60, "scale_to": "web", "sources": sources})
    made = build(mix, Workplace(pairs=many), tmp_path / "out", protocol="json", ruler=estimate(), threshold=0.95)
    assert (made.rows, made.pairs) == (2, 2)
    assert made.pairs_funnel[-1].left_out == {"more than 2 of `existing`": 38}
    assert "more than 2 of `existing`" in (tmp_path / "out" / "README.md").read_text().replace("\\", "")


def test_counts_beyond_the_mixs_rows_are_said_to_be_so(tmp_path: Path) -> None:
    mix = Mix.model_validate({"name": "m", "rows": 10, "sources": {"corrections": 8, "conversational": 12}})
    made = build(mix, Workplace(), tmp_path, protocol="json", ruler=estimate(), threshold=0.95)
    assert made.rows == 20
    assert "10 more than the 10 that it declares" in made.funnel[-1].step
