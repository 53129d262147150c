"""The labels that stand, one for each question: what was settled, else what most annotators say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from kt_lib.labels import Interaction, Label, QuestionKind
from kt_lib.records import Record, ToolCall, content_id


def question_id(kind: QuestionKind, subject: str, *judged: object) -> str:
    """Id of a question: by what is judged, never by when or in which run, so that labels survive a re-import."""
    return content_id("question", kind, subject, *judged)


def reading_id(answer: str, calls: Sequence[ToolCall]) -> str:
    """Id of the question whether `calls` are the right ones for the answer with this id.

    The calls are part of it: where the same words are read otherwise later on, the question is another one.
    """
    return question_id("reading", answer, [[call.name, call.arguments] for call in calls])


class Standing(Record):
    """The labels that stand."""

    labels: tuple[Label, ...] = ()
    """One for each question that someone answered and nobody contradicts; settled ones first."""
    tied: tuple[str, ...] = ()
    """Questions whose annotators contradict each other evenly: they have no label until one is settled."""
    agreeing: dict[str, int] = {}
    """By question, how many annotators say what its label says."""
    interactions: tuple[Interaction, ...] = ()
    """Exchanges in the playground that a person judged."""

    @property
    def digest(self) -> str:
        """What the labels say, without who, when and how fast: what a step's result may depend on."""
        said = [[one.question, how_given(one), _content(one), self.agreeing[one.question]] for one in self.labels]
        judged = [[one.id, one.verdict, one.correction] for one in self.interactions]
        return content_id("labels", said, sorted(self.tied), judged)


def standing(labels: Iterable[Label]) -> Standing:
    """The labels that stand among the newest of each annotator; skipped and open questions say nothing."""
    by_question: dict[str, list[Label]] = defaultdict(list)
    for label in labels:
        if label.answer.verdict not in ("skipped", "open"):
            by_question[label.question].append(label)
    found: list[Label] = []
    tied: list[str] = []
    agreeing: dict[str, int] = {}
    for question, given in sorted(by_question.items()):
        stands = _standing(given)
        if stands is None:
            tied.append(question)
        else:
            found.append(stands)
            agreeing[question] = len({one.annotator for one in given if _content(one) == _content(stands)})
    found.sort(key=lambda label: (not is_settled(label), label.question))
    return Standing(labels=tuple(found), tied=tuple(tied), agreeing=agreeing)


def is_settled(label: Label) -> bool:
    """Whether the label was given to end a disagreement."""
    return label.answer.origin == "settled"


def how_given(label: Label) -> str:
    """A word on how a label came, where that is worth knowing: settled, or accepted in bulk and so hardly looked at."""
    return {"settled": "settled", "bulk": "accepted in bulk"}.get(label.answer.origin, "")


def _standing(given: Sequence[Label]) -> Label | None:
    settled = [label for label in given if is_settled(label)]
    if settled:
        return max(settled, key=lambda label: label.number)
    by_content: dict[str, list[Label]] = defaultdict(list)
    for label in given:
        by_content[content_id(_content(label))].append(label)
    most = max(len(same) for same in by_content.values())
    first, *others = [same for same in by_content.values() if len(same) == most]
    return None if others else max(first, key=lambda label: label.number)


def _content(label: Label) -> list[object]:
    answer = label.answer
    return [answer.verdict, [[call.name, call.arguments] for call in answer.calls], answer.text]
