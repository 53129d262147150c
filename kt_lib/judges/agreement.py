"""What a judge is worth: how far it says what people say of the same questions; a warning where that is not known."""

from __future__ import annotations

from collections.abc import Iterable

from kt_lib.agreement import ENOUGH, Coefficient, kappa, percent_agreement
from kt_lib.judges.judge import Judging, Ruling
from kt_lib.labels import Label
from kt_lib.records import Rate, Record, Score
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


def agreement_with_people(rulings: Iterable[Ruling], labels: Iterable[Label]) -> JudgeAgreement:
    """The judge against the labels that stand on the same questions.

    Labels taken over from a suggestion, singly or in bulk, do not count: they may be this very judge's. A correction
    says no. Conversations are drawn together for the interval of kappa.
    """
    typed = [label for label in labels if label.answer.origin not in ("accepted", "bulk")]
    people = {label.question: label for label in standing(typed).labels}
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


def in_words(score: Score, judging: Judging, agreement: JudgeAgreement) -> str:
    """A judged figure with what it is worth: rate, n, agreement with people, and the warning where there is one."""
    rate = score.rate
    value = "not measured"
    if rate.value is not None and rate.low is not None and rate.high is not None:
        value = f"{rate.value:.1%} ({rate.low:.1%} to {rate.high:.1%})"
    words = f"{score.metric} {value}, n {rate.n}, judged by {judging.model}"
    if agreement.same.value is not None:
        words += f"; the same as people on {agreement.same.value:.1%} of {agreement.same.n}"
    return f"{words}. Warning: {agreement.warning}" if agreement.warning else words


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({low:.2f} to {high:.2f})"
