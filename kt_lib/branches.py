"""A branch of a chat as a model sees it, exchange by exchange, and what is right or wrong with each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from kt_lib.calls.protocol import read_agent
from kt_lib.calls.schemas import in_schema_order, schema_fault
from kt_lib.prompts import agent_request
from kt_lib.records import (
    ChatMessage,
    Check,
    Completion,
    Conversation,
    Message,
    Protocol,
    Record,
    Request,
    Role,
    Task,
    ToolCall,
    ToolSpec,
    content_id,
)
from kt_lib.redaction import Redaction
from kt_lib.tools_seen import Offers, calls_made
from kt_lib.turns import TurnAnswer

RATED_AS_A_WHOLE = frozenset({"star.dialogue"})
"""Forms in which the rating of the last message is one of the whole talk."""
RATED_AT_THE_END = frozenset({"taskmaster.action"})
"""Forms in which one answer is put to people at a time: what stands before it was never judged, or was judged bad."""

RATED_BAD, CORRECTED = "rated bad", "corrected by the follow-up"
PASSED_OVER = "suggested and passed over"
"""Reason in the rating (0, neither good nor bad) of an answer that was offered beside the one that was picked."""
RATED_GOOD, CONFIRMED = "rated good", "confirmed by the follow-up"
JUDGED_BOTH_WAYS = "judged both ways"
"""Reason in the rating (0) of an answer that was judged right once and wrong once."""

_NAME_KEY = re.compile(r"[\"']name[\"']")
# Words of doubt keep a follow-up from confirming; to call an answer wrong it takes these, or human talk is full of it.
_CORRECTS = re.compile(
    r"^\W*(?:no|nope|sorry)?\W*(?:that|this|it|which)(?:['’]s| is| was|) (?:wrong|incorrect|false"
    r"|not (?:right|correct|it|what i (?:asked|meant|wanted|said)))\b"
    r"|^\W*(?:wrong|incorrect)\b|^\W*no\W+i (?:said|asked|meant|wanted)\b|\byou (?:got|had|have) .{0,30}\bwrong\b"
    r"|\b(?:that|this|it) (?:did|does)(?:n['’]t| not) (?:work|help)\b|\bnot what i (?:asked|meant|wanted|said)\b",
    re.IGNORECASE,
)


class Exchange(Record):
    """What the user said, and everything that came of it up to what they said next."""

    asked: tuple[Message, ...]
    """The user's messages."""
    answer: TurnAnswer | None
    """The answer with what the user said next, if there is an answer."""


class Opinion(Record):
    """What people say of an answer."""

    value: int
    """1 good, -1 bad, 0 nothing (or as much for it as against it)."""
    because: str
    """Whose word it is."""


def exchanges(chat: Conversation, leaf: str | None = None) -> list[Exchange]:
    """The exchanges of a branch (the open one by default), from the user's first words on."""
    found: list[tuple[list[Message], list[Message]]] = []
    for message in chat.branch(leaf):
        if message.role == "user" and (not found or found[-1][1]):
            found.append(([message], []))
        elif found and message.role != "system":
            found[-1][message.role != "user"].append(message)
    following = [*(tuple(asked[:1]) for asked, _ in found[1:]), ()]
    return [
        Exchange(asked=tuple(asked), answer=TurnAnswer(messages=tuple(said), follow_ups=after) if said else None)
        for (asked, said), after in zip(found, following, strict=False)
    ]


def best_leaf(chat: Conversation) -> str | None:
    """The end of the open branch, or of the one beside it that was rated good where the open one was not.

    Not good is: rated bad, or judged both ways. Where the source does not say which branch is open, it is that of the
    last message.
    """
    by_id = {message.id: message for message in chat.messages}
    at = by_id.get(chat.active_leaf or "") or next(reversed(chat.messages), None)
    if at is None or at.rating is None or not (at.rating.value < 0 or at.rating.reason == JUDGED_BOTH_WAYS):
        return at.id if at else None
    beside = (one for one in chat.messages if one.parent_id == at.parent_id and one.rating and one.rating.value > 0)
    return next((one.id for one in beside), at.id)


def opinion(answer: TurnAnswer) -> Opinion:
    """What people say of an answer: a bad rating over a good one, a rating over what the user said next.

    A good rating that the user then objects to counts as none. What follows a question answers it and judges nothing.
    """
    asks = answer.text.rstrip().endswith("?")
    values = [rating.value for rating in answer.ratings]
    if any(value < 0 for value in values):
        return Opinion(value=-1, because=RATED_BAD)
    if any(value > 0 for value in values):
        torn = answer.said == "refutes" and not asks
        return Opinion(value=0, because="rated good and objected to") if torn else Opinion(value=1, because=RATED_GOOD)
    if any(_CORRECTS.search(one.text) for one in answer.follow_ups) and not asks:
        return Opinion(value=-1, because=CORRECTED)
    if answer.said == "confirms" and not asks:
        return Opinion(value=1, because=CONFIRMED)
    return Opinion(value=0, because="as recorded")


def judged_both_ways(answer: TurnAnswer) -> bool:
    """Whether people who were asked about the same answer disagree: nothing is known of it then."""
    return any(rating.reason == JUDGED_BOTH_WAYS for rating in answer.ratings)


def as_seen(messages: Iterable[Message]) -> tuple[ChatMessage, ...]:
    """Messages as a model sees them: what one side says and calls before anything comes back is one message."""
    found: list[ChatMessage] = []
    names: dict[str, str] = {}
    waiting: list[str] = []
    for message in messages:
        names.update({call.id: call.name for call in calls_made(message) if call.id})
        for part in message.parts:
            if part.kind == "tool_result" or (message.role == "tool" and part.text):
                next_one = waiting.pop(0) if waiting else None
                found.append(ChatMessage(role="tool", content=part.text, name=names.get(part.call_id or "", next_one)))
            elif part.kind == "tool_call" and part.call is not None and message.role == "assistant":
                waiting.append(part.call.name)
                _go_on(found, message.role, calls=(part.call,))
            elif part.kind in ("text", "code") and part.text:
                _go_on(found, message.role, text=part.text)
    return tuple(found)


def _go_on(found: list[ChatMessage], role: Role, text: str = "", calls: tuple[ToolCall, ...] = ()) -> None:
    """Add to the message that is being written, or begin one."""
    if not found or found[-1].role != role:
        found.append(ChatMessage(role=role, content=text, tool_calls=calls))
        return
    last = found[-1]
    said = "\n".join(filter(None, (last.content, text)))
    found[-1] = last.model_copy(update={"content": said, "tool_calls": (*last.tool_calls, *calls)})


def good_beginning(
    chat: Conversation, tools: Sequence[ToolSpec], protocol: Protocol
) -> tuple[list[Exchange], str | None]:
    """The exchanges before the first one of which nothing may be learned, and what is wrong with that one."""
    found = exchanges(chat, best_leaf(chat))
    if found and chat.source.format in RATED_AS_A_WHOLE and (last := found[-1].answer) and opinion(last).value < 0:
        return [], "the whole talk was rated bad"
    for number, exchange in enumerate(found):
        if why := fault_of(exchange, tools, protocol, last=number == len(found) - 1):
            return [] if chat.source.format in RATED_AT_THE_END else found[:number], why
    return found, None


def places_learned(chat: Conversation, kept: Sequence[Exchange]) -> list[str]:
    """The places of the answers that a row of these exchanges teaches: every answer, or the one that was judged."""
    seen = as_seen(said_in(kept))
    found = [place for one, place in zip(seen, places(seen), strict=True) if one.role == "assistant"]
    return found[-1:] if chat.source.format in RATED_AT_THE_END else found


def places_called_bad(chat: Conversation) -> set[str]:
    """The places of the answers, of any branch, that people call bad."""
    leaves = {best_leaf(chat), *(one.id for one in chat.messages if one.rating and one.rating.value < 0)}
    found = set()
    for leaf in leaves:
        branch = exchanges(chat, leaf)
        for number, exchange in enumerate(branch):
            if exchange.answer and opinion(exchange.answer).value < 0:
                found.update(places(as_seen(said_in(branch[: number + 1])))[-1:])
    return found


def places(seen: Iterable[ChatMessage]) -> list[str]:
    """An id for each message with all that was said before it: in any chat, the same words at the same place."""
    found = [""]
    for one in seen:
        calls = [(call.name, call.arguments) for call in one.tool_calls]
        found.append(content_id(found[-1], one.role, calls or one.content.strip()))
    return found[1:]


def said_in(kept: Iterable[Exchange]) -> list[Message]:
    """The messages of exchanges, in order."""
    return [message for one in kept for message in (*one.asked, *(one.answer.messages if one.answer else ()))]


def fault_of(exchange: Exchange, tools: Sequence[ToolSpec], protocol: Protocol, *, last: bool) -> str | None:
    """Why nothing may be learned from an exchange; None where its answer may be.

    `last` says that nothing follows: then the answer may end with a call that has no result yet.
    """
    answer = exchange.answer
    if answer is None:
        return "no answer"
    if not answer.ended_well:
        return "a turn that failed" if any(one.status == "failed" for one in answer.messages) else "a turn without end"
    said = opinion(answer)
    if said.value < 0 or judged_both_ways(answer):
        return said.because if said.value < 0 else JUDGED_BOTH_WAYS
    if any(part.kind == "tool_call" and not part.well_formed for one in answer.messages for part in one.parts):
        return "a call that cannot be read"
    seen = as_seen(answer.messages)
    if not seen or seen[-1].role == "tool":
        return "no answer after the tool's result" if seen else "no answer"
    if unanswered(answer.messages, last):
        return "a call that nothing answers"
    return next((why for one in seen if one.role == "assistant" and (why := no_model(one, tools, protocol))), None)


def unanswered(messages: Sequence[Message], last: bool) -> bool:
    """Whether the assistant or the user goes on without the results of the calls made.

    A result that names no call answers all that are open: some sources write those of several calls as one.
    """
    open_calls: list[str | None] = []
    for message in messages:
        if open_calls and message.role == "assistant":
            return True
        for part in message.parts:
            if part.kind == "tool_call":
                open_calls.append(part.call_id)
            elif part.kind == "tool_result":
                open_calls = [one for one in open_calls if one != part.call_id] if part.call_id in open_calls else []
    return bool(open_calls) and not last


def no_model(message: ChatMessage, tools: Sequence[ToolSpec], protocol: Protocol) -> str | None:
    """Why an assistant's message must not be learned."""
    if message.tool_calls:
        fits = all(schema_fault(call, tools) is None for call in message.tool_calls)
        return None if fits else "a call that does not fit its tool"
    if not message.content.strip():
        return "an empty answer"
    broken = tools and read_agent(Completion(text=message.content), tools, protocol).failure
    return "words that read as a broken call" if broken else None


def asked_of(
    messages: Sequence[ChatMessage], system: str | None, tools: Sequence[ToolSpec], protocol: Protocol
) -> Request:
    """The messages as they are put to a model: as an agent's request where tools are offered, else as they are.

    Secrets are taken out. A system prompt that lists the tools itself, in its own form, gives way to the request's.
    """
    own = system if system and not _lists(system, tools) else None
    told = (*([ChatMessage(role="system", content=own)] if own else ()), *messages)
    ordered = [
        one.model_copy(update={"tool_calls": tuple(in_schema_order(call, tools) for call in one.tool_calls)})
        for one in told
    ]
    redaction = Redaction("\n".join(one.model_dump_json() for one in (*ordered, *tools)))
    clean = tuple(map(redaction.redact_message, ordered))
    if not tools:
        return Request(messages=clean)
    offered = tuple(map(redaction.redact_tool, tools))
    check = Check(rule="exact", evidence="none")
    return agent_request(Task(id="branch", messages=clean, tools=offered, check=check), protocol)


def tools_of(chat: Conversation, offers: Offers) -> tuple[ToolSpec, ...]:
    """The tools that its source says were offered; where it says none, those called and the most used of the others.

    A chat without a call and without tools is offered none.
    """
    if chat.tools:
        return chat.tools
    return offers.of(chat).tools if any(calls_made(message) for message in chat.messages) else ()


def _lists(system: str, tools: Sequence[ToolSpec]) -> bool:
    """Whether a system prompt holds the tools as JSON, or as Python writes it."""
    return bool(tools) and bool(_NAME_KEY.search(system)) and all(tool.name in system for tool in tools)
