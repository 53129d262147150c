"""Whether anything an evaluation task is made of was in what the model learned from: measured, shown, and refused."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from kt_lib.calls.writing import write_calls
from kt_lib.errors import LeakageError
from kt_lib.records import ChatMessage, Example, PreferencePair, Record, SftRow, Task, ToolSpec
from kt_lib.splits import NearDuplicate, near_duplicates, normalised, standing_within

_RUN = re.compile(r"[A-Za-z0-9]+")
_LONGEST = 3
"""Most of the user's messages in a row that are compared without what the user said before them."""
_FEWEST = 5
"""Words that these need for that: `and the other one?` says nothing without what led to it."""
WITHIN = 8
"""Words that a request needs to be looked for within longer texts: fewer stand in many by chance."""


class Leak(Record):
    """One evaluation task that is too near to one training text."""

    task_id: str
    """The evaluation task."""
    kind: str
    """entity, prompt, template, near_duplicate or within."""
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
    """Similarity that counts as a near-duplicate (Jaccard over three-word shingles of the request), and the share of a
    request's three-word runs in a longer text from which it stands within it."""
    leaks: tuple[Leak, ...] = ()
    """What was found."""


def measure_leakage(
    tasks: Iterable[Task],
    rows: Sequence[SftRow],
    pairs: Sequence[PreferencePair],
    examples: Sequence[Example],
    threshold: float,
) -> LeakageReport:
    """Holds every dev and test task against every training text.

    A task leaks by a name of its own that stands anywhere; by its request, all that the user says in it, where that is,
    or is at least `threshold` like (Jaccard over three-word shingles, their ends marked), what a user says before a
    learned answer from the conversation's beginning on, or in up to three messages that follow one another (these of
    five words or more); and by a request of eight words or more that stands within anything else: in what the user
    says, an answer, a rejected one or a prompt, whatever stands around it (`threshold` of its three-word runs). So a
    follow-up is compared with what led to it.
    """
    known = list(tasks)
    held = [task for task in known if task.part != "train"]
    learned = texts_of(rows, pairs, examples)
    leaks = [
        *shared_names(held, {text.place: text.said for text in learned}),
        *same_words(held, learned, {task.id: task.entities for task in known}),
        *alike(held, learned, threshold),
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
    """Everything in it; nothing for a part of another one."""
    asked: str
    """What the user said in it."""


def texts_of(rows: Sequence[SftRow], pairs: Sequence[PreferencePair], examples: Sequence[Example]) -> list[Learned]:
    """Every training text with its place, and the parts of it that a request may be."""
    return [
        *(text for at, row in enumerate(rows) for text in of_row(row, f"sft row {at}")),
        *(text for at, pair in enumerate(pairs) for text in of_pair(pair, f"pair {at}")),
        *(text for at, one in enumerate(examples) for text in of_example(one, f"example {at}")),
    ]


def of_row(row: SftRow, place: str) -> list[Learned]:
    """A row as a whole, what was asked before each of its earlier answers that is learned, and its user's messages."""
    everything = "\n".join([*shown_to_the_model(row.messages, row.tools), said(row.messages)])
    whole = Learned(f"{place} (task {row.task_id})", row.task_id, everything, request(row.messages))
    answers = (at for at, message in enumerate(row.messages) if message.role == "assistant" and row.learn == "all")
    return [whole, *_parts(whole, row.messages, {f"turn {at}": request(row.messages[:at]) for at in answers})]


def of_pair(pair: PreferencePair, place: str) -> list[Learned]:
    """A pair, both sides of which are learned from, each in its way; and its user's messages."""
    everything = [*shown_to_the_model(pair.prompt, pair.tools), said(pair.prompt), pair.chosen, pair.rejected]
    whole = Learned(f"{place} (task {pair.task_id})", pair.task_id, "\n".join(everything), request(pair.prompt))
    return [whole, *_parts(whole, pair.prompt, {})]


def of_example(one: Example, place: str) -> list[Learned]:
    """A few-shot example and its user's messages."""
    whole = Learned(f"{place} (task {one.task_id})", one.task_id, said(one.messages), request(one.messages))
    return [whole, *_parts(whole, one.messages, {})]


def _parts(whole: Learned, messages: Sequence[ChatMessage], begun: Mapping[str, str]) -> list[Learned]:
    """The beginnings of a conversation, and the messages of its user that follow one another, each part once."""
    first: dict[str, str] = {}
    for place, text in (*begun.items(), *last_said(messages).items()):
        if text and text != whole.asked:
            first.setdefault(text, place)
    return [Learned(f"{whole.place}, {place}", whole.task_id, "", text) for text, place in first.items()]


def last_said(messages: Sequence[ChatMessage]) -> dict[str, str]:
    """What the user says in one message or in up to three that follow one another, by place: five words or more."""
    asked = [message.content for message in messages if message.role == "user"]
    runs = {
        f"message {end} of the user" + (f" and {length - 1} before" if length > 1 else ""): "\n".join(
            asked[end - length : end]
        )
        for end in range(1, len(asked) + 1)
        for length in range(1, min(end, _LONGEST) + 1)
    }
    return {place: text for place, text in runs.items() if len(text.split()) >= _FEWEST}


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

    Only texts that hold the name's longest run of letters and digits as a word of theirs are searched: where the name
    is a whole word, so is that.
    """
    by_run: dict[str, list[str]] = {}
    for name in names:
        by_run.setdefault(max(_RUN.findall(name), key=len, default=""), []).append(name)
    found: dict[str, list[int]] = {}
    for number, text in enumerate(texts):
        for run in by_run.keys() & {"", *_RUN.findall(text)}:
            for name in by_run[run]:
                if name in text and as_whole_word(name).search(text):
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


def alike(tasks: Sequence[Task], learned: Sequence[Learned], threshold: float) -> list[Leak]:
    """Evaluation tasks whose request is, or is nearly, a training request, or stands within a training text."""
    texts = [text.asked for text in learned]
    known = {normalised(text.asked): text.place for text in reversed(learned)}
    requests = [request(task.messages) for task in tasks]
    found = {
        task.id: Leak(task_id=task.id, kind="prompt", row=known[normalised(text)], detail=text[:80])
        for task, text in zip(tasks, requests, strict=True)
        if normalised(text) in known
    }
    near = [("near_duplicate", one) for one in near_duplicates(requests, texts, threshold)]
    near += [("within", one) for one in found_within(requests, learned, threshold)]
    for kind, one in near:
        task, detail = tasks[one.index], f"similarity {one.similarity:.2f}: {requests[one.index][:80]}"
        found.setdefault(task.id, Leak(task_id=task.id, kind=kind, row=learned[one.against].place, detail=detail))
    return list(found.values())


def found_within(requests: Sequence[str], learned: Sequence[Learned], threshold: float) -> list[NearDuplicate]:
    """The requests that stand within all that is in a training text, or within all that its user says."""
    whole = [number for number, text in enumerate(learned) if text.said]
    texts = [*(learned[number].said for number in whole), *(learned[number].asked for number in whole)]
    found = standing_within(requests, texts, threshold, WITHIN)
    return [one.model_copy(update={"against": whole[one.against % len(whole)]}) for one in found]


def request(messages: Sequence[ChatMessage]) -> str:
    """What the user said, in order, without prompts and answers."""
    return "\n".join(message.content for message in messages if message.role == "user")


def said(messages: Sequence[ChatMessage]) -> str:
    """Everything in a conversation but its system prompt, calls as they are written."""
    told = [message for message in messages if message.role != "system"]
    return "\n".join(
        text for one in told for text in (one.content, write_calls(one.tool_calls) if one.tool_calls else "") if text
    )
