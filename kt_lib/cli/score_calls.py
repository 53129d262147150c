"""`kt score-calls`: BFCL's rules applied to recorded outputs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer


def score_calls(
    tasks: Annotated[Path, typer.Option(help="BFCL questions: JSON lines or a list.")],
    outputs: Annotated[Path, typer.Option(help="Outputs to score: rows {id, output}.")],
    answers: Annotated[Path | None, typer.Option(help="BFCL's accepted answers (not needed for irrelevance).")] = None,
) -> None:
    """Score recorded outputs by BFCL's rules; prints a JSON line {id, verdict, error} for each.

    Verdicts: correct, wrong (a readable call that is not the right one), abstained (no call where one is due),
    malformed (a call that was begun and cannot be read), error (a row that cannot be scored, with the reason).
    """
    from kt_lib.calls.scoring import score_file

    counts: Counter[str] = Counter()
    for line in score_file(tasks, outputs, answers):
        counts[line.verdict] += 1
        typer.echo(json.dumps(line._asdict(), ensure_ascii=False))
    total = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    typer.echo(f"{sum(counts.values())} rows: {total}", err=True)
