"""One raw row of a training file as records, whichever layout it has; a row that cannot be used says why.

Read are TRL's `messages`, `prompt`/`completion`, `prompt`/`chosen`/`rejected` and `prompt`/`completion`/`label`,
OpenAI's `messages` with weights and its preference form, and the rows that kt keeps in a run's folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from kt_lib.calls.writing import write_calls
from kt_lib.datafiles.entries import Entry
from kt_lib.datafiles.files import Raw, strict_json
from kt_lib.datafiles.messages import Notes, ReadFrom, Unusable, read_messages, read_tools
from kt_lib.records import ChatMessage, PreferencePair, Provenance, Record, SetAside, SftRow, ToolSpec, UnpairedRow

_WORDS = TypeAdapter(list[ReadFrom])
_ABOUT = frozenset(("kind", "task_id", "basis", "evidence", "source", "licence", "consent", "private", "learn"))
_TERMS = {"consent": "consent", "licence": "licence", "license": "licence"}
"""Columns that say, in anybody's rows, whether they may be used, and what kt calls them."""
_CHATS = (
    ({"conversations"}, "a ShareGPT conversation"), ({"instruction", "output"}, "an Alpaca row"),
    ({"query", "answers"}, "an xLAM row"), ({"system", "chat"}, "a Glaive chat"),
)  # fmt: skip
"""Layouts of chats, which a mix reads, by their columns."""
_LAYOUT = frozenset(("messages", "prompt", "completion", "chosen", "rejected", "label", "input", "preferred_output",
                     "non_preferred_output", "tools", "functions", "kt", "parallel_tool_calls"))  # fmt: skip


class _About(NamedTuple):
    """What a row says of itself, or what is said of it where it says nothing."""

    said: dict[str, Any]
    place: str
    file: str

    def fields(self, *names: str) -> dict[str, Any]:
        """These fields of a record, with their defaults."""
        defaults: dict[str, Any] = {
            "kind": "unknown",
            "task_id": self.place,
            "basis": "none stated",
            "evidence": "none stated",
        }
        defaults |= {"source": self.file, "licence": None, "consent": None, "private": False}
        return {name: self.said.get(name, defaults[name]) for name in names}


def read_row(raw: Raw, source: Provenance) -> list[Entry]:
    """The records in one row: mostly one, more where a conversation gives several answers to learn, each alone."""
    if raw.value is None:
        return [_set_aside(raw, source, "unknown", raw.fault)]
    form, notes = _form(raw.value), Notes()
    try:
        about = _About(_about(raw.value), raw.place, source.file)
        found = _READERS[form](raw.value, about, notes)
        _check_columns(raw.value, notes)
        _check_text(found)
    except Unusable as unusable:
        return [_set_aside(raw, source, form, str(unusable))]
    except ValidationError as error:
        first = error.errors()[0]
        if first["msg"].startswith("Recursion error"):
            return [_set_aside(raw, source, form, "nested too deeply to be kept")]
        where = ".".join(str(part) for part in first["loc"])
        return [_set_aside(raw, source, form, f"`{where}`: {first['msg']}")]
    except RecursionError:
        return [_set_aside(raw, source, form, "nested too deeply to be kept")]
    return [Entry(place=raw.place, form=form, row=row, notes=notes.told()) for row in found]


def _set_aside(raw: Raw, source: Provenance, form: str, reason: str) -> Entry:
    where = source.model_copy(update={"place": raw.place, "format": form})
    # Names in the row may hold half a character, which nothing can be written with.
    excerpt, why = (text.encode("utf-8", "replace").decode() for text in (raw.text[:500], reason))
    return Entry(place=raw.place, form=form, row=SetAside(source=where, reason=why, excerpt=excerpt))


def _form(row: Mapping[str, Any]) -> str:
    there = {name for name, value in row.items() if value is not None}
    if "input" in there and there & {"preferred_output", "non_preferred_output"}:
        return "openai preference"
    if there & {"chosen", "rejected"}:
        return "preference"
    if "completion" in there and "label" in there:
        return "unpaired"
    if "completion" in there:
        return "prompt/completion"
    return "messages" if "messages" in there else "unknown"


def _about(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the `kt` column says, or the columns that kt's own rows have; a refusal in a column of its own stands."""
    said = row.get("kt")
    if isinstance(said, str):
        try:
            said = json.loads(said)
        except ValueError:
            raise Unusable("the `kt` column is no JSON") from None
    if said is None:
        said = {name: row[name] for name in _ABOUT if row.get(name) is not None} if "task_id" in row else {}
    if not isinstance(said, dict):
        raise Unusable("the `kt` column is no JSON object")
    terms = _terms(row)
    said = terms | {name: one for name, one in said.items() if one is not None}
    said |= {"consent": False} if terms.get("consent") is False else {}
    return {**said, "read_from": _WORDS.validate_python(said.get("read_from") or [])}


def _terms(row: Mapping[str, Any]) -> dict[str, Any]:
    """What columns of anybody's rows say of their licence and of the people in them."""
    said = {name: row[column] for column, name in _TERMS.items() if row.get(column) not in (None, "")}
    if not isinstance(said.get("consent", False), bool):
        raise Unusable(f"`consent` is {said['consent']!r:.40}: true or false is due")
    if not isinstance(said.get("licence", ""), str):
        raise Unusable(f"its licence is {said['licence']!r:.40}: a text is due")
    return said


def _check_columns(row: Mapping[str, Any], notes: Notes) -> None:
    known = _LAYOUT | _TERMS.keys() | (_ABOUT if "task_id" in row else frozenset())
    for name in row.keys() - known:
        if row[name] is not None:
            notes.add(f"the column `{name[:60]}` is not kept")


def _check_text(rows: Sequence[Record]) -> None:
    """No file can hold half a surrogate pair, which JSON can write as an escape."""
    for row in rows:
        try:
            row.model_dump_json()
        except PydanticSerializationError:
            raise Unusable("it holds half a character (one escape of a surrogate pair)") from None


# --- the layouts -----------------------------------------------------------------------------------------------------


def _conversation(row: Mapping[str, Any], about: _About, notes: Notes) -> list[Record]:
    """`messages`: learned is what kt's `learn` or a weight names, and every answer where nobody says."""
    messages, weights = read_messages(row.get("messages"), "messages", notes, about.said["read_from"])
    answers = [at for at, message in enumerate(messages) if message.role == "assistant"]
    if "task_id" in about.said:
        return [_sft(messages, about.said.get("learn", "last"), row, about, notes)]
    if weights:
        return _learned(messages, [at for at in answers if weights.get(at, 1)], row, about, notes)
    return [_sft(messages, "all", row, about, notes)]


def _prompt_and_completion(row: Mapping[str, Any], about: _About, notes: Notes) -> list[Record]:
    prompt, _ = read_messages(row.get("prompt"), "prompt", notes, as_text="user")
    completion, _ = read_messages(row.get("completion"), "completion", notes, as_text="assistant")
    messages = (*prompt, *completion)
    answers = [at for at, message in enumerate(messages) if message.role == "assistant" and at >= len(prompt)]
    return _learned(messages, answers, row, about, notes)


def _learned(
    messages: tuple[ChatMessage, ...], learned: Sequence[int], row: Mapping[str, Any], about: _About, notes: Notes
) -> list[Record]:
    """The same answers learned, by rows that learn their last answer or all of them."""
    if not learned:
        raise Unusable("no answer in it is learned: no assistant's message, or every weight is 0")
    if learned == [len(messages) - 1]:
        return [_sft(messages, "last", row, about, notes)]
    if list(learned) == [at for at, message in enumerate(messages) if message.role == "assistant"]:
        return [_sft(messages, "all", row, about, notes)]
    return [_sft(messages[: at + 1], "last", row, about, notes) for at in learned]


def _sft(messages: tuple[ChatMessage, ...], learn: Any, row: Mapping[str, Any], about: _About, notes: Notes) -> SftRow:
    fields = about.fields("kind", "task_id", "basis", "source", "licence", "consent", "private")
    return SftRow(messages=messages, tools=_tools(row, notes), learn=learn, **fields)


def _tools(row: Mapping[str, Any], notes: Notes) -> tuple[ToolSpec, ...]:
    return read_tools(row["tools"] if row.get("tools") is not None else row.get("functions"), notes)


def _pair(row: Mapping[str, Any], about: _About, notes: Notes) -> list[Record]:
    for side in ("chosen", "rejected"):
        if row.get(side) is None:
            raise Unusable(f"`{side}` is missing")
    chosen, _ = read_messages(row["chosen"], "chosen", notes, as_text="assistant")
    rejected, _ = read_messages(row["rejected"], "rejected", notes, as_text="assistant")
    if row.get("prompt") is None:
        shared = len(_shared(chosen, rejected))
        if not shared:
            raise Unusable(
                "there is no `prompt`, and `chosen` and `rejected` begin with nothing in common: put what both answer"
                " there"
            )
        prompt, chosen, rejected = chosen[:shared], chosen[shared:], rejected[shared:]
    else:
        prompt, _ = read_messages(row["prompt"], "prompt", notes, about.said["read_from"], as_text="user")
    return [_preference(prompt, chosen, rejected, row, about, notes)]


def _shared(first: Sequence[ChatMessage], second: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The messages that both sides begin with; each keeps an answer of its own."""
    found = []
    for one, other in zip(first[:-1], second[:-1], strict=False):
        if one != other:
            break
        found.append(one)
    return found


def _openai_pair(row: Mapping[str, Any], about: _About, notes: Notes) -> list[Record]:
    asked = row["input"]
    if isinstance(asked, str):
        try:
            asked = strict_json(asked)
        except ValueError as error:
            raise Unusable(f"`input` is a text that is no JSON: {error}") from None
    if not isinstance(asked, dict):
        raise Unusable("`input` is no object with `messages`")
    prompt, _ = read_messages(asked.get("messages"), "input.messages", notes)
    sides = [read_messages(row.get(name), name, notes)[0] for name in ("preferred_output", "non_preferred_output")]
    return [_preference(prompt, sides[0], sides[1], asked, about, notes)]


def _preference(
    prompt: tuple[ChatMessage, ...],
    chosen: tuple[ChatMessage, ...],
    rejected: tuple[ChatMessage, ...],
    row: Mapping[str, Any],
    about: _About,
    notes: Notes,
) -> PreferencePair:
    return PreferencePair(
        prompt=prompt,
        chosen=_answer(chosen, "chosen", notes),
        rejected=_answer(rejected, "rejected", notes),
        tools=_tools(row, notes),
        **about.fields("task_id", "basis", "evidence", "source", "licence", "consent", "private"),
    )


def _answer(messages: Sequence[ChatMessage], name: str, notes: Notes) -> str:
    """A side of a pair as text: one answer, its calls as the JSON protocol writes them."""
    if len(messages) != 1:
        raise Unusable(f"`{name}` holds {len(messages)} messages where one answer is due: put the others in the prompt")
    answer = messages[0]
    if answer.role != "assistant":
        raise Unusable(f"`{name}` is said by {answer.role}, not by the assistant")
    if not answer.tool_calls:
        return answer.content
    if answer.content:
        raise Unusable(f"`{name}` holds both words and calls: a pair's side is one text")
    notes.add(f"the calls of `{name}` are read as the JSON protocol's text")
    return write_calls(answer.tool_calls)


def _one_answer(row: Mapping[str, Any], about: _About, notes: Notes) -> list[Record]:
    label = row["label"]
    if not isinstance(label, bool) and label not in (0, 1):
        raise Unusable("`label` is neither true nor false")
    prompt, _ = read_messages(row.get("prompt"), "prompt", notes, about.said["read_from"], as_text="user")
    completion, _ = read_messages(row["completion"], "completion", notes, as_text="assistant")
    fields = about.fields("task_id", "basis", "evidence", "source", "licence", "consent", "private")
    answer = _answer(completion, "completion", notes)
    tools = _tools(row, notes)
    return [UnpairedRow(prompt=prompt, completion=answer, label=bool(label), tools=tools, **fields)]


def _unknown(row: Mapping[str, Any], about: _About, notes: Notes) -> list[Record]:
    there = [name for name in row if row[name] is not None]
    if chats := next((words for keys, words in _CHATS if keys <= set(there)), None):
        raise Unusable(f"{chats}, not rows of a trainer: name the file in a mix (`kt dataset build --files`)")
    has = ", ".join(f"`{name[:40]}`" for name in there[:8]) or "nothing"
    raise Unusable(
        f"no layout kt knows: it has {has}; give `messages`, `prompt` and `completion`, or `prompt`, `chosen` and"
        " `rejected`"
    )


_READERS = {
    "messages": _conversation,
    "prompt/completion": _prompt_and_completion,
    "preference": _pair,
    "openai preference": _openai_pair,
    "unpaired": _one_answer,
    "unknown": _unknown,
}
