"""The eight documented errors as data: both sides of each are checked, and no two ask the same."""

from __future__ import annotations

from collections import Counter

import pytest

from kt_lib.calls.judging import judge_agent
from kt_lib.corrections.correction import Correction, failure_of
from kt_lib.corrections.made import corrections
from kt_lib.records import Completion

FAILURES = {
    "invented_loop": "wrong_key",
    "tool_none": "tool_none",
    "forgotten_agents": "lost_context",
    "invented_cli": "invented_command",
    "miscount": "miscounted",
    "instructions": "instructions_instead_of_action",
    "no_discovery": "missing_discovery_step",
    "plan_as_dicts": "python_dict",
}


@pytest.fixture(scope="module")
def made() -> list[Correction]:
    return corrections(10, seed=1)


def of_pattern(made: list[Correction], pattern: str) -> list[Correction]:
    return [each for each in made if each.pattern == pattern]


def test_there_are_ten_of_each_of_the_eight_errors_and_they_take_turns(made: list[Correction]) -> None:
    assert Counter(each.pattern for each in made) == dict.fromkeys(FAILURES, 10)
    assert [each.pattern for each in made[:8]] == list(FAILURES)


@pytest.mark.parametrize("pattern", FAILURES)
def test_the_right_answer_passes_and_the_wrong_one_fails_with_its_class(made: list[Correction], pattern: str) -> None:
    for each in of_pattern(made, pattern):
        right = judge_agent(each.task, Completion(text=each.right), "json")
        wrong = judge_agent(each.task, Completion(text=each.wrong), "json")
        assert right.outcome == "correct", each.task.group
        expected = None if pattern == "miscount" else FAILURES[pattern]  # words only: the checker sees no call in both
        assert wrong.failure == expected, (each.task.group, each.wrong)
        assert failure_of(each, each.right) is None
        assert failure_of(each, each.wrong) == FAILURES[pattern]
