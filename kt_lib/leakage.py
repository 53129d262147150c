"""Whether anything an evaluation task is made of was in what the model learned from: measured, shown, and refused."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from kt_lib.calls.writing import write_calls
from kt_lib.errors import LeakageError
from kt_lib.records import ChatMessage, Example, PreferencePair, Record, SftRow, Task, ToolSpec
from kt_lib.splits import near_duplicates, normalised

_RUN = re.compile(r"[A-Za-z0-9]+")


class Leak(Record):
    """One evaluation task that is too near to one training text."""

    task_id: str
    """The evaluation task."""
    kind: str
    """entity, prompt, template or near_duplicate."""
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
    known = list(tasks)
    held = [task for task in known if task.part != "train"]
    learned = texts_of(rows, pairs, examples)
    asked = {text.place: text.asked for text in learned}
    leaks = [
        *shared_names(held, {text.place: text.said for text in learned}),
        *same_words(held, learned, {task.id: task.entities for task in known}),
        *alike(held, asked, threshold),
    ]
    return LeakageReport(
        evaluation_tasks=len(held),
        training_texts=len(rows) + len(pairs) + len(examples),
        entities=len({name for task in held for name in task.entities}),
        threshold=threshold,
        leaks=tuple(leaks),
    )


class Learned(NamedTuple):
    """A text that something is learned from."""

    place: str
    """Where it stands."""
    task_id: str
    """The task it was made of."""
    said: str
    """Everything in it."""
    asked: str
    """What the user said in it."""


def texts_of(rows: Sequence[SftRow], pairs: Sequence[PreferencePair], examples: Sequence[Example]) -> list[Learned]:
    """Every training text with its place; of a conversation each beginning whose answer is learned."""
    return [
        *(text for at, row in enumerate(rows) for text in of_row(row, f"sft row {at}")),
        *(of_pair(pair, f"pair {at}") for at, pair in enumerate(pairs)),
        *(
            Learned(f"example {at} (task {one.task_id})", one.task_id, said(one.messages), request(one.messages))
            for at, one in enumerate(examples)
        ),
    ]


def of_row(row: SftRow, place: str) -> list[Learned]:
    """A row as a whole, and what was asked before each of its earlier answers that is learned too."""
    place = f"{place} (task {row.task_id})"
    everything = "\n".join([*shown_to_the_model(row.messages, row.tools), said(row.messages)])
    found = [Learned(place, row.task_id, everything, request(row.messages))]
    if row.learn == "all":
        begun = {
            request(row.messages[:at]): at
            for at, message in enumerate(row.messages[:-1])
            if message.role == "assistant" and request(row.messages[:at]) != found[0].asked
        }
        found += [Learned(f"{place}, turn {at}", row.task_id, "", asked) for asked, at in begun.items() if asked]
    return found


def of_pair(pair: PreferencePair, place: str) -> Learned:
    """A pair: both sides are learned from, each in its way."""
    everything = [*shown_to_the_model(pair.prompt, pair.tools), said(pair.prompt), pair.chosen, pair.rejected]
    return Learned(f"{place} (task {pair.task_id})", pair.task_id, "\n".join(everything), request(pair.prompt))


def shown_to_the_model(messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]) -> list[str]:
    """What stands in a prompt beside the talk: the system's words and the tools."""
    return [*(one.content for one in messages if one.role == "system"), *(one.model_dump_json() for one in tools)]


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
    places = list(texts)
    named = standing_in({name for task in tasks for name in task.entities}, list(texts.values()))
    return [
        Leak(task_id=task.id, kind="entity", row=places[named[name][0]], detail=f"the name {name!r}")
        for task in tasks
        for name in task.entities
        if name in named
    ]


def standing_in(names: Collection[str], texts: Sequence[str]) -> dict[str, list[int]]:
    """The texts in which each name stands as a whole word, for those that stand in any.

    Only texts that hold the name's first run of letters and digits as a word of theirs are searched.
    """
    by_run: dict[str, list[str]] = {}
    for name in names:
        begun = _RUN.search(name)
        by_run.setdefault(begun[0] if begun else "", []).append(name)
    whole = {name: as_whole_word(name) for name in names}
    found: dict[str, list[int]] = {}
    for number, text in enumerate(texts):
        for run in by_run.keys() & {"", *_RUN.findall(text)}:
            for name in by_run[run]:
                if whole[name].search(text):
                    found.setdefault(name, []).append(number)
    return found


def same_words(tasks: Sequence[Task], learned: Sequence[Learned], names: Mapping[str, Sequence[str]]) -> list[Leak]:
    """Evaluation tasks said to be new in frame or phrase whose request was learned with other names and numbers."""
    places = {masked(text.asked, names.get(text.task_id, ())): text.place for text in learned}
    found = []
    for task in tasks:
        words = masked(request(task.messages), task.entities)
        if task.novelty and words in places:
            found.append(Leak(task_id=task.id, kind="template", row=places[words], detail=f"the words {words[:80]!r}"))
    return found


def as_whole_word(name: str) -> re.Pattern[str]:
    """Finds a name where it is no part of a longer one."""
    return re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])")


def masked(text: str, names: Sequence[str]) -> str:
    """A request without what may change in it: the names in it and every number."""
    for name in sorted(names, key=len, reverse=True):
        text = as_whole_word(name).sub("_name_", text)
    return normalised(re.sub(r"\d+", "0", text))


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
    """Everything in a conversation but its system prompt, calls as they are written."""
    told = [message for message in messages if message.role != "system"]
    return "\n".join(
        text for one in told for text in (one.content, write_calls(one.tool_calls) if one.tool_calls else "") if text
    )
