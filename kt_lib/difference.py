"""The same tasks in chat and as an agent: attempts, paired outcomes, tables, and what the chat had ahead."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol as Shape

from kt_lib.calls.failures import MALFORMED
from kt_lib.errors import ArtifactError, ModelError
from kt_lib.records import (
    Attempt,
    Cell,
    Completion,
    Difference,
    Mode,
    Outcome,
    PairedTable,
    Protocol,
    Rate,
    Request,
    Task,
    ToolCall,
    canonical_json,
)
from kt_lib.statistics import paired_counts, wilson


class Judged(Shape):
    """What a checker says of one completion (`kt_lib.calls.judging.Judgement` is one)."""

    @property
    def calls(self) -> tuple[ToolCall, ...]: ...
    @property
    def outcome(self) -> Outcome: ...
    @property
    def failure(self) -> str | None: ...
    @property
    def detail(self) -> str | None: ...


def attempt(
    tasks: Sequence[Task],
    complete: Callable[[list[Request]], list[Completion]],
    request_of: Callable[[Task], Request],
    judge: Callable[[Task, Completion], Judged],
    *,
    mode: Mode,
    model: str,
    protocol: Protocol | None = None,
    lever: str = "none",
) -> list[Attempt]:
    """Put every task once to a model, in one batch, and judge the answers; attempts come in the order of the tasks.

    A completion that failed becomes outcome `error`, and a task without evidence `unverified`: neither is ever a
    success or a failure. ModelError when the model gives another number of completions than it was asked for.
    """
    completions = complete([request_of(task) for task in tasks]) if tasks else []
    if len(completions) != len(tasks):
        raise ModelError(f"{model} gave {len(completions)} completions to {len(tasks)} requests in {mode} mode")
    attempts = []
    for task, completion in zip(tasks, completions, strict=True):
        outcome, failure, detail, calls = _verdict(task, completion, judge)
        attempts.append(
            Attempt(
                task_id=task.id,
                mode=mode,
                protocol=protocol,
                model=model,
                lever=lever,
                output=_raw(completion),
                calls=calls,
                outcome=outcome,
                failure=failure,
                detail=detail,
                usage=completion.usage,
                seconds=completion.seconds,
            )
        )
    return attempts


def _raw(completion: Completion) -> str:
    """The whole output in one text: native calls stand below what the model said, one JSON object a line."""
    calls = [canonical_json({"name": call.name, "arguments": call.arguments}) for call in completion.tool_calls]
    return "\n".join(part for part in (completion.text, *calls, *completion.unreadable_calls) if part)


def _verdict(
    task: Task, completion: Completion, judge: Callable[[Task, Completion], Judged]
) -> tuple[Outcome, str | None, str | None, tuple[ToolCall, ...]]:
    judged = judge(task, completion)
    if completion.finish == "error":
        return "error", judged.failure, judged.detail or completion.error, ()
    if task.check.evidence != "none":
        return judged.outcome, judged.failure, judged.detail, judged.calls
    # Without accepted calls only the form can be faulted, never the content.
    broken = judged.failure in MALFORMED
    return "unverified", judged.failure if broken else None, judged.detail if broken else None, judged.calls


def pair(chat: Iterable[Attempt], agent: Iterable[Attempt]) -> list[Difference]:
    """One Difference per task, in the order of the chat attempts.

    ArtifactError when a task stands on one side only or twice on a side (repeats go through
    `statistics.mean_difference`): a pair left out in silence would bend every rate.
    """
    chats, agents = _by_task(chat, "chat"), _by_task(agent, "agent")
    alone = sorted(chats.keys() ^ agents.keys())
    if alone:
        raise ArtifactError(f"{len(alone)} tasks were attempted on one side only, the first is {alone[0]}")
    return [
        Difference(task_id=task, cell=_cell(one, agents[task]), chat=one, agent=agents[task])
        for task, one in chats.items()
    ]


def _by_task(attempts: Iterable[Attempt], side: str) -> dict[str, Attempt]:
    found: dict[str, Attempt] = {}
    for one in attempts:
        if one.task_id in found:
            raise ArtifactError(f"task {one.task_id} was attempted twice on the {side} side")
        found[one.task_id] = one
    return found


def _cell(chat: Attempt, agent: Attempt) -> Cell:
    outcomes = {chat.outcome, agent.outcome}
    if "unverified" in outcomes:
        return "unverified"
    if "error" in outcomes:
        return "incomplete"
    if chat.outcome == "correct":
        return "both" if agent.outcome == "correct" else "chat_only"
    return "agent_only" if agent.outcome == "correct" else "neither"


def table(differences: Iterable[Difference]) -> PairedTable:
    """The paired table with first = chat and second = agent; unverified and incomplete pairs are in no rate.

    `first.errors` and `second.errors` count the incomplete pairs in which that side failed to run.
    """
    seen = list(differences)
    cells = Counter(one.cell for one in seen)
    incomplete = [one for one in seen if one.cell == "incomplete"]
    return paired_counts(
        cells["both"],
        cells["chat_only"],
        cells["agent_only"],
        cells["neither"],
        first_errors=sum(one.chat.outcome == "error" for one in incomplete),
        second_errors=sum(one.agent.outcome == "error" for one in incomplete),
    )


def cells(differences: Iterable[Difference]) -> dict[Cell, int]:
    """How many tasks are in each cell, all six named: what no rate counts is shown too."""
    found = Counter(one.cell for one in differences)
    names: tuple[Cell, ...] = ("both", "chat_only", "agent_only", "neither", "unverified", "incomplete")
    return {name: found[name] for name in names}


def by(
    differences: Iterable[Difference], tasks: Iterable[Task], key: str | Callable[[Task], str | Iterable[str]]
) -> dict[str, PairedTable]:
    """A table for each group of tasks, sorted by name.

    `key` is the name of a Task field (`category`, `role`, `difficulty`, `kind`, `novelty`), `tool` for the tools of the
    accepted calls, or a function of the task that names one group or several. KeyError for a difference without a task.
    """
    known = {task.id: task for task in tasks}
    groups: dict[str, list[Difference]] = defaultdict(list)
    for one in differences:
        for name in _names(known[one.task_id], key):
            groups[name].append(one)
    return {name: table(groups[name]) for name in sorted(groups)}


def _names(task: Task, key: str | Callable[[Task], str | Iterable[str]]) -> set[str]:
    if callable(key):
        named = key(task)
        return {named} if isinstance(named, str) else set(named)
    if key == "tool":
        return {call.name for call in task.check.accepted} or {"(no call)"}
    value = getattr(task, key)
    return {"(none)" if value is None else str(value)}


def transfer_pool(differences: Iterable[Difference]) -> list[Difference]:
    """The `chat_only` cell: what the chat can do and the agent cannot yet."""
    return [one for one in differences if one.cell == "chat_only"]


def rate(attempts: Iterable[Attempt], outcome: Outcome = "correct") -> Rate:
    """The share with this outcome among the attempts that ran and could be verified; errors are counted beside it."""
    seen = list(attempts)
    counted = [one for one in seen if one.outcome not in ("error", "unverified")]
    errors = sum(one.outcome == "error" for one in seen)
    return wilson(sum(one.outcome == outcome for one in counted), len(counted), errors)


def failure_counts(attempts: Iterable[Attempt]) -> dict[str, int]:
    """Failure class -> attempts, most frequent first, then by name; unverified attempts are left out."""
    found = Counter(one.failure for one in attempts if one.failure and one.outcome != "unverified")
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def failure_changes(before: Iterable[Attempt], after: Iterable[Attempt]) -> dict[str, tuple[int, int]]:
    """Failure class -> (attempts before, attempts after), most frequent before first."""
    first, second = failure_counts(before), failure_counts(after)
    names = [*first, *(name for name in second if name not in first)]
    return {name: (first.get(name, 0), second.get(name, 0)) for name in names}


def information(attempts: Iterable[Attempt], tasks: Iterable[Task]) -> str:
    """What a side had to go on, in words: how it was asked, what was added, and what its tasks gave."""
    asked = sorted({_asked(one) for one in attempts})
    given = Counter(task.information or "not stated" for task in tasks)
    parts = [f"{name} ({count} tasks)" if len(given) > 1 else name for name, count in sorted(given.items())]
    return f"{'; '.join(asked) or 'nothing attempted'}; information in the tasks: {', '.join(parts) or 'no tasks'}"


def _asked(one: Attempt) -> str:
    if one.mode == "chat":
        how = "plain answer, the call is read from the prose"
    else:
        how = "strict JSON protocol" if one.protocol == "json" else "native tool calling"
    return how if one.lever == "none" else f"{how}, with {one.lever}"
