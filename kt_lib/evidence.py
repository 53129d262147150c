"""Whose word makes calls the accepted ones: a settled label, a label, a rating, a follow-up, in this order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from kt_lib.calls.schemas import schema_fault
from kt_lib.labels import Label
from kt_lib.records import AcceptedCall, Check, Record, ToolCall, canonical_json
from kt_lib.standing import how_given, is_settled, reading_id
from kt_lib.turns import Turn, TurnAnswer

SETTLED, LABEL, RATING, FOLLOW_UP = 4, 3, 2, 1


class Word(Record):
    """What was said of an answer's calls."""

    rank: int
    """Whose word it is: the higher one holds."""
    accepts: bool
    """Whether these calls are right."""
    calls: tuple[ToolCall, ...]
    """The calls it is about; where they are right, none means that no call is due."""
    because: str
    """In words."""
    weight: int = 0
    """Between words of one rank: corrected calls over a no, a no over a yes."""


class LabelsOfAnswers:
    """The labels of turns and readings, found by the answer they judge."""

    def __init__(self, labels: Iterable[Label] = ()) -> None:
        self._by_subject = {(one.kind, one.subject, one.question): one for one in labels}
        self._readings: dict[str, list[Label]] = {}
        self._turns: dict[str, Label] = {}
        for one in self._by_subject.values():
            if one.kind == "reading":
                self._readings.setdefault(one.subject, []).append(one)
            elif one.kind == "turn":
                self._turns[one.subject] = one

    def turn(self, answer: TurnAnswer) -> Label | None:
        """What was said of the whole answer."""
        return self._turns.get(answer.id)

    def reading(self, answer: TurnAnswer) -> Label | None:
        """What was said of these calls of the answer; a correction holds however the answer is read."""
        given = self._readings.get(answer.id, [])
        asked = reading_id(answer.id, answer.calls)
        fitting = [one for one in given if one.question == asked or one.answer.verdict == "corrected"]
        return max(fitting, key=lambda one: (is_settled(one), one.question == asked, one.number), default=None)


def check_of(turn: Turn, labels: LabelsOfAnswers) -> tuple[Check, str]:
    """What counts as right for a turn, and why, in words; without anyone's word the evidence is `none`."""
    words = [_words(answer, turn, labels) for answer in turn.answers]
    held = [max(said, key=lambda word: (word.rank, word.weight)) for said in words if said]
    denied = _denied(turn, labels)
    right = [word for word in held if word.accepts and denied.get(_key(word.calls), 0) < word.rank]
    if not right:
        because = next((word.because for word in held if word.rank >= LABEL), "unverified")
        return Check(rule="exact", evidence="none"), because
    best = max(right, key=lambda word: word.rank)
    evidence: Literal["label", "rating", "follow_up"] = (
        "label" if best.rank >= LABEL else "rating" if best.rank == RATING else "follow_up"
    )
    accepted = _accepted(best.calls, [word.calls for word in right if word.rank >= LABEL])
    return Check(rule="exact" if best.calls else "never", accepted=accepted, evidence=evidence), best.because


def _words(answer: TurnAnswer, turn: Turn, labels: LabelsOfAnswers) -> list[Word]:
    """All that was said of the calls of an answer."""
    found = []
    if reading := labels.reading(answer):
        found.append(_of_reading(reading, answer, turn))
    if not answer.calls:
        return found
    if judged := labels.turn(answer):
        yes = judged.answer.verdict == "yes"
        found.append(_by_label(judged, yes, answer.calls, "labelled right" if yes else "labelled wrong", 1 - yes))
    return [*found, *_heuristic_words(answer)]


def _of_reading(label: Label, answer: TurnAnswer, turn: Turn) -> Word:
    verdict = label.answer.verdict
    if verdict == "yes":
        return _by_label(label, True, answer.calls, "calls labelled right")
    if verdict == "no":
        return _by_label(label, False, answer.calls, "calls labelled wrong", 1)
    faults = (schema_fault(call, turn.tools) for call in label.answer.calls)
    if fault := next((fault for fault in faults if fault), None):
        return _by_label(
            label, False, answer.calls, f"calls labelled wrong, and the corrected ones do not fit: {fault}", 2
        )
    return _by_label(label, True, label.answer.calls, "calls corrected by a person", 2)


def _heuristic_words(answer: TurnAnswer) -> list[Word]:
    """A rating and a follow-up: bad wins over good, and a good rating that the user then corrects counts as none."""
    values = [rating.value for rating in answer.ratings]
    if any(value < 0 for value in values):
        return [Word(rank=RATING, accepts=False, calls=answer.calls, because="rated bad")]
    if any(value > 0 for value in values):
        good = Word(rank=RATING, accepts=True, calls=answer.calls, because="rated good")
        return [] if answer.said == "refutes" else [good]
    if answer.said == "confirms":
        return [Word(rank=FOLLOW_UP, accepts=True, calls=answer.calls, because="confirmed by the follow-up")]
    return []


def _by_label(label: Label, accepts: bool, calls: tuple[ToolCall, ...], because: str, weight: int = 0) -> Word:
    how = how_given(label)
    told = f"{because} ({how})" if how else because
    return Word(rank=_rank(label), accepts=accepts, calls=calls, because=told, weight=weight)


def _rank(label: Label) -> int:
    return SETTLED if is_settled(label) else LABEL


def _denied(turn: Turn, labels: LabelsOfAnswers) -> dict[str, int]:
    """The calls that a person labelled wrong, each with the rank of that word: another answer's same calls are too."""
    found: dict[str, int] = {}
    for answer in turn.answers:
        reading = labels.reading(answer)
        if reading is not None and reading.answer.verdict != "yes" and answer.calls:
            key = _key(answer.calls)
            found[key] = max(found.get(key, 0), _rank(reading))
    return found


def _key(calls: Sequence[ToolCall]) -> str:
    return canonical_json([[call.name, call.arguments] for call in calls])


def _accepted(calls: Sequence[ToolCall], others: Sequence[Sequence[ToolCall]]) -> tuple[AcceptedCall, ...]:
    """The calls as accepted ones; where others were labelled right that differ in one value, that value is right too.

    Only in one and the same place: values from several places would make calls that nobody called right.
    """
    values = [{name: [value] for name, value in call.arguments.items()} for call in calls]
    place: tuple[int, str] | None = None
    for other in others:
        found = _one_difference(calls, other)
        if found is not None and place in (None, found):
            place = found
            at, name = found
            if other[at].arguments[name] not in values[at][name]:
                values[at][name].append(other[at].arguments[name])
    return tuple(AcceptedCall(name=call.name, arguments=each) for call, each in zip(calls, values, strict=True))


def _one_difference(calls: Sequence[ToolCall], other: Sequence[ToolCall]) -> tuple[int, str] | None:
    """Where two lists of calls differ, if it is the value of one argument."""
    if [(call.name, call.arguments.keys()) for call in calls] != [(call.name, call.arguments.keys()) for call in other]:
        return None
    places = [
        (at, name)
        for at, (one, two) in enumerate(zip(calls, other, strict=True))
        for name in one.arguments
        if one.arguments[name] != two.arguments[name]
    ]
    return places[0] if len(places) == 1 else None
