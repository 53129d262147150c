"""What information each side of a recorded comparison had, read from the file's name and from what was done in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from kt_lib.recorded.reading import RecordedFile, RecordedResult
from kt_lib.records import Record

Schema = Literal["given", "not_given", "unknown", "not_applicable"]

_METHODS = {"plan_solve_refine": "plan, solve and refine", "plan_solve": "plan and solve", "react": "ReAct"}
_MODEL_FOLDER = re.compile(r"gpt|bison|vicuna|starchat|davinci|claude|llama|qwen|mistral|human", re.IGNORECASE)
_MISSED = re.compile(r"doesn't exist|does not exist|unknown (?:column|table|database)|no such (?:table|column)", re.I)
_EXPLORES = re.compile(r"^\W*(?:execute\s*\[\s*)?(?:show|desc|describe|explain)\b|information_schema", re.IGNORECASE)
_ENOUGH = 20
"""Fewer first queries than this say nothing about the schema."""


class NameClues(Record):
    """What an InterCode file name says: `ic_sql_multiturn_gpt-3.5_10_turns_handicap.json`."""

    environment: str | None = None
    """sql, bash, python, ctf, or None where the name does not follow InterCode."""
    method: str | None = None
    """multiturn, react, plan_solve, plan_solve_refine."""
    model: str | None = None
    """Model."""
    turns: int | None = None
    """Turns allowed."""
    handicap: bool = False
    """InterCode's word for "the schema was given"."""
    part: str | None = None
    """The part of the data set, `fs_1`."""


class Side(Record):
    """One side of a recorded comparison."""

    file: str
    """File name."""
    environment: str
    """ic_sql, ic_bash, ..."""
    model: str | None
    """Model, where the name says so."""
    method: str
    """How it worked, in words."""
    turns_allowed: int | None
    """Turns allowed, where stated."""
    turns_taken: float | None
    """Mean turns taken."""
    schema_given: Schema
    """Whether the database's schema was given."""
    blind_starts: float | None
    """SQL only: share of first queries that explore the schema or name a table or column that does not exist."""
    stops_when_right: bool
    """With several turns to use, every run ends at its first right try or at its limit: another turn means "wrong"."""
    information: str
    """All of this in one sentence."""


def read_name(name: str, folder: str = "") -> NameClues:
    """The clues in a file name; `folder` (its folder's name) gives the model where the name does not."""
    stem = re.sub(r"(\.subset)?\.jsonl?$", "", name)
    known = re.match(r"ic_(?P<environment>[a-z]+)(?:_(?P<rest>.*))?$", stem)
    if known is None:
        return NameClues(handicap=_has_handicap(stem))
    rest = known["rest"] or ""
    method = re.match(r"(multiturn|react|plan_solve_refine|plan_solve)(?:_|$)", rest)
    rest = rest[method.end() :] if method else rest
    part = re.search(r"_?(fs_\d+)$", rest)
    rest = rest[: part.start()] if part else rest
    rest = re.sub(r"_?handicap$", "", rest)
    turns = re.search(r"(?:^|[-_])(\d+)_turns?$", rest)
    model = (rest[: turns.start()] if turns else rest) or None
    if model is None and _MODEL_FOLDER.search(folder):
        model = folder
    return NameClues(
        environment=known["environment"],
        method=method[1] if method else None,
        model=model,
        turns=int(turns[1]) if turns else None,
        handicap=_has_handicap(stem),
        part=part[1] if part else None,
    )


def _has_handicap(stem: str) -> bool:
    return re.search(r"(?<![a-z])handicap(?![a-z])", stem) is not None


def describe(file: RecordedFile, folder: str = "") -> Side:
    """What the side that recorded `file` had to go on."""
    clues = read_name(file.file, folder)
    environment = _most_common(one.environment for one in file.results) or (
        f"ic_{clues.environment}" if clues.environment else "unknown"
    )
    turns_allowed = max((one.turns_max for one in file.results if one.turns_max), default=clues.turns)
    taken = [len(one.actions) for one in file.results if one.actions]
    blind = _blind_starts(file.results) if environment == "ic_sql" else None
    schema, basis = _schema(environment, clues, blind)
    told = _stops_when_right(file.results)
    method = _method(clues, turns_allowed, taken)
    words = [clues.model or "model not stated", method]
    if told:
        words.append("each run ends at its first right try, so another turn tells it that the last one was wrong")
    words.append(basis)
    return Side(
        file=file.file,
        environment=environment,
        model=clues.model,
        method=method,
        turns_allowed=turns_allowed,
        turns_taken=sum(taken) / len(taken) if taken else None,
        schema_given=schema,
        blind_starts=blind,
        stops_when_right=told,
        information="; ".join(words),
    )


def _most_common(values: Iterable[str]) -> str:
    seen = Counter(value for value in values if value)
    return min(seen, key=lambda value: (-seen[value], value), default="")


def _blind_starts(results: Iterable[RecordedResult]) -> float | None:
    starts = [one for one in results if one.actions and one.observations]
    if len(starts) < _ENOUGH:
        return None
    blind = sum(bool(_EXPLORES.search(one.actions[0]) or _MISSED.search(one.observations[0])) for one in starts)
    return blind / len(starts)


def _schema(environment: str, clues: NameClues, blind: float | None) -> tuple[Schema, str]:
    if environment not in ("ic_sql", "unknown"):
        return "not_applicable", "no database schema in this environment"
    share = "" if blind is None else f"{blind:.0%} of its first queries explore it or name what does not exist"
    seen = f", and {share}" if share else ""
    if clues.handicap:
        odd = " (more than one would expect)" if blind is not None and blind >= 0.5 else ""
        return "given", f"schema given ('handicap' in the file name means just that{seen}{odd})"
    if clues.environment:
        odd = " (fewer than one would expect)" if blind is not None and blind <= 0.1 else ""
        return "not_given", f"schema not given (no 'handicap' in the file name{seen}{odd})"
    if blind is not None and blind >= 0.5:
        return "not_given", f"schema not given, judging by what it did ({share})"
    if blind is not None and blind <= 0.1:
        return "given", f"schema given, judging by what it did ({share})"
    return "unknown", "whether a schema was given cannot be told from the file"


def _stops_when_right(results: Iterable[RecordedResult]) -> bool:
    """At least `_ENOUGH` runs had several turns to use, and each ended with its first full reward or at its limit."""
    runs = [one for one in results if one.turns_max and one.turns_max > 1 and len(one.rewards) == len(one.actions) > 0]
    used_up = all(one.success or len(one.actions) >= (one.turns_max or 0) for one in runs)
    at_once = all(reward < 1 for one in runs for reward in one.rewards[:-1])
    return len(runs) >= _ENOUGH and used_up and at_once


def _method(clues: NameClues, turns_allowed: int | None, taken: list[int]) -> str:
    named = _METHODS.get(clues.method or "")
    if turns_allowed == 1:
        return f"{named}, one turn" if named else "one answer, nothing tried out before"
    turns = f"up to {turns_allowed} turns" if turns_allowed else f"turns not stated (at most {max(taken, default=0)})"
    return f"{named}, {turns}" if named else f"{turns} with what the environment answered"
