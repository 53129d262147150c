"""Heuristics held against people: counts, intervals, and the scores that replace what was assumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from labels_by_hand import a_chat, answer, label, user

from kt_lib.labelling.heuristics import TOP, HeuristicScore, rows_of, score_heuristics, with_measured
from kt_lib.labelling.questions import questions_from
from kt_lib.labelling.suggestions import ASSUMED, ASSUMPTION
from kt_lib.labels import Label, Question
from kt_lib.records import Conversation
from kt_lib.sources.ingesting import ingest
from kt_lib.sources.store import Store
from kt_lib.statistics import wilson

REAL = Path(__file__).parents[2] / "shared" / "data" / "openwebui"
BY_HAND = Path(__file__).with_name("data") / "hand_labels.jsonl"


def chats(count: int) -> list[Conversation]:
    """Chats of one turn, rated good; every other one is confirmed too."""
    found = []
    for number in range(count):
        messages = [
            user("u1", f"Show the size of /srv/{number}."),
            answer(f"a{number}", "u1", f"Run:\n\n```bash\ndu -sh /srv/{number}\n```", rating=1),
        ]
        more = [user(f"v{number}", "Perfect, that worked.", f"a{number}")] if number % 2 else []
        found.append(a_chat(*messages, *more, name=f"c{number}"))
    return found


def turns(count: int) -> list[Question]:
    return questions_from(chats(count), kinds=["turn"])


def only(scores: list[HeuristicScore], heuristic: str) -> HeuristicScore:
    (score,) = [one for one in scores if one.heuristic == heuristic]
    return score


def test_without_labels_nothing_is_scored() -> None:
    for score in score_heuristics(turns(4), []):
        assert (score.agreement.value, score.agreement.low, score.agreement.n, score.kappa) == (None, None, 0, None)
    assert score_heuristics([], []) == []
    assert with_measured(turns(4), []) == turns(4)


def test_a_heuristic_is_scored_on_the_questions_that_people_answered_with_its_interval_and_coverage() -> None:
    asked = turns(10)
    verdicts = ["yes", "yes", "no", "yes"]
    scores = score_heuristics(asked, [label(one, said) for one, said in zip(asked, verdicts, strict=False)])
    rating, follow_up = only(scores, "rating"), only(scores, "follow_up")
    assert rating.agreement == wilson(3, 4)
    assert (rating.suggests, rating.questions, rating.coverage.value) == (10, 10, 1.0)
    assert follow_up.agreement == wilson(2, 2)
    assert (follow_up.suggests, follow_up.coverage.value) == (5, 0.5)
    assert only(scores, TOP).agreement == rating.agreement
    assert [one.heuristic for one in scores] == ["rating", "follow_up", TOP]


def test_kappa_is_nought_for_a_heuristic_that_always_says_the_same() -> None:
    asked = turns(4)
    labels = [label(one, said) for one, said in zip(asked, ["yes", "no", "yes", "no"], strict=True)]
    assert only(score_heuristics(asked, labels), "rating").kappa == pytest.approx(0.0)


def test_labels_accepted_in_bulk_are_the_suggestion_itself_and_count_for_nothing() -> None:
    asked = turns(3)
    bulk = [label(one, "yes", origin="bulk", suggested="rating") for one in asked]
    assert only(score_heuristics(asked, bulk), "rating").agreement.n == 0
    seen = [label(asked[0], "yes", origin="accepted", suggested="rating"), label(asked[1], "yes")]
    score = only(score_heuristics(asked, seen), "rating")
    assert (score.agreement.n, score.in_sight) == (2, 1)


def test_a_corrected_reading_is_a_no_to_what_was_suggested() -> None:
    (asked,) = questions_from(chats(1), kinds=["reading"])
    score = only(score_heuristics([asked], [label(asked, "corrected")]), "checker")
    assert score.agreement == wilson(0, 1)


def test_once_people_answered_the_score_is_measured_and_says_so() -> None:
    asked = turns(6)
    labels = [label(one, said) for one, said in zip(asked, ["no", "no", "no", "yes"], strict=False)]
    first, second = with_measured(asked, labels)[5].suggestions
    assert (first.origin, first.score) == ("follow_up", pytest.approx((1 + 1) / (2 + 2)))
    assert (second.origin, second.score) == ("rating", pytest.approx((1 + 1) / (4 + 2)))
    assert second.because.endswith("measured: right 1 of 4 times")
    assert ASSUMPTION not in second.because


def test_a_heuristic_of_which_no_label_speaks_keeps_its_assumption() -> None:
    asked = questions_from(chats(2), kinds=["turn", "reading"])
    labels = [label(one, "yes") for one in asked if one.kind == "turn"]
    reading = next(one for one in with_measured(asked, labels) if one.kind == "reading")
    checker = next(one for one in reading.suggestions if one.origin == "checker")
    assert checker.score == ASSUMED["fits the schema"]
    assert checker.because.endswith(ASSUMPTION)


def test_the_rows_of_the_table_hold_what_was_measured() -> None:
    asked = turns(2)
    rows = rows_of(score_heuristics(asked, [label(asked[0], "yes")]))
    assert [row["heuristic"] for row in rows] == ["rating", "follow_up", TOP]
    assert (rows[0]["n"], rows[0]["agrees"], rows[0]["questions"]) == (1, 1.0, 2)
    assert rows[1]["agrees"] is None


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> list[Question]:
    if not REAL.is_dir():
        pytest.skip("real Open WebUI exports do not lie beside the checkout")
    store = Store(tmp_path_factory.mktemp("real") / "store")
    ingest([str(REAL)], store)
    return questions_from(store.read(Conversation), kinds=["turn", "reading", "preference"])


def by_hand(asked: list[Question]) -> list[Label]:
    """Verdicts on real turns by the project's builder, given by reading each without its suggestions; ids alone."""
    questions = {(one.kind, one.subject): one for one in asked}
    rows: list[dict[str, Any]] = [json.loads(line) for line in BY_HAND.read_text().splitlines()]
    found = [(questions.get((row["kind"], row["subject"])), row) for row in rows]
    return [label(one, row["verdict"], row["annotator"]) for one, row in found if one is not None]


def test_verdicts_given_by_reading_real_chats_still_find_their_questions(real: list[Question]) -> None:
    labels = by_hand(real)
    assert len(labels) == len(BY_HAND.read_text().splitlines()) == len(real)


def test_on_real_chats_each_heuristic_is_scored_on_as_many_labels_as_it_suggests_for(real: list[Question]) -> None:
    scores = score_heuristics(real, by_hand(real))
    assert {one.heuristic for one in scores if one.kind == "turn"} == {"rating", "regenerated", "follow_up", TOP}
    for score in scores:
        assert score.agreement.n == score.suggests
        assert score.agreement.low <= score.agreement.value <= score.agreement.high
