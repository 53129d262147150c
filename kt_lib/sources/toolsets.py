"""Tool-calling sets with a form of their own: xLAM's questions with answers, Glaive's chats as text.

xLAM (`Salesforce/xlam-function-calling-60k`): `query`, and `tools` and `answers` as JSON text; rows as quoted in
`shekkari1999/qwen-fc-sft`, docs/data_format_conversion.md. Rows that ask for no call (xLAM irrelevance)
have the answers `[]`. Glaive (`glaiveai/glaive-function-calling-v2`): `system` and `chat` as text; rows
as read by `anyscale/templates`, fine-tune-function-calling/fc_utils.
"""

from __future__ import annotations

import re
from typing import Any

from kt_lib.records import (
    AcceptedCall,
    ChatMessage,
    Check,
    MessagePart,
    Provenance,
    Task,
    ToolCall,
    ToolSpec,
    content_id,
)
from kt_lib.sources.calls_written import assistant_parts, call_parts, joined
from kt_lib.sources.chains import Turn, conversation_from, said
from kt_lib.sources.fields import loaded, shown, text_of
from kt_lib.sources.found import Found, Unusable
from kt_lib.sources.openwebui_details import result_part
from kt_lib.sources.tools_written import tools_in_text, tools_listed

# --- xLAM ------------------------------------------------------------------------------------------------------------


def xlam_row(row: dict[str, Any], source: Provenance) -> Found:
    """`{query, tools, answers: [{name, arguments}]}` -> a conversation, and a task whose answer key the answers are.

    Where the answers are none, nobody said anything to learn: it is a task at which no tool may be called.
    """
    query, tools = text_of(row.get("query")), tools_listed(row.get("tools"))
    answers = loaded(row["answers"]) if isinstance(row["answers"], str) else row["answers"]
    if not query or not isinstance(answers, list):
        raise Unusable("an xLAM row without a query, or with answers that are no list")
    parts = [part for one in answers for part in call_parts(shown(one))]
    calls = [part.call for part in parts if part.call and part.well_formed]
    if len(calls) != len(parts):
        raise Unusable("an xLAM row with an answer that is no call")
    if not calls and not tools:
        raise Unusable("an xLAM row without a call and without tools")
    talk = (
        (conversation_from([said("user", query), ("assistant", tuple(parts))], source, tools=tools),) if calls else ()
    )
    return Found(conversations=talk, tasks=(_task(query, tools, calls, source),))


def _task(query: str, tools: list[ToolSpec], calls: list[ToolCall], source: Provenance) -> Task:
    identity = content_id("xlam", query, [tool.name for tool in tools])
    return Task(
        id=identity,
        messages=(ChatMessage(role="user", content=query),),
        tools=tuple(tools),
        check=Check(rule="exact" if calls else "never", accepted=tuple(map(_accepted, calls)), evidence="answer_key"),
        category=calls[0].name if calls else "no call",
        kind="main" if calls else "not_calling",
        group=identity,
        information="schema given",
        source=source,
    )


def _accepted(call: ToolCall) -> AcceptedCall:
    return AcceptedCall(name=call.name, arguments={name: [value] for name, value in call.arguments.items()})


# --- Glaive ----------------------------------------------------------------------------------------------------------

_TURN = re.compile(r"(?:^|\n)\s*(USER|ASSISTANT|FUNCTION RESPONSE):", re.MULTILINE)


def glaive_row(row: dict[str, Any], source: Provenance) -> Found:
    """`{system, chat}` as text: `USER:`, `ASSISTANT:` with `<functioncall>`, and `FUNCTION RESPONSE:`."""
    chat, system = text_of(row.get("chat")), text_of(row.get("system"))
    marks = list(_TURN.finditer(chat))
    if not marks or chat[: marks[0].start()].strip():
        raise Unusable("a Glaive row that does not begin with USER: or ASSISTANT:")
    ends = [*(mark.start() for mark in marks[1:]), len(chat)]
    turns = [_turn(mark[1], chat[mark.end() : end]) for mark, end in zip(marks, ends, strict=True)]
    prompt = system.strip().removeprefix("SYSTEM:").strip()
    told = [said("system", prompt)] if prompt else []
    return Found(conversations=(conversation_from([*told, *joined(turns)], source, tools=tools_in_text(system)),))


def _turn(speaker: str, text: str) -> Turn:
    if speaker == "FUNCTION RESPONSE":
        return "tool", (result_part(_plain(text), None),)
    if speaker == "USER":
        return said("user", _plain(text))
    parts: tuple[MessagePart, ...] = assistant_parts(_plain(text), ())
    return "assistant", parts


def _plain(text: str) -> str:
    return text.replace("<|endoftext|>", "").strip()
