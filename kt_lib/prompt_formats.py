"""The same task under another form of prompt: parameters or tools in another order, other names, tools beside it.

A tuned model that only knows the one form it was trained in loses 70 points and more when the form changes (traps.md).
What is right stays right: only names are changed, and then in the tools, the answer key and the earlier turns alike.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from kt_lib.calls.rules import one_name
from kt_lib.prompts import list_tools
from kt_lib.records import AcceptedCall, ChatMessage, Task, ToolSpec, content_id

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
_DECOYS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("get_weather", ("city",)),
    ("search_web", ("query",)),
    ("create_event", ("title", "start")),
    ("translate", ("text", "language")),
    ("convert_currency", ("amount", "source", "target")),
    ("play_song", ("title",)),
    ("book_table", ("restaurant", "time")),
    ("get_stock_price", ("symbol",)),
)
"""Tools to stand beside those of a task that has nothing to do with them."""
_VERBS = frozenset("get search create convert play book".split())


def key_order(task: Task, rng: random.Random) -> Task:
    """Each tool's parameters in reverse order."""
    return task.model_copy(update={"tools": tuple(map(_reversed, task.tools))})


def tool_order(task: Task, rng: random.Random) -> Task:
    """The tools in another order."""
    tools = list(task.tools)
    rng.shuffle(tools)
    return task.model_copy(update={"tools": tuple(tools if tools != list(task.tools) else tools[::-1])})


def renamed(task: Task, rng: random.Random) -> Task:
    """Every tool under another name, the same in the list, the earlier turns and the answer key."""
    prefixes, suffixes = _AFFIXES["train" if task.part == "train" else "test"]
    prefix, suffix = rng.choice(prefixes), rng.choice(suffixes)
    new = {tool.name: prefix + tool.name if rng.random() < 0.5 else tool.name + suffix for tool in task.tools}
    if len(set(new.values())) < len(new):
        new = {name: prefix + name for name in new}
    talk = "\n".join(message.content for message in task.messages if message.role != "tool")
    if any(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", talk) for name in new if "_" in name):
        return task  # called by its name in the talk, a tool cannot have another one
    accepted = tuple(_renamed_key(each, new) for each in task.check.accepted)
    return task.model_copy(
        update={
            "tools": tuple(tool.model_copy(update={"name": new[tool.name]}) for tool in task.tools),
            "messages": tuple(_renamed_message(message, new) for message in task.messages),
            "check": task.check.model_copy(update={"accepted": accepted}),
        }
    )


def extra_tools(task: Task, rng: random.Random) -> Task:
    """Three tools more, which nobody asks for."""
    talk = " ".join([*(one_name(tool.name) for tool in task.tools), *(one.content for one in task.messages)]).casefold()
    free = [decoy for decoy in _DECOYS if not any(word in talk for word in _words(decoy[0]))]
    tools = [*task.tools, *(_decoy(name, parameters) for name, parameters in rng.sample(free, min(3, len(free))))]
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
    """Each task in one other form, the forms taking turns; the same task at the same place always gets the same one."""
    names = list(FORMATS)
    return [in_format(task, names[at % len(names)]) for at, task in enumerate(tasks)]


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


def _renamed_key(accepted: AcceptedCall, new: dict[str, str]) -> AcceptedCall:
    return accepted.model_copy(update={"name": new.get(accepted.name, accepted.name)})


def _renamed_message(message: ChatMessage, new: dict[str, str]) -> ChatMessage:
    calls = tuple(call.model_copy(update={"name": new.get(call.name, call.name)}) for call in message.tool_calls)
    name = new.get(message.name, message.name) if message.name else None
    return message.model_copy(update={"tool_calls": calls, "name": name})


def _words(name: str) -> list[str]:
    """What a tool is about, by its name: `get_weather` is about the weather."""
    return [word for word in name.split("_") if word not in _VERBS]


def _decoy(name: str, parameters: Sequence[str]) -> ToolSpec:
    schema = {"type": "object", "properties": {one: {"type": "string"} for one in parameters}}
    return ToolSpec(name=name, parameters={**schema, "required": list(parameters)})
