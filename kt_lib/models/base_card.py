"""Measures a base model and writes its card: command, digest, scores with intervals, and the weakness put there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from kt_lib.artifacts import write_whole
from kt_lib.calls.judging import judge_agent, judge_chat
from kt_lib.models.base_training import BaseRecipe, Progress
from kt_lib.models.embedded import EmbeddedModel
from kt_lib.prompts import agent_request, chat_request
from kt_lib.records import Completion, Example, Rate, Record, Request, Task, ToolCall
from kt_lib.statistics import wilson
from kt_lib.weights import model_digest
from kt_lib.world.habits import NOISE, UNSEEN_SHARE, WELL_FORMED_SHARE
from kt_lib.world.suite import make_tasks

SCORES_FILE = "scores.json"
SCORED_ON = 7
"""Seed of the tasks that a card's scores are measured on."""


class BaseScore(Record):
    """One measured rate of a base model."""

    what: str
    """What was asked of it."""
    rate: Rate
    """Success, or malformed output where it says so."""


def measure_base(folder: Path, seed: int, count: int) -> list[BaseScore]:
    """Chat, agent, constrained, three-shot, not calling and multi-turn on held-out tasks of a fresh seed."""
    model = EmbeddedModel(folder)
    main = make_tasks(seed, "test", "main", count)
    silent = make_tasks(seed, "test", "not_calling", count // 2)
    turns = make_tasks(seed, "test", "multi_turn", count // 2)
    shots = [shot(task) for task in make_tasks(seed, "train", "main", 200) if len(task.messages) == 1][:3]
    agent = [agent_request(task, "json") for task in main]
    found = [
        chat_score("chat", main, model.complete([chat_request(task) for task in main])),
        *agent_scores("agent", main, model.complete(agent)),
        *agent_scores("agent, native tools", main, model.complete([agent_request(task, "native") for task in main]))[
            :1
        ],
    ]
    variants: list[tuple[str, Sequence[Task], list[Request]]] = [
        ("agent, constrained", main, [agent_request(task, "json", constrained=True) for task in main]),
        ("agent, three shots", main, [agent_request(task, "json", examples=shots) for task in main]),
        ("agent, no call due", silent, [agent_request(task, "json") for task in silent]),
        ("agent, multi-turn", turns, [agent_request(task, "json") for task in turns]),
    ]
    for name, tasks, requests in variants:
        found += agent_scores(name, tasks, model.complete(requests))[:1]
    return found


def shot(task: Task) -> Example:
    """A training task with its answer key as a few-shot example."""
    calls = tuple(
        ToolCall(name=call.name, arguments={name: values[0] for name, values in call.arguments.items()})
        for call in task.check.accepted
    )
    return Example(task_id=task.id, messages=task.messages, tools=task.tools, calls=calls, verified=("answer_key",))


def chat_score(what: str, tasks: Sequence[Task], completions: Sequence[Completion]) -> BaseScore:
    """Success of chat answers."""
    right = [judge_chat(task, one).outcome == "correct" for task, one in zip(tasks, completions, strict=True)]
    return BaseScore(what=what, rate=wilson(sum(right), len(right)))


def agent_scores(what: str, tasks: Sequence[Task], completions: Sequence[Completion]) -> list[BaseScore]:
    """Success and malformed output of agent answers, native calls and protocol text alike."""
    outcomes = [
        judge_agent(task, one, "native" if one.tool_calls else "json").outcome
        for task, one in zip(tasks, completions, strict=True)
    ]
    return [
        BaseScore(what=what, rate=wilson(outcomes.count("correct"), len(outcomes))),
        BaseScore(what=f"{what}, malformed", rate=wilson(outcomes.count("malformed"), len(outcomes))),
    ]


def as_table(scores: Sequence[BaseScore]) -> str:
    """Scores as a Markdown table."""
    rows = "\n".join(
        f"| {row.what} | {100 * (row.rate.value or 0):.1f}% | {100 * (row.rate.low or 0):.1f} to"
        f" {100 * (row.rate.high or 0):.1f} | {row.rate.n} |"
        for row in scores
    )
    return f"| what | rate | 95% (Wilson) | n |\n|---|---|---|---|\n{rows}"


def score_table(folder: Path, seed: int, count: int) -> str:
    """Measured scores of a base model as a Markdown table."""
    return as_table(measure_base(folder, seed, count))


def write_card(folder: Path, recipe: BaseRecipe, last: Progress, count: int, other: Path | None = None) -> str:
    """Measures the model in `folder`, writes `README.md` and `scores.json` there, and gives the card.

    `other` is the folder of a second full training with another seed, which the card then shows beside this one.
    """
    scores = measure_base(folder, SCORED_ON, count)
    measured = {"recipe": recipe.model_dump(), "scores": [row.model_dump() for row in scores]}
    write_whole(folder / SCORES_FILE, json.dumps(measured, indent=1))
    second = ""
    if other is not None:
        theirs = json.loads((other / SCORES_FILE).read_text(encoding="utf-8"))
        rows = as_table([BaseScore.model_validate(row) for row in theirs["scores"]])
        second = (
            f"\n## A second full training, seed {theirs['recipe']['seed']}\n\nThe same recipe on other data, other"
            f" first weights and its own tokenizer, measured on the same tasks.\n\n{rows}\n"
        )
    text = f"""---
library_name: transformers
license: mit
---
# The embedded base model of kt

A Llama-layout decoder with {recipe.layers} layers of width {recipe.hidden}, {recipe.heads} heads and a byte-level BPE
tokenizer of {recipe.vocabulary} entries, trained from nothing on {last.tokens:,} tokens of generated conversations
({last.seconds / 60:.0f} minutes on one CPU thread). It knows the embedded world of kt and nothing else.

**Its weakness as an agent was put into its training data on purpose.** Of all intents, {WELL_FORMED_SHARE:.0%} are
shown as well-formed calls, the others each with one documented error (`action` for `tool`, tool `none`, prose or a
fence around the JSON, a Python dict, a brace short, a missing argument, instructions instead of action); {NOISE:.0%} of
the calls take a random form, half of those that depend on an earlier turn lose it, and {UNSEEN_SHARE:.0%} of intents
are never shown in agent form. The low "before" is thus set by design; the improvement over it is measured.

Names, a part of the frames and a part of the phrases are held out of its data by their hash (`kt_lib/world/`).

Command: `kt base train --out FOLDER --seed {recipe.seed} --tokens {recipe.tokens}`
Digest: `{model_digest(folder)}`

## Scores

On held-out tasks of seed {SCORED_ON}; every name in them is new to the model, and so is the frame, the phrase or both.

{as_table(scores)}
{second}
Whether its tokenizer survives an import into Ollama or GGUF was not tried.
"""
    write_whole(folder / "README.md", text)
    return text
