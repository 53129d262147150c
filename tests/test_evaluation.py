"""Evaluation: the same tasks to base and candidate, nothing asked twice, guards that draw what they need."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

from tiny_base import task

from kt_lib.evaluation import Suite, Tried, against_champion, drawer, guard_suites, judge_guards, scores_of
from kt_lib.gate import guard
from kt_lib.models.embedded import packaged_base
from kt_lib.prompt_formats import in_format, in_other_formats
from kt_lib.records import Attempt, Completion, Mode, ModelVersion, Outcome, PairedTable, Request, Task
from kt_lib.statistics import paired_counts
from kt_lib.weights import model_digest
from kt_lib.world.suite import make_tasks


class Named:
    """A model of which only the name matters."""

    digest = "sha256:none"

    def __init__(self, name: str) -> None:
        self.name = name

    def complete(self, requests: Sequence[Request], progress: object = None) -> list[Completion]:
        raise AssertionError("it is not to be asked")


def tried(one: Task, outcome: Outcome, mode: Mode = "agent") -> Attempt:
    return Attempt(task_id=one.id, mode=mode, model="toy", outcome=outcome)


def test_what_was_asked_once_is_not_asked_again() -> None:
    tasks, asked = [task(at, "test") for at in range(9)], []

    def ask(model: object, chosen: Sequence[Task]) -> list[Attempt]:
        asked.extend(one.id for one in chosen)
        return [tried(one, "correct") for one in chosen]

    base = Named("base")
    suite = Suite("plain_chat", ask, lambda count: tasks[:count], base, [tried(tasks[0], "wrong")])
    draw = suite.draw(Named("sft"))
    assert (draw(3).n, draw(6).second_only, draw(6).n) == (3, 1, 6)
    assert sorted(asked) == sorted([*(one.id for one in tasks[1:6]), *(one.id for one in tasks[:6])])
    assert {row.lever for row in suite.of("sft")} == {"sft"}


def test_attempts_made_elsewhere_are_taken_over() -> None:
    tasks = [task(at, "test") for at in range(4)]
    suite = Suite("plain_chat", lambda model, chosen: [], lambda count: tasks[:count], Named("base"), [])
    suite.know("base", [tried(one, "correct") for one in tasks])
    suite.know("sft", [tried(one, "wrong") for one in tasks])
    assert suite.draw(Named("sft"))(4).first_only == 4


def test_a_longer_draw_begins_with_the_tasks_there_are() -> None:
    own = make_tasks(3, "test", "not_calling", 5)
    more = drawer(own, "not_calling", 3, 20)
    assert more(5) == own
    assert [one.id for one in more(12)[:5]] == [one.id for one in own]
    assert len(more(50)) == 20
    assert len(drawer(own, "not_calling", 3, 5)(50)) == 5, "one's own tasks cannot be multiplied"


def test_each_guard_is_judged_in_its_own_mode_and_one_without_own_tasks_by_the_embedded_worlds() -> None:
    main = [task(at, "test") for at in range(400)]
    silent = [task(at, "test", "not_calling") for at in range(400)]
    known = [tried(one, "correct", "chat") for one in main] + [tried(one, "wrong") for one in main]
    known += [tried(one, "correct") for one in silent]
    base, candidate = Named("base"), Named("sft")
    suites = guard_suites(base, [*main, *silent], known, "json", 1, 400, world=False)
    suites["plain_chat"].know("sft", [tried(one, "correct", "chat") for one in main])
    suites["not_calling"].know("sft", [tried(one, "wrong") for one in silent])
    changed = in_other_formats(main)
    suites["prompt_formats"].know("base", [tried(one, "correct") for one in changed])
    suites["prompt_formats"].know(
        "sft", [tried(one, "wrong" if at % 4 == 2 else "correct") for at, one in enumerate(changed)]
    )
    lent = make_tasks(1, "test", "multi_turn", 320)
    suites["multi_turn"].know("base", [tried(one, "correct") for one in lent])
    suites["multi_turn"].know("sft", [tried(one, "wrong") for one in lent])
    verdicts = {one.suite: one for one in judge_guards(candidate, suites, 400, 0.05)}
    assert set(verdicts) == {"plain_chat", "not_calling", "multi_turn", "prompt_formats"}
    assert not verdicts["multi_turn"].passed, "own data had no such task, and the loss is seen all the same"
    assert verdicts["prompt_formats"].verdict == "worse", "one form of four was lost"
    assert verdicts["plain_chat"].passed
    assert not verdicts["not_calling"].passed


def test_scores_are_told_by_mode_novelty_and_guard_with_malformed_beside_success() -> None:
    tasks = [task(at, "test").model_copy(update={"novelty": "frame" if at < 3 else "both"}) for at in range(5)]
    silent = task(8, "test", "not_calling")
    outcomes: list[Outcome] = ["correct", "malformed", "error", "correct", "wrong"]
    other = in_format(tasks[0], "renamed")
    attempts = [tried(one, outcome) for one, outcome in zip(tasks, outcomes, strict=True)]
    attempts.append(tried(other, "wrong"))
    attempts += [tried(silent, "correct"), tried(tasks[0], "correct", "chat"), tried(task(99), "correct")]
    found = {
        (one.mode, one.suite, one.metric): (one.rate.value, one.rate.n, one.rate.errors)
        for one in scores_of("sft", attempts, [*tasks, silent, other])
    }
    assert found["agent", "main", "success"] == (0.5, 4, 1)
    assert found["agent", "main", "malformed"] == (0.25, 4, 1)
    assert found["agent", "main/frame", "success"] == (0.5, 2, 1)
    assert found["agent", "main/both", "success"] == (0.5, 2, 0)
    assert found["agent", "not_calling", "success"] == (1.0, 1, 0)
    assert found["agent", "prompt_formats/renamed", "success"] == (0.0, 1, 0)
    assert found["chat", "main", "success"] == (1.0, 1, 0)


def test_a_guard_short_of_power_draws_before_it_is_looked_at_and_a_proven_gain_does_not() -> None:
    drawn: list[int] = []

    def passing(count: int) -> PairedTable:
        drawn.append(count)
        tenth = count // 10
        return paired_counts(count - 3 * tenth, tenth, tenth + 6, tenth - 6)

    assert guard("sft", "not_calling", passing, 300, 900, 0.05).passed
    assert len(drawn) > 1, "it would have passed at once: that must not decide whether more is drawn"
    drawn.clear()
    guard("sft", "multi_turn", lambda n: drawn.append(n) or paired_counts(n // 3, 2, n // 3, n // 3), 300, 900, 0.05)
    assert drawn == [300]


def test_a_true_loss_of_the_margin_passes_no_more_often_than_stated() -> None:
    rng, passed = random.Random(1), 0
    for _ in range(150):
        outcomes = rng.choices(range(4), [0.55, 0.25, 0.10, 0.10], k=120)  # fifteen points lost

        def table(count: int, seen: list[int] = outcomes) -> PairedTable:
            first = seen[:count]
            return paired_counts(first.count(0), first.count(1), first.count(2), first.count(3))

        passed += guard("sft", "multi_turn", table, 40, 120, 0.15).passed
    assert passed <= 8, "2.5% of 150 expected; 8 is the 97.5% point"


def test_the_rates_of_trainings_that_drew_different_tasks_stand_on_the_tasks_they_share() -> None:
    tasks = [task(at, "test") for at in range(6)]
    right = {one.id for one in tasks[:3]}
    before = [tried(one, "correct" if one.id in right else "wrong") for one in tasks]
    after = [tried(one, "wrong").model_copy(update={"lever": "sft"}) for one in tasks]
    after += [tried(one, "correct").model_copy(update={"lever": "sft+dpo"}) for one in tasks[:2]]
    scores = Tried("base", before, after, {}, tasks).scores()
    main = [one for one in scores if (one.suite, one.metric) == ("main", "success")]
    rates = {one.variant: (one.rate.value, one.rate.n) for one in main}
    assert rates == {"base": (1.0, 2), "sft": (0.0, 2), "sft+dpo": (1.0, 2)}


def released(state: Path, version: str) -> ModelVersion:
    """The packaged base as if it had been released."""
    shutil.copytree(packaged_base(), state / "models" / version)
    digest = model_digest(state / "models" / version)
    return ModelVersion(
        version=version, base="b", adapter="a", digest=digest, run="r", data="d", folder=f"models/{version}"
    )


def test_a_candidate_is_put_beside_what_people_get_on_the_target_and_on_every_guard(tmp_path: Path) -> None:
    last = released(tmp_path, "1.0.0")
    tasks = [*make_tasks(1, "test", "main", 12), *make_tasks(1, "test", "multi_turn", 4)]
    asked = [*tasks[:8], *tasks[12:], *in_other_formats(tasks[:4])]
    candidate = [tried(one, "correct").model_copy(update={"protocol": "json"}) for one in asked]
    candidate += [tried(one, "correct", "chat") for one in tasks[:6]]
    found = against_champion(last, "sha256:other", candidate, tasks, tmp_path)
    assert found
    assert found.version == "1.0.0"
    assert {name: (one.n, one.second.value) for name, one in found.tables.items()} == {
        "target": (8, 1.0), "plain_chat": (6, 1.0), "multi_turn": (4, 1.0), "prompt_formats": (4, 1.0),
    }  # fmt: skip
    assert 0 < (found.tables["target"].first.value or 0) < 1, "the base does some of the tasks, and not all"


def test_there_is_nothing_to_compare_with_before_the_first_version_and_with_the_same_weights(tmp_path: Path) -> None:
    last = released(tmp_path, "1.0.0")
    tasks = make_tasks(1, "test", "main", 2)
    candidate = [tried(one, "correct") for one in tasks]
    assert against_champion(None, "sha256:other", candidate, tasks, tmp_path) is None
    same = against_champion(last, last.digest, candidate, tasks, tmp_path)
    assert same
    assert (same.same, same.tables) == (True, {})
    shutil.rmtree(tmp_path / "models")
    gone = against_champion(last, "sha256:other", candidate, tasks, tmp_path)
    assert gone
    assert "the weights of 1.0.0 are not in" in gone.missing
