"""`kt train`: an adapter from files of rows, by one process or by several."""

from __future__ import annotations

import json
import os
import signal
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
from kt_lib.recipes import recipe
from kt_lib.records import ChatMessage, PreferencePair, UnpairedRow
from kt_lib.training.engines import engine

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
    write_rows(folder, "long", [one.model_copy(update={"rejected": "no " * 500}) for one in pairs])
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
    assert "SFT: step 4 of 4, loss " in ran.stderr
    assert "sft+dpo: 8 rows, 1 steps, loss 0.6931" in ran.stdout
    assert "1 rows were too long and are left out" in ran.stdout
    assert json.loads((tmp_path / "sft" / "adapter_config.json").read_text())["r"] == 4
    assert (tmp_path / "dpo" / "adapter_model.safetensors").is_file()


def test_the_cost_can_be_had_without_the_training(place: Path, tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, asked(place, tmp_path / "out", "--plan", "--json", *EIGHT))
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["too_long"] == {"rows": 1}
    assert told["engine"] == [engine(recipe("embedded").sft).reason]
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
    by, sft, kto, *_ = ran.stdout.splitlines()
    assert by == engine(recipe("embedded").sft).reason, "one line, as both parts go the same way"
    assert sft.startswith("sft: 16 rows, ")
    assert kto.startswith("kto: 16 rows, ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "file", "words"),
    [
        ("--judged", "pairs", "holds 8 pairs where judged answers are wanted: pairs are given by --pairs"),
        ("--judged", "rows", "holds 17 rows where judged answers are wanted: rows are given as ROWS"),
        ("--pairs", "judged", "holds 16 judged answers where pairs are wanted: judged answers are given by --judged"),
        ("--judged", "both", "holds 8 pairs and 16 judged answers where judged answers are wanted: `kt dataset conv"),
        ("--judged", "mine", "none of its judged answers can be learned, the people in them did not agree"),
        ("--pairs", "long", "all 8 pairs are longer than the 512 tokens that the model reads, or give shorter ones"),
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
        (("--set", "sft.max_length=9"), SourceError, "all 17 rows are longer than `max_length` 9: set it higher"),
        (("--base", "/nope"), ParameterError, "--base /nope: there is no such folder"),
        (("--base", "tests"), ParameterError, "holds no model that can be trained: config.json, *.safetensors, tok"),
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


KILLED_TWO = """
import os, signal, sys
from kt_lib.cli import train
from kt_lib.cli.app import app

train._bar = lambda what: lambda step, of, loss: os.kill(os.getpid(), signal.SIGKILL) if step == 8 else None
app(sys.argv[1:])
"""


@pytest.mark.loop
def test_two_processes_killed_in_their_second_epoch_go_on_to_the_same_weights(place: Path, tmp_path: Path) -> None:
    (tmp_path / "killed.py").write_text(KILLED_TWO)
    few = ("--set", "sft.per_device_train_batch_size=2", "--set", "sft.num_train_epochs=3")
    both = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for out, start, code in (
        ("a", ["-m", "kt_lib"], 0),
        ("b", [str(tmp_path / "killed.py")], 1),
        ("b", ["-m", "kt_lib"], 0),
    ):
        told = asked(place, tmp_path / out, "--checkpoints", str(tmp_path / f"kept-{out}"), *few)
        ran = subprocess.run([*both, *start, *told], capture_output=True, timeout=300, env=environment)
        assert ran.returncode == code, ran.stderr.decode()[-2000:]
    (whole,), (went_on,) = (weights(tmp_path / out).values() for out in "ab")
    assert whole[1] == went_on[1]


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


def test_pairs_that_are_too_long_are_counted_as_pairs(place: Path, tmp_path: Path) -> None:
    file = tmp_path / "some.jsonl"
    file.write_bytes(b"".join((place / f"{name}.jsonl").read_bytes() for name in ("pairs", "long")))
    ran = CliRunner().invoke(app, asked(place, tmp_path / "out", "--pairs", str(file), "--plan", *EIGHT))
    assert ran.exit_code == 0, ran.output
    assert "1 rows were too long" in ran.stdout
    assert "8 pairs were too long" in ran.stdout


def test_a_folder_given_for_rows_is_called_a_folder(place: Path, tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["train", str(place), "--base", str(place / "base"), "--out", str(tmp_path)])
    assert isinstance(ran.exception, SourceError)
    assert "is a folder: give a .jsonl or .parquet file in it" in str(ran.exception)


@pytest.mark.parametrize("where", ["file", "/proc/nowhere"])
def test_where_no_folder_can_be_made_is_told_before_the_first_step(place: Path, tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    kept = tmp_path / "kept"
    ran = CliRunner().invoke(app, asked(place, tmp_path / where, "--checkpoints", str(kept), *EIGHT))
    assert isinstance(ran.exception, ParameterError)
    assert "no folder can be made there" in str(ran.exception)
    assert not kept.exists(), "nothing was begun"


def weights(out: Path) -> dict[str, tuple[int, bytes]]:
    files = {file.parent.name: file for file in out.glob("*/adapter_model.safetensors")}
    return {name: (file.stat().st_mtime_ns, file.read_bytes()) for name, file in files.items()}


def test_a_folder_keeps_the_adapters_of_one_training_and_the_same_command_keeps_them(
    place: Path, tmp_path: Path
) -> None:
    out, pairs = tmp_path / "out", ("--pairs", str(place / "pairs.jsonl"))
    for more in ((), pairs, pairs):
        ran = CliRunner().invoke(app, asked(place, out, *more, *EIGHT))
        assert ran.exit_code == 0, ran.output
        before = weights(out)
    again = CliRunner().invoke(app, asked(place, out, *pairs, *EIGHT))
    assert again.exit_code == 0, again.output
    assert weights(out) == before, "not written again"
    others = {
        "`sft` in it is the adapter of another training": (*pairs, *EIGHT, "--set", "sft.seed=7"),
        "`dpo` in it is the adapter of another training": (*pairs, *EIGHT, "--set", "dpo.beta=0.3"),
        "name another folder, or remove it": EIGHT,
    }
    for words, asking in others.items():
        refused = CliRunner().invoke(app, asked(place, out, *asking))
        assert isinstance(refused.exception, ParameterError), refused.output
        assert words in str(refused.exception)
    assert weights(out) == before
    (out / "sft" / "training.json").unlink()
    refused = CliRunner().invoke(app, asked(place, out, *pairs, *EIGHT))
    assert isinstance(refused.exception, ParameterError), "what made it is not known"


KILLED_IN_DPO = """
import os, signal, sys
from kt_lib.cli import train
from kt_lib.cli.app import app

def bar(what):
    def on_step(step, of, loss):
        if what == "DPO" and step == 3:
            os.kill(os.getpid(), signal.SIGKILL)
    return on_step

train._bar = bar
app(sys.argv[1:])
"""


def test_a_kill_in_dpo_does_not_train_sft_again(place: Path, tmp_path: Path) -> None:
    more = ("--pairs", str(place / "pairs.jsonl"), "--checkpoints", str(tmp_path / "kept"), *EIGHT)
    more += ("--set", "dpo.num_train_epochs=4", "--set", "dpo.per_device_train_batch_size=4")
    told = asked(place, tmp_path / "out", *more)
    dead = subprocess.run([sys.executable, "-c", KILLED_IN_DPO, *told], capture_output=True, timeout=300)
    assert dead.returncode == -signal.SIGKILL, dead.stderr.decode()[-2000:]
    (sft,) = weights(tmp_path / "out").items()
    went_on = CliRunner().invoke(app, told)
    assert went_on.exit_code == 0, went_on.output
    after = weights(tmp_path / "out")
    assert dict([sft]).items() <= after.items(), "the adapter of SFT is the very file it was"
    assert not list((tmp_path / "kept").iterdir()), "all has ended well"
    whole = CliRunner().invoke(app, asked(place, tmp_path / "whole", *more))
    assert whole.exit_code == 0, whole.output
    assert {name: found for name, (_, found) in weights(tmp_path / "whole").items()} == {
        name: found for name, (_, found) in after.items()
    }
