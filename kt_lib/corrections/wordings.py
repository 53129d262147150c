"""What corrections are worded with: the two tables beside this module, read and typed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from kt_lib.errors import SetupError
from kt_lib.records import Record, ToolSpec
from kt_lib.yaml_files import read_yaml

Frames = dict[str, tuple[str, ...]]
"""Ways to ask, by who asks (terse, casual, formal, stressed, learner, executive)."""


class Question(Record):
    """A question with its answer."""

    ask: tuple[str, ...]
    """Ways to put it, without the question mark."""
    answer: str
    """The answer in one or two short sentences."""
    says: str = ""
    """What stands in the tool's result and must stand in the answer; empty for general knowledge."""


class Matter(Record):
    """Something of everyday operations that one command settles."""

    command: str
    """The command."""
    changes: bool = False
    """Whether it changes something."""
    do: tuple[str, ...]
    """What a user asks for, as in "can you ..."."""
    why: tuple[str, ...]
    """What made the user ask."""
    out: str
    """What the command prints."""
    cases: tuple[dict[str, str | int | float], ...] = ()
    """Values that belong together."""
    report: str
    """The result in one sentence."""
    asks: tuple[Question, ...]
    """Questions that the result answers."""
    know: Question
    """A question that needs no machine."""
    goals: tuple[str, ...]
    """What somebody may want a plan for."""
    plan: tuple[str, ...]
    """The steps of that plan, each with its command between backticks."""


class Count(Record):
    """Something to be counted in a list of agents."""

    of: str
    """The attribute that is counted; `none` for the whole list."""
    match: str = ""
    """The values that are counted, as a regular expression; empty for a value that stands in the list."""
    different: bool = False
    """Whether the different values are counted, and not the agents."""
    asks: tuple[str, ...]
    """Ways to ask for it."""
    one: str
    """What is counted, where there is one."""
    more: str
    """The same, where there are several."""


class Layout(Record):
    """How a list of agents is printed."""

    entry: str
    """One agent."""
    between: str
    """What stands between two."""
    around: str
    """What stands around all, with `<entries>` in it."""


class DictPlan(Record):
    """A way to write a plan as Python dicts."""

    item: str
    """One step."""
    around: str
    """What stands around all, with `<items>` in it."""


class Wrong(Record):
    """Wrong answers by pattern; `<slot>` is filled in."""

    invented_loop: tuple[str, ...]
    tool_none: tuple[str, ...]
    forgotten_agents: tuple[str, ...]
    invented_cli: dict[str, tuple[str, ...]]
    instructions: dict[str, tuple[str, ...]]
    no_discovery: tuple[str, ...]
    plan_as_dicts: tuple[DictPlan, ...]


class Wordings(Record):
    """Everything in wordings.yaml; its own comments say what each part is."""

    tools: dict[str, dict[str, Any]]
    frames: dict[str, Frames]
    list_asks: tuple[str, ...]
    list_says: tuple[str, ...]
    small_talk: tuple[tuple[str, str], ...]
    done_says: tuple[str, ...]
    jobs: tuple[str, ...]
    machines: dict[str, str]
    systems: tuple[str, ...]
    sites: tuple[str, ...]
    states: tuple[str, ...]
    releases: tuple[str, ...]
    places: tuple[str, ...]
    ones: dict[str, tuple[str, ...]]
    wrong: Wrong
    counts: tuple[Count, ...]
    count_answers: dict[str, tuple[str, ...]]
    layouts: tuple[Layout, ...]
    why: dict[str, str]


@cache
def wordings() -> Wordings:
    """How things are said."""
    return Wordings.model_validate(_read("wordings.yaml"))


@cache
def matters() -> dict[str, Matter]:
    """What is talked about, by name."""
    return {name: Matter.model_validate(entry) for name, entry in _read("matters.yaml")["matters"].items()}


@cache
def numbers() -> dict[str, tuple[int, int]]:
    """Least and most of every number slot."""
    return {name: (least, most) for name, (least, most) in _read("matters.yaml")["numbers"].items()}


@cache
def tools(described: bool) -> dict[str, ToolSpec]:
    """The tools of the agent protocol by name, with or without words on what they do."""
    return {
        name: ToolSpec(
            name=name,
            description=entry["description"] if described else "",
            parameters={
                "type": "object",
                "properties": {parameter: {"type": kind} for parameter, kind in entry["parameters"].items()},
                "required": list(entry["parameters"]),
            },
        )
        for name, entry in wordings().tools.items()
    }


@cache
def _read(name: str) -> dict[str, Any]:
    data: dict[str, Any] = read_yaml(Path(__file__).with_name(name), "table of wordings", SetupError)
    return data
