"""What the playground teaches: an answer said to be right, and the right answer beside a wrong one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence

from kt_lib.calls.protocol import read_agent
from kt_lib.calls.schemas import fits_schema
from kt_lib.calls.writing import write_calls
from kt_lib.labels import Interaction
from kt_lib.leakage import measure_leakage
from kt_lib.personas import persona
from kt_lib.prompts import agent_request, chat_request
from kt_lib.records import (
    ChatMessage,
    Check,
    Completion,
    PreferencePair,
    Protocol,
    Record,
    Request,
    SftRow,
    Task,
    ToolCall,
    ToolSpec,
)

KIND = "playground"


class Taught(Record):
    """Rows and pairs from exchanges, and why others give none."""

    rows: tuple[SftRow, ...]
    """What is right."""
    pairs: tuple[PreferencePair, ...]
    """What is right beside what was wrong."""
    left_out: dict[str, int]
    """How many exchanges gave none, by reason."""


def taught_by(
    interactions: Iterable[Interaction], tasks: Sequence[Task], protocol: Protocol, threshold: float
) -> Taught:
    """An SFT row for each answer said to be right or corrected, and a pair for each correction.

    An agent's answer must hold by the protocol; what says only "wrong" teaches nothing yet. An exchange that is like an
    evaluation task, or names what only one of them names, is left out: it would spoil the proof. By native calling a
    right call is learned as one, and no call stands in a pair, whose sides are texts.
    """
    rows, pairs, left_out = list[SftRow](), list[PreferencePair](), Counter[str]()
    for one in interactions:
        right = right_answer(one)
        if right is None:
            left_out[_reason(one)] += 1
            continue
        request = request_of(one, protocol)
        made, meant = (_calls_in(text, one) if protocol == "native" else () for text in (right, one.output))
        row = _row(one, request, right, made)
        if measure_leakage(tasks, [row], [], [], threshold).leaks:
            left_out["like an evaluation task"] += 1
            continue
        rows.append(row)
        if one.verdict == "corrected" and one.output.strip() and one.output != right and not (made or meant):
            pairs.append(_pair(one, request, right))
    return Taught(rows=tuple(rows), pairs=tuple(pairs), left_out=dict(sorted(left_out.items())))


def _reason(one: Interaction) -> str:
    if one.verdict == "wrong":
        return "only said to be wrong"
    return "stopped before its end" if one.stopped else "no call by the protocol"


def right_answer(one: Interaction) -> str | None:
    """The text of the right answer, as the JSON protocol writes it; None where there is none to learn.

    An agent's calls must be readable and fit their tools' schemas; an answer that was stopped is no whole one.
    """
    if one.verdict == "right" and one.stopped:
        return None
    text = {"right": one.output, "corrected": one.correction}.get(one.verdict, "").strip()
    if one.mode == "agent":
        native = one.verdict == "right" and one.protocol == "native"
        calls = one.calls if native else typed_calls(text, one.tools) if one.verdict == "corrected" else ()
        text = write_calls(calls) if calls else text
        read = read_agent(Completion(text=text), one.tools, "json")
        if read.failure or not all(fits_schema(call, one.tools) for call in read.calls):
            return None
    return text or None


def typed_calls(text: str, tools: Sequence[ToolSpec]) -> tuple[ToolCall, ...]:
    """The calls of a correction typed as JSON, in the protocol's form or by `name` and `arguments`; none for words."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    given = value if isinstance(value, list) else [value]
    names = {tool.name for tool in tools}
    found = [_typed(one) for one in given if isinstance(one, dict)]
    whole = len(found) == len(given) and all(call is not None and call.name in names for call in found)
    return tuple(call for call in found if call is not None) if whole else ()


def _typed(value: dict[str, object]) -> ToolCall | None:
    name = value.get("tool", value.get("name"))
    arguments = value.get("params", value.get("arguments", {}))
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None
    return ToolCall(name=name, arguments=arguments)


def request_of(one: Interaction, protocol: Protocol) -> Request:
    """The exchange's request as every measured task is put, after the persona's words that it was given under."""
    check = Check(rule="never", evidence="none")
    who = persona(one.persona)
    told = (ChatMessage(role="system", content=who.words),) if who else ()
    task = Task(id=one.id, messages=(*told, *one.messages), tools=one.tools, check=check)
    return agent_request(task, protocol) if one.mode == "agent" else chat_request(task)


def _calls_in(right: str, one: Interaction) -> tuple[ToolCall, ...]:
    return read_agent(Completion(text=right), one.tools, "json").calls if one.mode == "agent" else ()


def _row(one: Interaction, request: Request, right: str, calls: tuple[ToolCall, ...]) -> SftRow:
    answer = ChatMessage(role="assistant", content="" if calls else right, tool_calls=calls)
    return SftRow(
        messages=(*request.messages, answer),
        tools=request.tools,
        kind=KIND,
        task_id=one.id,
        basis=_evidence(one),
    )


def _pair(one: Interaction, request: Request, right: str) -> PreferencePair:
    return PreferencePair(
        prompt=request.messages,
        chosen=right,
        rejected=one.output,
        tools=request.tools,
        task_id=one.id,
        basis=one.failure or KIND,
        evidence=_evidence(one),
    )


def _evidence(one: Interaction) -> str:
    return f"{one.origin}: said to be {one.verdict} by {one.annotator or 'somebody'}"
