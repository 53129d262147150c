"""Whether anything an evaluation task is made of was in what the model learned from: measured, shown, and refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from kt_lib.errors import LeakageError
from kt_lib.records import ChatMessage, Example, PreferencePair, Record, SftRow, Task
from kt_lib.splits import near_duplicates, normalised


class Leak(Record):
    """One evaluation task that is too near to one training text."""

    task_id: str
    """The evaluation task."""
    kind: str
    """entity, prompt or near_duplicate."""
    row: str
    """Where it was found: `sft row 12 (task sha256:...)`."""
    detail: str
    """What they share."""


class LeakageReport(Record):
    """What was held against what, and what was found."""

    evaluation_tasks: int
    """Dev and test tasks."""
    training_texts: int
    """SFT rows, preference pairs and few-shot examples."""
    entities: int
    """Made-up names in the evaluation tasks."""
    threshold: float
    """Similarity (Jaccard over three-word shingles of the request) that counts as a near-duplicate."""
    leaks: tuple[Leak, ...] = ()
    """What was found."""


def measure_leakage(
    tasks: Iterable[Task],
    rows: Sequence[SftRow],
    pairs: Sequence[PreferencePair],
    examples: Sequence[Example],
    threshold: float,
) -> LeakageReport:
    """Holds every dev and test task against every training text: its names, its whole prompt, and its likeness."""
    held = [task for task in tasks if task.part != "train"]
    texts = {
        **{f"sft row {at} (task {row.task_id})": said(row.messages) for at, row in enumerate(rows)},
        **{f"pair {at} (task {pair.task_id})": f"{said(pair.prompt)}\n{pair.chosen}" for at, pair in enumerate(pairs)},
        **{f"example {at} (task {each.task_id})": said(each.messages) for at, each in enumerate(examples)},
    }
    asked = {
        **{f"sft row {at} (task {row.task_id})": request(row.messages) for at, row in enumerate(rows)},
        **{f"pair {at} (task {pair.task_id})": request(pair.prompt) for at, pair in enumerate(pairs)},
        **{f"example {at} (task {each.task_id})": request(each.messages) for at, each in enumerate(examples)},
    }
    leaks = [*shared_names(held, texts), *alike(held, asked, threshold)]
    names = {name for task in held for name in task.entities}
    return LeakageReport(
        evaluation_tasks=len(held),
        training_texts=len(texts),
        entities=len(names),
        threshold=threshold,
        leaks=tuple(leaks),
    )


def refuse_leaks(report: LeakageReport) -> None:
    """LeakageError when anything leaked: a figure from such an evaluation would be worth nothing."""
    if report.leaks:
        first = report.leaks[0]
        raise LeakageError(
            f"{len(report.leaks)} leak(s) of evaluation tasks into training; the first: task {first.task_id},"
            f" {first.kind} in {first.row}: {first.detail}. Take these rows out of training, or give other tasks"
        )


def shared_names(tasks: Sequence[Task], texts: dict[str, str]) -> list[Leak]:
    """Evaluation tasks one of whose names stands as a whole word in a training text."""
    everything = "\n".join(texts.values())
    found = []
    for task in tasks:
        for name in task.entities:
            if name not in everything:
                continue
            whole = re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])")
            where = next((place for place, text in texts.items() if whole.search(text)), None)
            if where:
                found.append(Leak(task_id=task.id, kind="entity", row=where, detail=f"the name {name!r}"))
    return found


def alike(tasks: Sequence[Task], asked: dict[str, str], threshold: float) -> list[Leak]:
    """Evaluation tasks whose request is, or is nearly, a training request. A follow-up counts with what led to it."""
    places, texts = list(asked), list(asked.values())
    known = {normalised(text): place for place, text in asked.items()}
    requests = [request(task.messages) for task in tasks]
    found = [
        Leak(task_id=task.id, kind="prompt", row=known[normalised(text)], detail=text[:80])
        for task, text in zip(tasks, requests, strict=True)
        if normalised(text) in known
    ]
    same = {leak.task_id for leak in found}
    for near in near_duplicates(requests, texts, threshold):
        task = tasks[near.index]
        if task.id not in same:
            detail = f"similarity {near.similarity:.2f}: {requests[near.index][:80]}"
            found.append(Leak(task_id=task.id, kind="near_duplicate", row=places[near.against], detail=detail))
    return found


def request(messages: Sequence[ChatMessage]) -> str:
    """What the user said, in order, without prompts and answers."""
    return "\n".join(message.content for message in messages if message.role == "user")


def said(messages: Sequence[ChatMessage]) -> str:
    """Everything in a conversation but its system prompt."""
    return "\n".join(message.content for message in messages if message.role != "system")
