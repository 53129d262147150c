"""What a single training row must satisfy: its terms, who speaks when, which calls are made, what must not be in it.

Each rule looks at one row and yields faults; what rows are to one another is in `dataset_checks`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from kt_lib.calls.protocol import read_agent
from kt_lib.datafiles.lengths import TrainingRow
from kt_lib.permissions import licence_fault, permitted
from kt_lib.records import ChatMessage, Completion, PreferencePair, SftRow, ToolCall, ToolSpec, UnpairedRow
from kt_lib.secret_patterns import find_secrets

Severity = Literal["error", "warning"]
_PERSONAL = frozenset(("email", "phone"))
_LARGEST = 2**63


class Fault(NamedTuple):
    """What is wrong with a row."""

    rule: str
    """The rule it breaks, in a word or two: findings of one rule are counted together."""
    severity: Severity
    """error: the row must not be trained on as it is; warning: look at it."""
    what: str
    """What is wrong, in words."""
    remedy: str
    """What to do."""


def faults_of(row: TrainingRow, seen: dict[str, tuple[str, ...]]) -> Iterator[Fault]:
    """Everything wrong with one row. `seen` holds what secrets were found in which text, for rows share prompts."""
    messages = row.messages if isinstance(row, SftRow) else row.prompt
    yield from _terms_faults(row)
    yield from _tool_faults(row.tools)
    yield from _order_faults(messages)
    yield from _end_faults(row)
    yield from _empty_faults(row)
    yield from _call_faults(row)
    yield from _secret_faults(row, seen)


def learned_texts(row: TrainingRow) -> list[str]:
    """What pairs and judged answers hold beside their prompt."""
    if isinstance(row, PreferencePair):
        return [row.chosen, row.rejected]
    return [row.completion] if isinstance(row, UnpairedRow) else []


# --- whether it may be used -----------------------------------------------------------------------------------------


def _terms_faults(row: TrainingRow) -> Iterator[Fault]:
    """What the people in it and its licence say: an error where it may not be learned."""
    if why := permitted(row, "train"):
        remedy = "take the row out: `kt dataset convert` writes a file without such rows"
        yield Fault("may not be learned", "error", why, remedy)
    elif row.licence is not None and (why := licence_fault(row.licence)):
        remedy = "make sure that you may train on it; `kt dataset convert --for share` leaves such rows out"
        yield Fault("licence", "warning", why, remedy)


# --- who speaks when -------------------------------------------------------------------------------------------------


def _order_faults(messages: Sequence[ChatMessage]) -> Iterator[Fault]:
    """System first and once; then the user, who never speaks twice in a row, nor does the assistant."""
    remedy = "put the messages in the order system, user, assistant (tool, assistant), user, ..."
    speaking = [message for message in messages if message.role != "system"]
    if any(message.role == "system" for message in messages[1:]):
        yield Fault("order of roles", "error", "a system message stands after the first message", remedy)
    if speaking and speaking[0].role != "user":
        yield Fault("order of roles", "error", f"the conversation begins with {speaking[0].role}, not the user", remedy)
    for before, after in pairwise(speaking):
        if before.role == after.role != "tool" and not before.tool_calls:
            what = f"{after.role} speaks twice in a row: many chat templates refuse it"
            yield Fault("order of roles", "error", what, "join the two messages into one, or leave the row out")
            break
    yield from _result_faults(messages)


def _result_faults(messages: Sequence[ChatMessage]) -> Iterator[Fault]:
    """A result follows a call, and every call but the last message's has its result."""
    waiting, written = 0, False
    for at, message in enumerate(messages, 1):
        if message.role == "tool":
            if not waiting and not written:
                what = f"message {at} is a tool's result, and no call is left that it could answer"
                yield Fault("result without call", "error", what, "put the assistant's call before it")
                return
            waiting -= waiting > 0
            continue
        if waiting:
            what = f"{waiting} call(s) before message {at} have no result"
            yield Fault("call without result", "error", what, "add the result of each call as a `tool` message")
            return
        waiting = len(message.tool_calls)
        written = message.role == "assistant" and bool(_written_calls(message.content))


def _end_faults(row: TrainingRow) -> Iterator[Fault]:
    messages = row.messages if isinstance(row, SftRow) else row.prompt
    if not messages:
        yield Fault("order of roles", "error", "it has no messages", "leave the row out")
        return
    last = messages[-1]
    if isinstance(row, SftRow) and last.role != "assistant":
        what = f"the last message is the {last.role}'s: there is no answer to learn"
        yield Fault("no answer", "error", what, "end the row with the assistant's answer, or leave it out")
    if not isinstance(row, SftRow) and last.role == "assistant":
        what = "the prompt ends with an answer of the assistant's"
        yield Fault("order of roles", "error", what, "end the prompt with what is to be answered")


def _empty_faults(row: TrainingRow) -> Iterator[Fault]:
    messages = row.messages if isinstance(row, SftRow) else row.prompt
    for at, message in enumerate(messages, 1):
        if message.content.strip() or message.tool_calls:
            continue
        severity: Severity = "error" if message.role in ("user", "assistant") else "warning"
        what = f"message {at} ({message.role}) is empty"
        yield Fault("empty text", severity, what, "write what is said, or leave it out")
    for text in learned_texts(row):
        if not text.strip():
            yield Fault("empty text", "error", "an answer is empty", "give both answers, or leave the row out")
            break


# --- calls -----------------------------------------------------------------------------------------------------------


def _tool_faults(tools: Sequence[ToolSpec]) -> Iterator[Fault]:
    names = [tool.name for tool in tools]
    if twice := next((name for name in names if names.count(name) > 1), None):
        yield Fault("tools", "error", f"the tool `{twice}` is offered twice", "offer each tool once")
    for tool in tools:
        if fault := _schema(json.dumps(tool.parameters)).fault:
            remedy = "write the parameters as JSON Schema: `type: object`, `properties`, `required`"
            yield Fault("tools", "error", f"the parameters of `{tool.name}` are no JSON Schema: {fault}", remedy)


def _call_faults(row: TrainingRow) -> Iterator[Fault]:
    """Learned calls must be right; a wrong call that is only read may be there to be recovered from."""
    remedy = "offer the tool in `tools`, or mend the call's name and arguments"
    for call, learned in _calls(row):
        fault = _call_fault(call, row.tools)
        if fault:
            yield Fault("call and tool", "error" if learned else "warning", fault, remedy)
        if _too_large(call.arguments):
            what = f"`{call.name}` has a number beyond 64 bits, which `datasets` cannot read"
            yield Fault("large number", "warning", what, "write it as text")


def _calls(row: TrainingRow) -> Iterator[tuple[ToolCall, bool]]:
    """Every call with whether it is learned; calls written as the protocol's text count where tools are offered."""
    messages = row.messages if isinstance(row, SftRow) else row.prompt
    for at, message in enumerate(messages):
        learned = isinstance(row, SftRow) and (row.learn == "all" or at == len(messages) - 1)
        written = _written_calls(message.content) if row.tools and message.role == "assistant" else ()
        for call in (*message.tool_calls, *written):
            yield call, learned
    wanted = [row.chosen] if isinstance(row, PreferencePair) else []
    wanted += [row.completion] if isinstance(row, UnpairedRow) and row.label else []
    for text in wanted if row.tools else ():
        for call in _written_calls(text):
            yield call, True


def _written_calls(text: str) -> tuple[ToolCall, ...]:
    """The calls in a text that is nothing but the JSON protocol's form."""
    if not text.lstrip().startswith(("{", "[")):
        return ()
    return read_agent(Completion(text=text), (), "json").calls


def _call_fault(call: ToolCall, tools: Sequence[ToolSpec]) -> str | None:
    tool = next((tool for tool in tools if tool.name == call.name), None)
    if tool is None:
        offered = ", ".join(f"`{tool.name}`" for tool in tools[:5]) or "none is"
        return f"calls `{call.name}`, which is not offered ({offered})"
    fault = _schema(json.dumps(tool.parameters)).fault_of(call.arguments)
    return f"the call of `{call.name}` does not fit its schema: {fault}" if fault else None


def _too_large(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_too_large, value.values()))
    if isinstance(value, list):
        return any(map(_too_large, value))
    return isinstance(value, int) and not -_LARGEST <= value < _LARGEST


class _Schema:
    """A JSON Schema made ready once: a dataset offers the same few tools thousands of times."""

    def __init__(self, schema: dict[str, Any]) -> None:
        from jsonschema import Draft202012Validator, SchemaError
        from referencing import Registry

        self.fault = ""
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            self.fault = error.message[:200]
        # An empty registry: a schema that points elsewhere must not make this fetch it.
        self._validator = Draft202012Validator(schema, registry=Registry())

    def fault_of(self, arguments: dict[str, Any]) -> str | None:
        """What is wrong with arguments; None when they fit, or the schema is none."""
        from referencing.exceptions import Unresolvable

        if self.fault:
            return None
        try:
            first = next(self._validator.iter_errors(arguments), None)
        except Unresolvable as error:
            return f"its schema points to {str(error)[:100]}, which is not in it"
        except RecursionError:
            return "its schema runs in a circle"
        return first.message[:200] if first else None


_SCHEMAS: dict[str, _Schema] = {}
_MOST_SCHEMAS = 20_000


def _schema(text: str) -> _Schema:
    if len(_SCHEMAS) > _MOST_SCHEMAS:
        _SCHEMAS.clear()
    if text not in _SCHEMAS:
        _SCHEMAS[text] = _Schema(json.loads(text))
    return _SCHEMAS[text]


# --- what must not be in it ------------------------------------------------------------------------------------------


def _secret_faults(row: TrainingRow, seen: dict[str, tuple[str, ...]]) -> Iterator[Fault]:
    messages = row.messages if isinstance(row, SftRow) else row.prompt
    texts = [message.content for message in messages] + learned_texts(row)
    texts += [json.dumps(call.arguments, ensure_ascii=False) for message in messages for call in message.tool_calls]
    found: dict[str, None] = {}
    for text in texts:
        if text not in seen:
            seen[text] = tuple(kind for _, _, kind in find_secrets(text))
        found.update(dict.fromkeys(seen[text]))
    for kind in found:
        severity: Severity = "warning" if kind in _PERSONAL else "error"
        remedy = "take it out: a model repeats what it has learned"
        yield Fault("secret", severity, f"it holds what looks like a {kind.replace('_', ' ')}", remedy)
