"""The voice as a judge behind a real HTTP server hears it, and what people's labels say that is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from model_server import Fault, ModelServer
from test_judge import Judge, says

from kt_lib.errors import ConsentRequired, ModelError
from kt_lib.judges.judge import JudgeQuestion, budget_for, persona_questions
from kt_lib.judges.voice import JudgedVoice, judged_voice, open_judge
from kt_lib.labels import Answer, Label, QuestionKind
from kt_lib.persona_tasks import persona_tasks
from kt_lib.records import Attempt, ChatMessage, ToolCall
from kt_lib.statistics import wilson
from kt_lib.workspace import Request, Workspace, ask_consent

TASKS = persona_tasks(40, seed=1)
TURNS = [
    JudgeQuestion(
        id=f"turn {at}", asks="Right?", context=(ChatMessage(role="user", content="?"),), answers=(f"turn {at}",)
    )
    for at in range(40)
]


def spoken(name: str, good: int, calls: int = 0) -> list[Attempt]:
    """Answers of a variant: the first `calls` are calls, the next `good` are fine, and the others are cold."""
    texts = ["fine"] * (calls + good) + ["cold"] * len(TASKS)
    made = [
        Attempt(task_id=task.id, mode="agent", model=name, output=f"{text} {name} {at}", outcome="unverified")
        for at, (task, text) in enumerate(zip(TASKS, texts, strict=False))
    ]
    called = {"calls": (ToolCall(name="bash", arguments={}),)}
    return [one.model_copy(update=called) if at < calls else one for at, one in enumerate(made)]


VOICES = {"base": spoken("base", good=10), "sft": spoken("sft", good=30, calls=4)}


def label(question: str, yes: bool, kind: QuestionKind = "voice") -> Label:
    answer = Answer(verdict="yes" if yes else "no")
    return Label(
        question=question, kind=kind, subject="s", group=question, annotator="ann", answer=answer, number=1, time=0.0
    )


def hears(text: str) -> str:
    """A judge that calls an answer fitting where it is fine, and a turn right where its number is even."""
    kind, *_, number = text.split()
    return says("yes" if kind == "fine" or (kind == "turn" and int(number) % 2 == 0) else "no")


Hear = Callable[..., JudgedVoice]


@pytest.fixture
def hear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hear]:
    """Asks a server whose model says what the test says it does."""
    judge = Judge(hears)
    with ModelServer(judge, name="judge") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")

        def put(labels: list[Label], say: Callable[[str], str] = hears, calls: int = 500) -> JudgedVoice:
            judge.say = lambda *answers: say(*answers) if answers else "Yes."
            opened = open_judge("openai:judge", tmp_path, allow_remote=False, max_calls=calls)
            assert opened
            asked = {"labels": labels, "labelled": TURNS, "cache": tmp_path / "judge.jsonl"}
            return judged_voice(opened, VOICES, TASKS, margin=0.05, budget=budget_for(calls), **asked)

        yield put


def test_each_variant_gets_a_judged_score_and_the_new_one_is_held_against_the_current(hear: Hear) -> None:
    found = hear([])
    assert [(one.variant, one.metric, one.rate) for one in found.scores] == [
        ("base", "persona_judged by openai:judge, unproven", wilson(10, 40)),
        ("sft", "persona_judged by openai:judge, unproven", wilson(30, 36)),
    ]
    assert found.comparison
    assert (found.comparison.word, found.comparison.table.n) == ("win", 36)
    assert "nobody" not in found.comparison.reason
    assert "how far they would hear the same is not known" in found.comparison.reason
    assert found.in_words[0] == "base: fits the user in 25.0% (14.2 to 40.2, n 40), 0 without a verdict"
    assert found.in_words[-1] == "openai:judge was asked 116 times, 0 answers from the cache, 0 not asked."


def test_where_people_labelled_these_answers_the_judge_is_held_against_that(hear: Hear) -> None:
    questions = persona_questions(VOICES["base"], TASKS).values()
    labels = [label(one.id, yes=at < 15) for at, one in enumerate(questions)]
    found = hear([*labels, *(label(one.id, yes=False, kind="turn") for one in TURNS)])
    assert found.of_the_voice
    assert found.agreement.same == wilson(35, 40), "five answers people call fitting, and the judge does not"
    assert "on these answers: the same as people on 87.5%" in found.worth
    assert "it may be below 0.667, label more" in found.worth


def test_only_a_judge_that_hears_as_people_do_gives_a_figure_that_is_not_called_unproven(hear: Hear) -> None:
    questions = list(persona_questions(VOICES["base"], TASKS).values())
    agreed = hear([label(one.id, yes=at < 10) for at, one in enumerate(questions)])
    assert {one.metric for one in agreed.scores} == {"persona_judged by openai:judge"}
    contradicted = hear([label(one.id, yes=at >= 20) for at, one in enumerate(questions)])
    assert {one.metric for one in contradicted.scores} == {"persona_judged by openai:judge, unproven"}


def test_else_it_is_held_against_what_they_labelled_of_turns_and_that_is_said(hear: Hear) -> None:
    found = hear([label(one.id, yes=at % 2 == 0, kind="turn") for at, one in enumerate(TURNS)])
    assert not found.of_the_voice
    assert found.agreement.same == wilson(40, 40)
    assert found.worth.startswith("people have labelled none of these answers, so how far they would hear the same")
    assert "`kt label` asks about some of them" in found.worth
    assert "on turns, which they did label: the same as people on 100.0% (91.2% to 100.0%) of 40" in found.worth


def test_what_is_not_readable_or_not_asked_is_an_error_and_never_a_no(hear: Hear) -> None:
    found = hear([], say=lambda text: "well..." if "sft" in text else hears(text))
    assert [one.rate for one in found.scores] == [wilson(10, 40), wilson(0, 0, errors=36)]
    assert found.comparison is None


def test_where_the_budget_ends_it_ends_for_both_variants_and_the_next_run_goes_on(hear: Hear) -> None:
    first = hear([], calls=44)
    assert [one.rate for one in first.scores] == [wilson(10, 24, errors=16), wilson(20, 20, errors=16)]
    assert first.spent.left == 116 - 44
    again = hear([])
    assert (again.spent.asked, again.spent.cached, again.spent.left) == (72, 44, 0)


def test_a_judge_that_cannot_be_reached_or_needs_consent_is_told_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_judge("", tmp_path, allow_remote=False, max_calls=1) is None
    monkeypatch.setenv("OPENAI_BASE_URL", "http://203.0.113.9:9/v1")
    with pytest.raises(ConsentRequired):
        open_judge("openai:judge", tmp_path, allow_remote=False, max_calls=1)
    with ModelServer(Judge(hears), name="other", always=Fault("status", 500)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        with pytest.raises(ModelError):
            open_judge("openai:judge", tmp_path, allow_remote=False, max_calls=1)


def test_a_judge_on_another_machine_is_asked_for_consent_before_any_kernel_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://203.0.113.9/v1")
    _, steps = Workspace(Path(__file__).parents[1]).load(Request(overrides={"judge": "openai:other"}))
    with pytest.raises(ConsentRequired, match=r"09_evaluate would send requests to 203\.0\.113\.9.*--allow-remote"):
        ask_consent(steps)
