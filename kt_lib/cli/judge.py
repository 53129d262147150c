"""`kt label judge`: how far a model that judges says what people say of the same questions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kt_lib.judges.agreement import JudgeAgreement
    from kt_lib.judges.judge import JudgeQuestion, Judging
    from kt_lib.labels import Label, QuestionKind


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

    The questions are those of the newest run that people labelled: did a turn succeed, which of two answers is
    better, and does an answer fit its user. Two answers are shown both ways round. Labels taken over from a suggestion
    do not count. Answers are kept in the state folder: the same command again asks nothing twice. Exit code 1 where the
    judge is not to be relied on.
    """
    from kt_lib.cli.progress import answers_as_they_come
    from kt_lib.errors import SetupError
    from kt_lib.judges.agreement import agreement_by_kind
    from kt_lib.judges.judge import CACHE, budget_for, judged
    from kt_lib.labelling.together import given_labels
    from kt_lib.release import open_version
    from kt_lib.runs import workspace_root
    from kt_lib.settings import Settings

    root = workspace_root()
    state = Settings().state_folder(root)
    labels = given_labels(state)
    questions = _asked_of_people(root, labels)
    if not questions:
        raise SetupError("people have labelled no turn, preference or voice of the newest run: `kt label` asks them")
    opened = open_version(model, state, allow_remote=allow_remote, max_calls=max_calls)
    cache, budget = state / CACHE, budget_for(max_calls)
    with answers_as_they_come(f"{model} judges") as bar:
        found = judged(opened, questions, cache=cache, budget=budget, constrained=constrained, progress=bar)
    agreements = agreement_by_kind(found.rulings, labels)
    (_print_json if as_json else _print)(found, agreements)
    if any(one.warning for one in agreements.values()):
        raise typer.Exit(1)


def _asked_of_people(root: Path, labels: list[Label]) -> list[JudgeQuestion]:
    """The questions of the newest run that a judge can be asked and a person has answered."""
    from kt_lib.cli.newest_run import rows_of_newest_run
    from kt_lib.judges.agreement import labelled_questions
    from kt_lib.labelling.voices import voices_of_newest_run
    from kt_lib.records import Conversation, Difference, Task

    voices = voices_of_newest_run(root)
    return labelled_questions(
        labels,
        rows_of_newest_run(root, "conversations", Conversation),
        [*rows_of_newest_run(root, "tasks", Task), *voices.tasks],
        rows_of_newest_run(root, "differences", Difference),
        voices=voices.attempts,
    )


def _print_json(found: Judging, agreements: Mapping[QuestionKind, JudgeAgreement]) -> None:
    worth = {kind: one.model_dump(mode="json") | {"warning": one.warning} for kind, one in agreements.items()}
    told = {"model": found.model, "questions": len(found.rulings), "agreement": worth}
    told |= {"turned": found.turned.model_dump(), "longer": found.longer.model_dump()}
    typer.echo(json.dumps(told | {"spent": found.spent.model_dump()}, ensure_ascii=False))


def _print(found: Judging, agreements: Mapping[QuestionKind, JudgeAgreement]) -> None:
    typer.echo(
        f"{found.model} on {len(found.rulings):,} questions that people answered: asked {found.spent.asked:,} times,"
        f" {found.spent.cached:,} answers from the cache, {found.spent.tokens:,} tokens"
    )
    for kind, one in agreements.items():
        _print_agreement(kind, one)
    if found.turned.value is not None:
        typer.echo(f"verdicts that turned with the order of the answers: {found.turned.value:.0%} of {found.turned.n}")
    if found.longer.value is not None:
        typer.echo(f"the longer answer won: {found.longer.value:.0%} of {found.longer.n}")


def _print_agreement(kind: QuestionKind, agreement: JudgeAgreement) -> None:
    same, kappa = agreement.same, agreement.kappa
    if same.value is not None and same.low is not None and same.high is not None:
        typer.echo(f"{kind}: the same as people: {same.value:.1%} ({same.low:.1%} to {same.high:.1%}), n {same.n}")
    if kappa.value is not None and kappa.low is not None and kappa.high is not None:
        typer.echo(f"{kind}: Cohen's kappa: {kappa.value:.2f} ({kappa.low:.2f} to {kappa.high:.2f}), n {kappa.n}")
    typer.echo(f"{kind}: no readable verdict on {agreement.unread:,}")
    warning = f"Warning: {agreement.warning}" if agreement.warning else "Its verdicts may stand beside people's."
    typer.echo(f"{kind}: {warning}")
