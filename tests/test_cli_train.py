"""`kt train`: an adapter from files of rows, by one process or by several."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_base import call_of, make_base, sft_row, task
from typer.testing import CliRunner

pytest.importorskip("trl")

from kt_lib.artifacts import write_rows
from kt_lib.calls.writing import write_calls
from kt_lib.cli.app import app
from kt_lib.datafiles.layouts import write_rows as write_dataset
from kt_lib.datafiles.layouts import write_unpaired
from kt_lib.errors import KtError, ParameterError, SourceError
from kt_lib.records import ChatMessage, PreferencePair, UnpairedRow

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base, rows and pairs; one row is longer than the base reads."""
    folder = tmp_path_factory.mktemp("train")
    make_base(folder / "base", hidden=64, layers=2)
    rows = [sft_row(task(at)) for at in range(16)]
    endless = ChatMessage(role="user", content="word " * 600)
    rows.append(rows[0].model_copy(update={"messages": (endless, rows[0].messages[-1])}))
    write_rows(folder, "rows", rows)
    pairs = [
        PreferencePair(
            prompt=row.messages[:-1],
            chosen=write_calls([call_of(task(at))]),
            rejected="I cannot.",
            task_id=row.task_id,
            basis="refusal",
            evidence="answer_key",
        )
        for at, row in enumerate(rows[:8])
    ]
    write_rows(folder, "pairs", pairs)
    judged = [
        UnpairedRow(
            prompt=pair.prompt,
            completion=text,
            label=text == pair.chosen,
            task_id=pair.task_id,
            basis="rating",
            evidence="a rating",
        )
        for pair in pairs
        for text in (pair.chosen, pair.rejected)
    ]
    write_unpaired(folder / "judged.jsonl", judged)
    write_unpaired(folder / "praised.jsonl", [one for one in judged if one.label])
    write_unpaired(folder / "mine.jsonl", [one.model_copy(update={"consent": False}) for one in judged])
    sides = [(folder / f"{name}.jsonl").read_bytes() for name in ("pairs", "judged")]
    (folder / "both.jsonl").write_bytes(b"".join(sides))
    return folder


def asked(place: Path, out: Path, *more: str) -> list[str]:
    return ["train", str(place / "rows.jsonl"), "--base", str(place / "base"), "--out", str(out), *more]


EIGHT = ("--set", "sft.per_device_train_batch_size=8", "--set", "sft.num_train_epochs=2", "--set", "sft.lora.r=4")


def test_rows_and_pairs_become_two_adapters_and_long_rows_are_counted(place: Path, tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, asked(place, tmp_path, "--pairs", str(place / "pairs.jsonl"), *EIGHT))
    assert ran.exit_code == 0, ran.output
    assert "sft: 16 rows, 4 steps, loss " in ran.stdout
    assert "sft+dpo: 8 rows, 1 steps, loss 0.6931" in ran.stdout
    assert "1 rows were too long and are left out" in ran.stdout
    assert json.loads((tmp_path / "sft" / "adapter_config.json").read_text())["r"] == 4
    assert (tmp_path / "dpo" / "adapter_model.safetensors").is_file()


def test_the_cost_can_be_had_without_the_training(place: Path, tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, asked(place, tmp_path / "out", "--plan", "--json", *EIGHT))
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["too_long"] == 1
    (sft,) = told["forecast"]
    assert (sft["rows"], sft["steps"]) == (16, 4)
    assert sft["memory"]["total_mb"] > 1
    assert not (tmp_path / "out").exists()


def test_answers_judged_by_themselves_are_learned_after_sft_by_kto(place: Path, tmp_path: Path) -> None:
    """From the very file that `kt dataset convert` writes of what a mixed one holds."""
    files = (str(place / "both.jsonl"), str(tmp_path / "judged.jsonl"))
    written = CliRunner().invoke(app, ["dataset", "convert", *files, "--layout", "trl", "--only", "unpaired"])
    assert written.exit_code == 0, written.output
    more = ("--judged", str(tmp_path / "judged.jsonl"), "--set", "dpo.beta=0.2", "--json", *EIGHT)
    ran = CliRunner().invoke(app, asked(place, tmp_path / "out", *more))
    assert ran.exit_code == 0, ran.output
    sft, kto = json.loads(ran.stdout.splitlines()[-1])["adapters"]
    assert (sft["name"], kto["name"], kto["rows"], kto["steps"]) == ("sft", "sft+kto", 16, 2)
    assert kto["losses"][0][1] == pytest.approx(0.5, abs=0.05), "nothing is preferred yet"
    card = (tmp_path / "out" / "kto" / "README.md").read_text()
    assert "- Learned: 8 good answers and 8 bad ones" in card
    assert "- `beta`: 0.2" in card
    assert not (tmp_path / "out" / "dpo").exists()


def test_the_cost_of_kto_can_be_had_before(place: Path, tmp_path: Path) -> None:
    more = ("--judged", str(place / "judged.jsonl"), "--plan", *EIGHT)
    ran = CliRunner().invoke(app, asked(place, tmp_path / "out", *more))
    assert ran.exit_code == 0, ran.output
    assert "sft: 16 rows, " in ran.stdout
    assert "kto: 16 rows, " in ran.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "file", "words"),
    [
        ("--judged", "pairs", "holds 8 pairs where judged answers are wanted: pairs are given by --pairs"),
        ("--judged", "rows", "holds 17 rows where judged answers are wanted: rows are given as ROWS"),
        ("--pairs", "judged", "holds 16 judged answers where pairs are wanted: judged answers are given by --judged"),
        ("--judged", "both", "holds 8 pairs and 16 judged answers where judged answers are wanted: `kt dataset conv"),
        ("--judged", "mine", "none of its judged answers can be learned, the people in them did not agree"),
        ("--judged", "praised", "8 good and 0 bad answers are no ground for KTO"),
    ],
)
def test_a_file_of_another_kind_is_refused_before_anything_is_trained(
    place: Path, tmp_path: Path, option: str, file: str, words: str
) -> None:
    ran = CliRunner().invoke(app, asked(place, tmp_path / "out", option, str(place / f"{file}.jsonl"), *EIGHT))
    assert isinstance(ran.exception, KtError)
    assert words in str(ran.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "fault", "words"),
    [
        (("--recipe", "huge"), ParameterError, "no recipe is called 'huge'"),
        (("--set", "lr=1"), ParameterError, "write `sft.FIELD=VALUE`"),
        (("--set", "sft.epochs=1"), ParameterError, "there is no `epochs`"),
        (("--set", "sft.lr_scheduler_type=cosin"), ParameterError, "`lr_scheduler_type` is 'cosin'"),
        (("--set", "sft.lora.target_modules=[q_prj]"), ParameterError, "names q_prj, and no linear layer"),
        (("--set", "sft.max_length=9"), SourceError, "none of its rows can be learned, 17 are too long"),
        (("--pairs", "nowhere.jsonl"), SourceError, "nowhere.jsonl"),
        (("--pairs", "a.jsonl", "--judged", "b.jsonl"), ParameterError, "by DPO or by KTO, so give one of them"),
        (
            ("--judged", "a.jsonl", "--set", "dpo.num_train_epochs=0"),
            ParameterError,
            "--judged: the recipe embedded has no DPO part",
        ),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_trained(
    place: Path, tmp_path: Path, more: tuple[str, ...], fault: type[Exception], words: str
) -> None:
    ran = CliRunner().invoke(app, asked(place, tmp_path / "out", *more))
    assert isinstance(ran.exception, fault)
    assert words in str(ran.exception)
    assert not (tmp_path / "out").exists()


def test_a_dataset_that_kt_built_is_learned_as_it_is_and_a_broken_row_in_it_is_named(
    place: Path, tmp_path: Path
) -> None:
    built = tmp_path / "rows.jsonl"
    write_dataset(built, [sft_row(task(at)) for at in range(8)])
    told = ["train", str(built), "--base", str(place / "base"), "--out", str(tmp_path / "out"), *EIGHT]
    ran = CliRunner().invoke(app, told)
    assert ran.exit_code == 0, ran.output
    assert "sft: 8 rows" in ran.stdout
    built.write_bytes(built.read_bytes() + b"{broken\n")
    refused = CliRunner().invoke(app, told)
    assert isinstance(refused.exception, SourceError)
    assert "line 9" in str(refused.exception)


@pytest.mark.loop
def test_two_processes_train_what_one_does_with_batches_twice_as_large(place: Path, tmp_path: Path) -> None:
    one = CliRunner().invoke(app, asked(place, tmp_path / "one", "--json", *EIGHT))
    four = [part.replace("size=8", "size=4") for part in asked(place, tmp_path / "two", "--json", *EIGHT)]
    both = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "kt_lib"]
    ran = subprocess.run([*both, *four], capture_output=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert ran.returncode == 0, ran.stderr.decode()[-2000:]
    (told,) = [line for line in ran.stdout.decode().splitlines() if line.startswith("{")]
    alone, shared = json.loads(one.stdout.splitlines()[-1])["adapters"][0], json.loads(told)["adapters"][0]
    assert shared["steps"] == alone["steps"] == 4
    assert shared["tokens"] == alone["tokens"]
    for (_, loss), (_, same) in zip(shared["losses"], alone["losses"], strict=True):
        assert loss == pytest.approx(same, rel=1e-3)


def test_what_people_did_not_agree_to_is_not_learned_and_pairs_are_no_rows(place: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    write_dataset(
        file, [sft_row(task(at)).model_copy(update={"consent": None if at < 4 else False}) for at in range(8)]
    )
    ran = CliRunner().invoke(app, ["train", str(file), "--base", str(place / "base"), "--out", str(tmp_path), *EIGHT])
    assert ran.exit_code == 0, ran.output
    assert "sft: 4 rows" in ran.stdout
    pairs = ["train", str(place / "pairs.jsonl"), "--base", str(place / "base"), "--out", str(tmp_path)]
    refused = CliRunner().invoke(app, pairs)
    assert isinstance(refused.exception, SourceError)
    assert "pairs are given by --pairs" in str(refused.exception)
