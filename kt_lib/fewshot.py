"""Few-shot examples: chosen once for coverage, or for each task by nearness."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kt_lib.records import Example, Task


def covering(examples: Sequence[Example], count: int) -> list[Example]:
    """`count` examples that cover tools first, then categories, the shortest first: short shots leave room."""
    left = sorted(examples, key=lambda example: (len(asked(example)), example.task_id))
    chosen: list[Example] = []
    while left and len(chosen) < count:
        tools = {call.name for example in chosen for call in example.calls}
        categories = {example.category for example in chosen}
        best = min(left, key=lambda example: (covered(example, tools), example.category in categories))
        chosen.append(best)
        left.remove(best)
    return chosen


def covered(example: Example, tools: set[str]) -> bool:
    """Whether an example shows no tool that is not shown yet."""
    return all(call.name in tools for call in example.calls)


def nearest(examples: Sequence[Example], count: int) -> Callable[[Task], list[Example]]:
    """A chooser: for a task, the `count` examples whose requests share most words with it, the nearest last.

    Nearness is rapidfuzz's token set ratio of the last user messages.
    """
    from rapidfuzz import fuzz, process

    texts = [asked(example) for example in examples]

    def choose(task: Task) -> list[Example]:
        found = process.extract(task.messages[-1].content, texts, scorer=fuzz.token_set_ratio, limit=count)
        return [examples[at] for _, _, at in reversed(found)]

    return choose


def asked(example: Example) -> str:
    """The last thing the user said."""
    return next((message.content for message in reversed(example.messages) if message.role == "user"), "")
