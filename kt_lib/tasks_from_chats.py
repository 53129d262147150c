"""Tasks from a user's own conversations: turns whose answer implies a tool call, with what evidence there is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from pydantic import JsonValue

from kt_lib.calls.prose import read_chat
from kt_lib.calls.shapes import command_parameter
from kt_lib.follow_ups import Says, follow_up_says
from kt_lib.records import (
    AcceptedCall,
    ChatMessage,
    Check,
    Conversation,
    Message,
    Record,
    Task,
    ToolCall,
    ToolSpec,
    content_id,
)

BASH = ToolSpec(
    name="bash",
    description="Run a shell command and return what it prints.",
    parameters={
        "type": "object",
        "properties": {"command": {"type": "string", "description": "The command line to run."}},
        "required": ["command"],
    },
)
"""Offered where a chat had no tools of its own: what its prose implies then is a command."""

_OFFERED = 12
"""Most tools offered with a task: the conversation's own, then the most used of the others."""


_REMEMBERED = 24
"""Most messages of the conversation that a task carries: long chats would not fit a local model's context."""


class _Answer(Record):
    """One answer to a request: everything up to the user's next message."""

    messages: tuple[Message, ...]
    """Assistant and tool messages, in order."""
    follow_ups: tuple[Message, ...] = ()
    """What the user said next: several where they went back and said something else."""


def tasks_from_conversations(
    conversations: Iterable[Conversation], tools: Sequence[ToolSpec] = (), *, command_tool: ToolSpec = BASH
) -> list[Task]:
    """One task for each user turn that some recorded answer met with a tool call, made or meant in prose.

    `tools` are known schemas; other tools that were called get a schema inferred from their arguments. A branch or a
    regenerated answer is another answer to the same turn, not another task.

    Accepted calls come from independent evidence only: a person's good rating of an answer, or a follow-up that
    confirms it ("perfect", "that worked"), makes the calls read from THAT answer the accepted ones. A bad rating or a
    correction never does, whatever was said else, and without evidence the check has `evidence="none"`: such a task is
    shown and stays out of every rate. The recorded answer was given earlier by the chat's model and vouched for by the
    person; it is never itself an attempt. What is scored against it are fresh answers, in chat as well as by the agent,
    so no answer is its own evidence.
    """
    chats = list(conversations)
    known = {tool.name: tool for tool in [*tools_seen(chats), *tools]}
    used = Counter(call.name for chat in chats for message in chat.messages for call in _made(message))
    tasks: list[Task] = []
    for chat in chats:
        own = {call.name for message in chat.messages for call in _made(message)}
        ranked = sorted(known, key=lambda name: (name not in own, -used[name], name))
        offered = [known[name] for name in ranked[: max(_OFFERED, len(own))]]
        if not own and not any(command_parameter(tool) for tool in offered):
            offered.append(command_tool)
        inferred = {tool.name for tool in offered} - {command_tool.name, *(tool.name for tool in tools)}
        information = "schema inferred from calls" if inferred else "schema given"
        tasks += [task for task in _tasks_of(chat, offered, information) if task is not None]
    return tasks


def tools_seen(conversations: Iterable[Conversation]) -> list[ToolSpec]:
    """The tools called in these conversations, by name, each with a JSON Schema inferred from its arguments."""
    arguments: dict[str, list[dict[str, JsonValue]]] = defaultdict(list)
    for chat in conversations:
        for message in chat.messages:
            for call in _made(message):
                arguments[call.name].append(call.arguments)
    return [ToolSpec(name=name, parameters=_schema(seen)) for name, seen in sorted(arguments.items())]


def _schema(calls: Sequence[dict[str, JsonValue]]) -> dict[str, JsonValue]:
    values: dict[str, list[JsonValue]] = defaultdict(list)
    for arguments in calls:
        for name, value in arguments.items():
            values[name].append(value)
    properties: dict[str, JsonValue] = {name: _type(seen) for name, seen in values.items()}
    required: list[JsonValue] = [name for name, seen in values.items() if len(seen) == len(calls)]
    return {"type": "object", "properties": properties, "required": required}


def _type(values: Sequence[JsonValue]) -> dict[str, JsonValue]:
    kinds = {_kind(value) for value in values} - {"null"}
    if kinds == {"integer", "number"}:
        return {"type": "number"}
    return {"type": kinds.pop()} if len(kinds) == 1 else {}


def _kind(value: JsonValue) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _tasks_of(chat: Conversation, offered: Sequence[ToolSpec], information: str) -> Iterable[Task | None]:
    children: dict[str, list[Message]] = defaultdict(list)
    for message in chat.messages:
        if message.parent_id:
            children[message.parent_id].append(message)
    by_id = {message.id: message for message in chat.messages}
    for message in chat.messages:
        if message.role == "user" and message.text.strip():
            messages = _as_asked(chat, message, by_id)
            yield _task(chat, messages, message, _answers(message, children), offered, information)


def _answers(request: Message, children: dict[str, list[Message]]) -> list[_Answer]:
    """Every answer to the request, through tool results, up to the user's next message (no recursion)."""
    answers: list[_Answer] = []
    open_paths: list[tuple[Message, ...]] = [(one,) for one in children[request.id] if one.role == "assistant"]
    while open_paths:
        path = open_paths.pop(0)
        after = children[path[-1].id]
        onward = [one for one in after if one.role in ("assistant", "tool")]
        open_paths[:0] = [(*path, one) for one in onward]
        if not onward:
            answers.append(_Answer(messages=path, follow_ups=tuple(one for one in after if one.role == "user")))
    return answers


def _task(
    chat: Conversation,
    messages: tuple[ChatMessage, ...],
    request: Message,
    answers: Sequence[_Answer],
    offered: Sequence[ToolSpec],
    information: str,
) -> Task | None:
    read = [(answer, _calls(answer, offered, messages)) for answer in answers]
    read = [(answer, calls) for answer, calls in read if calls]
    if not read:
        return None
    check, because = _check(read)
    first = check.accepted[0].name if check.accepted else read[0][1][0].name
    return Task(
        id=content_id("chat task", chat.id, request.id),
        messages=messages,
        tools=tuple(offered),
        check=check,
        category=first,
        group=chat.id,
        information=information,
        tags=("own chat", because),
        source=chat.source,
    )


def _check(read: Sequence[tuple[_Answer, tuple[ToolCall, ...]]]) -> tuple[Check, str]:
    """The accepted calls: of the first answer that was rated good, else of the first one a follow-up confirms."""
    liked = [calls for answer, calls in read if _rating(answer) > 0]
    confirmed = [calls for answer, calls in read if _rating(answer) >= 0 and _said(answer) == "confirms"]
    if not liked and not confirmed:
        return Check(rule="exact", evidence="none"), "unverified"
    accepted = tuple(
        AcceptedCall(name=call.name, arguments={name: [value] for name, value in call.arguments.items()})
        for call in (liked or confirmed)[0]
    )
    if liked:
        return Check(rule="exact", accepted=accepted, evidence="rating"), "rated good"
    return Check(rule="exact", accepted=accepted, evidence="follow_up"), "confirmed by the follow-up"


def _rating(answer: _Answer) -> int:
    """The rating of an answer: bad wins over good, and a good one that the user then corrects counts as none."""
    values = [message.rating.value for message in answer.messages if message.rating is not None]
    if any(value < 0 for value in values):
        return -1
    return int(any(value > 0 for value in values) and _said(answer) != "refutes")


def _said(answer: _Answer) -> Says:
    said = {follow_up_says(message.text) for message in answer.follow_ups}
    return "refutes" if "refutes" in said else "confirms" if "confirms" in said else "neither"


def _calls(answer: _Answer, offered: Sequence[ToolSpec], messages: tuple[ChatMessage, ...]) -> tuple[ToolCall, ...]:
    """The calls of the first step: those recorded, else those that the prose means. A failed turn has none."""
    if any(message.status != "ok" for message in answer.messages):
        return ()
    for message in answer.messages:
        if any(part.kind == "tool_call" and not part.well_formed for part in message.parts):
            return ()
        if made := _first_step(message):
            return made
    return read_chat(answer.messages[-1].text, offered, messages).calls


def _first_step(message: Message) -> tuple[ToolCall, ...]:
    """The calls made before anything comes back: later ones depend on results that a fresh attempt has not seen."""
    made: list[ToolCall] = []
    for part in message.parts:
        if part.kind == "tool_result" and made:
            break
        if part.kind == "tool_call" and part.call is not None:
            made.append(part.call)
    return tuple(made)


def _made(message: Message) -> list[ToolCall]:
    if message.role != "assistant":
        return []
    return [part.call for part in message.parts if part.kind == "tool_call" and part.call is not None]


def _as_asked(chat: Conversation, request: Message, by_id: Mapping[str, Message]) -> tuple[ChatMessage, ...]:
    """The conversation up to and with the request, as a model sees it."""
    messages = [ChatMessage(role="system", content=chat.system)] if chat.system else []
    names: dict[str, str] = {}
    for message in _before(request, by_id):
        if message.role == "assistant":
            messages += _as_answered(message, names)
        else:
            content = message.text or "\n".join(part.text for part in message.parts if part.kind == "tool_result")
            name = next((names[part.call_id] for part in message.parts if part.call_id in names), None)
            messages.append(ChatMessage(role=message.role, content=content, name=name))
    return tuple(messages)


def _before(request: Message, by_id: Mapping[str, Message]) -> list[Message]:
    """The branch that ends with the request, from a user's message on: at most `_REMEMBERED` messages."""
    path: list[Message] = []
    at: Message | None = request
    while at is not None and len(path) < _REMEMBERED:
        path.append(at)
        at = by_id.get(at.parent_id or "")
    while path[-1].role != "user":
        path.pop()
    return path[::-1]


def _as_answered(message: Message, names: dict[str, str]) -> list[ChatMessage]:
    """An answer with the calls and results inside it, told apart again; `names` learns which call id is which tool."""
    calls = tuple(_made(message))
    names.update({call.id: call.name for call in calls if call.id})
    results = [part for part in message.parts if part.kind == "tool_result"]
    if not calls:
        return [ChatMessage(role="assistant", content=message.text)]
    told = [ChatMessage(role="assistant", content="" if results else message.text, tool_calls=calls)]
    told += [ChatMessage(role="tool", content=one.text, name=names.get(one.call_id or "")) for one in results]
    return [*told, ChatMessage(role="assistant", content=message.text)] if results and message.text else told
