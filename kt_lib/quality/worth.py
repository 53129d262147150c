"""What the quality score is worth: how well it tells answers that people found good from those they found bad."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from kt_lib.quality.score import FACTORS, quality
from kt_lib.records import Conversation, Record

BY_PEOPLE = "said_by_people"
"""The factor that is held out: it is what the others are measured against."""
FEWEST = 10
"""Good and bad answers from which a figure is called more than chance: fewer give an interval that means nothing."""
_RESAMPLES = 1000
Area = Callable[[Any], float | None]
"""From the weight of each conversation to the area under the curve."""


class Separation(Record):
    """How well a score separates good from bad: 0.5 is chance, 1 perfect, below 0.5 the wrong way round."""

    name: str
    """The score: `score`, or one factor."""
    auc: float | None
    """The share of pairs of one good and one bad in which the good one scores higher, ties half; None without both."""
    low: float | None
    """95% lower bound (bootstrap over conversations)."""
    high: float | None
    """95% upper bound."""
    good: int
    """Answers found good."""
    bad: int
    """Answers found bad."""

    @property
    def verdict(self) -> str:
        """What that means, in words."""
        if self.auc is None or self.low is None or self.high is None:
            return "cannot be measured: it takes good and bad answers"
        if min(self.good, self.bad) < FEWEST:
            return f"too few to tell: it takes {FEWEST} good and {FEWEST} bad answers"
        if self.low > 0.5:
            return "predicts"
        return "predicts the opposite" if self.high < 0.5 else "predicts nothing that can be told from chance"


class Worth(Record):
    """What the quality score is worth on conversations that people rated."""

    overall: Separation
    """All rated answers."""
    within: Separation
    """Answers to the same request only: what the request is like cannot help."""
    factors: tuple[Separation, ...]
    """Factor by factor, on the answers to which it applies."""


def worth(chats: Iterable[Conversation], *, seed: int = 1) -> Worth:
    """Scores every rated answer, up to it and without people's word in the score, and holds that against the rating."""
    judged = [
        (chat.id, good, quality(chat, leaf, without=(BY_PEOPLE,))) for chat in chats for leaf, good in _rated(chat)
    ]
    scores = [(name, good, found.score) for name, good, found in judged]
    by_factor = {
        factor: [(name, good, one.value) for name, good, found in judged for one in found.reasons if one.name == factor]
        for factor in FACTORS
        if factor != BY_PEOPLE
    }
    return Worth(
        overall=separation("score", scores, seed=seed),
        within=separation("score", scores, seed=seed, within=True),
        factors=tuple(separation(factor, scored, seed=seed) for factor, scored in by_factor.items()),
    )


def _rated(chat: Conversation) -> Iterator[tuple[str, bool]]:
    """The rated answers, and whether each was found good."""
    for message in chat.messages:
        if message.role == "assistant" and message.rating and message.rating.value:
            yield message.id, message.rating.value > 0


def separation(name: str, scored: Sequence[tuple[str, bool, float]], *, seed: int, within: bool = False) -> Separation:
    """The area under the ROC curve of `(conversation, good, score)`, with its interval over whole conversations.

    `within` compares only answers of one conversation with one another.
    """
    import numpy as np

    good = sum(one for _, one, _ in scored)
    counted = {"name": name, "good": good, "bad": len(scored) - good}
    chats = sorted({chat for chat, _, _ in scored})
    area = _within(scored, chats) if within else _over_all(scored, chats)
    found = area(np.ones(len(chats))) if scored else None
    if found is None:
        return Separation(auc=None, low=None, high=None, **counted)
    draws = np.random.default_rng(seed).multinomial(len(chats), [1 / len(chats)] * len(chats), size=_RESAMPLES)
    areas = [one for weights in draws if (one := area(weights)) is not None]
    low, high = np.quantile(areas, [0.025, 0.975])
    return Separation(auc=round(found, 4), low=round(float(low), 4), high=round(float(high), 4), **counted)


def _over_all(scored: Sequence[tuple[str, bool, float]], chats: Sequence[str]) -> Area:
    """The area over all answers, conversations weighted."""
    import numpy as np

    place = {chat: number for number, chat in enumerate(chats)}
    at = np.array([place[chat] for chat, _, _ in scored], dtype=int)
    good = np.array([one for _, one, _ in scored], dtype=bool)
    values, rank = np.unique([value for _, _, value in scored], return_inverse=True)

    def area(weights: Any) -> float | None:
        won = np.bincount(rank, weights[at] * good, len(values))
        lost = np.bincount(rank, weights[at] * ~good, len(values))
        pairs = won.sum() * lost.sum()
        return float((won * (np.cumsum(lost) - lost / 2)).sum() / pairs) if pairs else None

    return area


def _within(scored: Sequence[tuple[str, bool, float]], chats: Sequence[str]) -> Area:
    """The share of pairs within a conversation that the score puts right, conversations weighted."""
    import numpy as np

    values: dict[str, tuple[list[float], list[float]]] = {chat: ([], []) for chat in chats}
    for chat, good, value in scored:
        values[chat][good].append(value)
    right = np.array([sum((b < g) + (b == g) / 2 for b in bad for g in good) for bad, good in values.values()])
    pairs = np.array([len(bad) * len(good) for bad, good in values.values()])

    def area(weights: Any) -> float | None:
        whole = float((weights * pairs).sum())
        return float((weights * right).sum()) / whole if whole else None

    return area
