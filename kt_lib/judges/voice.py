"""The voice as a judge hears it, beside the rules that count it; and what that judge is worth where it says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kt_lib.assistant import Comparison, comparison
from kt_lib.cached_asking import Budget, Spent
from kt_lib.errors import ModelError
from kt_lib.judges.agreement import JudgeAgreement, agreement_with_people
from kt_lib.judges.judge import JudgeQuestion, Ruling, judged, judged_score, persona_questions
from kt_lib.labels import Label
from kt_lib.models.interface import Model
from kt_lib.records import Attempt, ChatMessage, Record, Request, Score, Task
from kt_lib.release import open_version
from kt_lib.tables import rate_in_words

UNPROVEN = ", unproven"
"""In the name of a figure whose judge is not known to hear the voice as people do."""
_MARKS: Mapping[str, bool] = {"yes": True, "no": False}


class JudgedVoice(Record):
    """How a judge hears each variant, and how far that judge says what people say."""

    judge: str
    """Its name."""
    scores: tuple[Score, ...]
    """For each variant: of its answers in words, how many fit the user; without a readable verdict is an error."""
    comparison: Comparison | None
    """The last variant (new) against the first (current), on tasks that both answered in words; None without any."""
    agreement: JudgeAgreement
    """The judge and people."""
    of_the_voice: bool
    """Whether people labelled these very answers; else the agreement is that on turns, which is another question."""
    spent: Spent
    """Requests and tokens."""

    @property
    def worth(self) -> str:
        """What the judge's word is worth here, in words."""
        if self.of_the_voice:
            return f"on these answers: {self.agreement.in_words}"
        nobody = (
            "people have labelled none of these answers, so how far they would hear the same is not known until they do"
            " (`kt label` asks about some of them)"
        )
        if self.agreement.same.n + self.agreement.unread == 0:
            return nobody
        return f"{nobody}; on turns, which they did label: {self.agreement.in_words}"

    @property
    def in_words(self) -> list[str]:
        """A line for each variant, then what the judge is worth and what it cost."""
        lines = [
            f"{one.variant}: fits the user in {rate_in_words(one.rate)}, {one.rate.errors} without a verdict"
            for one in self.scores
        ]
        cost = (
            f"asked {self.spent.asked} times, {self.spent.cached} answers from the cache, {self.spent.left} not asked"
        )
        return [*lines, f"What that is worth: {self.worth}.", f"{self.judge} was {cost}."]


def open_judge(name: str, state: Path, *, allow_remote: bool, max_calls: int) -> Model | None:
    """The model that judges, by the names of `open_version`; None for the empty name.

    It is asked for a word at once: one that cannot be reached, or needs consent, is told before anything is measured.
    """
    if not name:
        return None
    judge = open_version(name, state, allow_remote=allow_remote, max_calls=max_calls + 1)
    (answer,) = judge.complete([Request(messages=(ChatMessage(role="user", content="Are you there?"),))])
    if answer.finish == "error":
        raise ModelError(f"{name} cannot judge ({answer.error}): mend the server, or leave `judge` empty")
    return judge


def judged_voice(
    judge: Model,
    voices: Mapping[str, Sequence[Attempt]],
    tasks: Sequence[Task],
    *,
    labels: Sequence[Label],
    labelled: Sequence[JudgeQuestion],
    margin: float,
    cache: Path,
    budget: Budget,
) -> JudgedVoice:
    """The judge's word on each answer in words to a user whose persona the system prompt names, by variant.

    `labelled` are turns that people judged: the judge is asked them too, last, for the budget may end. The first of
    `voices` is the current variant and the last the new one; `margin` is in 0..1.
    """
    asked = {name: persona_questions(attempts, tasks) for name, attempts in voices.items()}
    # By task, so that where the budget ends it ends for every variant alike.
    heard = [asked[name][task.id] for task in tasks for name in asked if task.id in asked[name]]
    questions = list({one.id: one for one in [*heard, *labelled]}.values())
    found = judged(judge, questions, cache=cache, budget=budget)
    said = {one.question: one for one in found.rulings}
    of = {name: {task: said[one.id] for task, one in own.items()} for name, own in asked.items()}
    agreement, of_the_voice = _agreement(said, heard, labelled, labels)
    trusted = of_the_voice and not agreement.warning
    # In the name, for a score goes where nothing stands beside it: into a version, its card, a table of changes.
    metric = f"persona_judged by {found.model}{'' if trusted else UNPROVEN}"
    first, *_, last = [{task: _MARKS.get(one.verdict) for task, one in own.items()} for own in of.values()]
    made = JudgedVoice(
        judge=found.model,
        scores=tuple(judged_score(name, "agent", metric, list(own.values())) for name, own in of.items()),
        comparison=comparison(metric, "agent", first, last, margin),
        agreement=agreement,
        of_the_voice=of_the_voice,
        spent=found.spent,
    )
    return made.model_copy(update={"comparison": made.comparison and _with_worth(made.comparison, made.worth)})


def _agreement(
    said: Mapping[str, Ruling],
    heard: Sequence[JudgeQuestion],
    labelled: Sequence[JudgeQuestion],
    labels: Sequence[Label],
) -> tuple[JudgeAgreement, bool]:
    """With people on these answers, where they labelled any; else on the turns that they labelled."""
    of_heard, of_labelled = (
        agreement_with_people([said[id_] for id_ in dict.fromkeys(one.id for one in some)], labels)
        for some in (heard, labelled)
    )
    known = of_heard.same.n + of_heard.unread > 0
    return (of_heard if known else of_labelled), known


def _with_worth(one: Comparison, worth: str) -> Comparison:
    return one.model_copy(update={"reason": f"{one.reason}; {worth}"})
