"""Rows and pairs without copies of one another, and without whatever is near an evaluation task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from kt_lib.leakage import Learned, found_within, masked, request, said, standing_in, texts_of
from kt_lib.records import ChatMessage, PreferencePair, SftRow, Task
from kt_lib.splits import copies, near_duplicates, normalised

AnyRow = TypeVar("AnyRow", SftRow, PreferencePair)
_FEWEST = 15
"""Words that an assistant must say for the talk alone to be compared: `Done.` is said after any call."""


def without_copies(rows: Sequence[AnyRow], threshold: float) -> tuple[list[AnyRow], dict[str, int]]:
    """The rows without those that are, or nearly are, an earlier one, and how many these are, by reason.

    The first of several stays, so the order of sources decides. Compared is everything said and called, without the
    system prompt, and beside it what is learned alone: one request with another answer is another row, however long the
    request. Near is a Jaccard similarity of at least `threshold` over three-word shingles, measured exactly. A
    conversation is near another one too where what both sides say in words is, and what is learned of the assistant's
    words, fifteen of them or more: the same talk comes with its calls and results written in more than one way.
    """
    texts, learned = [_all_of(row) for row in rows], [_learned_in(row) for row in rows]
    first: dict[str, int] = {}
    for number, text in enumerate(texts):
        first.setdefault(text, number)
    same = {number: first[text] for number, text in enumerate(texts) if first[text] != number}
    others = [number for number in range(len(rows)) if number not in same]
    near = _copies(others, texts, threshold, learned)
    talks = [_talk_of(row) for row in rows]
    spoken, answered = [talk for talk, _ in talks], [answers for _, answers in talks]
    long = [at for at in others if at not in near and len(answered[at].split()) >= _FEWEST]
    again = _copies(long, spoken, threshold, answered)
    left_out = Counter(f"the same as a row of `{rows[of].source}`" for of in same.values())
    left_out.update(f"nearly a row of `{rows[of].source}`" for of in near.values())
    left_out.update(
        f"the same talk as a row of `{rows[of].source}`, its calls written otherwise" for of in again.values()
    )
    kept = [row for number, row in enumerate(rows) if not any(number in copied for copied in (same, near, again))]
    return kept, dict(left_out.most_common())


def _copies(numbers: Sequence[int], texts: Sequence[str], threshold: float, learned: Sequence[str]) -> dict[int, int]:
    """Of these rows those that are nearly an earlier one, and which."""
    found = copies([texts[at] for at in numbers], threshold, [learned[at] for at in numbers])
    return {numbers[one.index]: numbers[one.against] for one in found}


def _talk_of(row: SftRow | PreferencePair) -> tuple[str, str]:
    """What both sides say in words, and what is learned of that; nothing of a pair, whose sides are all there is."""
    if isinstance(row, PreferencePair):
        return "", ""
    answers = [one for one in row.messages if one.role == "assistant" and not _is_call(one)]
    learned = answers if row.learn == "all" else [one for one in answers if one is row.messages[-1]]
    talk = [one for one in row.messages if one.role == "user" or (one.role == "assistant" and not _is_call(one))]
    return "\n".join(one.content for one in talk), "\n".join(one.content for one in learned)


def _is_call(message: ChatMessage) -> bool:
    """Whether a message is a call as the JSON protocol writes it."""
    return message.content.lstrip().startswith(("{", "["))


def _all_of(row: SftRow | PreferencePair) -> str:
    if isinstance(row, SftRow):
        return said(row.messages)
    return "\n".join((said(row.prompt), row.chosen, row.rejected))


def _learned_in(row: SftRow | PreferencePair) -> str:
    if isinstance(row, PreferencePair):
        return f"{row.chosen}\n{row.rejected}"
    answers = [message for message in row.messages if message.role == "assistant"]
    return said(answers if row.learn == "all" else answers[-1:])


def without_near(
    rows: Sequence[AnyRow], tasks: Iterable[Task], threshold: float
) -> tuple[list[AnyRow], dict[str, int]]:
    """The rows of which `measure_leakage` finds nothing in the dev and test tasks, and how many others, by reason."""
    known = list(tasks)
    held = [task for task in known if task.part != "train"]
    found = [(number, text) for number, row in enumerate(rows) for text in _learned(row)]
    learned = [text for _, text in found]
    reasons: dict[int, str] = {}
    for within in found_within([request(task.messages) for task in held], learned, threshold):
        reasons[found[within.against][0]] = "holds what an evaluation task asks"
    for at in _alike(learned, held, threshold):
        reasons[found[at][0]] = "asks what an evaluation task asks, or nearly"
    for at in _same_words(learned, held, {task.id: task.entities for task in known}):
        reasons[found[at][0]] = "asks what an evaluation task asks with other names and numbers"
    named = standing_in({name for task in held for name in task.entities}, [text.said for text in learned])
    for at in {at for places in named.values() for at in places}:
        reasons[found[at][0]] = "names what only evaluation tasks name"
    kept = [row for number, row in enumerate(rows) if number not in reasons]
    return kept, dict(Counter(reasons.values()).most_common())


def _learned(row: SftRow | PreferencePair) -> list[Learned]:
    return texts_of([row], [], []) if isinstance(row, SftRow) else texts_of([], [row], [])


def _alike(learned: Sequence[Learned], held: Sequence[Task], threshold: float) -> set[int]:
    requests = [request(task.messages) for task in held]
    exact = {normalised(text) for text in requests}
    same = {number for number, text in enumerate(learned) if normalised(text.asked) in exact}
    return same | {near.index for near in near_duplicates([text.asked for text in learned], requests, threshold)}


def _same_words(learned: Sequence[Learned], held: Sequence[Task], names: Mapping[str, Sequence[str]]) -> set[int]:
    wanted = {masked(request(task.messages), task.entities) for task in held if task.novelty}
    if not wanted:
        return set()
    return {at for at, text in enumerate(learned) if masked(text.asked, names.get(text.task_id, ())) in wanted}
