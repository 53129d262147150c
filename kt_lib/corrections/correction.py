"""What a correction is, and the check that both of its sides pass: the evaluation's checker, and what it cannot see."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kt_lib.calls.judging import judge_agent
from kt_lib.errors import KtError
from kt_lib.records import Completion, Record, Task

MISCOUNTED = "miscounted"
"""Failure class of a plain answer whose number is not what the list gives; no call is due, so only the words tell."""

NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()
_CODE = re.compile(r"`([^`]*)`")
_NUMBER = re.compile(rf"(?<![\w.-])(\d+|{'|'.join(NUMBERS)})(?![\w-]|\.\d)", re.IGNORECASE)
_BULLET = re.compile(r"- \S.*[.!?]")


class Correction(Record):
    """One documented error in one situation: what was asked, the right answer and the wrong one."""

    pattern: str
    """The documented error."""
    failure: str
    """The failure class that the wrong answer gets, exactly."""
    task: Task
    """What was asked, with its check."""
    right: str
    """The right answer as the JSON protocol writes it, or in plain words."""
    wrong: str
    """The wrong answer."""
    why: str
    """What is learned from it."""
    says: tuple[str, ...] = ()
    """What stands in the conversation and must stand in the right answer."""
    counts: str = ""
    """For a count: the pattern whose matches in the last result of `list_agents` are counted."""
    different: bool = False
    """For a count: whether only different matches count."""
    bullets: int = 0
    """For a plan: how many bullets the right answer has."""


def failure_of(made: Correction, text: str) -> str | None:
    """The failure class of an answer to a correction's task; None where it is right.

    By the evaluation's checker first. Where that sees only that rightly no call was made, the words are looked at: a
    count must be the number that counting gives.
    """
    judged = judge_agent(made.task, Completion(text=text), "json")
    if judged.outcome == "unverified":
        return judged.outcome
    if judged.outcome != "correct":
        return judged.failure
    return MISCOUNTED if made.counts and not _counts_rightly(made, text) else None


def checked(made: Sequence[Correction]) -> None:
    """KtError, naming the correction and what is wrong, unless every right answer passes and every wrong one fails.

    The wrong answer must fail with exactly the class that its pattern stands for.
    """
    for each in made:
        if fault := _fault(each):
            raise KtError(f"the {each.task.group} is not sound: {fault}. Mend its wording in kt_lib/corrections")


def _fault(made: Correction) -> str | None:
    found = failure_of(made, made.right)
    if found is not None:
        return f"its right answer fails ({found}): {made.right[:120]!r}"
    found = failure_of(made, made.wrong)
    if found != made.failure:
        return f"its wrong answer is {found or 'right'} and not {made.failure}: {made.wrong[:120]!r}"
    said = "\n".join(message.content for message in made.task.messages)
    for fact in made.says:
        if fact not in made.right or fact not in said:
            return f"{fact!r} must stand in the conversation and in the right answer: {made.right[:120]!r}"
    lines = made.right.split("\n")
    if made.bullets and not (len(lines) == made.bullets and all(_BULLET.fullmatch(line) for line in lines)):
        return f"its right answer is no list of {made.bullets} bullets: {made.right[:120]!r}"
    return None


def _counts_rightly(made: Correction, text: str) -> bool:
    listed = next((turn.content for turn in reversed(made.task.messages) if turn.name == "list_agents"), "")
    found = re.findall(made.counts, listed)
    counted = len(set(found)) if made.different else len(found)
    number = _NUMBER.search(_CODE.sub("", text))
    names = set(_CODE.findall(text))
    return number is not None and _value(number[1]) == counted and (not names or len(names) == counted)


def _value(word: str) -> int:
    return int(word) if word.isdigit() else NUMBERS.index(word.lower())
