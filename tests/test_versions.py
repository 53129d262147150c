"""Version numbers by reason, what the gate says of a version, and what changed."""

from __future__ import annotations

from typing import Any

import pytest

from kt_lib.errors import GateRefused
from kt_lib.records import ModelVersion, PairedTable, Score, Verdict
from kt_lib.statistics import paired_counts, wilson
from kt_lib.versions import DAY, AgainstChampion, changes, due, let_through, lineage, new_version, number_for, refusal

BETTER = paired_counts(50, 2, 40, 8)
EVEN = paired_counts(80, 5, 5, 10)


def verdict(suite: str = "target", passed: bool = True, word: str = "better") -> Verdict:
    return Verdict(
        variant="sft",
        suite=suite,
        table=BETTER if passed else EVEN,
        verdict=word,  # type: ignore[arg-type]
        passed=passed,
        margin=0.05,
        discordance=0.1,
        power=0.41,
        needed=314,
        reason="made up",
    )


def score(value: int) -> Score:
    return Score(variant="sft", mode="agent", suite="main", metric="success", rate=wilson(value, 100))


def made(history: list[ModelVersion], digest: str, **changed: Any) -> ModelVersion:
    known: dict[str, Any] = {
        "base": "sha256:base",
        "adapter": f"adapter of {digest}",
        "run": "run 1",
        "data": "data 1",
        "scores": [score(90)],
        "verdicts": [verdict()],
        "passed": True,
        "now": 1000.0,
    }
    return new_version(history, digest=digest, **(known | changed))


def beside(**tables: PairedTable) -> AgainstChampion:
    return AgainstChampion(version="1.0.0", tables=tables)


FIRST = made([], "a")


def test_the_first_version_is_one() -> None:
    assert (FIRST.version, FIRST.folder, FIRST.promoted) == ("1.0.0", "models/1.0.0", True)
    assert "first version" in FIRST.reason


def test_changed_data_is_a_patch() -> None:
    assert made([FIRST], "b", data="data 2").version == "1.0.1"


def test_a_proven_gain_over_the_last_version_is_minor_and_an_unproven_one_is_not() -> None:
    assert made([FIRST], "b", data="data 2", against_champion=beside(target=BETTER)).version == "1.1.0"
    assert made([FIRST], "b", data="data 2", against_champion=beside(target=EVEN)).version == "1.0.1"


@pytest.mark.parametrize("changed", [{"base": "sha256:other"}, {"protocol": "native"}])
def test_another_base_or_form_of_calls_is_major(changed: dict[str, Any]) -> None:
    version = made([FIRST], "b", **changed, against_champion=beside(target=BETTER))
    assert version.version == "2.0.0"
    assert "another base or form" in version.reason


def test_thirty_days_are_a_patch_and_a_day_is_no_reason_to_build() -> None:
    ground = {"base": FIRST.base, "data": FIRST.data}
    assert due([FIRST], **ground, now=1000.0 + DAY) is None
    assert due([FIRST], **ground, now=1000.0 + 31 * DAY) == "1.0.0 is 31 days old"
    assert made([FIRST], "b", now=1000.0 + 31 * DAY).reason.startswith("1.0.0 is 31 days old")
    assert due([], **ground) == "there is no version yet"


def test_numbers_are_compared_as_numbers() -> None:
    ninth = FIRST.model_copy(update={"version": "1.9.0"})
    tenth = FIRST.model_copy(update={"version": "1.10.0", "digest": "t"})
    assert number_for([tenth, ninth], base=FIRST.base, data="data 2", digest="new").version == "1.10.1"


def test_the_same_weights_are_no_new_version_and_carry_the_newer_evidence() -> None:
    stopped = made([], "a", verdicts=[verdict(), verdict("plain_chat", False, "inconclusive")], passed=False)
    assert not stopped.promoted
    again = made([stopped], "a", run="run 2", now=2000.0)
    assert (again.version, again.run, again.created) == ("1.0.0", "run 1", 1000.0)
    assert again.promoted
    assert "the same weights as 1.0.0" in again.reason


def test_a_stopped_version_names_the_guard_its_power_and_the_tasks_it_needs() -> None:
    stopped = made([], "a", verdicts=[verdict(), verdict("not_calling", False, "inconclusive")], passed=False)
    with pytest.raises(GateRefused, match=r"1\.0\.0 may not be promoted: guard not_calling inconclusive") as refused:
        let_through(stopped)
    assert "power is 41%" in str(refused.value)
    assert "314 tasks" in str(refused.value)
    let_through(FIRST)


def test_without_a_verdict_on_the_target_nothing_is_let_through() -> None:
    assert refusal([]) is not None
    assert refusal([verdict("plain_chat", True, "equivalent")]) is not None
    assert not made([], "a", verdicts=[], passed=True).promoted
    assert not made([], "a", passed=False).promoted, "the verdicts alone do not overrule the gate"


def test_changes_are_told_in_words_and_numbers() -> None:
    second = made([FIRST], "b", data="data 2", scores=[score(95)])
    told = changes(FIRST, second)
    assert "another training data" in told
    assert any("90.0% (n 100) -> 95.0% (n 100)" in line for line in told)
    assert changes(FIRST, FIRST) == ["nothing"]
    assert changes(None, FIRST)[0].startswith("first version")


def test_the_lineage_goes_from_data_to_version() -> None:
    assert [what for what, _ in lineage(FIRST)] == [
        "run",
        "training data",
        "base",
        "adapter",
        "merged weights",
        "version",
        "reason",
    ]


def test_what_is_proven_worse_than_what_people_get_is_recorded_and_not_let_through() -> None:
    worse = made([FIRST], "b", data="data 2", against_champion=beside(target=paired_counts(50, 40, 2, 8)))
    assert not worse.promoted
    assert "proven worse than 1.0.0, which people get: target worse (-38.0 points" in worse.reason
    even = made([FIRST], "b", data="data 2", against_champion=beside(target=EVEN))
    assert even.promoted
    assert "beside 1.0.0, which people get: target inconclusive (+0.0 points" in even.reason


def test_a_guard_that_people_have_now_is_not_taken_from_them() -> None:
    fewer = beside(target=EVEN, multi_turn=paired_counts(50, 30, 5, 15), plain_chat=EVEN)
    worse = made([FIRST], "b", data="data 2", against_champion=fewer)
    assert not worse.promoted
    assert "not let through: proven worse than 1.0.0, which people get: multi_turn worse (-25.0 points" in worse.reason
    twice = made([FIRST], "b", verdicts=[verdict(passed=False)], against_champion=fewer).reason
    assert "not let through: target" in twice
    assert "multi_turn worse (-25.0 points" in twice, "what the gate did not say stands beside it"
    slightly = beside(target=EVEN, plain_chat=paired_counts(960, 14, 2, 24))
    kept = made([FIRST], "b", data="data 2", against_champion=slightly)
    assert kept.promoted
    assert "plain_chat worse by less than the margin (-1.2 points" in kept.reason


def test_where_people_get_a_version_that_does_not_pass_any_more_its_reason_says_so() -> None:
    same = AgainstChampion(version="1.0.0", same=True)
    again = made([FIRST], "a", verdicts=[verdict(), verdict("multi_turn", False, "worse")], against_champion=same)
    assert not again.promoted
    assert again.reason.endswith("people get it all the same: `kt rollback` gives them the version before")
    assert "people get" not in made([FIRST], "a", against_champion=same).reason
    gone = AgainstChampion(version="1.0.0", missing="its weights are gone")
    assert made([FIRST], "b", against_champion=gone).reason.endswith(
        "not compared with 1.0.0, which people get: its weights are gone"
    )


def test_a_version_that_the_gate_stopped_gives_a_number_and_is_no_measure_for_the_next_one() -> None:
    stopped = made([FIRST], "b", data="data 2", verdicts=[verdict(passed=False)])
    assert (stopped.version, stopped.promoted) == ("1.0.1", False)
    after = made([FIRST, stopped], "c", data="data 3", against_champion=beside(target=EVEN))
    assert (after.version, after.promoted) == ("1.0.2", True)
