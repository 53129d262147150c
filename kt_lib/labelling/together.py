"""Several annotators: how far they agree, and what an audit of labels accepted in bulk found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from kt_lib.agreement import Coefficient, alpha, kappa, percent_agreement
from kt_lib.label_store import LabelStore
from kt_lib.labelling.order import content_of
from kt_lib.labels import Label, Question
from kt_lib.ledger import open_ledger
from kt_lib.records import Rate, Record
from kt_lib.statistics import wilson


class Agreement(Record):
    """How far annotators agree on one kind of question."""

    kind: str
    """The kind, or `all`."""
    annotators: tuple[str, ...]
    """Who rated."""
    same: Rate
    """The share of questions on which all say the same, of the n that at least two answered."""
    kappa: Coefficient | None
    """Cohen's kappa, for two annotators."""
    alpha: Coefficient
    """Krippendorff's alpha."""


def agreement(labels: Sequence[Label], kind: str = "all") -> Agreement:
    """Agreement over the labels of one kind, or of all.

    Labels that settled a disagreement, or were accepted in bulk, are no ratings of their own and count for nothing.
    """
    said = [
        label
        for label in labels
        if kind in ("all", label.kind)
        and label.answer.verdict not in ("skipped", "open")
        and label.answer.origin not in ("settled", "bulk")
    ]
    names = sorted({label.annotator for label in said})
    rows: dict[str, dict[str, str]] = {}
    for label in said:
        rows.setdefault(label.question, {})[label.annotator] = content_of(label.answer)
    groups = {label.question: label.group for label in said}
    items = [tuple(row.get(name) for name in names) for row in rows.values()]
    of = [groups[question] for question in rows]
    return Agreement(
        kind=kind,
        annotators=tuple(names),
        same=percent_agreement(items),
        kappa=kappa(items, of) if len(names) == 2 else None,
        alpha=alpha(items, of),
    )


def audited(labels: Iterable[Label]) -> Rate:
    """Of the labels accepted in bulk that were drawn and looked at since: how many a person confirmed."""
    looked = [label.answer.audit for label in labels if label.answer.audit in ("confirmed", "changed")]
    return wilson(looked.count("confirmed"), len(looked))


def given_labels(state: Path) -> list[Label]:
    """Everybody's labels in the ledger of a state folder."""
    with open_ledger(state) as ledger:
        return LabelStore(ledger).labels()


def how_far(
    questions: Iterable[Question], given: Sequence[Label], standing: Sequence[Label]
) -> list[dict[str, str | int | Rate]]:
    """How far each kind of question is, as rows of a table; `audited`: of bulk labels looked at, how many held."""
    stands = {label.question for label in standing}
    by_kind: dict[str, list[str]] = defaultdict(list)
    for question in questions:
        by_kind[question.kind].append(question.id)
    return [_how_far(kind, names, given, stands) for kind, names in by_kind.items()]


def _how_far(kind: str, names: Sequence[str], given: Sequence[Label], stands: set[str]) -> dict[str, str | int | Rate]:
    asked = set(names)
    own = [label for label in given if label.question in asked]
    labelled = len(asked & stands)
    answered = {label.question for label in own if label.answer.verdict not in ("skipped", "open")}
    tied = len(answered - stands)
    missing = [f"{len(asked) - labelled} without a label"] * (labelled < len(asked)) + [f"{tied} to settle"] * bool(
        tied
    )
    return {
        "kind": kind,
        "questions": len(asked),
        "labelled": labelled,
        "by": ", ".join(sorted({label.annotator for label in own})) or "nobody",
        "skipped": sum(label.answer.verdict == "skipped" for label in own),
        "flagged": sum(label.answer.flagged for label in own),
        "audited": audited(own),
        "missing": ", ".join(missing) or "nothing",
    }


def counts(given: Sequence[Label], standing: Sequence[Label]) -> list[dict[str, str | int]]:
    """The labels of each kind, as rows of a table: labelled, skipped, flagged, and by whom."""
    kinds = sorted({label.kind for label in given})
    return [
        {
            "kind": kind,
            "labelled": sum(label.kind == kind for label in standing),
            "skipped": sum(label.kind == kind and label.answer.verdict == "skipped" for label in given),
            "flagged": sum(label.kind == kind and label.answer.flagged for label in given),
            "by": ", ".join(sorted({label.annotator for label in given if label.kind == kind})),
        }
        for kind in kinds
    ]


def agreement_rows(found: Iterable[Agreement]) -> list[dict[str, object]]:
    """Agreements as rows of a table, those that two people rated; coefficients with their intervals."""
    return [
        {
            "kind": one.kind,
            "annotators": ", ".join(one.annotators),
            "n": one.same.n,
            "same answer": one.same,
            "Cohen's kappa": _with_interval(one.kappa),
            "Krippendorff's alpha": _with_interval(one.alpha),
            "warning": one.alpha.warning,
        }
        for one in found
        if one.same.n
    ]


def _with_interval(one: Coefficient | None) -> str:
    if one is None or one.value is None:
        return "\u2013"
    return f"{one.value:.2f}" + (f" ({one.low:.2f} to {one.high:.2f})" if one.low is not None else "")
