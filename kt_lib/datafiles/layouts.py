"""Training rows to files and back: TRL's and OpenAI's layouts, as JSON lines or Parquet by the file's ending.

TRL's layout keeps arguments of calls as objects, because chat templates want them so, and where a row came from in a
column `kt` (JSON text, like `tools`): what is read back equals what was written. OpenAI's layout has its arguments as
JSON text, which answers are learned as weights, and no place for where a row came from. It knows native calls alone:
conversations in the JSON protocol become native, and pairs do where a tool's result stands in them.

`datasets` guesses the columns of JSON lines from their first 10 MB; larger files are better loaded as Parquet, which
knows them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from kt_lib.artifacts import file_digest
from kt_lib.datafiles.entries import Dataset, Entry, Written
from kt_lib.datafiles.files import read_objects, write_objects
from kt_lib.datafiles.messages import Unusable
from kt_lib.datafiles.native import TAKEN_BACK, Native, answer_as_native, as_native, has_written_results
from kt_lib.datafiles.reading import read_row
from kt_lib.models.wire import Names
from kt_lib.records import (
    ChatMessage,
    DatasetRow,
    PreferencePair,
    Provenance,
    Record,
    Request,
    SetAside,
    SftRow,
    ToolCall,
    ToolSpec,
    UnpairedRow,
)

Layout = Literal["trl", "openai"]
AnyRow = TypeVar("AnyRow", bound=Record)
_NOTES = "said otherwise"
"""Where a form says what in it is not as the row says it; it is in no file."""
_RENAMED = "tools whose names OpenAI does not take bear names that it takes"
_WITHOUT_TERMS = "licence, consent and whether people said it in confidence have no place in OpenAI's layout"
_KEEP = "build the rows with `--protocol native`, or keep them in TRL's layout"


def write_rows(
    path: Path, rows: Sequence[SftRow], layout: Layout = "trl", places: Sequence[str] | None = None
) -> Written:
    """SFT rows in a file, whole or not at all; rows that the layout cannot say are set aside with the reason.

    `places` says where each row came from, for what is set aside; by default its number.
    """
    if layout == "openai":
        return _write(path, rows, _openai_row, ("messages", "tools"), places)
    return _write(path, rows, _trl_row, ("messages", "tools", "kt"), places)


def write_pairs(
    path: Path, pairs: Sequence[PreferencePair], layout: Layout = "trl", places: Sequence[str] | None = None
) -> Written:
    """Preference pairs in a file, as `write_rows` does it."""
    if layout == "openai":
        return _write(path, pairs, _openai_pair, ("input", "preferred_output", "non_preferred_output"), places)
    return _write(path, pairs, _trl_pair, ("prompt", "chosen", "rejected", "tools", "kt"), places)


def write_unpaired(path: Path, rows: Sequence[UnpairedRow]) -> Written:
    """Answers found good or bad by themselves in a file of TRL's unpaired layout."""
    return _write(path, rows, _trl_unpaired, ("prompt", "completion", "label", "tools", "kt"))


def read_dataset(path: Path) -> Dataset:
    """Every row of a file of any layout, recognised row by row; a bad row is set aside with its line and reason.

    `SourceError` for a file that cannot be read as a whole.
    """
    return Dataset(name=path.name, entries=tuple(read_entries(path)))


def read_entries(path: Path) -> Iterator[Entry]:
    """The same one by one, for files that are larger than memory."""
    rows = read_objects(path)
    source = Provenance(file=path.name, sha256=file_digest(path), format="unknown", place="")
    for raw in rows:
        yield from read_row(raw, source)


def _write(
    path: Path,
    rows: Sequence[AnyRow],
    form: Callable[[AnyRow], dict[str, Any]],
    columns: tuple[str, ...],
    places: Sequence[str] | None = None,
) -> Written:
    aside: list[SetAside] = []
    otherwise = Counter[str]()

    def forms() -> Iterator[dict[str, Any]]:
        for at, row in enumerate(rows):
            try:
                made = form(row)
                otherwise.update(made.pop(_NOTES, ()))
                yield made
            except Unusable as unusable:
                place = places[at] if places else f"row {at + 1}"
                source = Provenance(file=path.name, sha256="", format="kt", place=place)
                aside.append(SetAside(source=source, reason=str(unusable), excerpt=row.model_dump_json()[:500]))

    written = write_objects(path, forms(), columns)
    notes = tuple(f"{count:,} of {written:,} rows: {words}" for words, count in otherwise.items())
    return Written(rows=written, set_aside=tuple(aside), notes=notes)


# --- TRL -------------------------------------------------------------------------------------------------------------


def _trl_row(row: SftRow) -> dict[str, Any]:
    about = _about(row, "kind", "task_id", "basis", "source", "licence", "consent", "private", "learn")
    return {"messages": trl_messages(row.messages), "tools": _trl_tools(row.tools), "kt": _kt(about, row.messages)}


def _trl_pair(pair: PreferencePair) -> dict[str, Any]:
    about = _about(pair, "task_id", "basis", "evidence", "source", "licence", "consent", "private")
    return {
        "prompt": trl_messages(pair.prompt),
        "chosen": [_answer(pair.chosen)],
        "rejected": [_answer(pair.rejected)],
        "tools": _trl_tools(pair.tools),
        "kt": _kt(about, pair.prompt),
    }


def _trl_unpaired(row: UnpairedRow) -> dict[str, Any]:
    about = _about(row, "task_id", "basis", "evidence", "source", "licence", "consent", "private")
    return {
        "prompt": trl_messages(row.prompt),
        "completion": [_answer(row.completion)],
        "label": row.label,
        "tools": _trl_tools(row.tools),
        "kt": _kt(about, row.prompt),
    }


def trl_messages(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Messages as chat templates and TRL read them."""
    found = []
    for message in messages:
        one: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            one["tool_calls"] = [_trl_call(call) for call in message.tool_calls]
        found.append(one | ({"name": message.name} if message.name is not None else {}))
    return found


def _trl_call(call: ToolCall) -> dict[str, Any]:
    identity = {"id": call.id} if call.id is not None else {}
    return {**identity, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def trl_tools(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """Tools as chat templates read them."""
    return [{"type": "function", "function": tool.model_dump()} for tool in tools]


def _trl_tools(tools: Sequence[ToolSpec]) -> str | None:
    """The tools as JSON text, because schemas of different tools share no column type."""
    return json.dumps(trl_tools(tools), ensure_ascii=False) if tools else None


def _answer(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def _about(row: Record, *names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _kt(about: dict[str, Any], messages: Sequence[ChatMessage]) -> str:
    """What a row says of itself, and the words that its calls were read from."""
    read_from = [
        {"message": at, "call": number, "words": call.read_from}
        for at, message in enumerate(messages)
        for number, call in enumerate(message.tool_calls)
        if call.read_from is not None
    ]
    return json.dumps(about | ({"read_from": read_from} if read_from else {}), ensure_ascii=False)


# --- OpenAI ----------------------------------------------------------------------------------------------------------


def _openai_row(row: SftRow) -> dict[str, Any]:
    native = _native(row.messages) if not row.tools else None
    told, tools = native or (row.messages, row.tools)
    names = Names(Request(messages=told, tools=tools))
    messages = _openai_messages(told, names)
    if row.learn == "last":
        answers = [message for message in messages if message["role"] == "assistant"]
        for answer in answers:
            answer["weight"] = int(answer is messages[-1])
    return {"messages": messages, **_openai_tools(tools, names), _NOTES: _otherwise(row, native, tools, names)}


def _openai_pair(pair: PreferencePair) -> dict[str, Any]:
    """The sides as text, or natively where the prompt must be: it holds results."""
    native = _native(pair.prompt) if not pair.tools and has_written_results(pair.prompt) else None
    told, tools = native or (pair.prompt, pair.tools)
    names = Names(Request(messages=told, tools=tools))
    made: dict[str, Any] = {"input": {"messages": _openai_messages(told, names), **_openai_tools(tools, names)}}
    for column, text in (("preferred_output", pair.chosen), ("non_preferred_output", pair.rejected)):
        answer = [answer_as_native(text, tools)] if native else [ChatMessage(role="assistant", content=text)]
        made[column] = _openai_messages(answer, names)
    return made | {_NOTES: _otherwise(pair, native, tools, names)}


def _otherwise(row: DatasetRow, native: Native | None, tools: Sequence[ToolSpec], names: Names) -> list[str]:
    renamed = any(names.wire(tool.name) != tool.name for tool in tools)
    terms = row.licence is not None or row.consent is not None or row.private
    said = {TAKEN_BACK: bool(native), _RENAMED: renamed, _WITHOUT_TERMS: terms}
    return [words for words, so in said.items() if so]


def _native(messages: Sequence[ChatMessage]) -> Native | None:
    """A conversation in the JSON protocol as native calls; None where it holds none, or stays text as well as it is."""
    try:
        return as_native(messages)
    except Unusable as unusable:
        if has_written_results(messages):
            raise Unusable(f"OpenAI's form has native calls alone, and {unusable}: {_KEEP}") from None
        return None


def _openai_tools(tools: Sequence[ToolSpec], names: Names) -> dict[str, Any]:
    """The tools, a schema only where there is one; nothing where none is offered."""
    functions = []
    for tool in tools:
        said = {"name": names.wire(tool.name)} | ({"description": tool.description} if tool.description else {})
        functions.append(said | ({"parameters": tool.parameters} if tool.parameters else {}))
    return {"tools": [{"type": "function", "function": one} for one in functions]} if functions else {}


def _openai_messages(messages: Sequence[ChatMessage], names: Names) -> list[dict[str, Any]]:
    """Messages with an id for every call, and the id of its call at every result."""
    found: list[dict[str, Any]] = []
    waiting: list[str] = []
    for at, message in enumerate(messages):
        one: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.role == "tool":
            if not waiting:
                raise Unusable(f"a tool's result follows no native call, which OpenAI's form cannot say: {_KEEP}")
            found.append({"role": "tool", "tool_call_id": waiting.pop(0), "content": message.content})
            continue
        waiting = [call.id or f"call_{at}_{number}" for number, call in enumerate(message.tool_calls)]
        if message.tool_calls:
            calls = [_openai_call(call, said, names) for call, said in zip(message.tool_calls, waiting, strict=True)]
            one = {"role": message.role} | ({"content": message.content} if message.content else {})
            one["tool_calls"] = calls
        found.append(one | ({"name": message.name} if message.name else {}))
    return found


def _openai_call(call: ToolCall, said: str, names: Names) -> dict[str, Any]:
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    return {"id": said, "type": "function", "function": {"name": names.wire(call.name), "arguments": arguments}}
