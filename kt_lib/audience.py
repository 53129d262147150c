"""Who a report is for, and so whose words may be in it: the one place that decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeVar

from pydantic import JsonValue

from kt_lib.history import StepRecord
from kt_lib.mixing import SourceLine
from kt_lib.params import NOTEBOOKS, InputPath, marked
from kt_lib.recipes import shipped_recipes
from kt_lib.records import Adapter, Attempt, ChatMessage, Difference, Score, Task, Verdict, canonical_json
from kt_lib.report_data import WITHHELD, ReportData
from kt_lib.world.suite import ROLES

AnyNamed = TypeVar("AnyNamed", Verdict, Score, Adapter)
Audience = Literal["public", "team", "private"]

LONGEST: dict[Audience, int] = {"public": 900, "team": 900, "private": 100_000}
"""Most characters of a text that a report shows."""
IN_WORDS: dict[Audience, str] = {
    "public": "For everybody: it holds no words of a person's chat, only those of tasks that kt made up itself, and"
    " names no file or folder.",
    "team": "For the team: it holds excerpts of chats, without e-mail addresses, phone numbers, keys and tokens.",
    "private": "For yourself: it holds whole chats, without e-mail addresses, phone numbers, keys and tokens.",
}
"""What the page says of itself."""
_SILENCE = "(not in the public report)"
_SOURCES = frozenset(
    "calls no_call chat_replay other_formats corrections playground"
    " conversational existing toucan agentinstruct curated".split()
)
"""Sources of a mix by the names that kt gives them."""
_KINDS = frozenset("agent_call after_result no_call chat_replay other_format correction conversation".split())
"""Kinds of rows, likewise."""
_ROLES = {"EXECUTOR", "SHELL_EXECUTOR", "PLANNER", *ROLES.values()}


def for_audience(data: ReportData, audience: Audience) -> ReportData:
    """The data with only what this audience may read; the figures stay the same.

    public: of tasks that come from somewhere (a chat, a file) no text is left, they are marked so that tools and
    categories of theirs are not listed either, and no parameter that names a file stays.
    """
    if audience != "public":
        return data.model_copy(update={"audience": audience})
    own = {task.id for task in data.tasks if not is_made_up(task)}
    after = data.after.model_copy(
        update={
            "agent": _silent(data.after.agent, own),
            "chat": _silent(data.after.chat, own),
            "reason": _placeless(data.after.reason),
        }
    )
    return data.model_copy(
        update={
            "audience": audience,
            "tasks": tuple(_withheld(task) if task.id in own else task for task in data.tasks),
            "before": tuple(_without_words(one) if one.task_id in own else one for one in data.before),
            "after": after,
            "steps": tuple(map(_without_places, data.steps)),
            "pages": {},
            "mix": tuple(one if one.name in _SOURCES else _unnamed(one) for one in data.mix),
            "ablation": tuple(_as_known(one, "variant") for one in data.ablation),
            "scores": tuple(_as_known(one, "variant") for one in data.scores),
            "adapters": tuple(_as_known(one, "name") for one in data.adapters),
            "funnel": tuple(one.model_copy(update={"left_out": {}}) for one in data.funnel),
            "profile": data.profile and data.profile.model_copy(update={"examples": ()}),
        }
    )


def is_made_up(task: Task) -> bool:
    """Whether a task was made by the embedded world: nobody's words are in it."""
    return task.source is None and "own chat" not in task.tags


def _withheld(task: Task) -> Task:
    said = ChatMessage(role="user", content=_SILENCE)
    # A file may call its roles as it likes.
    role = task.role if task.role in _ROLES else "EXECUTOR"
    return task.model_copy(update={"messages": (said,), "tags": (WITHHELD,), "group": "", "source": None, "role": role})


def _as_known(one: AnyNamed, field: str) -> AnyNamed:
    return one.model_copy(update={field: _known_training(getattr(one, field))})


def _unnamed(line: SourceLine) -> SourceLine:
    return line.model_copy(update={"name": "another source", "note": ""})


def _silent(attempts: Sequence[Attempt], own: set[str]) -> tuple[Attempt, ...]:
    return tuple(_without_output(one) if one.task_id in own else one for one in attempts)


def _without_output(one: Attempt) -> Attempt:
    return one.model_copy(update={"output": _SILENCE, "detail": None})


def _without_words(one: Difference) -> Difference:
    return one.model_copy(update={"chat": _without_output(one.chat), "agent": _without_output(one.agent)})


def _without_places(step: StepRecord) -> StepRecord:
    """A step without parameters that name files or hosts, and without a reason that does."""
    model = NOTEBOOKS.get(step.notebook)
    places = set(marked(model, InputPath)) if model else set()
    kept = {
        name: value
        for name, value in step.parameters.items()
        if name not in places
        and (_names_no_place(value) if model else isinstance(value, int | float | None))
        and (name not in ("mix", "ablations", "recipe", "scale_to") or _ours(value))
    }
    return step.model_copy(update={"parameters": kept, "reason": _placeless(step.reason)})


def _ours(value: JsonValue) -> bool:
    """Whether it names nothing but sources, kinds of rows and recipes that kt itself calls so."""
    names = value if isinstance(value, dict | list) else [value]
    return all(name in _SOURCES | _KINDS | set(shipped_recipes()) | {""} for name in names)


def _known_training(name: str) -> str:
    """A training's name without a source that somebody called as they liked."""
    alone = name.partition(":")[2] if name.startswith("sft:") else ""
    return name if not alone or _ours(alone) else "sft:another source"


def _names_no_place(value: JsonValue) -> bool:
    """Whether no text in it could be a path or a host: `model` may be a folder as well as a name."""
    return not any(mark in canonical_json(value) for mark in ("/", "\\"))


def _placeless(reason: str | None) -> str | None:
    return reason if reason is None or _names_no_place(reason) else _SILENCE
