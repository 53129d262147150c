"""A card whose scores the Hub reads, with every guard, what was learned from, known limits, and code that runs."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from kt_lib.model_card import LearnedFrom, Making, eval_results, making, model_card
from kt_lib.models.embedded import packaged_base
from kt_lib.records import ChatMessage, ModelVersion, PreferencePair, Score, SftRow, Verdict
from kt_lib.statistics import paired_counts, wilson
from kt_lib.training.adapter_files import Training
from kt_lib.versions import new_version

HELLO = (ChatMessage(role="user", content="hello"), ChatMessage(role="assistant", content="Hello."))


def score(variant: str, metric: str, right: int, n: int, mode: Any = "agent", suite: str = "main") -> Score:
    return Score(variant=variant, mode=mode, suite=suite, metric=metric, rate=wilson(right, n))


def verdict(suite: str, power: float, **more: Any) -> Verdict:
    known = {"verdict": "equivalent", "passed": True, "margin": 0.05, "discordance": 0.1, "needed": 314}
    table = paired_counts(250, 10, 30, 10)
    return Verdict(variant="sft", suite=suite, table=table, power=power, reason="", **{**known, **more})


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
    limits = model_card(version(), ["It knows a small world only."]).partition("## Known limits")[2]
    assert "It knows a small world only." in limits
    assert "The guard multi_turn had a power of 60% only: 314 tasks would give 80%." in limits
    assert "not_calling" not in limits
    assert "Known to so many points only, for want of tasks: context_retention in agent on assistant (30)." in limits


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
