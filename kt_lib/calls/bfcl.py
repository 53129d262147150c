"""BFCL's question and answer rows: their category, their task, and the verdict on an output by BFCL's rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal, NamedTuple

from pydantic import JsonValue

from kt_lib.calls.failures import WRONG_COUNT, WRONG_TOOL
from kt_lib.calls.outputs import read_output
from kt_lib.calls.python_calls import Unreadable
from kt_lib.calls.rules import Call, Signature, match, one_name, signature_of
from kt_lib.errors import SourceError
from kt_lib.records import AcceptedCall, ChatMessage, Check, Task, ToolSpec

Verdict = Literal["correct", "wrong", "abstained", "malformed", "error"]
_CATEGORY = re.compile(r"(.+?)_\d[\w:.-]*\Z")
_CATEGORIES = re.compile(
    r"(?:live_)?(?:simple(?:_python)?|multiple|parallel|parallel_multiple|irrelevance|relevance)\Z"
)
_JSON_TYPES = {
    "dict": "object",
    "float": "number",
    "tuple": "array",
    "list": "array",
    "bool": "boolean",
    "str": "string",
}
_PLAIN_WORDS = "simple_python, multiple, parallel, parallel_multiple, irrelevance, and their live_ forms"


class Scored(NamedTuple):
    """The verdict on one output and, unless it is correct, why."""

    verdict: Verdict
    error: str | None


def category_of(identity: str) -> str:
    """The category in an id: `parallel_multiple_17` -> `parallel_multiple`, `live_simple_3-2-0` -> `live_simple`.

    Raises SourceError for an id without one, and for categories whose rules are not offered here (Java, JavaScript,
    multi-turn and agentic ones).
    """
    found = _CATEGORY.match(identity)
    if not found or not _CATEGORIES.match(found[1]):
        raise SourceError(f"no category can be told from the id {identity!r}; read are {_PLAIN_WORDS}")
    return found[1]


class AnswerKey:
    """A BFCL task with what is needed to judge outputs, prepared once."""

    def __init__(self, question: Mapping[str, Any], answer: Mapping[str, Any] | None = None) -> None:
        """Raises SourceError for rows that are not BFCL's, and where an answer is due and there is none."""
        self.question = question
        self.category = category_of(_text(question, "id"))
        self.due = "irrelevance" not in self.category
        self.functions = _functions(question)
        truth = question.get("ground_truth") if answer is None else answer.get("ground_truth")
        self.answered = not self.due or self.category.endswith("relevance") or truth is not None
        self.accepted = _accepted(truth, question["id"]) if truth is not None else []

    @cached_property
    def names(self) -> frozenset[str]:
        """Offered names, as `one_name`."""
        return frozenset(one_name(function["name"]) for function in self.functions)

    @cached_property
    def signatures(self) -> dict[str, Signature]:
        """What the offered functions take, by `one_name`; the first of two of one name counts, as in BFCL."""
        held: dict[str, Signature] = {}
        for function in self.functions:
            held.setdefault(one_name(function["name"]), signature_of(function["parameters"]))
        return held

    def score(self, output: Any) -> Scored:
        """The verdict on an output (`read_output` says in which forms).

        A plain answer, an empty one and an empty list are no call: `abstained` where a call is due, else `correct`.
        """
        try:
            calls = read_output(output, self.names)
        except Unreadable as unreadable:
            return Scored("malformed", str(unreadable))
        if not self.due:
            return Scored("wrong", f"unneeded_call: calls `{calls[0].name}`") if calls else Scored("correct", None)
        if not calls:
            return Scored("abstained", "no call where one is due")
        if self.category.endswith("relevance"):
            return Scored("correct", None)
        if not self.answered:
            return Scored("error", "no answer key for this id: give --answers")
        return self._check(calls)

    def _check(self, calls: list[Call]) -> Scored:
        accepted = self.accepted
        if len(calls) != len(accepted):
            return Scored("wrong", f"{WRONG_COUNT}: {len(calls)} calls where {len(accepted)} are right")
        if "simple" in self.category and len(accepted) == 1:
            accepted = [(str(self.functions[0]["name"]), accepted[0][1])]  # BFCL takes the name from the question here
        _, left = match(calls, accepted, self.signatures)
        if not left:
            return Scored("correct", None)
        position, faults = left[0]
        nearest = next((fault for fault in faults if fault.failure != WRONG_TOOL), faults[0])
        which = "" if len(accepted) == 1 else f" (accepted call {position + 1} of {len(accepted)})"
        return Scored("wrong", f"{nearest.failure}: {nearest.message}{which}")


def task_from_bfcl(question_row: Mapping[str, Any], answer_row: Mapping[str, Any] | None = None) -> Task:
    """A single-turn BFCL question, with its answer row, as a task; types become JSON Schema's.

    Without an answer (and not of the irrelevance kind) the task has no evidence and is not scored. Raises SourceError
    for rows that are not BFCL's, and for several turns.
    """
    key = AnswerKey(question_row, answer_row)
    return Task(
        id=question_row["id"],
        messages=_messages(question_row),
        tools=tuple(
            ToolSpec(
                name=function["name"],
                description=str(function.get("description", "")),
                parameters=json_schema(function["parameters"]),
            )
            for function in key.functions
        ),
        check=_check_of(key),
        category=key.category,
        difficulty=3 if "parallel" in key.category else 2,
        kind="main" if key.due else "not_calling",
        group=question_row["id"],
        information="schema given",
        tags=("bfcl",),
    )


def json_schema(parameters: Mapping[str, Any]) -> dict[str, JsonValue]:
    """BFCL's parameter description as JSON Schema: dict, float and tuple renamed, `any` without a type, all depths."""
    schema: dict[str, JsonValue] = {}
    for key, value in parameters.items():
        if key == "type" and isinstance(value, str):
            if value != "any":
                schema["type"] = _JSON_TYPES.get(value, value)
        elif key == "properties" and isinstance(value, Mapping):
            schema[key] = {name: json_schema(inner) for name, inner in value.items() if isinstance(inner, Mapping)}
        elif key in ("items", "additionalProperties") and isinstance(value, Mapping):
            schema[key] = json_schema(value)
        elif key != "optional":
            schema[key] = value
    return schema


def _check_of(key: AnswerKey) -> Check:
    if not key.due:
        return Check(rule="never", evidence="answer_key")
    if not key.accepted:
        return Check(rule="exact", evidence="none")
    accepted = tuple(AcceptedCall(name=name, arguments=dict(values)) for name, values in key.accepted)
    return Check(rule="exact", accepted=accepted, evidence="answer_key")


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value:
        raise SourceError(f"the row has no {key}")
    return value


def _functions(question: Mapping[str, Any]) -> list[dict[str, Any]]:
    functions = question.get("function")
    functions = [functions] if isinstance(functions, dict) else functions
    if not isinstance(functions, list) or not functions:
        raise SourceError(f"{question['id']} offers no function")
    for function in functions:
        described = isinstance(function, dict) and isinstance(function.get("parameters"), dict)
        if not described or not isinstance(function.get("name"), str):
            raise SourceError(f"{question['id']} has a function without name or parameters")
    return functions


def _accepted(truth: Any, identity: str) -> list[tuple[str, dict[str, list[Any]]]]:
    entries = truth if isinstance(truth, list) else [truth]
    accepted: list[tuple[str, dict[str, list[Any]]]] = []
    for entry in entries:
        if not isinstance(entry, dict) or len(entry) != 1:
            raise SourceError(f"{identity}: an accepted call is not of the form {{name: {{parameter: [values]}}}}")
        name, values = next(iter(entry.items()))
        if not isinstance(values, dict):
            raise SourceError(f"{identity}: the accepted values of {name} are no object")
        held = {parameter: given if isinstance(given, list) else [given] for parameter, given in values.items()}
        accepted.append((name, held))
    return accepted


def _messages(question: Mapping[str, Any]) -> tuple[ChatMessage, ...]:
    turns = question.get("question")
    if isinstance(turns, str):
        return (ChatMessage(role="user", content=turns),)
    if not isinstance(turns, list) or not turns:
        raise SourceError(f"{question['id']} asks nothing")
    if isinstance(turns[0], list):
        if len(turns) > 1:
            raise SourceError(f"{question['id']} has {len(turns)} turns; only single turns are scored by calls")
        turns = turns[0]
    if not all(isinstance(turn, dict) and isinstance(turn.get("content"), str) for turn in turns):
        raise SourceError(f"{question['id']} has a message without text")
    return tuple(ChatMessage(role=turn.get("role", "user"), content=turn["content"]) for turn in turns)
