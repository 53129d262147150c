"""The gate, and leakage: better on the target, not worse on any guard, and nothing known beforehand."""

import pytest

from kt_lib.assistant import comparison
from kt_lib.errors import LeakageError
from kt_lib.gate import cheaper_or_better, guard, paired_table, passes, target
from kt_lib.leakage import measure_leakage, refuse_leaks
from kt_lib.power import guard_needs, guard_power
from kt_lib.prompts import agent_request
from kt_lib.records import Attempt, ChatMessage, PairedTable, SftRow, Task
from kt_lib.statistics import guard_word, judge, noninferiority_power, paired_counts
from kt_lib.world.suite import make_tasks


def attempts(rights: str) -> list[Attempt]:
    return [
        Attempt(task_id=str(at), mode="agent", model="toy", outcome={"1": "correct", "0": "wrong", "e": "error"}[right])
        for at, right in enumerate(rights)
    ]


def test_a_task_that_failed_to_run_is_in_no_comparison():
    assert paired_table(attempts("11e0"), attempts("1e11")).n == 2


def test_a_proven_gain_passes_and_a_chance_one_does_not():
    assert target("sft", paired_counts(40, 2, 40, 10), 0.05).passed
    assert not target("sft", paired_counts(40, 5, 8, 10), 0.05).passed


def test_a_guard_with_no_loss_on_enough_tasks_passes():
    verdict = guard("sft", "plain_chat", lambda n: paired_counts(n - 30, 5, 5, 20), 400, 900, 0.05)
    assert verdict.passed
    assert verdict.power > 0.8


def test_a_proven_loss_within_the_margin_passes_and_is_called_what_it_is():
    """As a comparison the same table is a loss."""
    told = guard("sft", "plain_chat", lambda _: paired_counts(628, 13, 4, 15), 660, 660, 0.05)
    assert told.passed
    assert judge(told.table, 0.05) == "worse"
    assert told.reason.endswith("on 660 tasks: worse by less than the margin")
    assert guard_word(told.table, 0.05) == "worse by less than the margin"


def test_a_guard_that_loses_ten_points_is_refused():
    verdict = guard("sft", "multi_turn", lambda n: paired_counts(n - 100, 50, 10, 40), 400, 900, 0.05)
    assert not verdict.passed


def test_an_undecided_guard_draws_more_tasks_up_to_its_bound_and_no_further():
    drawn = []

    def draw(count):
        drawn.append(count)
        tenth = count // 10
        return paired_counts(count - 3 * tenth, tenth, tenth, tenth)

    verdict = guard("sft", "not_calling", draw, 100, 700, 0.05)
    assert drawn[0] == 100
    assert max(drawn) <= 700
    assert len(drawn) > 1
    assert verdict.table.n == pytest.approx(max(drawn), abs=10)


@pytest.mark.parametrize(
    "cells",
    [(141, 5, 1, 3), (142, 2, 3, 3), (628, 13, 4, 15), (90, 17, 129, 84), (72, 0, 0, 0), (0, 9, 8, 0), (117, 1, 0, 0)],
)
def test_the_tasks_that_a_guard_is_said_to_need_give_eighty_percent_and_are_more_than_it_has(
    cells: tuple[int, int, int, int],
) -> None:
    told = guard("sft", "plain_chat", lambda _: paired_counts(*cells), sum(cells), sum(cells), 0.05)
    alike = cells[0] + cells[3]
    rate = cells[0] / alike if alike else None
    assert noninferiority_power(told.needed, told.discordance, 0.05, rate=rate) >= 0.8
    assert (told.needed > told.table.n) or told.power >= 0.8


def test_a_guard_of_150_tasks_and_68_percent_power_asks_for_179() -> None:
    """The normal approximation asks for 126, which give 58%."""
    table = paired_counts(141, 5, 1, 3)
    assert round(guard_power(table, 0.05), 2) == 0.68
    assert guard_needs(table, 0.05) == 179


def test_a_figure_of_the_assistant_that_tells_nothing_asks_for_tasks_that_would() -> None:
    marks = [(True, True)] * 141 + [(True, False)] * 5 + [(False, True)] + [(False, False)] * 3
    sides = ({str(at): pair[side] for at, pair in enumerate(marks)} for side in (0, 1))
    told = comparison("task_success", "chat", *sides, 0.05)
    assert told is not None
    assert (told.word, told.table.n, told.needed) == ("inconclusive", 150, 179)
    assert "about 179 tasks would tell" in told.reason


def test_an_undecided_guard_draws_as_many_tasks_as_it_needs_at_once() -> None:
    drawn = []

    def draw(count: int) -> PairedTable:
        drawn.append(count)
        return paired_counts(count - 6, 3, 1, 2)

    guard("sft", "plain_chat", draw, 100, 900, 0.05)
    assert drawn == [100, guard_needs(paired_counts(94, 3, 1, 2), 0.05)]
    assert drawn[1] > 150


def test_a_variant_without_a_target_or_with_a_broken_guard_does_not_pass():
    better = target("sft", paired_counts(40, 2, 40, 10), 0.05)
    broken = guard("sft", "plain_chat", lambda n: paired_counts(50, 40, 0, 10), 100, 100, 0.05)
    assert passes([better], "sft")
    assert not passes([better, broken], "sft")
    assert not passes([], "sft")


def test_dpo_is_the_candidate_only_where_it_is_proven_better():
    assert cheaper_or_better(attempts("1" * 30 + "0" * 30), attempts("1" * 60)) == "sft+dpo"
    assert cheaper_or_better(attempts("1" * 60), attempts("1" * 60)) == "sft"
    assert cheaper_or_better(attempts("1" * 60), []) == "sft"


TASKS = [*make_tasks(1, "train", "main", 60), *make_tasks(1, "test", "main", 120)]


def row_of(task: Task, answer: str = "Run `df -h`.") -> SftRow:
    messages = (*agent_request(task, "json").messages, ChatMessage(role="assistant", content=answer))
    return SftRow(messages=messages, kind="agent_call", task_id=task.id, basis="test")


def rows() -> list[SftRow]:
    return [row_of(task) for task in TASKS if task.part == "train"]


def test_the_suites_of_the_world_do_not_leak():
    report = measure_leakage(TASKS, rows(), [], [], 0.95)
    assert report.leaks == ()
    assert report.evaluation_tasks == 120
    assert report.entities > 100
    refuse_leaks(report)


def test_a_planted_prompt_is_found_and_refused():
    planted = next(task for task in TASKS if task.part == "test")
    report = measure_leakage(TASKS, [*rows(), row_of(planted)], [], [], 0.95)
    assert {leak.task_id for leak in report.leaks} >= {planted.id}
    with pytest.raises(LeakageError, match=planted.id):
        refuse_leaks(report)


def test_a_planted_name_is_found_even_in_an_answer_but_not_inside_another_word():
    planted = next(task for task in TASKS if task.part == "test" and len(task.entities[0]) > 5)
    train = TASKS[0]
    found = measure_leakage(TASKS, [*rows(), row_of(train, f"Run `{planted.entities[0]}`.")], [], [], 0.95)
    assert [leak.kind for leak in found.leaks] == ["entity"]
    inside = measure_leakage(TASKS, [*rows(), row_of(train, f"Run `{planted.entities[0]}xyz`.")], [], [], 0.95)
    assert inside.leaks == ()
