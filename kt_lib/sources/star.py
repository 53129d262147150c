"""STAR: a person talks to a worker who plays the assistant, with API calls, drafts, picks and questionnaires."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from kt_lib.records import Edit, MessagePart, Provenance, Rating, ToolCall, ToolSpec, canonical_json, content_id
from kt_lib.sources.chains import Turn, conversation_from, said
from kt_lib.sources.fields import dict_of, json_value, list_of, number_of, shown, text_of
from kt_lib.sources.found import Found
from kt_lib.sources.openwebui_details import result_part
from kt_lib.sources.star_suggestions import Wordings, passed_over

APIS, DIALOGUES = "apis", "dialogues"
"""STAR's folders: the schemas stand beside the dialogues."""
_EQUALS = re.compile(r"api\.is_equal_to\((.*)\)", re.DOTALL)
_KINDS = {"Integer": "integer", "Float": "number", "Boolean": "boolean"}


def is_schema(path: Path) -> bool:
    """Whether a file is one of STAR's own descriptions beside its dialogues, which are no records."""
    return any(
        folder.name in (APIS, "tasks") and (folder.parent / DIALOGUES).is_dir() for folder in list(path.parents)[:2]
    )


def tools_beside(dialogue: Path) -> dict[str, ToolSpec]:
    """The tools that lie where STAR puts them, by name; none where a dialogue stands alone."""
    found: dict[str, ToolSpec] = {}
    for path in sorted((dialogue.absolute().parent.parent / APIS).glob("*.json")):
        try:
            raw = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(raw, dict) and isinstance(raw.get("input"), list):
            found[path.stem] = _tool(path.stem, raw)
    return found


def _tool(name: str, raw: dict[str, Any]) -> ToolSpec:
    properties: dict[str, JsonValue] = {
        text_of(one.get("Name")): _property(one) for one in raw["input"] if isinstance(one, dict) and one.get("Name")
    }
    required: list[JsonValue] = [shown(one) for one in list_of(raw.get("required")) if shown(one) in properties]
    schema: dict[str, JsonValue] = {"type": "object", "properties": properties, "required": required}
    return ToolSpec(name=name, description=name.replace("_", " "), parameters=schema)


def _property(raw: dict[str, Any]) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {"type": _KINDS.get(text_of(raw.get("Type")), "string")}
    if readable := text_of(raw.get("ReadableName")):
        found["description"] = readable
    if categories := [json_value(one) for one in list_of(raw.get("Categories"))]:
        found["enum"] = categories
    for name, key in (("Min", "minimum"), ("Max", "maximum")):
        bound = number_of(raw.get(name))
        if bound is not None and found["type"] in ("integer", "number"):
            found[key] = bound
    return found


def dialogue_from(row: dict[str, Any], source: Provenance, known: Mapping[str, ToolSpec], wordings: Wordings) -> Found:
    """A dialogue -> a conversation with its calls, results and rating, and an edit for each draft before a pick.

    Suggestions that were passed over stand beside the pick.

    The rating is good when every question to the user is answered with yes and the dialogue was completed, bad when one
    is answered with no, and missing otherwise. What the user was told to do is no part of the talk.
    """
    events = [event for event in list_of(row.get("Events")) if isinstance(event, dict)]
    names = [text_of(one.get("Task")) for one in list_of(dict_of(row.get("Scenario")).get("WizardCapabilities"))]
    called = [text_of(event.get("APIName")) for event in events if event.get("Action") == "query"]
    tools = [known[name] for name in dict.fromkeys([*names, *called]) if name in known]
    read = [(event, turn) for event in events if (turn := _turn(event)) is not None]
    talk = conversation_from(
        [turn for _, turn in read],
        source,
        tools=tools,
        title=f"STAR {shown(row.get('DialogueID'))}",
        rating=_rating(row),
    )
    told = zip((event for event, _ in read), talk.messages, strict=True)
    others = tuple(passed_over(told, names, wordings))
    whole = talk.model_copy(update={"messages": (*talk.messages, *others)})
    return Found(conversations=(whole,), edits=tuple(_edits(events, source, talk.id)))


def _turn(event: dict[str, Any]) -> Turn | None:
    read = _READ.get((text_of(event.get("Agent")), text_of(event.get("Action"))))
    return read(event) if read else None


def _call(event: dict[str, Any]) -> Turn:
    arguments = {
        name: _value(value) for one in list_of(event.get("Constraints")) for name, value in dict_of(one).items()
    }
    call = ToolCall(name=text_of(event.get("APIName")), arguments=arguments)
    return "assistant", (MessagePart(kind="tool_call", call=call),)


def _value(written: Any) -> JsonValue:
    """A constraint's value: a literal in quotes, a number, a truth value, or a condition kept as its words.

    The condition that it equals a literal is this literal.
    """
    if not isinstance(written, str):
        return json_value(written)
    equals = _EQUALS.fullmatch(written.strip())
    try:
        value = ast.literal_eval(equals[1] if equals else written.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return written
    return value.strip() if isinstance(value, str) else json_value(value)


def _result(event: dict[str, Any]) -> Turn:
    item = dict_of(event.get("Item"))
    told = {name: value for name, value in item.items() if name not in ("APIName", "id")}
    return "tool", (result_part(canonical_json(json_value(told)), None),)


_READ: dict[tuple[str, str], Callable[[dict[str, Any]], Turn]] = {
    ("User", "utter"): lambda event: said("user", text_of(event.get("Text"))),
    ("Wizard", "utter"): lambda event: said("assistant", text_of(event.get("Text"))),
    ("Wizard", "pick_suggestion"): lambda event: said("assistant", text_of(event.get("Text"))),
    ("Wizard", "query"): _call,
    ("KnowledgeBase", "return_item"): _result,
}


def _rating(row: dict[str, Any]) -> Rating | None:
    answers = [one.get("Answer") for one in list_of(row.get("UserQuestionnaire")) if isinstance(one, dict)]
    if not answers:
        return None
    if not all(answer is True for answer in answers):
        return Rating(value=-1, reason="the questionnaire holds a no")
    return (
        Rating(value=1, reason="every question answered with yes") if row.get("CompletionLevel") == "Complete" else None
    )


def _edits(events: list[dict[str, Any]], source: Provenance, talk: str) -> Iterator[Edit]:
    """The worker's own words before the suggestions were shown, and the suggestion that was picked."""
    draft = ""
    for number, event in enumerate(events):
        action, text = event.get("Action"), text_of(event.get("Text"))
        if action == "request_suggestions":
            draft = text
        elif action in ("pick_suggestion", "utter") and event.get("Agent") == "Wizard":
            if action == "pick_suggestion" and draft.strip() and text.strip() and draft.strip() != text.strip():
                place = source.model_copy(update={"place": f"{source.place}, event {number}"})
                yield Edit(
                    id=content_id("star edit", talk, number, draft, text),
                    source=place,
                    original=draft,
                    final=text,
                    agent="STAR worker",
                    intent=text_of(event.get("ActionLabel")) or None,
                    created=number_of(event.get("UnixTime")),
                )
            draft = ""
