"""`kt label judge`: how far a model that judges says what people say of the same questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kt_lib.judges.agreement import JudgeAgreement
    from kt_lib.judges.judge import JudgeQuestion, Judging
    from kt_lib.labels import Label

_CACHE = "judge.jsonl"
_TOKENS_A_CALL = 4_000


def judge(
    model: Annotated[str, typer.Option("--model", help="The judge: openai:NAME, ollama:NAME, a version or a folder.")],
    max_calls: Annotated[int, typer.Option("--max-calls", min=1, help="Most requests to ask in this run.")],
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="Consent to send to another machine.")] = False,
    constrained: Annotated[
        bool, typer.Option("--constrained", help="Ask the server to keep each answer inside the JSON form.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ask a model what people were asked, and say how far it agrees with them.

    The questions are those of the newest run that people labelled: did a turn succeed, and which of two answers is
    better. Two answers are shown both ways round. Labels taken over from a suggestion do not count. Answers are kept in
    the state folder: the same command again asks nothing twice. Exit code 1 where the judge is not to be relied on.
    """
    from kt_lib.cached_asking import Budget
    from kt_lib.cli.progress import answers_as_they_come
    from kt_lib.errors import SetupError
    from kt_lib.judges.agreement import agreement_with_people
    from kt_lib.judges.judge import judged
    from kt_lib.release import open_version
    from kt_lib.runs import workspace_root
    from kt_lib.settings import Settings

    root = workspace_root()
    state = Settings().state_folder(root)
    labels = _labels(state)
    questions = _labelled_questions(root, labels)
    if not questions:
        raise SetupError("people have labelled no turn and no preference of the newest run: `kt label` asks them")
    opened = open_version(model, state, allow_remote=allow_remote, max_calls=max_calls)
    budget = Budget(max_calls=max_calls, max_tokens=max_calls * _TOKENS_A_CALL)
    with answers_as_they_come(f"{model} judges") as bar:
        found = judged(opened, questions, cache=state / _CACHE, budget=budget, constrained=constrained, progress=bar)
    agreement = agreement_with_people(found.rulings, labels)
    (_print_json if as_json else _print)(found, agreement)
    if agreement.warning:
        raise typer.Exit(1)


def _labels(state: Path) -> list[Label]:
    from kt_lib.labelling.together import given_labels

    return given_labels(state)


def _labelled_questions(root: Path, labels: list[Label]) -> list[JudgeQuestion]:
    """The questions of the newest run that a judge can be asked and a person has answered."""
    from kt_lib.cli.newest_run import rows_of_newest_run
    from kt_lib.judges.judge import same_as_people_are_asked
    from kt_lib.labelling.questions import questions_from
    from kt_lib.records import Conversation, Difference, Task
    from kt_lib.standing import standing

    answered = {label.question for label in standing(labels).labels}
    questions = questions_from(
        rows_of_newest_run(root, "conversations", Conversation),
        tasks=rows_of_newest_run(root, "tasks", Task),
        differences=rows_of_newest_run(root, "differences", Difference),
        kinds=("turn", "preference"),
    )
    asked = (same_as_people_are_asked(question) for question in questions if question.id in answered)
    return [question for question in asked if question is not None]


def _print_json(found: Judging, agreement: JudgeAgreement) -> None:
    told = {"model": found.model, "questions": len(found.rulings), "agreement": agreement.model_dump(mode="json")}
    told |= {"turned": found.turned.model_dump(), "longer": found.longer.model_dump()}
    typer.echo(json.dumps(told | {"spent": found.spent.model_dump(), "warning": agreement.warning}, ensure_ascii=False))


def _print(found: Judging, agreement: JudgeAgreement) -> None:
    same, kappa = agreement.same, agreement.kappa
    typer.echo(
        f"{found.model} on {len(found.rulings):,} questions that people answered: asked {found.spent.asked:,} times,"
        f" {found.spent.cached:,} answers from the cache, {found.spent.tokens:,} tokens"
    )
    if same.value is not None and same.low is not None and same.high is not None:
        typer.echo(f"the same as people: {same.value:.1%} ({same.low:.1%} to {same.high:.1%}), n {same.n}")
    if kappa.value is not None and kappa.low is not None and kappa.high is not None:
        typer.echo(f"Cohen's kappa: {kappa.value:.2f} ({kappa.low:.2f} to {kappa.high:.2f}), n {kappa.n}")
    typer.echo(f"no readable verdict on {agreement.unread:,}")
    if found.turned.value is not None:
        typer.echo(f"verdicts that turned with the order of the answers: {found.turned.value:.0%} of {found.turned.n}")
    if found.longer.value is not None:
        typer.echo(f"the longer answer won: {found.longer.value:.0%} of {found.longer.n}")
    typer.echo(f"Warning: {agreement.warning}" if agreement.warning else "Its verdicts may stand beside people's.")
