"""How often each heuristic says what people say, and suggestions whose score is measured once people have answered."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from kt_lib.agreement import cohen_kappa
from kt_lib.labelling.suggestions import ASSUMPTION
from kt_lib.labels import Label, Question, QuestionKind, Suggestion, Verdict
from kt_lib.records import Rate, Record
from kt_lib.statistics import wilson

TOP = "most trusted"
"""Names the suggestion that stands first, whichever heuristic made it."""

Answered = list[tuple[Verdict, Verdict, bool]]
"""What a heuristic said, what a person said, and whether the person saw the suggestion."""


class HeuristicScore(Record):
    """One heuristic on one kind of question, held against people."""

    kind: QuestionKind
    """Kind of question."""
    heuristic: str
    """`Suggestion.origin`, or `most trusted` for the first suggestion of each question."""
    agreement: Rate
    """How often it says what the label says; without labels None, with n 0."""
    kappa: float | None
    """Cohen's kappa with the labels: 0 is chance; None without labels, and where both always say the same one thing."""
    in_sight: int
    """Of the n labels, those given with a suggestion in sight: these may have followed it."""
    suggests: int
    """Questions it says something about."""
    questions: int
    """Questions of the kind."""
    coverage: Rate
    """`suggests` of `questions`."""


def score_heuristics(questions: Iterable[Question], labels: Iterable[Label]) -> list[HeuristicScore]:
    """Each heuristic on each kind of question against the labels that stand; kinds in order, best covered first.

    A label that was accepted in bulk is the suggestion itself and counts for nothing. A corrected reading or pattern is
    a "no" to what was suggested.
    """
    by_question = _by_people(labels)
    asked: Counter[QuestionKind] = Counter()
    suggests: Counter[tuple[QuestionKind, str]] = Counter()
    answered: dict[tuple[QuestionKind, str], Answered] = defaultdict(list)
    for question in questions:
        asked[question.kind] += 1
        label = by_question.get(question.id)
        for heuristic, suggestion in _said(question):
            suggests[question.kind, heuristic] += 1
            if label is not None:
                said = (suggestion.verdict, _yes_or_no(label), bool(label.answer.suggested))
                answered[question.kind, heuristic].append(said)
    kinds = list(asked)
    found = [_score(key, answered[key], suggests[key], asked[key[0]]) for key in suggests]
    return sorted(found, key=lambda one: (kinds.index(one.kind), one.heuristic == TOP, -one.suggests, one.heuristic))


def rows_of(scores: Iterable[HeuristicScore]) -> list[dict[str, object]]:
    """The scores as rows of a table."""
    return [
        {
            "kind": one.kind,
            "heuristic": one.heuristic,
            "n": one.agreement.n,
            "agrees": one.agreement.value,
            "low": one.agreement.low,
            "high": one.agreement.high,
            "kappa": one.kappa,
            "in sight": one.in_sight,
            "covers": one.coverage.value,
            "questions": one.questions,
        }
        for one in scores
    ]


def with_measured(questions: Sequence[Question], labels: Iterable[Label]) -> list[Question]:
    """The questions, each suggestion with the score measured against people instead of the assumed one.

    Measured: (times right + 1) / (times + 2) over the labels that stand, by heuristic and kind. A heuristic that no
    label speaks of keeps its assumption.
    """
    measured = {
        (one.kind, one.heuristic): (round((one.agreement.value or 0.0) * one.agreement.n), one.agreement.n)
        for one in score_heuristics(questions, labels)
        if one.agreement.n
    }
    return [_measured(question, measured) for question in questions]


def _measured(question: Question, measured: Mapping[tuple[QuestionKind, str], tuple[int, int]]) -> Question:
    found = []
    for one in question.suggestions:
        if (question.kind, one.origin) in measured:
            right, times = measured[question.kind, one.origin]
            told = one.because.removesuffix(ASSUMPTION) + f"measured: right {right} of {times} times"
            one = one.model_copy(update={"score": (right + 1) / (times + 2), "because": told})
        found.append(one)
    ranked = sorted(found, key=lambda one: (-one.score, one.origin))
    return question.model_copy(update={"suggestions": tuple(ranked)})


def _by_people(labels: Iterable[Label]) -> dict[str, Label]:
    return {
        one.question: one
        for one in labels
        if one.answer.origin != "bulk" and one.answer.verdict not in ("skipped", "open")
    }


def _said(question: Question) -> list[tuple[str, Suggestion]]:
    said = [(one.origin, one) for one in question.suggestions]
    return [*said, (TOP, question.suggestions[0])] if said else []


def _yes_or_no(label: Label) -> Verdict:
    return "no" if label.answer.verdict == "corrected" else label.answer.verdict


def _score(key: tuple[QuestionKind, str], answered: Answered, suggests: int, asked: int) -> HeuristicScore:
    said, people = [one for one, _, _ in answered], [one for _, one, _ in answered]
    right = sum(one == other for one, other in zip(said, people, strict=True))
    return HeuristicScore(
        kind=key[0],
        heuristic=key[1],
        agreement=wilson(right, len(answered)),
        kappa=cohen_kappa(said, people) if answered else None,
        in_sight=sum(seen for _, _, seen in answered),
        suggests=suggests,
        questions=asked,
        coverage=wilson(suggests, asked),
    )
