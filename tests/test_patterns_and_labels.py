"""Patterns that people judged: dropped, kept, corrected; the others by how often they were seen."""

from __future__ import annotations

from labels_by_hand import label

from kt_lib.labelling.questions import questions_from
from kt_lib.labels import Label
from kt_lib.patterns import patterns_from
from kt_lib.records import ChatMessage, Example, Pattern, ToolCall


def example(number: int, tool: str, command: str) -> Example:
    return Example(
        task_id=f"{tool} {number}",
        messages=(ChatMessage(role="user", content="?"),),
        tools=(),
        calls=(ToolCall(name=tool, arguments={"command": command}),),
        verified=("schema",),
        category="disk",
    )


OFTEN = [example(number, "bash", f"df /srv/{number}") for number in range(4)]
SELDOM = [example(number, "sh", f"du /var/{number}") for number in range(2)]
EXAMPLES = [*OFTEN, *SELDOM]


def kept(*labels: Label, support: int = 3) -> dict[str, Pattern]:
    found = patterns_from(EXAMPLES, set(), support, labels)
    return {f"{one.kind} {one.tool}": one for one in found}


def judged(name: str, verdict: str, **more: str) -> Label:
    (question,) = questions_from(patterns=[kept(support=1)[name]])
    return label(question, verdict, **more)


def test_without_labels_a_pattern_stands_on_how_often_it_was_seen() -> None:
    assert set(kept()) == {"command_execution bash", "tool_selection bash"}
    assert len(kept(support=1)) == 4


def test_a_no_drops_a_pattern_and_a_yes_keeps_one_that_was_seen_too_seldom() -> None:
    found = kept(judged("command_execution bash", "no"), judged("command_execution sh", "yes"))
    assert set(found) == {"tool_selection bash", "command_execution sh"}
    assert found["command_execution sh"].support == 2


def test_a_correction_replaces_the_template_and_the_label_still_finds_its_pattern() -> None:
    said = judged("command_execution bash", "corrected", text=" bash(command=df -h <path>) ")
    found = kept(said)["command_execution bash"]
    assert (found.template, found.slots) == ("bash(command=df -h <path>)", ("path",))
    assert found.id == kept()["command_execution bash"].id
    (question,) = questions_from(patterns=[found])
    assert question.id == said.question


def test_a_correction_without_a_template_changes_nothing() -> None:
    assert kept(judged("command_execution bash", "corrected")) == kept()
