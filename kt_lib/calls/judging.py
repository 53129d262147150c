"""Judge a completion against its task: the verdict, the failure class and what exactly was wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from kt_lib.calls.checking import Judgement, check_calls
from kt_lib.calls.failures import (
    ABSTAINED,
    EMPTY_REPLY,
    INSTRUCTIONS_INSTEAD_OF_ACTION,
    INVENTED_COMMAND,
    LOOP,
    LOST_CONTEXT,
    MALFORMED,
    MISSING_ARGUMENT,
    REFUSAL,
    SERVER_ERROR,
    TIMEOUT,
    WRONG_ARGUMENT,
    WRONG_TOOL,
)
from kt_lib.calls.prose import read_chat
from kt_lib.calls.protocol import Reading, read_agent
from kt_lib.calls.rules import one_name
from kt_lib.calls.shapes import command_parameter
from kt_lib.records import ChatMessage, Completion, Protocol, Task, ToolCall

REFUSES: Final = re.compile(
    r"\b(?:I\s*(?:'m|’m| am)\s+(?:sorry|unable|not able|afraid)|I\s+(?:cannot|can\s?not|can['’]?t|won['’]?t)"
    r"|I (?:don['’]t|do not) have (?:access|the ability)|as an AI|unable to (?:help|assist|do|access|comply))\b",
    re.IGNORECASE,
)
"""Words by which an answer declines."""
_INSTRUCTS = re.compile(
    r"```|\b(?:you (?:can|could|should|need to|may)|(?<!I )(?<!not )(?<!n['’]t )"
    r"(?:run|execute|type|enter|use|try|call))\b[^.\n]{0,80}`"
    r"|\bopen (?:a|your) terminal\b"
    r"|\b(?:you (?:can|could|should|need to)|first,?|then,?|next,?) (?:run|execute|type|use|call|log ?in|ssh|open)\b",
    re.IGNORECASE,
)
"""Words by which an answer tells how it is done; `I can't run` and `should I run` tell nobody."""
_DENIES = re.compile(
    r"\bnot any\b|\b(?:don['’]t|do not) (?:have|see|know)\b|\b(?:could you|please) (?:tell|specify|provide)\b"
    r"|\b(?:there(?:['’]s| is| are| was| were)|have|has|know|see|find) no\b"
    r"|\bno (?:[\w-]+ ){1,3}(?:is|are|was|were|has|have)\b"
    r"|(?:^|[^\w\s]\s*|\n|\b(?:and|but|so|on|for|of|in|at|from)\s+)(?:which|what)\b[^.!?\n]*\?",
    re.IGNORECASE,
)
"""Words by which an answer says that something is not there, or asks for it; `tell me what you see` does neither."""


def judge_agent(task: Task, completion: Completion, protocol: Protocol) -> Judgement:
    """Judge an agent's answer, read by the protocol it was given (`read_agent`)."""
    if completion.finish == "error":
        return _not_answered(completion)
    return _judge(task, completion.text, read_agent(completion, task.tools, protocol))


def judge_chat(task: Task, completion: Completion) -> Judgement:
    """Judge a chat answer: the calls that its prose means (`read_chat`) are checked like any others."""
    if completion.finish == "error":
        return _not_answered(completion)
    if completion.tool_calls:
        return _judge(task, completion.text, Reading(calls=completion.tool_calls))
    return _judge(task, completion.text, read_chat(completion.text, task.tools, task.messages))


def _judge(task: Task, text: str, reading: Reading) -> Judgement:
    """The verdict on a reading.

    Malformed stays malformed, also where no call was due. An empty reply, or one that goes round in circles, is wrong:
    it is neither a call nor a clean answer. A task without independent evidence is `unverified`, whatever was read.
    """
    if reading.failure in MALFORMED:
        judged = Judgement(outcome="malformed", failure=reading.failure, detail=reading.detail)
    elif reading.failure == EMPTY_REPLY:
        judged = Judgement(outcome="wrong", failure=EMPTY_REPLY, detail=reading.detail)
    elif not reading.calls and goes_in_circles(text):
        judged = Judgement(outcome="wrong", failure=LOOP, detail="the same line over and over")
    else:
        judged = check_calls(reading.calls, task.check, task.tools)
        if judged.outcome == "abstained":
            judged = _why_abstained(judged, task, text)
        elif judged.outcome == "wrong":
            judged = _why_wrong(judged, task)
    if task.check.evidence == "none":
        return judged.model_copy(update={"outcome": "unverified"})
    return judged


def _not_answered(completion: Completion) -> Judgement:
    words = completion.error or "the server gave no reason"
    failure = TIMEOUT if re.search(r"tim(?:ed|e)[ -]?(?:out|limit)", words, re.IGNORECASE) else SERVER_ERROR
    return Judgement(outcome="error", failure=failure, detail=words)


def _why_abstained(judged: Judgement, task: Task, text: str) -> Judgement:
    if _INSTRUCTS.search(text):
        return _named(judged, INSTRUCTIONS_INSTEAD_OF_ACTION, "says how to do it instead of doing it")
    if _DENIES.search(text) and (forgotten := _only_earlier(_accepted_values(task, None), task.messages)):
        return _named(judged, LOST_CONTEXT, f"`{forgotten}` was named in an earlier turn")
    if REFUSES.search(text):
        return _named(judged, REFUSAL, "declines, or says it is not able to")
    return _named(judged, ABSTAINED, "a clean answer without the call that was due")


def _why_wrong(judged: Judgement, task: Task) -> Judgement:
    if judged.failure in (WRONG_ARGUMENT, MISSING_ARGUMENT):
        forgotten = _only_earlier(_accepted_values(task, judged.parameter), task.messages)
        if forgotten and not _given(forgotten, judged.calls):
            return _named(judged, LOST_CONTEXT, f"{judged.detail}; `{forgotten}` was named in an earlier turn")
    if judged.failure in (WRONG_TOOL, WRONG_ARGUMENT) and (invented := _invented_command(judged.calls, task)):
        return _named(judged, INVENTED_COMMAND, invented)
    return judged


def _named(judged: Judgement, failure: str, detail: str) -> Judgement:
    return judged.model_copy(update={"failure": failure, "detail": detail})


def _accepted_values(task: Task, parameter: str | None) -> Iterable[str]:
    for call in task.check.accepted:
        for name, values in call.arguments.items():
            if parameter is None or name == parameter:
                yield from (str(value) for value in values if isinstance(value, str | int | float) and value != "")


def _only_earlier(values: Iterable[str], messages: tuple[ChatMessage, ...]) -> str | None:
    """The first value that stands in earlier turns and not in the last request."""
    last = max((index for index, message in enumerate(messages) if message.role == "user"), default=None)
    if last is None:
        return None
    now = messages[last].content
    earlier = "\n".join(
        message.content + "".join(str(call.arguments) for call in message.tool_calls)
        for message in messages[:last]
        if message.role != "system"
    )
    return next((value for value in values if _stands_in(value, earlier) and not _stands_in(value, now)), None)


def _stands_in(value: str, text: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(value)}(?![\w-])", text, re.IGNORECASE) is not None


def _given(value: str, calls: tuple[ToolCall, ...]) -> bool:
    return any(str(given) == value for call in calls for given in call.arguments.values())


def _invented_command(calls: tuple[ToolCall, ...], task: Task) -> str | None:
    """A command line that does what another tool offered here is for."""
    accepted = {one_name(entry.name) for entry in task.check.accepted}
    by_name = {one_name(tool.name): tool for tool in task.tools}
    for call in calls:
        tool = by_name.get(one_name(call.name))
        parameter = command_parameter(tool) if tool else None
        command = str(call.arguments.get(parameter, "")) if parameter else ""
        words = {one_name(word).replace("-", "_").lower() for word in re.findall(r"[\w.-]+", command)}
        for name in by_name.keys() - {one_name(call.name)}:
            parts = set(name.lower().split("_"))
            if name.lower() in words or (name in accepted and len(parts) > 1 and parts <= _word_stems(words)):
                return f"`{command[:80]}` is made up for what `{by_name[name].name}` does"
    return None


def _word_stems(words: set[str]) -> set[str]:
    parts = {part for word in words for part in word.split("_")}
    return parts | {part + "s" for part in parts} | {part.rstrip("s") for part in parts}


def goes_in_circles(text: str) -> bool:
    """Whether a text says the same over and over."""
    lines = [line.strip() for line in text.splitlines() if len(line.strip()) > 3]
    if any(lines.count(line) >= 5 for line in set(lines) if not set(line) <= set("`-=|+* ")):
        return True
    return len(text) > 400 and re.search(r"(?s)(.{8,120}?)\1{5,}", text[-2000:]) is not None
