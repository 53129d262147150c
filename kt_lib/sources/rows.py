"""Rows of training sets as conversations: OpenAI messages, Toucan, ShareGPT, Hermes, AgentInstruct, ToolACE, Alpaca.

Where each form was seen:
OpenAI, with `weight`: the fine-tuning guide; `messages` as JSON text: `microsoft/orca-agentinstruct-1M-v1`.
Toucan: `neulab/agent-data-protocol`, datasets/toucan_1_5m/sample_raw.json: parts Kimi-K2, OSS and Qwen3 have
`available_tools`, a system message that declares the tools, `function_call` and `function`, one message for each of
several calls at once; part SFT has `tools`, `tool_call` (a Python dict as text) and `tool_response`; ms-swift writes
the same roles with JSON.
ShareGPT with `function_call`, `observation` and `tools` as JSON text, Alpaca with `history`, `kto_tag`, `chosen` and
`rejected`: `hiyouga/LLaMA-Factory`, data/README.md and data/glaive_toolcall_en_demo.json.
Hermes: the card of `NousResearch/hermes-function-calling-v1`. ToolACE: scripts after `NVlabs/Tool-N1`.
AgentInstruct: the card of `THUDM/AgentInstruct` (`from`, `loss`, `value`) and its rows in `neulab/agent-data-protocol`,
datasets/agenttuning_os/sample_raw.json; what it does stands in its words, see `sources.agentinstruct`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from kt_lib.records import Conversation, MessagePart, Provenance, Rating, Role, ToolSpec
from kt_lib.sources.agentinstruct import task_turns
from kt_lib.sources.calls_written import assistant_parts, call_parts, joined, result_parts
from kt_lib.sources.chains import Turn, conversation_from, said
from kt_lib.sources.fields import list_of, shown, text_of
from kt_lib.sources.found import Found, Unusable
from kt_lib.sources.openwebui_details import result_part
from kt_lib.sources.tools_written import tools_in_text, tools_listed
from kt_lib.sources.trajectories import messages_in, turns_of

_SPEAKERS: dict[str, Role] = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "model": "assistant",
    "chatgpt": "assistant", "bing": "assistant", "bard": "assistant", "system": "system", "tool": "tool",
    "observation": "tool", "function_response": "tool", "function-response": "tool", "tool_response": "tool",
    "function_call": "assistant", "function-call": "assistant", "tool_call": "assistant",
}  # fmt: skip
_CALLERS = frozenset({"function_call", "function-call", "tool_call"})
_DECLARED = re.compile(r"<\|im_system\|>tool_declare<\|im_middle\|>.*?(?:<\|im_end\|>|\Z)", re.DOTALL)


def openai_row(row: dict[str, Any], source: Provenance) -> Found:
    """`{messages, tools}`; messages and tools may be JSON text, as in Toucan, and tools in MCP's form."""
    messages = messages_in(row)
    weighted = any(isinstance(one, dict) and one.get("weight") == 0 for one in messages)
    if weighted:
        raise Unusable("answers of weight 0, which a conversation cannot keep: `kt dataset convert` reads such rows")
    return Found(conversations=(_conversation(_without_notes(turns_of(messages)), row, source),))


def tools_of(row: dict[str, Any]) -> list[ToolSpec]:
    """The tools of a row, whatever it calls them."""
    for key in ("tools", "available_tools", "functions"):
        if found := tools_listed(row.get(key)):
            return found
    return []


def _without_notes(turns: list[Turn]) -> list[Turn]:
    """The turns without what a model noted for itself between its calls and that says nothing."""
    return [(role, parts) for role, parts in turns if parts or role != "assistant"]


def _conversation(
    turns: list[Turn], row: dict[str, Any], source: Provenance, tools: Sequence[ToolSpec] = (), **more: Any
) -> Conversation:
    """The turns of a row with the calls and results that stand in their words; a list of tools in a prompt is read."""
    system = "\n".join(part.text for part in turns[0][1]) if turns and turns[0][0] == "system" else ""
    tools = [*tools] or tools_of(row) or tools_in_text(system)
    if _DECLARED.search(system):
        rest = _DECLARED.sub("", system).strip()
        turns = [*([said("system", rest)] if rest else []), *turns[1:]]
    return conversation_from(_with_written_calls(turns, tools), source, tools=tools, **more)


def _with_written_calls(turns: list[Turn], tools: list[ToolSpec]) -> list[Turn]:
    read = joined((role, _read_words(role, parts, tools)) for role, parts in turns)
    found: list[Turn] = []
    for role, parts in read:
        before = found[-1][1] if found and found[-1][0] == "assistant" else ()
        calls = [part for part in before if part.kind == "tool_call"]
        if role == "tool" and len(parts) == 1 and parts[0].call_id is None:
            parts = result_parts(parts[0].text, calls)
        found.append((role, parts))
    return found


def _read_words(role: Role, parts: tuple[MessagePart, ...], tools: list[ToolSpec]) -> tuple[MessagePart, ...]:
    if role != "assistant" or any(part.kind == "tool_call" for part in parts):
        return parts
    return tuple(
        new for part in parts for new in (assistant_parts(part.text, tools) if part.kind == "text" else (part,))
    )


# --- ShareGPT --------------------------------------------------------------------------------------------------------


def sharegpt_row(row: dict[str, Any], source: Provenance) -> Found:
    """`{conversations: [{from, value}]}`, a rating in `kto_tag`, and two answers of which `chosen` is the better."""
    spoken = [_spoken(one, number) for number, one in enumerate(list_of(row["conversations"]), 1)]
    turns, tools = task_turns(spoken, [one.get("loss") for one in list_of(row["conversations"])])
    if system := text_of(row.get("system")):
        turns.insert(0, said("system", system))
    return _rated(turns, row, source, title=shown(row.get("id")), tools=tools)


def _spoken(one: Any, number: int) -> Turn:
    if not isinstance(one, dict):
        raise Unusable(f"message {number} is no object")
    speaker = text_of(one.get("from") or one.get("role")).lower()
    if speaker not in _SPEAKERS:
        raise Unusable(f"message {number} is from {shown(one.get('from') or one.get('role'))[:40]!r}")
    text = shown(one["value"] if "value" in one else one.get("content"))
    if speaker in _CALLERS:
        return "assistant", tuple(call_parts(text))
    return ("tool", (result_part(text, None),)) if _SPEAKERS[speaker] == "tool" else said(_SPEAKERS[speaker], text)


def _rated(turns: list[Turn], row: dict[str, Any], source: Provenance, **more: Any) -> Found:
    """The turns as a conversation with what a row says of its last answer; two answers are two branches of it."""
    sides = [row.get(name) for name in ("chosen", "rejected")]
    if any(side is not None for side in sides):
        answers = [_spoken(side, 0) if isinstance(side, dict) else said("assistant", text_of(side)) for side in sides]
        if not all(role == "assistant" and parts for role, parts in answers):
            raise Unusable("`chosen` or `rejected` is no answer")
        rated = zip(answers, (1, -1), strict=True)
        return Found(
            conversations=tuple(
                _conversation([*turns, answer], row, source, rating=Rating(value=value), grows_from=len(turns), **more)
                for answer, value in rated
            )
        )
    tag = row.get("kto_tag")
    rating = Rating(value=1 if tag else -1) if isinstance(tag, bool) else None
    return Found(conversations=(_conversation(turns, row, source, rating=rating, **more),))


# --- Alpaca ----------------------------------------------------------------------------------------------------------


def alpaca_row(row: dict[str, Any], source: Provenance) -> Found:
    """`{instruction, input, output}`, turns before it in `history`; or `chosen` and `rejected` for `output`."""
    asked = "\n\n".join(filter(None, (text_of(row.get("instruction")), text_of(row.get("input")))))
    turns = [said("system", system)] if (system := text_of(row.get("system"))) else []
    for number, one in enumerate(list_of(row.get("history")), 1):
        if not (isinstance(one, list) and len(one) == 2 and all(isinstance(text, str) for text in one)):
            raise Unusable(f"turn {number} of `history` is no pair of texts")
        turns += [said("user", one[0]), said("assistant", one[1])]
    turns.append(said("user", asked))
    if "output" in row:
        turns.append(said("assistant", text_of(row["output"])))
    return _rated(turns, row, source)
