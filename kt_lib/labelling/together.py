"""Several annotators: how far they agree, and what an audit of labels accepted in bulk found."""

from __future__ import annotations

from collections.abc import Sequence

from kt_lib.agreement import Coefficient, alpha, kappa, percent_agreement
from kt_lib.labelling.queue import BulkAccepted
from kt_lib.labels import Label
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
        rows.setdefault(label.question, {})[label.annotator] = label.answer.verdict
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


def audited(labels: Sequence[Label], accepted: BulkAccepted) -> Rate:
    """How many of the audited labels were confirmed when looked at, of those looked at so far."""
    by_question = {label.question: label for label in labels}
    looked = [by_question[one] for one in accepted.audit if one in by_question]
    seen = [label for label in looked if label.answer.origin != "bulk"]
    return wilson(sum(label.answer.origin == "accepted" for label in seen), len(seen))
