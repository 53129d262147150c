"""The model card of a version: scores, the word of the gate, what it was made of and how, how to run it, its limits."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kt_lib.markdown_text import fenced, plain, table
from kt_lib.prompts import PROTOCOL_PROMPT, list_tools
from kt_lib.records import ModelVersion, PairedTable, PreferencePair, Rate, Record, Score, SftRow, ToolSpec, Verdict
from kt_lib.training.adapter_files import Training, trainings_of
from kt_lib.versions import lineage, refusal, worded

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

WIDE = 0.1
"""An interval of more than ten points says little of a guard."""
_EXAMPLE = ToolSpec(
    name="remote_bash",
    parameters={
        "type": "object",
        "properties": {"agent_id": {"type": "string"}, "command": {"type": "string"}},
        "required": ["agent_id", "command"],
    },
)


class LearnedFrom(Record):
    """Rows and pairs of one source under one licence."""

    source: str
    """The source of the mix."""
    licence: str | None
    """Its licence; None where none is stated."""
    consent: bool | None
    """Whether the people in it agreed to training use; None when unknown."""
    rows: int
    """SFT rows."""
    pairs: int
    """Preference pairs."""


class Making(Record):
    """How a version was made, for its card."""

    trainings: tuple[Training, ...]
    """The trainings that made its adapter, as the adapter's own card says them."""
    learned_from: tuple[LearnedFrom, ...]
    """What it learned from."""
    asked_again: PairedTable | None = None
    """first = the adapter, second = its merged, saved and reloaded weights, on held-out tasks."""


def making(adapter: Path, rows: Sequence[SftRow | PreferencePair], asked_again: PairedTable | None = None) -> Making:
    """How the version with this adapter was made: by the adapter's card, and by the rows and pairs it learned from.

    `asked_again` is what its merged weights (second) did beside the adapter (first).
    """
    pairs = Counter((row.source, row.licence, row.consent) for row in rows if isinstance(row, PreferencePair))
    others = Counter((row.source, row.licence, row.consent) for row in rows if isinstance(row, SftRow))
    return Making(
        trainings=tuple(trainings_of(adapter)),
        learned_from=tuple(
            LearnedFrom(source=key[0], licence=key[1], consent=key[2], rows=others[key], pairs=pairs[key])
            for key in sorted({*others, *pairs}, key=str)
        ),
        asked_again=asked_again,
    )


def model_card(
    version: ModelVersion, notes: Sequence[str] = (), made: Making | None = None, modelfile: str = ""
) -> str:
    """The card in Markdown, with metadata that the Hub reads. `notes` stand among the limits; `modelfile` is shown."""
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["kt", "tool-calling"],
        model_name=f"kt {version.version}",
        eval_results=eval_results(version) or None,
    )
    parts = [
        _scores(version),
        _gate(version.verdicts),
        _how_it_was_made(version, made),
        _learned_from(made),
        _how_to_run(version, modelfile),
        _limits(version, notes, made),
    ]
    head = ["---", data.to_yaml(), "---", f"# Version {version.version}", "", f"Released because: {version.reason}."]
    return "\n".join([*head, *(line for part in parts for line in ("", *part))]) + "\n"


def eval_results(version: ModelVersion) -> list[EvalResult]:
    """The scores of the version's own variant, as the Hub's model index has them: value, interval and n."""
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type="text-generation",
            dataset_type=f"kt/{one.suite}",
            dataset_name=f"{one.suite}, {one.mode}",
            dataset_config=one.mode,
            dataset_split="test",
            metric_type=one.metric,
            metric_name=f"{one.metric} of {one.variant} in {one.mode}",
            metric_value=one.rate.value,
            metric_args={"low": one.rate.low, "high": one.rate.high, "n": one.rate.n, "errors": one.rate.errors},
        )
        for one in own_scores(version)
        if one.rate.value is not None
    ]


def own_scores(version: ModelVersion) -> list[Score]:
    """The scores of what was released; all of them where no verdict says which variant that is."""
    released = {one.variant for one in version.verdicts}
    return [one for one in version.scores if not released or one.variant in released]


# --- its parts -------------------------------------------------------------------------------------------------------


def _scores(version: ModelVersion) -> list[str]:
    lines = ["## Scores", "", "On held-out tasks; the interval is Wilson's.", ""]
    lines += ["| variant | mode | suite | metric | rate | 95% | n |", "|---|---|---|---|---|---|---|"]
    own = own_scores(version)
    return lines + [
        f"| {one.variant} | {one.mode} | {one.suite} | {one.metric} | {_rate(one.rate)} | {one.rate.n} |"
        for one in [*own, *(one for one in version.scores if one not in own)]
    ]


def _gate(verdicts: Sequence[Verdict]) -> list[str]:
    lines = ["## The gate", "", "Against the base on the same tasks: the target must be better, no guard lost.", ""]
    lines += [
        "| suite | verdict | passed | difference (95%) | n | discordance | power |",
        "|---|---|---|---|---|---|---|",
    ]
    return lines + [
        f"| {one.suite} | {worded(one)} | {'yes' if one.passed else 'no'} | {100 * one.table.difference:+.1f}"
        f" ({100 * one.table.low:+.1f} to {100 * one.table.high:+.1f}) points | {one.table.n} | {one.discordance:.2f}"
        f" | {one.power:.0%} |"
        for one in verdicts
    ]


def _how_it_was_made(version: ModelVersion, made: Making | None) -> list[str]:
    lines = ["## How it was made", "", *(f"- {what}: {which}" for what, which in lineage(version))]
    lines += [_merged(made.asked_again)] if made and made.asked_again else []
    for one in made.trainings if made else ():
        lines += ["", f"### Training: {one.name}", "", *(f"- {line}" for line in one.lines)]
    return lines


def _merged(again: PairedTable) -> str:
    rate = _rate(again.second).replace(" | ", " (")
    told = "- Merged, saved and loaded again it was asked the held-out tasks once more before it counted:"
    return f"{told} {rate}) of {again.n}, {again.in_points} beside the adapter"


def _learned_from(made: Making | None) -> list[str]:
    if made is None:
        return []
    consent = {True: "given", False: "refused", None: "not known"}
    rows = [
        (plain(one.source), one.rows, one.pairs, plain(one.licence or "none stated"), consent[one.consent])
        for one in made.learned_from
    ]
    return ["## What it learned from", "", table(("source", "rows", "pairs", "licence", "consent"), rows)]


def _how_to_run(version: ModelVersion, modelfile: str) -> list[str]:
    lines = ["## How to run it", "", f"`kt chat --model {version.version}`, or with transformers, in this folder:", ""]
    lines += ["```python", *_python(native="native calls" in version.base), "```"]
    if modelfile:
        lines += ["", "With Ollama, by the `Modelfile` beside this card:", "", fenced(modelfile.rstrip())]
    return lines


def _python(native: bool) -> list[str]:
    """Code that asks the model for a call, as it was trained to be asked."""
    request = {"role": "user", "content": "check the disk space on web01"}
    system = {"role": "system", "content": f"{PROTOCOL_PROMPT}\n{list_tools([_EXAMPLE])}"}
    tools = [{"type": "function", "function": _EXAMPLE.model_dump()}] if native else None
    return [
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        'folder = "."',
        "tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)",
        "messages = [",
        *(f"    {json.dumps(one)}," for one in ([request] if native else [system, request])),
        "]",
        f"tools = {json.dumps(tools) if tools else None}",
        "prompt = tokenizer.apply_chat_template(",
        '    messages, tools=tools, add_generation_prompt=True, return_dict=True, return_tensors="pt"',
        ")",
        'asked = prompt["input_ids"]',
        'written = model.generate(asked, attention_mask=prompt["attention_mask"], max_new_tokens=128, do_sample=False)',
        "print(tokenizer.decode(written[0][asked.shape[1] :], skip_special_tokens=True))",
    ]


def _limits(version: ModelVersion, notes: Sequence[str], made: Making | None) -> list[str]:
    found = list(notes)
    if why := refusal(version.verdicts):
        found.append(f"The gate did not let it through: {why}.")
    wide = [
        f"{one.metric} in {one.mode} on {one.suite} ({100 * (one.rate.high - one.rate.low):.0f})"
        for one in own_scores(version)
        if "/" not in one.suite and one.rate.low is not None and one.rate.high is not None
        if one.rate.high - one.rate.low > WIDE
    ]
    found += [f"Known to so many points only, for want of tasks: {', '.join(wide)}."] if wide else []
    unstated = sum(one.rows + one.pairs for one in made.learned_from if one.licence is None) if made else 0
    if unstated:
        found.append(f"{unstated} of the rows and pairs it learned from state no licence: ask before you pass it on.")
    found.append("What was measured are the tasks named above; other tools, languages and longer chats were not.")
    return ["## Known limits", "", *(f"- {note}" for note in found)]


def _rate(rate: Rate) -> str:
    if rate.value is None or rate.low is None or rate.high is None:
        return "not measured | "
    return f"{rate.value:.1%} | {rate.low:.1%} to {rate.high:.1%}"
