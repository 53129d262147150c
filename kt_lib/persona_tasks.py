"""Conversations at the point where an assistant has to answer a user of a named persona in words: how does it speak?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count as numbers
from itertools import islice

from kt_lib.assistant import persona_of
from kt_lib.generator.dialogues import generate
from kt_lib.records import Check, SftRow, Task, content_id

APART = 1_000_000_007
"""How far the seeds of these conversations stand from those of training rows."""
_AT_ONCE = 50


def persona_tasks(count: int, seed: int) -> list[Task]:
    """`count` tasks whose next message is plain words to a user whose persona the system prompt names.

    A longer list begins with the shorter one. No call is due and no answer is the right one, so that these tasks
    measure the voice alone (`persona_adaptation`) and count in no success rate. They are made up by the generator, by
    other seeds than its training rows: the machines and figures are others, the wordings it has are the same.
    """
    made = (_task(row) for row in _rows(seed))
    return list(islice((task for task in made if task is not None), count))


def _rows(seed: int) -> Iterator[SftRow]:
    for lot in numbers():
        yield from generate(_AT_ONCE, APART + seed * 1_000_003 + lot, protocol="native")


def _task(row: SftRow) -> Task | None:
    """The conversation without its last words; None where it ends otherwise or names no persona."""
    *before, last = row.messages
    if last.role != "assistant" or last.tool_calls:
        return None
    identity = content_id("persona task", [message.model_dump(mode="json") for message in before])
    task = Task(
        id=identity,
        messages=tuple(before),
        tools=row.tools,
        check=Check(rule="never", evidence="none"),
        group=identity,
        information="the results are there; what is left is to say them",
    )
    user = persona_of(task)
    return None if user is None else task.model_copy(update={"category": user, "tags": ("persona",)})
