"""What carries over: verified examples from successes on training tasks, and the patterns seen in them."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Sequence

from kt_lib.calls.checking import Judgement, check_calls
from kt_lib.calls.schemas import fits_schema, in_schema_order
from kt_lib.labels import Answer, Label
from kt_lib.records import Attempt, Example, Pattern, Task, content_id

_SLOT = re.compile(r"<([A-Za-z_]\w*)>")


def examples_from(tasks: Iterable[Task], attempts: Iterable[Attempt]) -> list[Example]:
    """One example for each training task that was answered rightly in chat, or else as an agent.

    Right means: by evidence independent of the answer (`Task.check`). The calls come from the model's own answer, with
    the words they were read from, and are checked again after their arguments are put in the schema's order.
    """
    chat: dict[str, Attempt] = {}
    agent: dict[str, Attempt] = {}
    for attempt in attempts:
        if attempt.outcome == "correct" and attempt.lever == "none":
            (chat if attempt.mode == "chat" else agent)[attempt.task_id] = attempt
    found = []
    for task in tasks:
        success = chat.get(task.id) or agent.get(task.id)
        if task.part == "train" and task.check.evidence != "none" and success:
            example = verified_example(task, success)
            if example:
                found.append(example)
    return found


def verified_example(task: Task, success: Attempt) -> Example | None:
    """The example a success gives, or None where its calls do not pass schema and accepted values."""
    calls = tuple(in_schema_order(call, task.tools) for call in success.calls)
    if not all(fits_schema(call, task.tools) for call in calls):
        return None
    judged: Judgement = check_calls(calls, task.check, task.tools)
    if judged.outcome != "correct":
        return None
    return Example(
        task_id=task.id,
        messages=task.messages,
        tools=task.tools,
        calls=calls,
        answer=success.output,
        verified=("schema", "accepted_values", f"{success.mode}_success"),
        category=task.category,
    )


def patterns_from(
    examples: Sequence[Example], agent_correct: set[str], min_support: int, labels: Iterable[Label] = ()
) -> list[Pattern]:
    """The patterns of at least `min_support` examples, most seen first.

    command_execution: one per category and tool with a command; parameter_formatting: the same for other tools;
    tool_selection: one per tool. `agent_correct` holds the tasks the agent did right before any change. What a person
    says of a pattern holds over how often it was seen: a no drops it, a yes keeps it, a correction replaces its
    template (its id stays, so that the label still finds it).
    """
    groups: dict[tuple[str, str, str], list[Example]] = defaultdict(list)
    for example in examples:
        for call in example.calls[:1]:
            groups[("tool_selection", call.name, "")].append(example)
            kind = "command_execution" if "command" in call.arguments else "parameter_formatting"
            groups[(kind, call.name, example.category)].append(example)
    said = {label.subject: label.answer for label in labels if label.kind == "pattern"}
    seen = [pattern_of(kind, tool, members, agent_correct) for (kind, tool, _), members in groups.items()]
    found = [as_labelled(one, said.get(one.id)) for one in seen if _stays(one, said.get(one.id), min_support)]
    return sorted(found, key=lambda pattern: (-pattern.support, pattern.id))


def _stays(pattern: Pattern, said: Answer | None, min_support: int) -> bool:
    return pattern.support >= min_support if said is None else said.verdict != "no"


def as_labelled(pattern: Pattern, said: Answer | None) -> Pattern:
    """The pattern with the template that a person put in its place, if one did."""
    if said is None or said.verdict != "corrected" or not said.text.strip():
        return pattern
    slots = tuple(dict.fromkeys(_SLOT.findall(said.text)))
    return pattern.model_copy(update={"template": said.text.strip(), "slots": slots})


def pattern_of(kind: str, tool: str, members: Sequence[Example], agent_correct: set[str]) -> Pattern:
    """The pattern that `members` share: what is alike stays, what changes becomes a slot."""
    calls = [member.calls[0] for member in members]
    slots: list[str] = []
    written = []
    for name in calls[0].arguments:
        values = [str(call.arguments.get(name, "")) for call in calls]
        text = f"<{name}>" if kind == "tool_selection" else generalise(values, name)
        slots += [part for part in text.replace("<", " <").split() if part.startswith("<")]
        written.append(f"{name}={text}")
    return Pattern(
        id=content_id(kind, tool, written),
        kind=kind,
        tool=tool,
        template=f"{tool}({', '.join(written)})",
        slots=tuple(dict.fromkeys(slot.strip("<>") for slot in slots)),
        support=len(members),
        successes=sum(member.task_id in agent_correct for member in members),
        examples=tuple(member.task_id for member in members[:10]),
    )


def generalise(values: Sequence[str], name: str) -> str:
    """Words that all values share in the same place, and a slot for each that changes: `rm <command_2>`."""
    split = [words(value) for value in values]
    if len({len(each) for each in split}) != 1:
        return f"<{name}>"
    columns = list(zip(*split, strict=True))
    if len(columns) == 1:
        return columns[0][0] if len(set(columns[0])) == 1 else f"<{name}>"
    return " ".join(
        column[0] if len(set(column)) == 1 else f"<{name}_{at}>" for at, column in enumerate(columns, start=1)
    )


def words(text: str) -> list[str]:
    """The words of a command, quotes kept together where they close."""
    try:
        return shlex.split(text) or [""]
    except ValueError:
        return text.split() or [""]
