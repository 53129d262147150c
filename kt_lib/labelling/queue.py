"""The queue of questions that one annotator works through: every action is stored at once, and can be taken back."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, TypeVar

from kt_lib.errors import KtError, StaleLabel
from kt_lib.label_store import LabelStore, Undone
from kt_lib.labelling.order import Order, disputed, ordered
from kt_lib.labels import VERDICTS, Answer, Label, Question, Suggestion
from kt_lib.records import Record

Done = TypeVar("Done")

_RECENT = 50
"""Labels by which the rate is measured."""
_PAUSE = 300.0
"""Seconds without a label that count as a pause, not as work."""


class Progress(Record):
    """How far the annotator is."""

    done: int
    """Questions answered."""
    skipped: int
    """Questions skipped."""
    flagged: int
    """Questions flagged."""
    total: int
    """Questions in the queue."""
    per_hour: float | None
    """Answers an hour by the last ones, without pauses; None before there are two."""
    seconds_left: float | None
    """Time left at that rate."""


class BulkAccepted(Record):
    """What accepting many at once did."""

    accepted: tuple[str, ...]
    """Questions whose suggestion was stored as the label."""
    audit: tuple[str, ...]
    """Of those, the ones drawn to be looked at; they come back in the queue."""


class Queue:
    """A place in a list of questions, and the annotator's answers to them.

    `annotator` names who answers. Another queue of the same annotator (another tab) is told by `StaleLabel` when it
    would overwrite what it has not seen; it has then looked again, and the next try goes through.
    """

    def __init__(
        self, store: LabelStore, questions: Sequence[Question], annotator: str, *, order: Order = "uncertain"
    ) -> None:
        if not annotator.strip():
            raise KtError("an annotator needs a name: labels are kept by who gave them")
        self.annotator = annotator.strip()
        self.order = order
        self.questions = ordered(questions, order, store.labels())
        self._store = store
        self._session = uuid.uuid4().hex
        self._by_id = {one.id: one for one in self.questions}
        self._at = 0
        self.refresh()
        # The order may have learned something since: what was looked at last tells where to go on.
        self.go(store.place(self.annotator) or "")
        if self.current is not None and not self.is_open(self.current.id):
            self.resume()

    # --- where we are ---

    @property
    def current(self) -> Question | None:
        """The question that is looked at; None in an empty queue."""
        return self.questions[self._at] if self.questions else None

    @property
    def position(self) -> int:
        """Place of the current question, from 0."""
        return self._at

    def go(self, question: str) -> None:
        """Look at a question by its id."""
        self._look(next((at for at, one in enumerate(self.questions) if one.id == question), self._at))

    def step(self, by: int) -> None:
        """Look at a question further on, or back."""
        self._look(min(max(self._at + by, 0), max(len(self.questions) - 1, 0)))

    def resume(self) -> None:
        """Look at the next question, from here on and then from the start, that is neither answered nor skipped."""
        places = [*range(self._at, len(self.questions)), *range(self._at)]
        self._look(next((at for at in places if self.is_open(self.questions[at].id)), self._at))

    def is_open(self, question: str) -> bool:
        """Whether the annotator has neither answered nor skipped it, or is to look at it again."""
        answer = self.answer_of(question)
        return answer is None or answer.verdict == "open" or answer.audit == "due"

    def answer_of(self, question: str) -> Answer | None:
        """What the annotator said of a question."""
        label = self._labels.get(question)
        return label.answer if label else None

    def refresh(self) -> None:
        """Look at what is stored, what other tabs did included."""
        self._seen = self._store.newest(self.annotator)
        self._labels = {one.question: one for one in self._store.labels(self.annotator)}

    def progress(self) -> Progress:
        """How far the annotator is, how fast, and how long it will take."""
        own = [label for label in self._labels.values() if label.question in self._by_id]
        answered = [label for label in own if label.answer.verdict not in ("skipped", "open")]
        skipped = sum(label.answer.verdict == "skipped" for label in own)
        per_hour = _per_hour([label.time for label in answered if label.answer.origin in ("person", "accepted")])
        left = sum(self.is_open(one.id) for one in self.questions)
        return Progress(
            done=len(answered),
            skipped=skipped,
            flagged=sum(label.answer.flagged for label in own),
            total=len(self.questions),
            per_hour=per_hour,
            seconds_left=3600 * left / per_hour if per_hour else None,
        )

    # --- actions, each stored at once ---

    def label(self, question: str, answer: Answer) -> Label:
        """Store an answer; an earlier flag and note stay unless the answer brings its own.

        KtError for an answer that is none to this kind of question, StaleLabel when another tab was faster.
        """
        asked = self._by_id[question]
        allowed = (*VERDICTS[asked.kind], "skipped", "open")
        if answer.verdict not in allowed:
            raise KtError(
                f"{answer.verdict!r} is no answer to a {asked.kind} question: give one of {', '.join(allowed)}"
            )
        if answer.verdict == "skipped" and not answer.text.strip():
            raise KtError("a question is skipped with a reason: say why, in a word or two")
        before = self.answer_of(question)
        if before is not None and answer.verdict != "open":
            kept = {
                "flagged": answer.flagged or before.flagged,
                "note": answer.note or before.note,
                "audit": _outcome(before, answer),
            }
            answer = answer.model_copy(update=kept)
        return self._put(asked, answer)

    def skip(self, question: str, reason: str) -> Label:
        """Leave a question out, with the reason."""
        return self.label(question, Answer(verdict="skipped", text=reason))

    def flag(self, question: str) -> Label:
        """Mark a question to be looked at again, or take the mark away."""
        before = self.answer_of(question) or Answer(verdict="open")
        return self._put(self._by_id[question], before.model_copy(update={"flagged": not before.flagged}))

    def note(self, question: str, text: str) -> Label:
        """Write a note on a question, answered or not."""
        before = self.answer_of(question) or Answer(verdict="open")
        return self._put(self._by_id[question], before.model_copy(update={"note": text}))

    def undo(self) -> Undone | None:
        """Take back the annotator's last label, also one of an earlier session, and look at its question."""
        return self._turn(self._store.undo)

    def redo(self) -> Undone | None:
        """Give back what was taken back last, and look at its question."""
        return self._turn(self._store.redo)

    def sure(self, threshold: float) -> list[Question]:
        """The open questions whose suggestions all say the same, the first with a score of at least `threshold`."""
        return [one for one in self.questions if self.is_open(one.id) and _is_sure(one, threshold)]

    def accept_above(self, threshold: float, audit_share: float = 0.1, seed: int = 1) -> BulkAccepted:
        """Store the first suggestion of every open question whose score is at least `threshold` (0..1), in one stroke.

        A share of them, at least one, is drawn by `seed` to be looked at: these stay open until answered again. Where
        suggestions contradict each other nothing is accepted.
        """
        sure = self.sure(threshold)
        if not sure:
            return BulkAccepted(accepted=(), audit=())
        names = [one.id for one in sure]
        audit = set(random.Random(seed).sample(names, max(1, round(audit_share * len(names)))))
        answers = [(one, _accepted(one.suggestions[0], one.id in audit)) for one in sure]
        for label in self._guarded(lambda: self._store.put_all(answers, self.annotator, self._seen, self._session)):
            self._labels[label.question] = label
        self.resume()
        return BulkAccepted(accepted=tuple(names), audit=tuple(name for name in names if name in audit))

    # --- together with others ---

    def disagreements(self) -> list[tuple[Question, list[Label]]]:
        """Questions that annotators answered differently and nobody settled, each with everybody's label."""
        labels = self._store.labels()
        differing = disputed(labels)
        said = [label for label in labels if label.answer.verdict not in ("skipped", "open")]
        return [
            (one, [label for label in said if label.question == one.id])
            for one in self.questions
            if one.id in differing
        ]

    def settle(self, question: str, answer: Answer) -> Label:
        """End a disagreement: this answer outranks everybody's."""
        return self.label(question, answer.model_copy(update={"origin": "settled"}))

    # --- within ---

    def _look(self, at: int) -> None:
        if at != self._at:
            self._at = at
            self._store.keep_place(self.annotator, self.questions[at].id)

    def _put(self, question: Question, answer: Answer) -> Label:
        label = self._guarded(lambda: self._store.put(question, self.annotator, answer, self._seen, self._session))
        self._labels[label.question] = label
        return label

    def _turn(self, turn: Callable[[str, int, str], Undone | None]) -> Undone | None:
        undone = self._guarded(lambda: turn(self.annotator, self._seen, self._session))
        if undone is not None:
            self.refresh()
            self.go(undone.questions[0])
        return undone

    def _guarded(self, act: Callable[[], Done]) -> Done:
        try:
            return act()
        except StaleLabel:
            self.refresh()
            raise


def _is_sure(question: Question, threshold: float) -> bool:
    said = question.suggestions
    return bool(said) and said[0].score >= threshold and all(one.verdict == said[0].verdict for one in said)


def _accepted(suggestion: Suggestion, to_audit: bool) -> Answer:
    audit = "due" if to_audit else ""
    return Answer(verdict=suggestion.verdict, origin="bulk", suggested=suggestion.origin, audit=audit)


def _outcome(before: Answer, answer: Answer) -> Literal["", "confirmed", "changed"]:
    """What an audit came to when a label accepted in bulk is answered by a person."""
    if before.audit == "" or answer.verdict == "skipped":
        return ""
    if before.audit == "due":
        return "confirmed" if answer.verdict == before.verdict else "changed"
    return before.audit


def _per_hour(times: Sequence[float]) -> float | None:
    """Answers an hour: pauses between two answers count for nothing."""
    recent = sorted(times)[-_RECENT:]
    gaps = [later - earlier for earlier, later in pairwise(recent) if later - earlier < _PAUSE]
    return 3600 * len(gaps) / sum(gaps) if sum(gaps) > 0 else None
