"""Tasks to look at, side by side: one for each way to fail, and a few of every cell of the paired matrices."""

from __future__ import annotations

from collections.abc import Sequence

from kt_lib.audience import LONGEST
from kt_lib.difference import failure_counts
from kt_lib.records import AcceptedCall, Attempt, Record, Task
from kt_lib.report_data import WITHHELD, ReportData
from kt_lib.report_sides import Sides
from kt_lib.showing import shown

MOST_CASES = 12
MOST_IN_CELL = 5
CELLS = ("chat_only", "neither", "agent_only", "both")


class Side(Record):
    """One answer in a case."""

    who: str
    """chat, agent before, agent after."""
    kind: str
    """chat, before or after: its colour."""
    text: str
    """The answer."""
    outcome: str
    """The checker's verdict."""
    detail: str = ""
    """What was wrong."""


class Case(Record):
    """A task with the answers to it, side by side."""

    failure: str
    """Failure class of the agent before."""
    count: int
    """Attempts in this class."""
    asked: tuple[tuple[str, str], ...]
    """The conversation: (role, text)."""
    due: tuple[str, ...]
    """The accepted calls."""
    sides: tuple[Side, ...]
    """The answers."""


def cases(data: ReportData) -> list[Case]:
    """One case for each failure class of the agent before, most frequent first.

    Of a class the first is shown that the chat gets right and training mended; otherwise the first there is.
    """
    sides = Sides(data)
    counts = failure_counts(sides.agent.values())
    found = []
    for failure in list(counts)[:MOST_CASES]:
        members = [name for name, one in sides.agent.items() if one.failure == failure and one.outcome != "unverified"]
        best = min(members, key=lambda name: _rank(sides, name))
        found.append(_case(data, sides, best, failure, counts[failure]))
    return found


class CellCases(Record):
    """Some cases of one cell of a paired matrix."""

    name: str
    """Where the matrix links to: `before-chat_only`."""
    title: str
    """In words."""
    count: int
    """Tasks in the cell."""
    cases: tuple[Case, ...]
    """The first of them."""


def cell_cases(data: ReportData) -> list[CellCases]:
    """For every cell of the matrices before and after, a few of its tasks: chat only first, for that is the pool."""
    sides = Sides(data)
    late = "after" if data.after.status == "promoted" else "candidate"
    found = []
    for word, agent in (("before", sides.agent), (late, sides.new_agent)):
        cells: dict[str, list[str]] = {cell: [] for cell in CELLS}
        for name, one in sides.chat.items():
            if name in agent and not {one.outcome, agent[name].outcome} & {"error", "unverified"}:
                cells[_cell(one.outcome == "correct", agent[name].outcome == "correct")].append(name)
        found += [_cell_cases(data, sides, word, cell, names) for cell, names in cells.items() if names]
    return found


def _cell(chat: bool, agent: bool) -> str:
    return ("both" if agent else "chat_only") if chat else "agent_only" if agent else "neither"


def _cell_cases(data: ReportData, sides: Sides, word: str, cell: str, names: Sequence[str]) -> CellCases:
    title = f"{cell.replace('_', ' ')}, {'agent ' if word != 'candidate' else ''}{word}"
    shown_ones = tuple(_case(data, sides, name, cell, len(names)) for name in names[:MOST_IN_CELL])
    return CellCases(name=f"{word}-{cell}", title=title, count=len(names), cases=shown_ones)


def _rank(sides: Sides, task: str) -> tuple[bool, bool]:
    new = sides.new_agent.get(task)
    return sides.chat[task].outcome != "correct", new is None or new.outcome != "correct"


def _case(data: ReportData, sides: Sides, name: str, failure: str, count: int) -> Case:
    task, longest = sides.tasks[name], LONGEST[data.audience]
    late = "agent after" if data.after.status == "promoted" else "candidate"
    answers = [("chat", "chat", sides.chat[name]), ("agent before", "before", sides.agent[name])]
    if name in sides.new_agent:
        answers.append((late, "after", sides.new_agent[name]))
    return Case(
        failure=shown(failure, 100),
        count=count,
        asked=tuple(
            (one.role, shown(one.content, longest)) for one in task.messages if one.role != "system" and one.content
        ),
        due=_due(task),
        sides=tuple(_side(*one, longest) for one in answers),
    )


def _side(who: str, kind: str, one: Attempt, longest: int) -> Side:
    detail = shown(one.detail or "", 240) if one.outcome != "correct" else ""
    return Side(who=who, kind=kind, text=shown(one.output, longest), outcome=one.outcome, detail=detail)


def _due(task: Task) -> tuple[str, ...]:
    if WITHHELD in task.tags:
        return ()
    if task.check.rule == "never":
        return ("no call",)
    return tuple(shown(_written(one), 400) for one in task.check.accepted)


def _written(call: AcceptedCall) -> str:
    """A call with the first accepted value of each argument."""
    return f"{call.name}({', '.join(f'{key}={values[0]!r}' for key, values in call.arguments.items() if values)})"
