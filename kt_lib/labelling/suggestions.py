"""What simple heuristics would answer, how sure, and why: ratings, the user's next words, a second answer, the checker.

How sure is an assumption, stated in `ASSUMED`, until people have answered: then it is measured (`heuristics`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from kt_lib.calls.schemas import schema_fault
from kt_lib.follow_ups import Says
from kt_lib.labels import Suggestion, Verdict
from kt_lib.records import Difference, Pattern, Rating, Task, ToolCall, canonical_json
from kt_lib.turns import Turn, TurnAnswer

ASSUMED: dict[str, float] = {
    "rated": 0.9,
    "rated, thumb and score at odds": 0.55,
    "confirmed by the next words": 0.85,
    "refuted by the next words": 0.85,
    "answered again, and the other one kept": 0.65,
    "kept among several": 0.6,
    "does not fit the schema": 0.85,
    "fits the schema": 0.6,
    "the agent calls the same": 0.75,
    "the agent calls something else": 0.55,
    "one is right by the evidence there is": 0.85,
    "both make the same calls": 0.7,
    "only space changed": 0.9,
    "a word or so changed": 0.6,
    "changed": 0.7,
    "written anew": 0.6,
    "seen often": 0.8,
    "seen seldom": 0.6,
}
"""How often each sign is assumed to be right, 0.5 being a coin: judgement, not measurement."""

ASSUMPTION = "assumed, no person has answered yet"
"""Ends `because` as long as the score is an assumption."""

_OFTEN = 5
_GOOD, _BAD = 6, 5
"""Scores of 1 to 10 at and above, at and below which a score speaks for good and bad."""


def suggest_turn(turn: Turn, answer: TurnAnswer) -> tuple[Suggestion, ...]:
    """Whether the turn succeeded."""
    return _ranked([*_by_rating(answer), *_by_follow_up(answer), *_by_regeneration(turn, answer)])


def suggest_reading(turn: Turn, answer: TurnAnswer, difference: Difference | None) -> tuple[Suggestion, ...]:
    """Whether these calls are the right ones."""
    faults = (schema_fault(call, turn.tools) for call in answer.calls)
    fault = next((fault for fault in faults if fault), None)
    by_schema = (
        _suggestion("no", "checker", "does not fit the schema", fault)
        if fault
        else _suggestion("yes", "checker", "fits the schema")
    )
    by_agent = []
    if difference and difference.agent.calls:
        same = same_calls(answer.calls, difference.agent.calls)
        sign = "the agent calls the same" if same else "the agent calls something else"
        by_agent = [_suggestion("yes" if same else "no", "agent", sign)]
    return _ranked([by_schema, *by_agent, *_by_rating(answer), *_by_follow_up(answer)])


def suggest_siblings(turn: Turn, first: TurnAnswer, second: TurnAnswer) -> tuple[Suggestion, ...]:
    """Which of two answers to one request is better, where a sign tells them apart."""
    found = []
    better = _better(_value(first), _value(second))
    if better:
        found.append(_suggestion(better, "rating", "rated"))
    said = {"confirms": 1, "neither": 0, "refutes": -1}
    better = _better(said[_said(first)], said[_said(second)])
    if better:
        confirmed = "confirms" in (_said(first), _said(second))
        sign = "confirmed by the next words" if confirmed else "refuted by the next words"
        found.append(_suggestion(better, "follow_up", sign))
    better = _better(int(turn.open == first.id), int(turn.open == second.id))
    if better:
        found.append(_suggestion(better, "regenerated", "kept among several"))
    return _ranked(found)


def suggest_attempts(difference: Difference, task: Task) -> tuple[Suggestion, ...]:
    """Which of the two fresh answers to a task is better: chat first, agent second."""
    chat, agent = difference.chat, difference.agent
    if chat.calls and same_calls(chat.calls, agent.calls):
        return (_suggestion("tie", "checker", "both make the same calls"),)
    if task.check.evidence != "none":
        better = _better(int(chat.outcome == "correct"), int(agent.outcome == "correct"))
        if better:
            return (_suggestion(better, "checker", "one is right by the evidence there is", task.check.evidence),)
    fits = [
        bool(one.calls) and not any(schema_fault(call, task.tools) for call in one.calls) and one.outcome != "malformed"
        for one in (chat, agent)
    ]
    better = _better(*map(int, fits))
    return (_suggestion(better, "checker", "fits the schema", "the other one does not"),) if better else ()


def suggest_edit(original: str, final: str) -> tuple[Suggestion, ...]:
    """Whether an edit is an improvement: people seldom edit for nothing, and small edits may change nothing."""
    from rapidfuzz.distance import Indel

    before, after = original.split(), final.split()
    if before == after:
        return (_suggestion("same", "edit_size", "only space changed"),)
    alike = Indel.normalized_similarity(before, after)
    how = f"{alike:.0%} of the words are the same"
    if alike > 0.97:
        return (_suggestion("same", "edit_size", "a word or so changed", how),)
    return (_suggestion("yes", "edit_size", "written anew" if alike < 0.3 else "changed", how),)


def suggest_pattern(pattern: Pattern) -> tuple[Suggestion, ...]:
    """Whether a pattern is right: it was taken from verified examples, the more the better."""
    sign = "seen often" if pattern.support >= _OFTEN else "seen seldom"
    return (_suggestion("yes", "support", sign, f"{pattern.support} verified examples"),)


def same_calls(first: Iterable[ToolCall], second: Iterable[ToolCall]) -> bool:
    """Whether both are the same calls, in any order."""
    one, other = (sorted(canonical_json([call.name, call.arguments]) for call in calls) for calls in (first, second))
    return one == other


def _by_rating(answer: TurnAnswer) -> list[Suggestion]:
    value = _value(answer)
    if not value:
        return []
    rating = next(one for one in answer.ratings if one.value == value)
    sign = "rated, thumb and score at odds" if _at_odds(rating) else "rated"
    score = f", {rating.score} of 10" if rating.score is not None else ""
    why = f": {rating.reason}" if rating.reason else ""
    return [_suggestion("yes" if value > 0 else "no", "rating", sign, f"{'good' if value > 0 else 'bad'}{score}{why}")]


def _at_odds(rating: Rating) -> bool:
    if rating.score is None:
        return False
    return rating.score < _GOOD if rating.value > 0 else rating.score > _BAD


def _value(answer: TurnAnswer) -> int:
    """Bad wins over good."""
    values = [rating.value for rating in answer.ratings]
    return -1 if any(value < 0 for value in values) else int(any(value > 0 for value in values))


def _by_follow_up(answer: TurnAnswer) -> list[Suggestion]:
    said = _said(answer)
    if said == "neither":
        return []
    if said == "confirms":
        return [_suggestion("yes", "follow_up", "confirmed by the next words")]
    return [_suggestion("no", "follow_up", "refuted by the next words")]


def _said(answer: TurnAnswer) -> Says:
    """What the next words say of the answer; a "no" to its own question says nothing of it ("Anything else?" "No")."""
    asked = answer.text.rstrip().endswith("?")
    return "neither" if asked and answer.said == "refutes" else answer.said


def _by_regeneration(turn: Turn, answer: TurnAnswer) -> list[Suggestion]:
    if len(turn.answers) < 2 or turn.open is None:
        return []
    if turn.open == answer.id:
        return [_suggestion("yes", "regenerated", "kept among several")]
    return [_suggestion("no", "regenerated", "answered again, and the other one kept")]


def _better(first: int, second: int) -> Literal["first", "second"] | None:
    return None if first == second else "first" if first > second else "second"


def _suggestion(verdict: Verdict, origin: str, sign: str, detail: str | None = None) -> Suggestion:
    words = f"{sign} ({detail})" if detail else sign
    return Suggestion(verdict=verdict, score=ASSUMED[sign], origin=origin, because=f"{words}; {ASSUMPTION}")


def _ranked(found: Iterable[Suggestion]) -> tuple[Suggestion, ...]:
    return tuple(sorted(found, key=lambda one: (-one.score, one.origin)))
