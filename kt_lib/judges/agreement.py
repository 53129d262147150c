"""What a judge is worth: how far it says what people say of the same questions; a warning where that is not known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from kt_lib.agreement import ENOUGH, Coefficient, kappa, percent_agreement
from kt_lib.judges.judge import JudgeQuestion, Ruling, same_as_people_are_asked
from kt_lib.labelling.questions import questions_from
from kt_lib.labelling.voices import voice_questions
from kt_lib.labels import Label, QuestionKind
from kt_lib.records import Attempt, Conversation, Difference, Rate, Record, Task
from kt_lib.standing import standing

FEWEST = 30
"""Fewer labelled questions than this say little of a judge, however well they agree."""
_UNREADABLE = 0.1


class JudgeAgreement(Record):
    """How far a judge and people say the same."""

    same: Rate
    """The share of questions with the same verdict."""
    kappa: Coefficient
    """Cohen's kappa of judge and people."""
    unread: int
    """Questions that people labelled and the judge gave no readable verdict on."""

    @property
    def warning(self) -> str:
        """What to be told about beside every figure of this judge; empty when there is nothing."""
        found = self.kappa
        if found.n == 0 and self.unread:
            return f"it gave no readable verdict on any of the {self.unread} that people labelled"
        if found.n == 0:
            return "nobody has labelled what this judge ruled on: how far it can be trusted is not known"
        if found.value is None:
            return f"agreement with people is not defined on {found.n} labels: both always say the same one thing"
        said = f"kappa with people {found.value:.2f}{_interval(found.low, found.high)}, n {found.n}"
        if found.value < ENOUGH:
            return f"{said}: below {ENOUGH:.3f}, do not rely on this judge"
        if found.n < FEWEST:
            return f"{said}: {FEWEST} labels at least would say something of this judge"
        if found.low is not None and found.low < ENOUGH:
            return f"{said}: it may be below {ENOUGH:.3f}, label more"
        if self.unread > _UNREADABLE * (self.unread + found.n):
            return f"{said}, but {self.unread} more that people labelled got no readable verdict"
        return ""

    @property
    def in_words(self) -> str:
        """How far a judge says what people say, and the warning where there is one."""
        same = self.same
        if same.value is None or same.low is None or same.high is None:
            return self.warning
        words = f"the same as people on {same.value:.1%} ({same.low:.1%} to {same.high:.1%}) of {same.n}"
        return f"{words}; {self.warning}" if self.warning else words


def agreement_by_kind(rulings: Sequence[Ruling], labels: Iterable[Label]) -> dict[QuestionKind, JudgeAgreement]:
    """The judge against people, for each kind of question that they labelled.

    Kinds have different answers (yes and no; first and second): put together, a judge that always says the same one
    thing of each kind would seem to agree beyond chance.
    """
    of: dict[QuestionKind, list[Label]] = defaultdict(list)
    asked = {one.question for one in rulings}
    for label in _given_by_people(labels):
        if label.question in asked:
            of[label.kind].append(label)
    return {kind: agreement_with_people(rulings, own) for kind, own in sorted(of.items())}


def agreement_with_people(rulings: Iterable[Ruling], labels: Iterable[Label]) -> JudgeAgreement:
    """The judge against the labels, of one kind, that stand on the same questions.

    Labels taken over from a suggestion, singly or in bulk, do not count: they may be this very judge's. A correction
    says no. Conversations are drawn together for the interval of kappa.
    """
    people = {label.question: label for label in _given_by_people(labels)}
    both = [(people[one.question], one) for one in rulings if one.question in people]
    read = [(label, one) for label, one in both if one.verdict not in ("unreadable", "unanswered")]
    items = [
        ("no" if label.answer.verdict == "corrected" else label.answer.verdict, one.verdict) for label, one in read
    ]
    return JudgeAgreement(
        same=percent_agreement(items),
        kappa=kappa(items, [label.group for label, _ in read]),
        unread=len(both) - len(read),
    )


def labelled_questions(
    labels: Iterable[Label],
    conversations: Iterable[Conversation],
    tasks: Iterable[Task],
    differences: Iterable[Difference],
    kinds: Collection[QuestionKind] = ("turn", "preference", "voice"),
    voices: Iterable[Attempt] = (),
) -> list[JudgeQuestion]:
    """What people were asked of these records and answered, for a judge: turns, which of two answers is better, voices.

    `voices` are attempts at some of the `tasks`; each answer that people labelled counts, whatever is drawn today.
    """
    answered = {label.question for label in _given_by_people(labels)}
    known = list(tasks)
    questions = questions_from(conversations, tasks=known, differences=differences, kinds=kinds)
    questions += voice_questions(voices, known) if "voice" in kinds else []
    asked = (same_as_people_are_asked(question) for question in questions if question.id in answered)
    return [question for question in asked if question is not None]


def _given_by_people(labels: Iterable[Label]) -> tuple[Label, ...]:
    """The labels that stand among those that nobody took over from a suggestion."""
    return standing(label for label in labels if label.answer.origin not in ("accepted", "bulk")).labels


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({low:.2f} to {high:.2f})"
