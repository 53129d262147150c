"""What the model will learn from: SFT rows and format-fixing pairs, made of its own successes and failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kt_lib.calls.writing import write_calls
from kt_lib.permissions import said_in_confidence
from kt_lib.prompt_formats import FORMATS, in_format
from kt_lib.records import Attempt, ChatMessage, Example, PreferencePair, Request, SftRow, Task

Ask = Callable[[Task], Request]
Passes = Callable[[Task, str], bool]
"""Whether an agent's answer to a task passes the checker that the evaluation uses."""
LICENCE = "MIT"
"""Of what kt makes up itself."""


def agent_rows(examples: Iterable[Example], tasks: Mapping[str, Task], ask: Ask) -> list[SftRow]:
    """A row for each example: the agent's request as it will be put, and the right call or the right plain answer."""
    found = []
    for example in examples:
        task = tasks[example.task_id]
        request = ask(task)
        kind = {"not_calling": "no_call", "multi_turn": "after_result"}.get(task.kind, "agent_call")
        answer = write_calls(example.calls) if example.calls else example.answer
        found.append(row(request, answer, kind, example, task))
    return found


def row(request: Request, answer: str, kind: str, example: Example, task: Task) -> SftRow:
    """One row: what is asked, then what is right."""
    messages = (*request.messages, ChatMessage(role="assistant", content=answer))
    basis = f"{example.verified[-1]}, right by {', '.join(example.verified[:-1])}"
    return SftRow(
        messages=messages, tools=request.tools, kind=kind, task_id=example.task_id, basis=basis, **terms_of(task)
    )


def terms_of(task: Task) -> dict[str, Any]:
    """The terms under which rows of a task may be used: those of where it comes from.

    Only what kt makes up itself comes from nowhere, and that is kt's own to give.
    """
    if task.source is None:
        return {"licence": LICENCE, "consent": True}
    told = {"licence": task.source.licence, "consent": task.source.consent}
    return told | {"private": said_in_confidence(task.source)}


def replay_rows(chat: Iterable[Attempt], tasks: Mapping[str, Task], ask: Ask) -> list[SftRow]:
    """The model's own right chat answers on training tasks, so that chat is not lost while the agent is learned."""
    return [
        SftRow(
            messages=(*ask(tasks[attempt.task_id]).messages, ChatMessage(role="assistant", content=attempt.output)),
            kind="chat_replay",
            task_id=attempt.task_id,
            basis=f"own chat answer, right by {tasks[attempt.task_id].check.evidence}",
            **terms_of(tasks[attempt.task_id]),
        )
        for attempt in chat
        if attempt.outcome == "correct" and tasks[attempt.task_id].part == "train"
    ]


def other_format_rows(examples: Iterable[Example], tasks: Mapping[str, Task], ask: Ask) -> list[SftRow]:
    """Each right call once more, under another form of prompt, so that no one form is learned by heart.

    The forms take turns; every second time it is other names, the only form that asks for another answer.
    """
    forms = ["renamed" if at % 2 else form for form in FORMATS for at in (0, 1)]
    found = []
    for at, example in enumerate(each for each in examples if each.calls):
        task = tasks[example.task_id]
        answered = (*task.messages, ChatMessage(role="assistant", tool_calls=example.calls))
        other = in_format(task.model_copy(update={"messages": answered}), forms[at % len(forms)])
        *before, last = other.messages
        request = ask(other.model_copy(update={"messages": tuple(before)}))
        found.append(row(request, write_calls(last.tool_calls), "other_format", example, task))
    return found


def own_sources(agent: Iterable[SftRow], replay: Sequence[SftRow], other: Sequence[SftRow]) -> dict[str, list[SftRow]]:
    """The rows of one's own successes by the sources that a mix names."""
    found: dict[str, list[SftRow]] = {"calls": [], "no_call": []}
    for each in agent:
        found["no_call" if each.kind == "no_call" else "calls"].append(each)
    return {**found, "chat_replay": list(replay), "other_formats": list(other)}


def format_pairs(
    failures: Iterable[Attempt],
    examples: Iterable[Example],
    tasks: Mapping[str, Task],
    ask: Ask,
    passes: Passes,
    most: int,
) -> list[PreferencePair]:
    """A pair for each failed agent attempt whose task has a verified answer: right text chosen, own output rejected.

    The right text is the call, or the plain answer where none was due.

    Both sides go through the checker: the chosen one passes and the rejected one does not, or the pair is left out.
    """
    right = {each.task_id: write_calls(each.calls) if each.calls else each.answer for each in examples}
    found = []
    for attempt in failures:
        if attempt.task_id not in right or attempt.outcome not in ("malformed", "wrong", "abstained"):
            continue
        task, chosen = tasks[attempt.task_id], right[attempt.task_id]
        if not attempt.output or not passes(task, chosen) or passes(task, attempt.output):
            continue
        request = ask(task)
        found.append(
            PreferencePair(
                prompt=request.messages,
                chosen=chosen,
                rejected=attempt.output,
                tools=request.tools,
                task_id=task.id,
                basis=attempt.failure or attempt.outcome,
                evidence=f"{task.check.evidence}; the model's own success and own failure on one task",
                **terms_of(task),
            )
        )
    return found[:most]


def counts(rows: Sequence[SftRow], pairs: Sequence[PreferencePair]) -> dict[str, int]:
    """Rows by kind and pairs by the failure they fix, for tables."""
    found = Counter(row.kind for row in rows)
    found.update(f"pair: {pair.basis}" for pair in pairs)
    return dict(found.most_common())
