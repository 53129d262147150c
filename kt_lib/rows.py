"""What the model will learn from: SFT rows and format-fixing pairs, made of its own successes and failures."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from kt_lib.calls.writing import write_calls
from kt_lib.leakage import LeakageReport
from kt_lib.records import Attempt, ChatMessage, Example, PreferencePair, Request, SftRow, Task

Ask = Callable[[Task], Request]
Passes = Callable[[Task, str], bool]
"""Whether an agent's answer to a task passes the checker that the evaluation uses."""


def agent_rows(examples: Iterable[Example], tasks: Mapping[str, Task], ask: Ask) -> list[SftRow]:
    """A row for each example: the agent's request as it will be put, and the right call or the right plain answer."""
    found = []
    for example in examples:
        task = tasks[example.task_id]
        request = ask(task)
        kind = {"not_calling": "no_call", "multi_turn": "after_result"}.get(task.kind, "agent_call")
        answer = write_calls(example.calls) if example.calls else example.answer
        found.append(row(request, answer, kind, example))
    return found


def row(request: Request, answer: str, kind: str, example: Example) -> SftRow:
    """One row: what is asked, then what is right."""
    messages = (*request.messages, ChatMessage(role="assistant", content=answer))
    basis = f"{example.verified[-1]}, right by {', '.join(example.verified[:-1])}"
    return SftRow(messages=messages, tools=request.tools, kind=kind, task_id=example.task_id, basis=basis)


def replay_rows(chat: Iterable[Attempt], tasks: Mapping[str, Task], ask: Ask) -> list[SftRow]:
    """The model's own right chat answers on training tasks, so that chat is not lost while the agent is learned."""
    return [
        SftRow(
            messages=(*ask(tasks[attempt.task_id]).messages, ChatMessage(role="assistant", content=attempt.output)),
            kind="chat_replay",
            task_id=attempt.task_id,
            basis=f"own chat answer, right by {tasks[attempt.task_id].check.evidence}",
        )
        for attempt in chat
        if attempt.outcome == "correct" and tasks[attempt.task_id].part == "train"
    ]


def mix(
    agent: Sequence[SftRow], replay: Sequence[SftRow], shares: Mapping[str, float], most: int, seed: int
) -> list[SftRow]:
    """Rows in the wanted shares: `shares` of the whole for `chat_replay` and `no_call`, calls for the rest.

    Where there are too few rows of a kind its share stays short; it is not filled from elsewhere.
    """
    rng = random.Random(seed)
    pools: dict[str, list[SftRow]] = {"chat_replay": list(replay), "no_call": [], "calls": []}
    for each in agent:
        pools["no_call" if each.kind == "no_call" else "calls"].append(each)
    for pool in pools.values():
        rng.shuffle(pool)
    calls_share = 1 - sum(shares.values())
    whole = min(most, round(len(pools["calls"]) / calls_share)) if calls_share > 0 else most
    wanted = {kind: round(whole * share) for kind, share in shares.items()} | {"calls": round(whole * calls_share)}
    rows = [each for kind, pool in pools.items() for each in pool[: wanted[kind]]]
    rng.shuffle(rows)
    return rows


def format_pairs(
    failures: Iterable[Attempt],
    examples: Iterable[Example],
    tasks: Mapping[str, Task],
    ask: Ask,
    passes: Passes,
    most: int,
) -> list[PreferencePair]:
    """A pair for each failed agent attempt whose task has a verified answer: right text chosen, own output rejected.

    The right text is the call, or the plain answer where none was due.

    Both sides go through the checker: the chosen one passes and the rejected one does not, or the pair is left out.
    """
    right = {each.task_id: write_calls(each.calls) if each.calls else each.answer for each in examples}
    found = []
    for attempt in failures:
        if attempt.task_id not in right or attempt.outcome not in ("malformed", "wrong", "abstained"):
            continue
        task, chosen = tasks[attempt.task_id], right[attempt.task_id]
        if not attempt.output or not passes(task, chosen) or passes(task, attempt.output):
            continue
        request = ask(task)
        found.append(
            PreferencePair(
                prompt=request.messages,
                chosen=chosen,
                rejected=attempt.output,
                tools=request.tools,
                task_id=task.id,
                basis=attempt.failure or attempt.outcome,
                evidence=f"{task.check.evidence}; the model's own success and own failure on one task",
            )
        )
    return found[:most]


def counts(rows: Sequence[SftRow], pairs: Sequence[PreferencePair]) -> dict[str, int]:
    """Rows by kind and pairs by the failure they fix, for tables."""
    found = Counter(row.kind for row in rows)
    found.update(f"pair: {pair.basis}" for pair in pairs)
    return dict(found.most_common())


def dataset_card(rows: Sequence[SftRow], pairs: Sequence[PreferencePair], leakage: LeakageReport) -> str:
    """What is in the dataset and how it was made, in Markdown."""
    lines = [
        "# Dataset",
        "",
        f"{len(rows)} SFT rows and {len(pairs)} preference pairs, made of the model's own successes and failures on"
        " training tasks.",
        "",
        "| kind | rows |",
        "|---|---|",
        *(f"| {kind} | {count} |" for kind, count in counts(rows, pairs).items()),
        "",
        f"Leakage: {len(leakage.leaks)} leak(s) of {leakage.evaluation_tasks} evaluation tasks ({leakage.entities}"
        f" made-up names) into {leakage.training_texts} training texts. A name counts as a whole word, a"
        " request where it was learned as it is or with other names and numbers, and as a near-duplicate from a"
        f" similarity of {leakage.threshold} on (Jaccard over three-word shingles).",
    ]
    return "\n".join(lines) + "\n"
