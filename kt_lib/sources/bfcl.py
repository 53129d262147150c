"""BFCL question rows with their answer keys: the rows are read here, `calls.bfcl` maps a row to its task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kt_lib.errors import KtError, SourceError
from kt_lib.records import Provenance
from kt_lib.sources.found import Found, Unusable
from kt_lib.sources.reading import holder_of, records_in

FOLDER = "possible_answer"
"""Where BFCL keeps answer keys: a folder beside the questions, the file of the same name in it."""


def answers_beside(questions: Path) -> Path | None:
    """The answer file that belongs to a question file, if it lies where BFCL puts it."""
    beside = questions.parent / FOLDER / questions.name
    return beside if beside.is_file() and questions.parent.name != FOLDER else None


def read_answers(path: Path) -> dict[str, dict[str, Any]]:
    """Answer rows by id; `SourceError` when the file holds none (an answer key is read whole or not at all)."""
    answers: dict[str, dict[str, Any]] = {}
    for raw in records_in(path, _holder(path)):
        row = raw.value
        if raw.problem or not isinstance(row, dict) or not isinstance(row.get("id"), str) or "ground_truth" not in row:
            raise SourceError(f"{path} is no BFCL answer file: {raw.place}: {raw.problem or 'no id and ground_truth'}")
        answers[row["id"]] = row
    if not answers:
        raise SourceError(f"{path} holds no BFCL answer")
    return answers


def _holder(path: Path) -> str:
    holder = holder_of(path)
    if holder == "sqlite":
        raise SourceError(f"{path} is a SQLite database, not a BFCL answer file")
    return holder


def question_from(row: dict[str, Any], source: Provenance, answers: Mapping[str, dict[str, Any]]) -> Found:
    """A question row and its answer, if there is one -> its task."""
    from kt_lib.calls.bfcl import task_from_bfcl

    identity = row.get("id")
    answer = answers.get(identity) if isinstance(identity, str) else None
    try:
        task = task_from_bfcl(row, answer)
    except (KtError, ValueError) as error:
        raise Unusable(f"not a BFCL task: {str(error).splitlines()[0]}") from None
    return Found(tasks=(task.model_copy(update={"source": source}),))
