"""Tasks from a user's own conversations: turns whose answer implies a tool call, with what evidence there is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kt_lib.evidence import LabelsOfAnswers, check_of
from kt_lib.labels import Label
from kt_lib.records import Conversation, Task, ToolSpec
from kt_lib.tools_seen import BASH
from kt_lib.turns import Turn, turns_of


def tasks_from_conversations(
    conversations: Iterable[Conversation],
    tools: Sequence[ToolSpec] = (),
    *,
    labels: Iterable[Label] = (),
    command_tool: ToolSpec = BASH,
) -> list[Task]:
    """One task for each user turn that some recorded answer met with a tool call, made or meant in prose.

    `tools` are known schemas; other tools that were called get a schema inferred from their arguments. A branch or a
    regenerated answer is another answer to the same turn, not another task.

    Accepted calls come from independent evidence only: a person's label, a good rating of an answer, or a follow-up
    that confirms it ("perfect", "that worked"), in this order, makes the calls read from THAT answer the accepted ones.
    A label may also correct the calls, or say that none is due. Calls that a person labelled wrong are never accepted;
    neither are those of a bad rating or a correction unless a label says otherwise. Without evidence the check has
    `evidence="none"`: such a task is shown and stays out of every rate. The recorded answer was given earlier by the
    chat's model and vouched for by the person; it is never itself an attempt. What is scored against it are fresh
    answers, in chat as well as by the agent, so no answer is its own evidence.
    """
    by_answer = LabelsOfAnswers(labels)
    turns = turns_of(conversations, tools, command_tool=command_tool)
    found = (_task(turn, by_answer) for turn in turns)
    return [task for task in found if task is not None]


def _task(turn: Turn, labels: LabelsOfAnswers) -> Task | None:
    called = next((answer.calls[0].name for answer in turn.answers if answer.calls), None)
    check, because = check_of(turn, labels)
    if called is None and check.evidence == "none":
        return None
    return Task(
        id=turn.task_id,
        messages=turn.messages,
        tools=turn.tools,
        check=check,
        category=check.accepted[0].name if check.accepted else called or "no call",
        kind="not_calling" if check.rule == "never" else "main",
        group=turn.chat,
        information=turn.information,
        tags=("own chat", because),
        source=turn.source,
    )
