"""Training for real on a tiny model: it learns, it repeats, and it says what is wrong."""

from __future__ import annotations

import json
import logging
import math
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from tiny_base import as_agent, call_of, make_base, odd_row, sft_row, task

from kt_lib.calls.writing import write_calls
from kt_lib.errors import KtError, NoLocalWeights, ParameterError
from kt_lib.forecast import forecast
from kt_lib.models.embedded import packaged_base
from kt_lib.recipes import DpoRecipe, Lora, SftRecipe
from kt_lib.records import Adapter, ChatMessage, PreferencePair, Request, SftRow, ToolCall, ToolSpec, UnpairedRow
from kt_lib.release import answers
from kt_lib.training.adapter_files import trainings_of
from kt_lib.training.checkpoints import Checkpoints, forget_finished, training_key
from kt_lib.training.engines import engine
from kt_lib.training.trainers import fitting, lengths, train_dpo, train_kto, train_sft
from kt_lib.weights import load, load_tokenizer, quiet, weights_digest

QUICK = SftRecipe(num_train_epochs=1, learning_rate=3e-3, per_device_train_batch_size=4, seed=1)
PREFER = DpoRecipe(num_train_epochs=2, learning_rate=2e-3, beta=0.1, seed=1, per_device_train_batch_size=4)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("models") / "base", hidden=64, layers=2)


def pairs(count: int) -> list[PreferencePair]:
    chosen = [write_calls([call_of(task(at))]) for at in range(count)]
    return [
        PreferencePair(
            prompt=as_agent(task(at)).messages,
            chosen=text,
            rejected=text.replace('"tool"', '"action"'),
            task_id=task(at).id,
            basis="wrong_key",
            evidence="answer_key",
        )
        for at, text in enumerate(chosen)
    ]


def test_the_packaged_base_learns_thirty_rows_to_the_letter_and_tells_every_step(tmp_path: Path) -> None:
    base, rows, seen = packaged_base(), [odd_row(at) for at in range(30)], []
    recipe = SftRecipe(num_train_epochs=6, learning_rate=5e-3, per_device_train_batch_size=6, seed=1)
    adapter = train_sft(base, rows, tmp_path / "sft", recipe, lambda *told: seen.append(told))
    with quiet():
        asked, tokenizer = [as_agent(task(at)) for at in range(30)], load_tokenizer(base)
        before = answers(load(base), tokenizer, asked)
        after = answers(load(base, tmp_path / "sft"), tokenizer, asked)
    right = [row.messages[-1].content for row in rows]
    assert sum(a == b for a, b in zip(before, right, strict=True)) == 0
    assert sum(a == b for a, b in zip(after, right, strict=True)) >= 28
    assert adapter.losses[-1][1] < 0.1 < 1 < adapter.losses[0][1]
    assert [(step, loss) for step, _, loss in seen] == list(adapter.losses)
    assert {of for _, of, _ in seen} == {adapter.steps} == {30}


def test_the_loss_is_on_the_answer_alone(tmp_path: Path) -> None:
    # The prompts are noise that cannot be learned in a few steps; the answers are all the same.
    rows = [
        SftRow(
            messages=(
                ChatMessage(role="user", content=f"{at * 7919 % 1013} {at * 104729 % 997} {at * 1299709 % 991}"),
                ChatMessage(role="assistant", content="ok"),
            ),
            kind="agent_call",
            task_id=str(at),
            basis="made up",
        )
        for at in range(32)
    ]
    recipe = QUICK.model_copy(update={"num_train_epochs": 6, "learning_rate": 1e-2})
    assert train_sft(packaged_base(), rows, tmp_path / "a", recipe).losses[-1][1] < 0.1


def test_the_same_rows_recipe_and_seed_give_the_same_weights(base: Path, tmp_path: Path) -> None:
    rows = [sft_row(task(at)) for at in range(12)]
    first = train_sft(base, rows, tmp_path / "a", QUICK)
    again = train_sft(base, rows, tmp_path / "b", QUICK)
    other = train_sft(base, rows, tmp_path / "c", QUICK.model_copy(update={"seed": 2}))
    assert first.digest == again.digest == weights_digest(tmp_path / "a")
    assert first.losses == again.losses
    assert other.digest != first.digest


def test_an_adapter_says_what_it_was_made_of_and_names_no_place_on_this_machine(base: Path, tmp_path: Path) -> None:
    rows = [sft_row(task(at)) for at in range(8)]
    adapter = train_sft(base, rows, tmp_path / "sft", QUICK)
    assert (adapter.name, adapter.base, adapter.rows, adapter.steps) == ("sft", weights_digest(base), 8, 2)
    assert adapter.tokens > 8 * 20
    assert adapter.seconds > 0
    written = (tmp_path / "sft" / "README.md").read_text() + (tmp_path / "sft" / "adapter_config.json").read_text()
    assert engine(QUICK).reason in written
    assert adapter.digest in written
    assert str(tmp_path) not in written
    assert str(base.parent) not in written


def test_dpo_starts_from_the_sft_adapter_and_learns_to_prefer(base: Path, tmp_path: Path) -> None:
    train_sft(base, [sft_row(task(at)) for at in range(12)], tmp_path / "sft", QUICK)
    adapter = train_dpo(base, tmp_path / "sft", pairs(12), tmp_path / "dpo", PREFER)
    assert adapter.name == "sft+dpo"
    assert adapter.losses[0][1] == pytest.approx(math.log(2), abs=1e-4), "the reference is where it starts from"
    assert adapter.losses[-1][1] < 0.6
    assert sorted(file.name for file in (tmp_path / "dpo").iterdir()) == sorted(
        file.name for file in (tmp_path / "sft").iterdir()
    ), "the frozen copy is not saved"


def test_the_card_after_dpo_tells_both_trainings_and_the_adapter_as_it_is(base: Path, tmp_path: Path) -> None:
    small = QUICK.model_copy(update={"lora": Lora(r=4, lora_alpha=8, target_modules=("q_proj", "v_proj"))})
    first = train_sft(base, [sft_row(task(at)) for at in range(12)], tmp_path / "sft", small)
    second = train_dpo(base, tmp_path / "sft", pairs(8), tmp_path / "dpo", PREFER)
    assert second.name == "sft+dpo"
    sft, dpo = trainings_of(tmp_path / "dpo")
    assert (sft.name, dpo.name) == ("sft", "dpo")
    assert [sft] == trainings_of(tmp_path / "sft")
    assert f"Trained on: 12 rows, {first.tokens:,} tokens seen, {first.steps} optimiser steps" in sft.lines
    assert f"Trained on: 8 rows, {second.tokens:,} tokens seen, {second.steps} optimiser steps" in dpo.lines
    assert f"Took: {first.seconds:.1f} s" in sft.lines
    assert f"Loss: {first.losses[0][1]:.4f} at the first step, {first.losses[-1][1]:.4f} at the last" in sft.lines
    # The recipe of DPO has rank 16 on all layers: it says nothing where there is an adapter to go on from.
    assert {"`r`: 4", "`lora_alpha`: 8", "`target_modules`: ('q_proj', 'v_proj')"} <= set(dpo.lines)
    assert " of the adapter on 4 layers, " in "".join(dpo.lines), "and memory is reckoned so"


def test_an_adapter_without_a_card_is_gone_on_from_and_that_is_said(base: Path, tmp_path: Path) -> None:
    train_sft(base, [sft_row(task(at)) for at in range(4)], tmp_path / "found", QUICK)
    (tmp_path / "found" / "README.md").unlink()
    assert train_dpo(base, tmp_path / "found", pairs(4), tmp_path / "dpo", PREFER).name == "adapter+dpo"
    assert "How it was trained is not known: it has no card" in (tmp_path / "dpo" / "README.md").read_text()


KILLED = """
import os, pickle, signal, sys, time
from pathlib import Path
from kt_lib.training.trainers import train_dpo, train_kto, train_sft

train, base, before, rows, recipe, folder = pickle.loads(Path(sys.argv[1]).read_bytes())
held = []

def die(step, of, loss):
    time.sleep(0.5)
    if step == 2:
        held.append(b"x" * (400 << 20))
    if step == 7:
        os.kill(os.getpid(), signal.SIGKILL)

start = (base, rows) if train == "sft" else (base, before, rows)
{"sft": train_sft, "dpo": train_dpo, "kto": train_kto}[train](
    *start, folder / "lost", recipe, die, folder / "checkpoints"
)
"""


@pytest.mark.parametrize("kind", ["sft", "dpo", "kto"])
def test_a_killed_training_goes_on_to_the_same_weights(base: Path, tmp_path: Path, kind: str) -> None:
    rows, before = [sft_row(task(at)) for at in range(40)], tmp_path / "before"
    train_sft(base, rows[:8], before, QUICK)
    told, made = {"sft": (rows, QUICK), "dpo": (pairs(20), PREFER), "kto": (judged(10), PREFER)}[kind]
    (tmp_path / "told").write_bytes(pickle.dumps((kind, base, before, told, made, tmp_path)))
    dead = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "told"], capture_output=True, timeout=300)
    assert dead.returncode == -signal.SIGKILL, dead.stderr.decode()[-2000:]
    seen: list[int] = []

    def train(out: str, checkpoints: Path | None) -> Adapter:
        def watch(step: int, of: int, loss: float) -> None:
            seen.append(step)

        seen.clear()
        if kind == "sft":
            return train_sft(base, rows, tmp_path / out, QUICK, watch, checkpoints)
        learn = train_dpo if kind == "dpo" else train_kto
        return learn(base, before, told, tmp_path / out, PREFER, watch, checkpoints)

    whole = train("whole", None)
    assert seen == list(range(1, 11))
    went_on = train("went_on", tmp_path / "checkpoints")
    assert seen == list(range(seen[0], 11))
    assert seen[0] > 5, "what was done before the crash is not done again"
    assert went_on.losses == whole.losses
    assert went_on.digest == whole.digest
    assert went_on.tokens == whole.tokens
    assert went_on.seconds > 2.5, "the half seconds of five steps before the crash are among them"
    assert went_on.peak_mb > 400 > whole.peak_mb, "so is what was held then"
    assert f"- Took: {went_on.seconds:.1f} s" in (tmp_path / "went_on" / "README.md").read_text()
    assert not list((tmp_path / "checkpoints").glob("*/")), "no checkpoint is left over"


class Killed(BaseException):
    """Ends a training as a kill does: nothing of it is caught."""


def until(last: int):
    def watch(step: int, of: int, loss: float) -> None:
        if step == last:
            raise Killed

    return watch


@pytest.mark.parametrize(("dropout", "by_batches_of"), [(0.0, 4), (0.2, 2)])
def test_sft_killed_in_any_epoch_or_between_two_goes_on_to_the_same_weights(
    base: Path, tmp_path: Path, dropout: float, by_batches_of: int
) -> None:
    # Six steps an epoch and a checkpoint every second step: those after steps 6 and 12 lie between two epochs.
    rows = [sft_row(task(at)) for at in range(24)]
    recipe = QUICK.model_copy(
        update={
            "num_train_epochs": 3,
            "lora": Lora(r=4, lora_dropout=dropout),
            "per_device_train_batch_size": by_batches_of,
            "gradient_accumulation_steps": 4 // by_batches_of,
        }
    )
    whole = train_sft(base, rows, tmp_path / "whole", recipe)
    assert whole.steps == 18
    for last in (5, 7, 10, 13, 16):
        kept = tmp_path / f"kept-{last}"
        with pytest.raises(Killed):
            train_sft(base, rows, tmp_path / "lost", recipe, until(last), kept)
        went_on = train_sft(base, rows, tmp_path / f"went_on-{last}", recipe, None, kept)
        assert (last, went_on.losses) == (last, whole.losses)
        assert went_on.digest == whole.digest


def test_dpo_killed_in_its_second_epoch_or_before_it_goes_on_to_the_same_weights(base: Path, tmp_path: Path) -> None:
    shape = QUICK.model_copy(update={"lora": Lora(r=4, lora_dropout=0.2)})
    train_sft(base, [sft_row(task(at)) for at in range(8)], tmp_path / "sft", shape)
    told = pairs(24)
    whole = train_dpo(base, tmp_path / "sft", told, tmp_path / "whole", PREFER)
    assert whole.steps == 12
    for last in (5, 7, 10):
        kept = tmp_path / f"kept-{last}"
        with pytest.raises(Killed):
            train_dpo(base, tmp_path / "sft", told, tmp_path / "lost", PREFER, until(last), kept)
        went_on = train_dpo(base, tmp_path / "sft", told, tmp_path / f"went_on-{last}", PREFER, None, kept)
        assert (last, went_on.losses) == (last, whole.losses)
        assert went_on.digest == whole.digest


def test_each_epoch_and_each_seed_has_an_order_of_its_own(base: Path, tmp_path: Path) -> None:
    rows, losses = [sft_row(task(at)) for at in range(12)], []
    for seed in (1, 2):
        # So slow that nothing is learned: the losses tell the batches.
        recipe = QUICK.model_copy(update={"num_train_epochs": 2, "learning_rate": 1e-12, "seed": seed})
        told = [round(loss, 4) for _, loss in train_sft(base, rows, tmp_path / str(seed), recipe).losses]
        losses += [told[:3], told[3:]]
    assert len(set(map(tuple, losses))) == 4


def test_a_training_that_has_ended_well_is_not_done_again_until_it_is_forgotten(
    base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows, kept, steps = [sft_row(task(at)) for at in range(8)], tmp_path / "kept", []

    def train(out: str, recipe: SftRecipe = QUICK) -> Adapter:
        steps.clear()
        return train_sft(base, rows, tmp_path / out, recipe, lambda *told: steps.append(told), kept)

    first = train("first")
    assert len(steps) == 2
    assert train("elsewhere") == first.model_copy(update={"folder": "elsewhere"})
    assert not steps
    assert weights_digest(tmp_path / "elsewhere") == first.digest
    assert trainings_of(tmp_path / "elsewhere") == trainings_of(tmp_path / "first")
    assert "this very training has ended well before" in caplog.text
    train("other", QUICK.model_copy(update={"seed": 2}))
    assert steps, "another seed is another training"
    forget_finished(kept)
    train("again")
    assert steps
    (tmp_path / "again" / "adapter_model.safetensors").write_bytes(b"cut off")
    forget_finished(kept)
    train("again")
    assert steps, "an adapter that is not whole is made again"


def test_a_loss_that_rises_is_warned_of_and_told_in_the_card(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    base, rows = packaged_base(), [sft_row(task(at)) for at in range(32)]
    wild = QUICK.model_copy(update={"learning_rate": 0.3, "lora": Lora(lora_alpha=256), "warmup_steps": 0})
    made = train_sft(base, rows, tmp_path / "wild", wild)
    assert made.losses[-1][1] > 2 * made.losses[0][1]
    assert "nothing good was learned; lower the learning rate (it is 0.3)" in caplog.text
    assert "- Warning: the loss rose from " in (tmp_path / "wild" / "README.md").read_text()
    caplog.clear()
    train_sft(base, rows, tmp_path / "tame", QUICK)
    assert "the loss rose" not in caplog.text
    assert "Warning" not in (tmp_path / "tame" / "README.md").read_text()


def test_other_rows_another_recipe_and_another_start_are_another_training(base: Path, tmp_path: Path) -> None:
    rows = [sft_row(task(at)) for at in range(4)]
    other = make_base(tmp_path / "other", hidden=32, layers=1)
    same = training_key("sft", base, None, QUICK, rows)
    assert training_key("sft", base, None, QUICK, list(rows)) == same
    others = {
        training_key("sft", base, None, QUICK, rows[:3]),
        training_key("sft", base, None, QUICK.model_copy(update={"seed": 2}), rows),
        training_key("sft", other, None, QUICK, rows),
        training_key("dpo", base, None, QUICK, rows),
        training_key("dpo", base, other, QUICK, rows),
    }
    assert len(others - {same}) == 5
    with Checkpoints(tmp_path, same) as place:
        (place / "checkpoint-5").mkdir()
        (place / "checkpoint-5" / "trainer_state.json").write_text('{"global_step": 5}')
        assert Checkpoints(tmp_path, same).newest() == place / "checkpoint-5"
        assert [Checkpoints(tmp_path, key).newest() for key in others] == [None] * 5


def test_a_checkpoint_that_is_not_whole_is_left_out(tmp_path: Path) -> None:
    saved = Checkpoints(tmp_path, "key")
    with saved as place:
        for step, state in ((5, '{"global_step": 5}'), (10, '{"global'), (15, None)):
            (place / f"checkpoint-{step}").mkdir()
            if state:
                (place / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
        assert saved.newest() == place / "checkpoint-5"


def test_dpo_alone_starts_from_the_bare_base(base: Path, tmp_path: Path) -> None:
    adapter = train_dpo(base, None, pairs(8), tmp_path / "dpo", PREFER)
    assert adapter.name == "dpo"
    assert adapter.losses[0][1] == pytest.approx(math.log(2), abs=1e-4)


def test_native_calls_with_arguments_of_every_type_can_be_learned(base: Path, tmp_path: Path) -> None:
    pay = ToolSpec(name="pay", parameters={"type": "object", "properties": {"amount": {"type": "integer"}}})
    calls = [
        ToolCall(name="pay", arguments={"amount": 12}),
        ToolCall(name="pay", arguments={"amount": "12"}),
        ToolCall(name="pay", arguments={"to": ["a", "b"], "note": None}),
        ToolCall(name="list_all"),
    ]
    rows = [
        SftRow(
            messages=(
                ChatMessage(role="user", content="pay"),
                ChatMessage(role="assistant", tool_calls=(call,)),
                ChatMessage(role="tool", name="pay", content="done"),
                ChatMessage(role="assistant", content="It is done."),
            ),
            tools=(pay,) if at % 2 else (),
            kind="after_result",
            task_id=str(at),
            basis="made up",
        )
        for at, call in enumerate(calls)
    ]
    rows += [row.model_copy(update={"messages": row.messages[:2]}) for row in rows]
    assert train_sft(base, rows, tmp_path / "sft", QUICK).rows == 8


def test_a_loss_that_is_no_number_ends_the_training_with_its_remedy(tmp_path: Path) -> None:
    base = make_base(tmp_path / "poisoned", hidden=64, layers=1)
    weights = load_file(base / "model.safetensors")
    weights[next(name for name in weights if "down_proj" in name)][0, 0] = float("inf")
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    told = refused(base, tmp_path / "sft", QUICK.model_copy(update={"learning_rate": 1.0}))
    assert "the loss is nan at step 1 of 4: lower the learning rate (it is 1; a third of it is a good next" in told
    assert "look for broken numbers in the base's weights" in told


def test_a_gradient_that_is_no_number_ends_it_too_before_it_spoils_the_weights(base: Path, tmp_path: Path) -> None:
    told = refused(base, tmp_path / "sft", QUICK.model_copy(update={"lora": Lora(lora_alpha=10**25)}))
    assert "the gradient is inf at step 1 of 4: lower the learning rate (it is 0.003; a third" in told


def refused(base: Path, out: Path, recipe: SftRecipe) -> str:
    """Why a training ended, before any of its steps was told as done and without an adapter."""
    seen: list[int] = []
    with pytest.raises(KtError) as caught:
        train_sft(base, [sft_row(task(at)) for at in range(16)], out, recipe, lambda step, of, loss: seen.append(step))
    assert not seen
    assert not out.exists()
    return str(caught.value)


def test_a_layer_that_is_not_there_is_told_before_a_row_is_made_ready(base: Path, tmp_path: Path) -> None:
    unusable = sft_row(task(1))
    unusable = unusable.model_copy(update={"messages": unusable.messages[:-1]})
    recipe = QUICK.model_copy(update={"lora": Lora(target_modules=("q_proj", "v_prj"))})
    with pytest.raises(ParameterError, match=r"names v_prj, and no linear layer .* there are down_proj, gate_proj, k_"):
        train_sft(base, [unusable], tmp_path / "sft", recipe)
    with pytest.raises(ParameterError, match="names v_prj"):
        forecast(base, [unusable], [], recipe, None)
    with pytest.raises(KtError, match="does not end with an answer"):
        train_sft(base, [unusable], tmp_path / "sft", QUICK)


def test_no_rows_and_no_pairs_are_told_with_a_remedy(base: Path, tmp_path: Path) -> None:
    with pytest.raises(KtError, match=r"no rows to train on.*raise `train_tasks`"):
        train_sft(base, [], tmp_path / "a", QUICK)
    with pytest.raises(KtError, match=r"no preference pairs.*`num_train_epochs: 0`"):
        train_dpo(base, None, [], tmp_path / "b", PREFER)


def test_a_row_longer_than_the_model_reads_is_named_not_cut(base: Path, tmp_path: Path) -> None:
    long = sft_row(task(3))
    long = long.model_copy(update={"messages": (ChatMessage(role="user", content="word " * 600), *long.messages[1:])})
    with pytest.raises(KtError, match=r"train-main-3 has \d+ tokens and the model reads 512"):
        train_sft(base, [sft_row(task(1)), long], tmp_path / "a", QUICK)


def test_a_row_longer_than_the_recipe_allows_is_refused_or_set_aside(base: Path, tmp_path: Path) -> None:
    rows = [sft_row(task(at)) for at in range(4)]
    extra = ChatMessage(role="user", content="word " * 60)
    long = rows[3].model_copy(update={"messages": (extra, *rows[3].messages[1:])})
    most = max(lengths(rows[:3], base))
    short = QUICK.model_copy(update={"max_length": most})
    with pytest.raises(KtError, match=rf"train-main-3 has \d+ tokens and the recipe's `max_length` is {most}: leave"):
        train_sft(base, [*rows[:3], long], tmp_path / "a", short)
    kept, left_out = fitting([*rows[:3], long], base, short.max_length)
    assert (kept, left_out) == (rows[:3], [long])
    assert train_sft(base, kept, tmp_path / "a", short).rows == 3
    assert fitting([*rows[:3], long], base) == ([*rows[:3], long], []), "the model itself reads it"
    told = pairs(3)
    longer = told[1].model_copy(update={"rejected": "no " * 500})
    assert fitting([told[0], longer, told[2]], base) == ([told[0], told[2]], [longer])


def talk(at: int) -> SftRow:
    """Two answers that follow from the number in the first question."""
    said = [("user", f"name {at}"), ("assistant", f"host-{at}"), ("user", "again"), ("assistant", f"host-{at}.")]
    messages = tuple(ChatMessage(role=role, content=content) for role, content in said)  # type: ignore[arg-type]
    return SftRow(messages=messages, learn="all", kind="talk", task_id=f"talk-{at}", basis="made up")


def test_where_a_row_asks_for_it_every_answer_is_learned(tmp_path: Path) -> None:
    rows = [talk(at) for at in range(8)]
    recipe = SftRecipe(num_train_epochs=30, learning_rate=5e-3, per_device_train_batch_size=4, seed=1)
    train_sft(packaged_base(), rows, tmp_path / "all", recipe)
    last = [row.model_copy(update={"learn": "last"}) for row in rows]
    train_sft(packaged_base(), last, tmp_path / "last", recipe)
    with quiet():
        tokenizer = load_tokenizer(packaged_base())
        asked = [Request(messages=row.messages[:1]) for row in rows]
        every = answers(load(packaged_base(), tmp_path / "all"), tokenizer, asked)
        only = answers(load(packaged_base(), tmp_path / "last"), tokenizer, asked)
    right = [row.messages[1].content for row in rows]
    assert sum(a == b for a, b in zip(every, right, strict=True)) >= 7
    assert sum(a == b for a, b in zip(only, right, strict=True)) == 0
    assert "Learned: 16 answers" in (tmp_path / "all" / "README.md").read_text()


def test_answers_that_the_template_takes_back_are_told_in_the_card_and_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = make_base(tmp_path / "base", hidden=32, layers=1)
    (base / "chat_template.jinja").write_text(
        "{%- for one in messages %}<|{{ one.role }}|>{{ one.content if loop.last else one.content[:2] }}<|end|>"
        "{%- endfor %}{%- if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    with caplog.at_level(logging.WARNING):
        train_sft(base, [talk(at) for at in range(4)], tmp_path / "sft", QUICK)
    assert "4 of 8 answers are not learned" in caplog.text
    assert "Learned: 4 answers; 4 more stand otherwise" in (tmp_path / "sft" / "README.md").read_text()


def test_small_batches_gathered_up_learn_the_same_as_a_large_one(base: Path, tmp_path: Path) -> None:
    rows = [sft_row(task(at)) for at in range(16)]
    large = QUICK.model_copy(update={"per_device_train_batch_size": 8})
    small = QUICK.model_copy(update={"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4})
    one = train_sft(base, rows, tmp_path / "large", large)
    other = train_sft(base, rows, tmp_path / "small", small)
    assert one.steps == other.steps == 2
    assert [loss for _, loss in other.losses] == pytest.approx([loss for _, loss in one.losses], rel=1e-4)


def test_packed_rows_do_not_see_one_another(base: Path, tmp_path: Path) -> None:
    rows = [sft_row(task(at)) for at in range(8)]
    alone = train_sft(base, rows, tmp_path / "alone", QUICK.model_copy(update={"per_device_train_batch_size": 8}))
    long = QUICK.model_copy(update={"packing": True, "max_length": 512, "per_device_train_batch_size": 8})
    packed = train_sft(base, rows, tmp_path / "packed", long)
    assert packed.steps == alone.steps == 1
    assert packed.losses[0][1] == pytest.approx(alone.losses[0][1], rel=1e-4)
    assert packed.tokens == alone.tokens


def test_another_form_of_preference_loss_is_a_matter_of_the_recipe(base: Path, tmp_path: Path) -> None:
    recipe = PREFER.model_copy(update={"loss_type": "ipo", "num_train_epochs": 1})
    adapter = train_dpo(base, None, pairs(8), tmp_path / "ipo", recipe)
    assert adapter.losses[0][1] == pytest.approx((0 - 1 / (2 * recipe.beta)) ** 2, rel=1e-3), "IPO's squared distance"


def judged(count: int) -> list[UnpairedRow]:
    sides = [(pair, text, text == pair.chosen) for pair in pairs(count) for text in (pair.chosen, pair.rejected)]
    return [
        UnpairedRow(
            prompt=pair.prompt, completion=text, label=good, task_id=pair.task_id, basis="b", evidence="a rating"
        )
        for pair, text, good in sides
    ]


def test_answers_that_were_judged_one_by_one_are_learned_from(base: Path, tmp_path: Path) -> None:
    rows = [one for at, one in enumerate(judged(12)) if one.label or at < 16]
    recipe = PREFER.model_copy(update={"num_train_epochs": 4, "learning_rate": 5e-3})
    adapter = train_kto(base, None, rows, tmp_path / "kto", recipe)
    assert adapter.name == "kto"
    assert adapter.rows == 20
    assert adapter.losses[0][1] == pytest.approx(0.5, abs=0.03), "nothing is preferred yet"
    assert adapter.losses[-1][1] < 0.4
    after = train_kto(base, tmp_path / "kto", rows, tmp_path / "more", recipe)
    assert after.name == "kto+kto"
    assert "12 good answers and 8 bad ones" in (tmp_path / "more" / "README.md").read_text()


def test_judged_answers_of_one_kind_or_one_at_a_time_are_refused(base: Path, tmp_path: Path) -> None:
    good = [one for one in judged(4) if one.label]
    with pytest.raises(KtError, match="4 good and 0 bad answers are no ground for KTO"):
        train_kto(base, None, good, tmp_path / "kto", PREFER)
    with pytest.raises(KtError, match="set `per_device_train_batch_size` to 2 or more"):
        train_kto(base, None, judged(4), tmp_path / "kto", PREFER.model_copy(update={"per_device_train_batch_size": 1}))


@pytest.mark.parametrize(
    "fault", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 bytes")]
)
def test_where_memory_ends_the_remedy_is_told(base: Path, tmp_path: Path, fault: Exception) -> None:
    rows = [sft_row(task(at)) for at in range(16)]

    def fail(step: int, of: int, loss: float) -> None:
        if step == 2:
            raise fault

    with pytest.raises(KtError) as caught:
        train_sft(base, rows, tmp_path / "sft", QUICK, fail)
    told = str(caught.value)
    longest = max(lengths(rows, base))
    assert f"out of memory at step 3 of 4, with batches of 4 rows of up to {longest} tokens" in told
    assert "set `per_device_train_batch_size` to 2 and `gradient_accumulation_steps` to 2 (as many rows a step)" in told
    assert f"a `max_length` below {longest}" in told
    assert "set `load_in_4bit` to true" in told
    assert caught.value.__cause__ is fault
    assert not (tmp_path / "sft").exists()


@pytest.mark.parametrize(("inside", "where"), [(1, "at step 1 of 4"), (3, "at step 3 of 4")])
def test_where_memory_ends_in_the_midst_of_a_forward_pass_the_remedy_is_told(
    base: Path, tmp_path: Path, inside: int, where: str
) -> None:
    import torch
    from transformers import LlamaForCausalLM

    passes = []

    def full(layer: torch.nn.Module, given: object) -> None:
        if isinstance(layer, LlamaForCausalLM):
            passes.append(layer)
            if len(passes) == inside:
                raise torch.OutOfMemoryError("CUDA: no room for 2.00 GiB")

    hook = torch.nn.modules.module.register_module_forward_pre_hook(full)
    try:
        with pytest.raises(KtError, match=rf"out of memory {where}, with batches of 4 rows .*`load_in_4bit` to true"):
            train_sft(base, [sft_row(task(at)) for at in range(16)], tmp_path / "sft", QUICK)
    finally:
        hook.remove()
    assert not (tmp_path / "sft").exists()


def test_a_fault_that_is_not_of_memory_stays_what_it_is(base: Path, tmp_path: Path) -> None:
    def fail(step: int, of: int, loss: float) -> None:
        raise RuntimeError("size mismatch")

    with pytest.raises(RuntimeError, match="size mismatch"):
        train_sft(base, [sft_row(task(1))], tmp_path / "sft", QUICK, fail)


def test_an_adapter_says_by_what_it_was_trained_and_what_memory_it_took(base: Path, tmp_path: Path) -> None:
    adapter = train_sft(base, [sft_row(task(at)) for at in range(4)], tmp_path / "sft", QUICK)
    assert adapter.engine == engine(QUICK).name
    assert adapter.peak_mb > 0
    written = (tmp_path / "sft" / "README.md").read_text()
    assert f"Memory: {adapter.peak_mb:,.0f} MB at the peak; expected " in written
    assert "parameters of the base" in written


def test_a_folder_without_weights_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoLocalWeights, match="no safetensors"):
        train_sft(tmp_path, [sft_row(task(1))], tmp_path / "a", QUICK)


def test_what_quiet_sets_is_set_back(base: Path) -> None:
    import huggingface_hub.constants as hub
    import torch

    before = hub.HF_HUB_OFFLINE, hub.HF_HUB_DISABLE_TELEMETRY, torch.get_num_threads()
    with quiet(1):
        assert hub.HF_HUB_OFFLINE
        assert torch.get_num_threads() == 1
    assert (hub.HF_HUB_OFFLINE, hub.HF_HUB_DISABLE_TELEMETRY, torch.get_num_threads()) == before


def test_the_adapter_keeps_the_recipe_in_its_card(base: Path, tmp_path: Path) -> None:
    train_sft(base, [sft_row(task(at)) for at in range(4)], tmp_path / "sft", QUICK)
    config = json.loads((tmp_path / "sft" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (16, 32)
    assert "`learning_rate`: 0.003" in (tmp_path / "sft" / "README.md").read_text()
