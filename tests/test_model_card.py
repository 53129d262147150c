"""A card whose scores the Hub reads, with every guard, what was learned from, known limits, and code that runs."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard
from tiny_base import as_agent, as_chat, example, prose_of, task

from kt_lib.model_card import LearnedFrom, Making, eval_results, making, model_card
from kt_lib.models.embedded import packaged_base
from kt_lib.records import (
    Attempt,
    ChatMessage,
    Conversation,
    ModelVersion,
    PreferencePair,
    Provenance,
    Score,
    SftRow,
    Task,
    Verdict,
)
from kt_lib.rows import agent_rows, format_pairs, other_format_rows, replay_rows
from kt_lib.sources.ingesting import ingest
from kt_lib.sources.store import Store
from kt_lib.statistics import paired_counts, wilson
from kt_lib.tasks_from_chats import tasks_from_conversations
from kt_lib.training.adapter_files import Training
from kt_lib.versions import new_version
from kt_lib.world.chats import with_tools, write_sample

HELLO = (ChatMessage(role="user", content="hello"), ChatMessage(role="assistant", content="Hello."))


def score(variant: str, metric: str, right: int, n: int, mode: Any = "agent", suite: str = "main") -> Score:
    return Score(variant=variant, mode=mode, suite=suite, metric=metric, rate=wilson(right, n))


def verdict(suite: str, power: float, **more: Any) -> Verdict:
    known = {"verdict": "equivalent", "passed": True, "margin": 0.05, "discordance": 0.1, "needed": 314}
    known |= {"table": paired_counts(250, 10, 30, 10)}
    return Verdict(variant="sft", suite=suite, power=power, reason="", **{**known, **more})


SCORES = [
    score("base", "success", 140, 300),
    score("sft", "success", 280, 300),
    score("sft", "success", 290, 300, mode="chat"),
    score("sft", "context_retention", 20, 25, suite="assistant"),
    score("sft", "persona_adaptation", 0, 0, suite="assistant"),
]
VERDICTS = [verdict("target", 0.9, verdict="better"), verdict("not_calling", 0.9), verdict("multi_turn", 0.6)]


def version(verdicts: list[Verdict] = VERDICTS, **more: Any) -> ModelVersion:
    known: dict[str, Any] = {"base": "sha256:base", "adapter": "sha256:adapter", "digest": "sha256:merged"}
    known |= {"run": "run 1", "data": "sha256:rows", "scores": SCORES, "passed": True, "now": 1000.0}
    return new_version([], verdicts=verdicts, **known, **more)


def row(source: str, licence: str | None, consent: bool | None = None) -> SftRow:
    known = {"messages": HELLO, "kind": "no_call", "task_id": "t", "basis": "b"}
    return SftRow(**known, source=source, licence=licence, consent=consent)


def test_the_hub_reads_the_released_variants_scores_with_interval_and_n() -> None:
    read = ModelCard(model_card(version()))
    data = read.data
    assert (data.library_name, data.model_name) == ("transformers", "kt 1.0.0")
    found = {(one.metric_type, one.dataset_config): one for one in data.eval_results or []}
    assert set(found) == {("success", "agent"), ("success", "chat"), ("context_retention", "agent")}
    rate = wilson(280, 300)
    told = found["success", "agent"]
    assert told.metric_value == rate.value
    assert told.metric_args == {"low": rate.low, "high": rate.high, "n": 300, "errors": 0}
    assert [one.metric_type for one in eval_results(version())] == ["success", "success", "context_retention"]


def test_a_version_that_no_gate_saw_shows_what_there_is_and_that_it_was_not_let_through() -> None:
    text = model_card(version([], protocol="native"))
    assert "The gate did not let it through: it was never compared with the base on the target." in text
    assert ModelCard(text).data.eval_results is not None
    assert ModelCard(model_card(version([]).model_copy(update={"scores": ()}))).data.eval_results is None


def test_every_guard_and_the_hash_of_the_data_stand_on_the_card() -> None:
    text = model_card(version())
    for suite in ("target", "not_calling", "multi_turn"):
        assert re.search(rf"\| {suite} \| \w+ \| yes \| \+6\.7 \([+-][\d.]+ to [+-][\d.]+\) points \| 300 \|", text)
    assert "- training data: sha256:rows" in text
    assert "| sft | agent | main | success | 93.3% | 89.9% to 95.6% | 300 |" in text
    assert "| sft | agent | assistant | persona_adaptation | not measured |  | 0 |" in text
    assert text.index("| sft | agent | main") < text.index("| base | agent | main"), "what was released stands first"


def test_what_is_known_badly_stands_among_the_limits() -> None:
    limits = limits_of(version(), ["It knows a small world only."])
    assert "It knows a small world only." in limits
    assert "Known to so many points only, for want of tasks: context_retention in agent on assistant (30)." in limits


def limits_of(one: ModelVersion, notes: Sequence[str] = ()) -> str:
    return model_card(one, notes).partition("## Known limits")[2]


def test_a_guard_that_passed_lacks_no_tasks_and_an_undecided_one_does() -> None:
    better = verdict("not_calling", 0.27, verdict="better", needed=1433)
    open_ = verdict("multi_turn", 0.6, verdict="inconclusive", passed=False)
    assert "1433" not in limits_of(version([VERDICTS[0], better]))
    assert "power" not in limits_of(version())
    limits = limits_of(version([VERDICTS[0], better, open_]))
    assert limits.count("its power is 60% and 314 tasks would give 80%") == 1
    assert "1433" not in limits


def test_a_guard_that_passed_on_a_loss_says_so_in_the_gates_table() -> None:
    within = verdict("plain_chat", 0.99, table=paired_counts(628, 13, 4, 15), verdict="not_worse")
    assert "| plain_chat | worse by less than the margin | yes | -1.4 (-2.8 to -0.1) points" in model_card(
        version([VERDICTS[0], within])
    )


def test_the_score_of_the_merged_weights_stands_beside_that_of_the_adapter(tmp_path: Path) -> None:
    again = paired_counts(612, 1, 1, 46)
    told = model_card(version(), made=making(tmp_path, [], again))
    assert (
        "- Merged, saved and loaded again it was asked the held-out tasks once more before it counted:"
        " 92.9% (90.7% to 94.6%) of 660, +0.0 points (-0.7 to +0.7) beside the adapter"
    ) in told


def test_every_training_is_told_as_the_adapters_card_says_it_and_sources_as_the_rows_do(tmp_path: Path) -> None:
    card = (
        "---\nlibrary_name: peft\n---\n# Adapter `sft+dpo`\n\nLoRA adapter.\n\n"
        "## `sft`\n\n- Engine: TRL and PEFT on the CPU\n- `learning_rate`: 0.001\n\n"
        "## `dpo`\n\n- Engine: Unsloth on a card\n- `learning_rate`: 0.0001\n"
    )
    (tmp_path / "README.md").write_text(card)
    pair = PreferencePair(
        prompt=HELLO[:1], chosen="a", rejected="b", task_id="t", basis="b", evidence="e", source="own", licence="MIT"
    )
    rows = [row("own", "MIT", True), row("own", "MIT", True), row("teacher", None), row("own", "CC-BY-4.0")]
    made = making(tmp_path, [*rows, pair])
    assert made.trainings == (
        Training(name="sft", lines=("Engine: TRL and PEFT on the CPU", "`learning_rate`: 0.001")),
        Training(name="dpo", lines=("Engine: Unsloth on a card", "`learning_rate`: 0.0001")),
    )
    assert set(made.learned_from) == {
        LearnedFrom(source="own", licence="MIT", consent=True, rows=2, pairs=0),
        LearnedFrom(source="own", licence="MIT", consent=None, rows=0, pairs=1),
        LearnedFrom(source="own", licence="CC-BY-4.0", consent=None, rows=1, pairs=0),
        LearnedFrom(source="teacher", licence=None, consent=None, rows=1, pairs=0),
    }
    text = model_card(version(), made=made)
    for words in (
        "### Training: sft\n\n- Engine: TRL and PEFT on the CPU\n- `learning_rate`: 0.001\n",
        "### Training: dpo\n\n- Engine: Unsloth on a card\n- `learning_rate`: 0.0001\n",
        "| own | 2 | 0 | MIT | given |",
        "| own | 1 | 0 | CC\\-BY\\-4.0 | not known |",
        "| teacher | 1 | 0 | none stated | not known |",
        "1 of the rows and pairs it learned from state no licence: ask before you pass it on.",
    ):
        assert words in text


def theirs(made_up: Task) -> Task:
    """The same task as one from a person's exported chat."""
    where = Provenance(file="mine.json", sha256="0", format="openwebui.export", place="item 1")
    return made_up.model_copy(update={"id": "theirs", "source": where})


def learned_from(one: Task) -> list[SftRow | PreferencePair]:
    """Every kind of row, and a pair, that is made of a task on which the model did well once and badly once."""
    tasks, right = {one.id: one}, [example(one)]
    known: dict[str, Any] = {"task_id": one.id, "model": "toy", "protocol": "json"}
    said = Attempt(mode="chat", output=prose_of(one), outcome="correct", **known)
    failed = Attempt(mode="agent", output="{", outcome="malformed", failure="truncated", **known)
    return [
        *agent_rows(right, tasks, as_agent),
        *other_format_rows(right, tasks, as_agent),
        *replay_rows([said], tasks, as_chat),
        *format_pairs([failed], right, tasks, as_agent, lambda task, text: text != "{", 9),
    ]


def test_what_is_made_of_tasks_that_kt_made_up_is_kts_to_give_and_of_a_persons_chat_it_is_not(tmp_path: Path) -> None:
    made_up, own = learned_from(task(1)), learned_from(theirs(task(1)))
    assert len(made_up) == len(own) == 4
    assert {(one.licence, one.consent, one.private) for one in made_up} == {("MIT", True, False)}
    assert {(one.licence, one.consent, one.private) for one in own} == {(None, None, True)}
    assert "state no licence" not in model_card(version(), made=making(tmp_path, made_up))
    assert "4 of the rows and pairs it learned from state no licence" in model_card(
        version(), made=making(tmp_path, [*made_up, *own])
    )


def test_the_sample_chats_are_kts_own_too(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    ingest([write_sample(tmp_path, 1, 12)], store)
    chats = with_tools(store.read(Conversation))
    assert {(one.source.licence, one.source.consent) for one in chats} == {("MIT", True)}
    told = [one.source for one in tasks_from_conversations(chats)]
    assert {one and one.licence for one in told} == {"MIT"}


def test_a_licence_text_cannot_break_out_of_its_cell(tmp_path: Path) -> None:
    text = model_card(version(), made=making(tmp_path, [row("teacher", "mine | <b>all</b>\n# of it")]))
    assert "| teacher | 1 | 0 | mine \\| \\<b\\>all\\</b\\> \\# of it | not known |" in text


def test_an_adapter_without_a_card_is_no_hindrance(tmp_path: Path) -> None:
    assert making(tmp_path, []) == Making(trainings=(), learned_from=())


def test_the_code_on_the_card_runs_and_is_answered_by_a_call() -> None:
    for protocol in ("json", "native"):
        text = model_card(version(protocol=protocol))
        code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
        assert code is not None
        said = io.StringIO()
        with contextlib.chdir(packaged_base()), contextlib.redirect_stdout(said):
            exec(code.group(1), {})
        assert "remote_bash" in said.getvalue() or "web01" in said.getvalue()


def test_the_modelfile_is_shown() -> None:
    text = model_card(version(), modelfile='FROM .\nTEMPLATE """{{ .Prompt }}"""\n')
    assert '```text\nFROM .\nTEMPLATE """{{ .Prompt }}"""\n```' in text
    assert "Modelfile" not in model_card(version())
