"""In which order to ask, and whom: by uncertainty, disagreement or diversity, with an overlap between annotators."""

from __future__ import annotations

import hashlib
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from kt_lib.labels import Answer, Label, Question
from kt_lib.splits import normalised

Order = Literal["uncertain", "disagreement", "diverse", "as_is"]
ORDERS: tuple[Order, ...] = get_args(Order)

_DIMENSIONS = 512
_CENTRES = 200
"""Questions picked one by one as the farthest from all picked so far; the rest follow them in rounds."""


def ordered(questions: Sequence[Question], order: Order, labels: Iterable[Label] = ()) -> list[Question]:
    """The questions in an order that does not change from one opening to the next.

    uncertain: contradicting suggestions first, then those nearest to a coin. disagreement: annotators who differ, then
    suggestions that do, then chat and agent that do. diverse: each as unlike those before it as can be.
    """
    if order == "uncertain":
        return sorted(questions, key=lambda one: (-uncertainty(one), one.id))
    if order == "disagreement":
        differing = disputed(labels)
        return sorted(questions, key=lambda one: (-disagreement(one, differing), -uncertainty(one), one.id))
    return diverse(questions) if order == "diverse" else list(questions)


def uncertainty(question: Question) -> float:
    """1 where suggestions contradict, 0.9 where there is none, else how near to a coin the first is, 0..1."""
    suggestions = question.suggestions
    if not suggestions:
        return 0.9
    if contradicting(question):
        return 1.0
    return 1 - abs(2 * suggestions[0].score - 1)


def contradicting(question: Question) -> bool:
    """Whether two suggestions say different things."""
    return len({one.verdict for one in question.suggestions}) > 1


def disputed(labels: Iterable[Label]) -> set[str]:
    """Questions that annotators answered differently and nobody settled."""
    said: dict[str, set[str]] = defaultdict(set)
    settled = set()
    for label in labels:
        answer = label.answer
        if answer.origin == "settled":
            settled.add(label.question)
        # What was accepted in bulk nobody has judged yet.
        if answer.verdict not in ("skipped", "open") and answer.origin != "bulk":
            said[label.question].add(content_of(answer))
    return {question for question, answers in said.items() if len(answers) > 1} - settled


def content_of(answer: Answer) -> str:
    """What an answer says, for comparing: the verdict, and the correction where it is one."""
    return answer.model_dump_json(include={"verdict", "calls", "text"})


def disagreement(question: Question, differing: set[str]) -> int:
    """3 where annotators differ, 2 where suggestions do, 1 where the sides call differently, 0 otherwise."""
    if question.id in differing:
        return 3
    if contradicting(question):
        return 2
    called = {tuple((call.name, str(sorted(call.arguments.items()))) for call in side.calls) for side in question.sides}
    return int(len(called) > 1)


def shared_out(
    questions: Sequence[Question], annotator: str, annotators: Sequence[str], overlap: float
) -> list[Question]:
    """An annotator's share: a part `overlap` (0..1) goes to everybody, the rest to one annotator each, by hash.

    Everything where no annotators are named, or this one is not among them.
    """
    names = sorted(set(annotators))
    if annotator not in names:
        return list(questions)
    return [one for one in questions if _draw(one.id, "all") < overlap or _owner(one.id, names) == annotator]


def _owner(question: str, names: Sequence[str]) -> str:
    return names[int(_draw(question, "one") * len(names))]


def _draw(question: str, what: str) -> float:
    return int.from_bytes(hashlib.sha256(f"{what}\n{question}".encode()).digest()[:6], "big") / 2**48


def diverse(questions: Sequence[Question]) -> list[Question]:
    """Farthest first over the words of the questions, and then those near to each pick, in rounds."""
    if len(questions) < 3:
        return list(questions)
    points = np.stack([_point(one) for one in questions])
    picked, nearest, likeness = _farthest_first(points)
    rounds: dict[int, list[int]] = defaultdict(list)
    for at in np.argsort(likeness, kind="stable"):
        if int(at) not in picked:
            rounds[int(nearest[at])].append(int(at))
    order = list(picked)
    while any(rounds.values()):
        order += [rounds[centre].pop(0) for centre in range(len(picked)) if rounds[centre]]
    return [questions[at] for at in order]


def _farthest_first(points: NDArray[np.float32]) -> tuple[dict[int, None], NDArray[np.int64], NDArray[np.float32]]:
    """Picks in order, and for every point its nearest pick and how like it is."""
    picked: dict[int, None] = {0: None}
    likeness = points @ points[0]
    nearest = np.zeros(len(points), dtype=np.int64)
    while len(picked) < min(_CENTRES, len(points)):
        at = int(np.argmin(np.where(np.isin(np.arange(len(points)), list(picked)), np.inf, likeness)))
        closer = points @ points[at] > likeness
        nearest[closer] = len(picked)
        likeness = np.maximum(likeness, points @ points[at])
        picked[at] = None
    return picked, nearest, likeness


def _point(question: Question) -> NDArray[np.float32]:
    """The words of a question as a vector of length 1 (feature hashing)."""
    asked = question.context[-1].content if question.context else ""
    words = normalised(" ".join([question.kind, asked, *(side.text for side in question.sides)])[:4000]).split()
    point = np.zeros(_DIMENSIONS, dtype=np.float32)
    for word in words:
        point[zlib.crc32(word.encode("utf-8", "surrogatepass")) % _DIMENSIONS] += 1
    point = np.log1p(point)
    return point / max(float(np.linalg.norm(point)), 1e-9)
