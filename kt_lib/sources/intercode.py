"""One item of an InterCode result file as a task and a recorded attempt at it."""

from __future__ import annotations

import re
from typing import Any

from kt_lib.calls import failures
from kt_lib.errors import SourceError
from kt_lib.recorded.reading import RecordedResult, intercode_results
from kt_lib.recorded.sides import NameClues, read_name
from kt_lib.records import AcceptedCall, Attempt, ChatMessage, Check, Provenance, Task, ToolCall, ToolSpec, content_id
from kt_lib.sources.found import Found, Unusable

RECORDED = "recorded"
"""Tag of tasks that came with recorded results."""

_ACTION = re.compile(r"\s*(?:execute\[(?P<call>.*)\]|```\w*\n(?P<fence>.*?)\n?```)\s*\Z", re.DOTALL)
_SQL = re.compile(r"(select|with|show|describe|desc|explain|use|insert|update|delete)\b", re.IGNORECASE)
_DIFFICULTY = {"easy": 1, "medium": 2, "hard": 3, "extra": 4}
_TOOLS = {
    "ic_sql": ("sql", "query", "Run a query against the database."),
    "ic_bash": ("bash", "command", "Run a command in the shell."),
}


def intercode_from(item: dict[str, Any], source: Provenance, folder: str = "") -> Found:
    """An item -> one task (joined on its query) and one attempt: right only with the full reward.

    `folder` is the name of the file's folder, which names the model where the file's name does not.
    """
    try:
        result = intercode_results([item], source.file, source.sha256).results[0]
    except SourceError as error:
        raise Unusable(str(error).rsplit("item 1: ", 1)[-1].rstrip(")")) from None
    name, argument, words = _TOOLS.get(result.environment, ("execute", "code", "Run this in the environment."))
    calls = [(action, _call(action, name, argument, result.environment)) for action in result.actions]
    best = _best(result, calls)
    task = _task(result, source, ToolSpec(name=name, description=words, parameters=_schema(argument)), best)
    return Found(tasks=(task,), attempts=(_attempt(task.id, result, read_name(source.file, folder), calls),))


def _schema(argument: str) -> dict[str, Any]:
    return {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}


def _task(result: RecordedResult, source: Provenance, tool: ToolSpec, best: ToolCall | None) -> Task:
    accepted: tuple[AcceptedCall, ...] = ()
    if best is not None:
        accepted = (AcceptedCall(name=best.name, arguments={key: [value] for key, value in best.arguments.items()}),)
    return Task(
        id=content_id("intercode", result.environment, result.key),
        messages=(ChatMessage(role="user", content=result.query),),
        tools=(tool,),
        check=Check(rule="any", accepted=accepted, evidence="recorded_result"),
        role="SHELL_EXECUTOR" if result.environment == "ic_bash" else "EXECUTOR",
        category=result.environment or "intercode",
        difficulty=_DIFFICULTY.get(result.hardness, 2),
        group=content_id("intercode", result.key),
        information="the request alone; what else an attempt was given is in its lever",
        tags=tuple(filter(None, (RECORDED, result.hardness))),
        source=source,
    )


def _attempt(
    task_id: str, result: RecordedResult, clues: NameClues, calls: list[tuple[str, ToolCall | None]]
) -> Attempt:
    """More than one turn allowed is agent work, a single turn is an answer as in chat."""
    several = result.turns_max != 1
    read = tuple(call for _, call in calls if call is not None)
    return Attempt(
        task_id=task_id,
        mode="agent" if several else "chat",
        protocol="native" if several else None,
        model=clues.model or "unknown",
        lever=_lever(clues),
        output="\n\n".join(result.actions),
        calls=read,
        outcome="correct" if result.success else "wrong",
        failure=None if result.success or read else failures.EMPTY_REPLY,
        detail=f"best reward {result.reward:g} in {len(result.actions)} of {result.turns_max or '?'} turns",
    )


def _lever(clues: NameClues) -> str:
    """What the runs of a file were given, from its name. "handicap" means that the schema *was* given."""
    method = clues.method if clues.method and clues.method != "multiturn" else None
    return "+".join(filter(None, (method, "schema given" if clues.handicap else None))) or "none"


def _call(action: str, name: str, argument: str, environment: str) -> ToolCall | None:
    """The call in an action; an apology, an empty one and `submit` hold none."""
    found = _ACTION.match(action)
    command = (found["call"] or found["fence"] or "") if found else action
    command = command.strip()
    if not command or command.lower() in ("submit", "skip"):
        return None
    if environment == "ic_sql" and not _SQL.match(command):
        return None
    return ToolCall(name=name, arguments={argument: command}, read_from=action)


def _best(result: RecordedResult, calls: list[tuple[str, ToolCall | None]]) -> ToolCall | None:
    """The call that earned the full reward, if one did."""
    for reward, (_, call) in zip(result.rewards, calls, strict=False):
        if reward >= 1:
            return call
    return None
