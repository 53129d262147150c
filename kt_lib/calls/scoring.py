"""Score a file of outputs against BFCL tasks: a verdict for every row, whatever is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kt_lib.calls.bfcl import AnswerKey, Verdict
from kt_lib.errors import SourceError


class Line(NamedTuple):
    """One line of the result: `{id, verdict, error}`."""

    id: str | None
    verdict: Verdict
    error: str | None


class _Row(NamedTuple):
    place: str
    value: dict[str, Any] | None
    problem: str | None


def score_file(tasks: Path, outputs: Path, answers: Path | None = None) -> Iterator[Line]:
    """Verdicts for a file of outputs, rows `{"id", "output"}` (`"result"` as BFCL writes it is taken too), in order.

    The files hold JSON lines or one JSON list. A row that cannot be scored gets the verdict `error` with the reason
    and its place: no JSON, no id or output, an id that no task has, an id for the second time, a task whose own row is
    unusable. Tasks without an output follow at the end, also as `error`. Without `answers` the answer key is looked for
    in the task rows (`ground_truth`). Raises SourceError for a file that cannot be read or holds nothing.
    """
    given = _by_id(answers) if answers else {}
    keys, unusable = _keys(tasks, given)
    yield from (line for line in unusable if line.id is None)
    broken = {line.id: line for line in unusable if line.id is not None}
    seen: dict[str, str] = {}
    for row in _rows(outputs):
        identity = row.value.get("id") if row.value else None
        if not isinstance(identity, str):
            yield Line(None, "error", f"{outputs.name} {row.place}: {row.problem or 'no id'}")
        elif identity in seen:
            yield Line(identity, "error", f"a second output, at {row.place}; the one at {seen[identity]} is scored")
        else:
            seen[identity] = row.place
            yield broken.get(identity) or _line(identity, row, keys.get(identity))
    for identity in (*keys, *broken):
        if identity not in seen:
            yield broken.get(identity) or Line(identity, "error", "no output for this task")


def _line(identity: str, row: _Row, key: AnswerKey | None) -> Line:
    if key is None:
        return Line(identity, "error", f"no task has this id ({row.place})")
    held = row.value or {}
    output = held.get("output", held.get("result"))
    if output is None:
        return Line(identity, "error", f"no output in the row ({row.place})")
    if not isinstance(output, str | list | dict):
        return Line(identity, "error", f"the output is neither text nor calls ({row.place})")
    return Line(identity, *key.score(output))


def _keys(tasks: Path, answers: Mapping[str, dict[str, Any]]) -> tuple[dict[str, AnswerKey], list[Line]]:
    keys: dict[str, AnswerKey] = {}
    unusable: list[Line] = []
    for row in _rows(tasks):
        identity = row.value.get("id") if row.value else None
        if row.value is None or not isinstance(identity, str):
            unusable.append(Line(None, "error", f"{tasks.name} {row.place}: {row.problem or 'no id'}"))
        elif identity in keys:
            unusable.append(Line(identity, "error", f"two tasks have this id ({tasks.name} {row.place})"))
        else:
            try:
                keys[identity] = AnswerKey(row.value, answers.get(identity))
            except SourceError as error:
                unusable.append(Line(identity, "error", f"{tasks.name} {row.place}: {error}"))
    return {identity: key for identity, key in keys.items() if identity not in {line.id for line in unusable}}, unusable


def _by_id(path: Path) -> dict[str, dict[str, Any]]:
    held: dict[str, dict[str, Any]] = {}
    for row in _rows(path):
        identity = row.value.get("id") if row.value else None
        if row.value is None or not isinstance(identity, str):
            raise SourceError(
                f"{path} {row.place}: {row.problem or 'no id'}; an answer key is read whole or not at all"
            )
        if identity in held:
            raise SourceError(f"{path} {row.place}: a second answer for {identity}")
        held[identity] = row.value
    return held


def _rows(path: Path) -> Iterator[_Row]:
    try:
        data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from None
    if not data.strip():
        raise SourceError(f"{path} is empty")
    if data.lstrip()[:1] == b"[":
        try:
            entries = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{path} is no JSON list: {error}") from None
        for at, entry in enumerate(entries, 1):
            yield _as_row(f"item {at}", entry)
        return
    for at, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield _Row(f"line {at}", None, f"not JSON: {error}")
                continue
            yield _as_row(f"line {at}", entry)


def _as_row(place: str, entry: Any) -> _Row:
    return _Row(place, entry, None) if isinstance(entry, dict) else _Row(place, None, "not an object")
