"""What every made-up conversation is held to before it is given out."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from kt_lib.calls.protocol import read_agent
from kt_lib.calls.schemas import schema_fault
from kt_lib.errors import KtError
from kt_lib.generator.talk import Talk
from kt_lib.records import ChatMessage, Completion, Protocol, SftRow, ToolSpec
from kt_lib.style import broken_rules

_NUMBER = re.compile(r"\d+(?:\.\d+)*")
_SERVICE = re.compile(r"(?:systemctl [a-z-]+|journalctl -u) ([a-z][\w.@-]+)")
_CODE = re.compile(r"`([^`\n]+)`")


def check(row: SftRow, talk: Talk, protocol: Protocol) -> None:
    """KtError where a call cannot be read or does not fit, an answer is out of voice or not founded."""
    before: list[str] = []
    asked = ""
    for turn in row.messages:
        if turn.role == "user":
            asked = turn.content
        if turn.role == "assistant":
            for fault in faults(turn, talk.offered, talk, protocol, asked, before):
                raise _unsound(row, f"{fault}: {turn.content[:160]!r}")
        if turn.role in ("user", "tool", "assistant"):
            before.append(turn.content)
            before += [json.dumps(call.arguments) for call in turn.tool_calls]
    if row.messages[-1].role != "assistant":
        raise _unsound(row, "the last message is no answer")


def _unsound(row: SftRow, fault: str) -> KtError:
    return KtError(
        f"the made-up conversation {row.task_id} ({row.basis}) is not sound: {fault}. This is no fault of yours: give"
        " another seed, and have its wording mended in kt_lib/generator"
    )


def faults(
    turn: ChatMessage, tools: Sequence[ToolSpec], talk: Talk, protocol: Protocol, asked: str, before: Sequence[str]
) -> list[str]:
    """What is wrong with one message of the assistant."""
    reading = read_agent(Completion(text=turn.content, tool_calls=turn.tool_calls), tools, protocol)
    if reading.failure:
        return [f"not readable: {reading.failure}, {reading.detail}"]
    found = [fault for call in reading.calls if (fault := schema_fault(call, tools))]
    answers = [str(call.arguments["result"]) for call in reading.calls if call.name == "complete"]
    answers += [turn.content] if turn.content and (protocol == "native" or not reading.calls) else []
    terms = [*(one.id for one in talk.fleet.machines), talk.fleet.app, *_SERVICE.findall("\n".join(before))]
    for answer in answers:
        found += [f"{broken.rule}: {broken.detail}" for broken in broken_rules(answer, talk.persona, asked, terms)]
        found += [f"unfounded: {each}" for each in unfounded(answer, talk.taught, "\n".join(before))]
    return found


def unfounded(answer: str, taught: Sequence[str], before: str) -> list[str]:
    """Numbers and names in the answer that nobody said and no result shows; what is taught is general knowledge."""
    for text in taught:
        answer = (
            answer.replace(text, "").replace(text[:1].upper() + text[1:], "").replace(text[:1].lower() + text[1:], "")
        )
    numbers = set(_NUMBER.findall(before))
    found = [number for number in _NUMBER.findall(answer) if number not in numbers]
    return [*found, *(code for code in _CODE.findall(answer) if code not in before)]
