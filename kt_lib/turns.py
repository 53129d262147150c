"""The turns of chats: what was asked, every answer to it, the calls an answer made or meant, what was said next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from kt_lib.calls.prose import read_chat
from kt_lib.follow_ups import Says, follow_up_says
from kt_lib.records import (
    ChatMessage,
    Conversation,
    Message,
    Provenance,
    Rating,
    Record,
    ToolCall,
    ToolSpec,
    content_id,
)
from kt_lib.tools_seen import BASH, Offer, Offers, calls_made

_REMEMBERED = 24
"""Most messages of the conversation that a task carries: long chats would not fit a local model's context."""


class TurnAnswer(Record):
    """One answer to a request: everything up to the user's next message."""

    messages: tuple[Message, ...]
    """Assistant and tool messages, in order."""
    follow_ups: tuple[Message, ...] = ()
    """What the user said next: several where they went back and said something else."""
    calls: tuple[ToolCall, ...] = ()
    """The calls of its first step: those recorded, else those that the prose means."""

    @property
    def id(self) -> str:
        """The id of its last message, by which it is labelled."""
        return self.messages[-1].id

    @property
    def text(self) -> str:
        """All that it says to the user."""
        return "\n\n".join(one.text for one in self.messages if one.role == "assistant" and one.text)

    @property
    def ended_well(self) -> bool:
        """Whether every message of it came to an end without an error."""
        return all(one.status == "ok" for one in self.messages)

    @property
    def ratings(self) -> tuple[Rating, ...]:
        """What people said of it."""
        return tuple(one.rating for one in self.messages if one.rating is not None)

    @property
    def said(self) -> Says:
        """What the follow-ups say of it; one that refutes outweighs those that confirm."""
        said = {follow_up_says(message.text) for message in self.follow_ups}
        return "refutes" if "refutes" in said else "confirms" if "confirms" in said else "neither"


class Turn(Record):
    """A request with every answer that was given to it."""

    chat: str
    """The conversation's id."""
    request: str
    """The id of the user's message."""
    messages: tuple[ChatMessage, ...]
    """The conversation up to and with the request, as a model sees it."""
    tools: tuple[ToolSpec, ...]
    """Tools offered."""
    information: str
    """Where the tools' schemas come from, in words."""
    answers: tuple[TurnAnswer, ...]
    """Every answer, in the order they stand in the chat."""
    open: str | None
    """`id` of the answer that stands in the branch that was left open."""
    source: Provenance
    """Where it came from."""

    @property
    def task_id(self) -> str:
        """Id of the task that this turn makes."""
        return content_id("chat task", self.chat, self.request)


def turns_of(
    conversations: Iterable[Conversation], tools: Sequence[ToolSpec] = (), *, command_tool: ToolSpec = BASH
) -> Iterator[Turn]:
    """Every user turn that says something, with its answers; `tools` are known schemas, others are inferred."""
    chats = list(conversations)
    offers = Offers(chats, tools, command_tool)
    for chat in chats:
        offer = offers.of(chat)
        children: dict[str, list[Message]] = defaultdict(list)
        for message in chat.messages:
            if message.parent_id:
                children[message.parent_id].append(message)
        by_id = {message.id: message for message in chat.messages}
        opened = {message.id for message in chat.branch()}
        for message in chat.messages:
            if message.role == "user" and message.text.strip():
                yield _turn(chat, message, offer, children, by_id, opened)


def _turn(
    chat: Conversation,
    request: Message,
    offer: Offer,
    children: Mapping[str, list[Message]],
    by_id: Mapping[str, Message],
    opened: set[str],
) -> Turn:
    asked = as_asked(chat, request, by_id)
    answers = tuple(
        one.model_copy(update={"calls": _calls(one, offer.tools, asked)}) for one in answers_after(request, children)
    )
    return Turn(
        chat=chat.id,
        request=request.id,
        messages=asked,
        tools=offer.tools,
        information=offer.information,
        answers=answers,
        open=next((one.id for one in answers if one.id in opened), None),
        source=chat.source,
    )


def answers_after(request: Message, children: Mapping[str, list[Message]]) -> list[TurnAnswer]:
    """Every answer after a message, through tool results, up to the user's next message (no recursion)."""
    answers: list[TurnAnswer] = []
    first = [one for one in children.get(request.id, ()) if one.role == "assistant"]
    open_paths: list[tuple[Message, ...]] = [(one,) for one in first]
    while open_paths:
        path = open_paths.pop(0)
        after = children.get(path[-1].id, ())
        onward = [one for one in after if one.role in ("assistant", "tool")]
        open_paths[:0] = [(*path, one) for one in onward]
        if not onward:
            answers.append(TurnAnswer(messages=path, follow_ups=tuple(one for one in after if one.role == "user")))
    return answers


def _calls(answer: TurnAnswer, offered: Sequence[ToolSpec], messages: tuple[ChatMessage, ...]) -> tuple[ToolCall, ...]:
    """The calls of the first step: those recorded, else those that the prose means. A failed turn has none."""
    if not answer.ended_well:
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


def as_asked(chat: Conversation, request: Message, by_id: Mapping[str, Message]) -> tuple[ChatMessage, ...]:
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
    while path and path[-1].role != "user":
        path.pop()
    return path[::-1]


def _as_answered(message: Message, names: dict[str, str]) -> list[ChatMessage]:
    """An answer with the calls and results inside it, told apart again; `names` learns which call id is which tool."""
    calls = tuple(calls_made(message))
    names.update({call.id: call.name for call in calls if call.id})
    results = [part for part in message.parts if part.kind == "tool_result"]
    if not calls:
        return [ChatMessage(role="assistant", content=message.text)]
    told = [ChatMessage(role="assistant", content="" if results else message.text, tool_calls=calls)]
    told += [ChatMessage(role="tool", content=one.text, name=names.get(one.call_id or "")) for one in results]
    return [*told, ChatMessage(role="assistant", content=message.text)] if results and message.text else told
