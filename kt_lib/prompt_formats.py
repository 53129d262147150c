"""The same task under another form of prompt: parameters or tools in another order, other names, tools beside it.

A tuned model that only knows the one form it was trained in loses 70 points and more when the form changes (traps.md).
What is right stays right: only names are changed, and then in the tools, the answer key and the earlier turns alike.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from pydantic import JsonValue

from kt_lib.calls.rules import one_name
from kt_lib.prompts import list_tools
from kt_lib.records import ChatMessage, Task, ToolSpec, content_id

TAG = "format:"
"""A task's tag before the name of its format."""

_AFFIXES = {
    "train": (
        tuple("do_ tool_ my_ new_ the_ web_ lab_ fast_ main_ sys_ app_ task_ safe_ old_ big_ site_ home_ net_".split()),
        tuple("_tool _v2 _now _api _one _job _run _cmd _op _all _plus _main _step _2 _alt _pro _x _lite".split()),
    ),
    "test": (("x_", "ops_", "call_"), ("_fn", "_action", "_v3")),
}
"""What makes another name of a tool's: (before it, after it); those of evaluation tasks are never learned."""
_DECOYS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("get_weather", ("city",), "weather forecast rain snow sun wind temperature degrees outside climate"),
    ("search_web", ("query",), "web search internet online look find what who when where which why how"),
    ("create_event", ("title", "start"), "event calendar meeting appointment schedule remind lunch dinner"),
    ("translate", ("text", "language"), "translat language french german spanish italian english chinese japanese"),
    ("convert_currency", ("amount", "source", "target"), "currenc convert exchange dollar euro usd eur gbp price cost"),
    ("play_song", ("title",), "song music play track album listen"),
    ("book_table", ("restaurant", "time"), "table restaurant reserv dinner lunch book"),
    ("get_stock_price", ("symbol",), "stock share price market ticker quote"),
)
"""Tools to stand beside a task: (name, parameters, beginnings of words); none where the task has such a word in it."""
_NAME = re.compile(r"[\w-]+(?:\.[\w-]+)*")
_TRIES = 20


def key_order(task: Task, rng: random.Random) -> Task:
    """Each tool's parameters in reverse order."""
    return task.model_copy(update={"tools": tuple(map(_reversed, task.tools))})


def tool_order(task: Task, rng: random.Random) -> Task:
    """The tools in another order."""
    tools = list(task.tools)
    rng.shuffle(tools)
    return task.model_copy(update={"tools": tuple(tools if tools != list(task.tools) else tools[::-1])})


def renamed(task: Task, rng: random.Random) -> Task:
    """Every tool under another name, the same in the list, its descriptions, the earlier turns and the answer key.

    As it was where the talk calls a tool by its name: that one cannot have another one.
    """
    called = {one_name(found[0]) for message in task.messages for found in _names_in(message.content)}
    new = {} if called & {one_name(tool.name) for tool in task.tools} else _other_names(task, rng)
    if not new:
        return task
    accepted = tuple(each.model_copy(update={"name": _new_name(each.name, new)}) for each in task.check.accepted)
    return task.model_copy(
        update={
            "tools": tuple(_renamed_tool(tool, new) for tool in task.tools),
            "messages": tuple(_renamed_message(message, new) for message in task.messages),
            "check": task.check.model_copy(update={"accepted": accepted}),
        }
    )


def extra_tools(task: Task, rng: random.Random) -> Task:
    """Up to three tools more, which nobody asks for; none that would serve the task as well as its own."""
    shown = [list_tools(task.tools), *(message.content for message in task.messages)]
    told = " ".join(re.findall(r"[A-Z]*[a-z]*", " ".join(shown))).casefold()
    free = [decoy for decoy in _DECOYS if not re.search(rf"\b(?:{'|'.join(decoy[2].split())})", told)]
    tools = [*task.tools, *(_decoy(name, parameters) for name, parameters, _ in rng.sample(free, min(3, len(free))))]
    rng.shuffle(tools)
    return task.model_copy(update={"tools": tuple(tools)})


FORMATS: dict[str, Callable[[Task, random.Random], Task]] = {
    "key_order": key_order,
    "tool_order": tool_order,
    "renamed": renamed,
    "extra_tools": extra_tools,
}
"""The forms by name."""


def in_other_formats(tasks: Sequence[Task]) -> list[Task]:
    """Each task in one other form, the forms taking turns; the same task at the same place always gets the same one.

    A task that no form changes is left out: it would count as what it is not.
    """
    names = list(FORMATS)
    changed = [in_format(task, names[at % len(names)]) for at, task in enumerate(tasks)]
    return [new for new, old in zip(changed, tasks, strict=True) if list_tools(new.tools) != list_tools(old.tools)]


def in_format(task: Task, name: str) -> Task:
    """A task in the form called `name`, under an id of its own; where that changes nothing, with more tools."""
    made = FORMATS[name](task, random.Random(f"{name} {task.id}"))
    if list_tools(made.tools) == list_tools(task.tools):
        name = "extra_tools"
        made = extra_tools(task, random.Random(f"{name} {task.id}"))
    return made.model_copy(update={"id": content_id(task.id, name), "tags": (*task.tags, f"{TAG}{name}")})


def format_of(task: Task) -> str | None:
    """The form a task was put in; None for its own."""
    return next((tag.removeprefix(TAG) for tag in task.tags if tag.startswith(TAG)), None)


def _reversed(tool: ToolSpec) -> ToolSpec:
    properties = tool.parameters.get("properties")
    if not isinstance(properties, dict):
        return tool
    return tool.model_copy(
        update={"parameters": {**tool.parameters, "properties": dict(reversed(list(properties.items())))}}
    )


def _other_names(task: Task, rng: random.Random) -> dict[str, str]:
    """A new name for each tool by its old one (`one_name`): none twice, and none that a tool had; {} where none is."""
    prefixes, suffixes = _AFFIXES["train" if task.part == "train" else "test"]
    old = {one_name(tool.name): tool.name for tool in task.tools}
    for _ in range(_TRIES):
        prefix, suffix = rng.choice(prefixes), rng.choice(suffixes)
        new = {key: prefix + name if rng.random() < 0.5 else name + suffix for key, name in old.items()}
        if len({*map(one_name, new.values())} | old.keys()) == 2 * len(old):
            return new
    return {}


def _new_name(name: str, new: Mapping[str, str]) -> str:
    return new.get(one_name(name), name)


def _names_in(text: str) -> Iterator[re.Match[str]]:
    """Words of a text that can be a tool's name. A plain word is one only in quotes: `search` is a verb too."""
    for found in _NAME.finditer(text):
        around = text[found.start() - 1 : found.start()] + text[found.end() : found.end() + 1]
        if not re.fullmatch("[a-z]+", found[0]) or re.fullmatch("[\"'`]{2}", around):
            yield found


def _reworded(text: str, new: Mapping[str, str]) -> str:
    """The text with every tool called by its new name."""
    for found in reversed(list(_names_in(text))):
        text = text[: found.start()] + _new_name(found[0], new) + text[found.end() :]
    return text


def _described(schema: JsonValue, new: Mapping[str, str]) -> JsonValue:
    """A JSON Schema whose descriptions speak of the tools by their new names."""
    if isinstance(schema, list):
        return [_described(one, new) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _reworded(one, new) if key == "description" and isinstance(one, str) else _described(one, new)
        for key, one in schema.items()
    }


def _renamed_tool(tool: ToolSpec, new: Mapping[str, str]) -> ToolSpec:
    return ToolSpec(
        name=_new_name(tool.name, new),
        description=_reworded(tool.description, new),
        parameters={key: _described(one, new) for key, one in tool.parameters.items()},
    )


def _renamed_message(message: ChatMessage, new: Mapping[str, str]) -> ChatMessage:
    calls = tuple(call.model_copy(update={"name": _new_name(call.name, new)}) for call in message.tool_calls)
    return message.model_copy(update={"tool_calls": calls, "name": message.name and _new_name(message.name, new)})


def _decoy(name: str, parameters: Sequence[str]) -> ToolSpec:
    schema = {"type": "object", "properties": {one: {"type": "string"} for one in parameters}}
    return ToolSpec(name=name, parameters={**schema, "required": list(parameters)})
