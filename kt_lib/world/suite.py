"""Tasks of the embedded world with their answer keys: training tasks, dev tasks, held-out tasks and guards."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from kt_lib.params import IngestParams
from kt_lib.records import AcceptedCall, Check, Novelty, Part, Task, content_id
from kt_lib.world.phrasing import intents
from kt_lib.world.situations import Situation, discovery, follow_up, no_call, request

Kind = Literal["main", "not_calling", "multi_turn"]
CONTEXT_SHARE = 0.15
ROLES = {"run_in_repo": "CODER", "read_file": "READER", "remote_bash": "SHELL_EXECUTOR", "bash": "SHELL_EXECUTOR"}


def make_tasks(seed: int, part: Part, kind: Kind, count: int) -> list[Task]:
    """`count` different tasks. A longer list begins with the shorter one, so that a guard can draw more.

    Training tasks are made of names, frames and phrases meant for training. Every name in a dev or test task is held
    out, and so is its frame, its phrase or both (`Task.novelty`).
    """
    rng = random.Random(f"tasks {seed} {part} {kind}")
    found: dict[str, Task] = {}
    for situation, novelty in situations(rng, part, kind):
        task = as_task(situation, novelty, part, kind)
        found.setdefault(task.id, task)
        if len(found) >= count:
            break
    return list(found.values())[:count]


def situations(rng: random.Random, part: Part, kind: Kind) -> Iterator[tuple[Situation, Novelty | None]]:
    """Situations of one kind without end; intents take turns, so that each stands in every suite."""
    held_out = part != "train"
    turn = 0
    while True:
        novelty: Novelty | None = ("frame", "phrase", "both")[turn % 3] if held_out else None
        turn += 1
        if kind == "main":
            intent = rng.choice(intents())
            yield request(rng, intent, novelty, context=rng.random() < CONTEXT_SHARE), novelty
        elif kind == "multi_turn":
            yield (follow_up if turn % 2 else discovery)(rng, held_out), "both" if held_out else None
        else:
            yield no_call(rng, held_out), "both" if held_out else None


def as_task(situation: Situation, novelty: Novelty | None, part: Part, kind: Kind) -> Task:
    """A situation as a task with its answer key."""
    identity = content_id([message.model_dump() for message in situation.messages], [t.name for t in situation.tools])
    name, tool = situation.intent.split("/")
    return Task(
        id=identity,
        messages=situation.messages,
        tools=situation.tools,
        check=check_of(situation),
        role="PLANNER" if kind == "multi_turn" else ROLES.get(tool, "EXECUTOR"),
        category=name,
        difficulty=2 + (novelty == "both") + situation.context + (kind == "multi_turn"),
        kind=kind,
        part=part,
        group=identity,
        novelty=novelty,
        entities=situation.entities,
        information="the tools are named in both modes",
        tags=("context",) if situation.context else (),
    )


def check_of(situation: Situation) -> Check:
    """The answer key."""
    if situation.call is None:
        return Check(rule="never", evidence="answer_key")
    accepted = {name: [value] for name, value in situation.call.arguments.items()}
    return Check(
        rule="exact",
        accepted=(AcceptedCall(name=situation.call.name, arguments=accepted),),
        evidence="answer_key",
    )


def names_in(tasks: Iterable[Task]) -> set[str]:
    """Every made-up name in the tasks."""
    return {name for task in tasks for name in task.entities}


def world_tasks(from_chats: Sequence[Task], sizes: IngestParams) -> list[Task]:
    """The suites of the embedded world beside the tasks of the sample chats, which are for training."""
    seed, guard = sizes.seed, sizes.guard_tasks
    return [
        *(task.model_copy(update={"part": "train"}) for task in from_chats),
        *make_tasks(seed, "train", "main", sizes.train_tasks),
        *make_tasks(seed, "train", "not_calling", sizes.train_tasks // 3),
        *make_tasks(seed, "train", "multi_turn", sizes.train_tasks // 3),
        *make_tasks(seed, "dev", "main", sizes.dev_tasks),
        *make_tasks(seed, "dev", "not_calling", sizes.dev_tasks // 3),
        *make_tasks(seed, "test", "main", sizes.test_tasks),
        *make_tasks(seed, "test", "not_calling", guard),
        *make_tasks(seed, "test", "multi_turn", guard),
    ]
