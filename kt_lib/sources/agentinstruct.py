"""Rows of `THUDM/AgentInstruct`: which answers are an example only, and what the others do in their words.

Its card has the columns (`from`, `loss`, `value`); the words of the OS and DB tasks are those of the prompts in
`THUDM/AgentTuning`, AgentBench.old/src/tasks (bash, answer and finish; Operation with SQL, and Answer), read so in
`neulab/agent-data-protocol`, datasets/agenttuning_os and agenttuning_db. The other tasks (alfworld, webshop, kg,
mind2web) name actions without tools of a known schema: their words stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from kt_lib.records import MessagePart, ToolSpec
from kt_lib.sources.chains import Turn, said
from kt_lib.sources.found import Unusable
from kt_lib.sources.openwebui_details import call_part, result_part
from kt_lib.tools_seen import BASH


def _tool(name: str, description: str, **parameters: str) -> ToolSpec:
    properties: dict[str, Any] = {one: {"type": "string", "description": words} for one, words in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": [*parameters]}
    return ToolSpec(name=name, description=description, parameters=schema)


_ANSWER = _tool("answer", "Give the answer to the question.", answer="The answer.")
_FINISH = _tool("finish", "Say that the task is done.")
_SQL = _tool("operation", "Run a SQL statement in MySQL and return what it gives.", sql="The statement.")
_OS, _DB = (BASH, _ANSWER, _FINISH), (_SQL, _ANSWER)

_THOUGHT = r"((?:(?!\bAct(?:ion)?:).)*?)"
_FENCED = r"((?:(?!```).)+?)```"
_ACTS = (
    (_OS, re.compile(rf"Think:{_THOUGHT}\bAct:\s*bash\s*```(?:bash|sh)\n{_FENCED}\s*\Z", re.DOTALL), BASH, "command"),
    (_OS, re.compile(rf"Think:{_THOUGHT}\bAct:\s*answer\((.*)\)\s*\Z", re.DOTALL), _ANSWER, "answer"),
    (_OS, re.compile(rf"Think:{_THOUGHT}\bAct:\s*finish()\s*\Z", re.DOTALL), _FINISH, None),
    (_DB, re.compile(rf"{_THOUGHT}\bAction:\s*Operation\s*```sql\n{_FENCED}\s*\Z", re.DOTALL), _SQL, "sql"),
    (_DB, re.compile(rf"{_THOUGHT}\bAction:\s*Answer\s*Final Answer:\s*(.*?)\s*\Z", re.DOTALL), _ANSWER, "answer"),
)
_PROBLEM = re.compile(r".*\b[Mm]y problem is:\s*", re.DOTALL)
_OUTPUT = re.compile(r"The output of the OS(?:: ?\n*| is empty\.\s*\Z)")


def task_turns(turns: Sequence[Turn], losses: Sequence[Any]) -> tuple[list[Turn], Sequence[ToolSpec]]:
    """The turns of a row's task, what is done in them as calls, and the tools called; none where the words stay.

    `losses` are the turns' own. An answer of loss false is an example for the model, or its "OK." to what it was told:
    what stands before the task is what the system says, or gives way to the tools. `Unusable` for an answer of loss
    false after one that is learned, which a conversation cannot keep.
    """
    shown = [at for at, (turn, loss) in enumerate(zip(turns, losses, strict=True)) if _is_example(turn, loss)]
    begin = shown[-1] + 1 if shown else 0
    if any(role == "assistant" and at not in shown for at, (role, _) in enumerate(turns[:begin])):
        raise Unusable("an answer of loss false after one that is learned, which a conversation cannot keep")
    acted, tools = _as_calls(turns[begin:])
    if tools or not begin:
        return acted, tools
    return [said("system", _told(turns[:begin])), *acted], tools


def _is_example(turn: Turn, loss: Any) -> bool:
    return turn[0] == "assistant" and loss is not None and not loss


def _told(turns: Sequence[Turn]) -> str:
    """What was told before the task; who said what where it holds an example, without a mere "OK."."""
    texts = [(role, "\n".join(part.text for part in parts).strip()) for role, parts in turns]
    if sum(role == "user" for role, _ in texts) == 1:
        return "\n\n".join(text for role, text in texts if role != "assistant")
    return "\n\n".join(f"{role.capitalize()}: {text}" for role, text in texts)


def _as_calls(turns: Sequence[Turn]) -> tuple[list[Turn], Sequence[ToolSpec]]:
    """The turns with each act as a call and what came back as its result; as they are where any answer is no act."""
    for tools in (_OS, _DB):
        acts = [_act(parts, tools) for role, parts in turns if role == "assistant"]
        if acts and all(acts):
            break
    else:
        return list(turns), ()
    found: list[Turn] = []
    for role, parts in turns:
        text = "\n".join(part.text for part in parts)
        if role == "assistant":
            found.append((role, _act(parts, tools)))
        elif any(part.call and part.call.name in (BASH.name, _SQL.name) for part in (found[-1][1] if found else ())):
            found.append(("tool", (result_part(_OUTPUT.sub("", text, count=1), None),)))
        else:
            found.append(said(role, _PROBLEM.sub("", text)))
    return found, tools


def _act(parts: Sequence[MessagePart], tools: Sequence[ToolSpec]) -> tuple[MessagePart, ...]:
    """A thought and the call after it; nothing where the words are no act of these tools."""
    text = "\n".join(part.text for part in parts).strip()
    for of, form, tool, parameter in _ACTS:
        if of is tools and (found := form.fullmatch(text)):
            call = call_part(tool.name, {parameter: found[2].strip()} if parameter else {}, None)
            return (*said("assistant", found[1].strip())[1], call)
    return ()
