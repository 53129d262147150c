"""Labels to a file and back: JSON lines whole, CSV for a spreadsheet; what cannot be read is set aside."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kt_lib.artifacts import write_whole
from kt_lib.errors import SourceError
from kt_lib.label_store import LabelStore
from kt_lib.labels import VERDICTS, Answer, Label
from kt_lib.records import Provenance, Record, SetAside, ToolCall

COLUMNS = (
    "question", "kind", "subject", "group", "annotator", "verdict", "calls", "text", "note", "flagged", "order",
    "origin", "audit", "suggested", "seconds", "number", "time",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
"""What a spreadsheet would take for a formula at the start of a cell; an apostrophe before it keeps it text."""


class TakenIn(Record):
    """What an import did."""

    read: int
    """Rows that are labels."""
    new: int
    """Labels that were not stored yet, or say something else than what is stored."""
    older: int
    """Labels that were left out, for the same annotator has said something else since."""
    set_aside: tuple[SetAside, ...]
    """Rows that are none, with reason and line."""


def export_labels(labels: Iterable[Label], path: Path) -> int:
    """Write labels to `path`, as CSV where it ends so and as JSON lines otherwise; returns how many."""
    given = list(labels)
    text = _as_csv(given) if path.suffix.lower() == ".csv" else "".join(f"{one.model_dump_json()}\n" for one in given)
    write_whole(path, text)
    return len(given)


def import_labels(path: Path, store: LabelStore, annotator: str = "") -> TakenIn:
    """Store the labels of a file that `export_labels` wrote, or one made by hand in its form; twice adds nothing.

    `annotator` is given to rows that name none. SourceError where the file cannot be read at all.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
    rows = _csv_rows(raw) if path.suffix.lower() == ".csv" else _json_rows(raw)
    found: list[Label] = []
    aside: list[SetAside] = []
    for line, row in rows:
        try:
            found.append(_label(row, annotator))
        except (ValueError, TypeError, KeyError) as error:
            source = Provenance(file=path.name, sha256="", format="labels", place=f"line {line}")
            aside.append(SetAside(source=source, reason=_why(error), excerpt=str(row)[:500]))
    if not found and aside:
        raise SourceError(f"{path} holds no label: {aside[0].source.place}: {aside[0].reason}")
    merged = store.take_in(found)
    return TakenIn(read=len(found), new=merged.new, older=merged.older, set_aside=tuple(aside))


def _json_rows(raw: bytes) -> Iterator[tuple[int, Any]]:
    # Bytes split on \n alone: str.splitlines would break rows at U+2028.
    for number, line in enumerate(raw.split(b"\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError:
                yield number, line.decode("utf-8", "replace")


def _csv_rows(raw: bytes) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(io.StringIO(raw.decode("utf-8-sig", "replace"), newline=""))
    for row in reader:
        yield reader.line_num, {name: _plain(value) for name, value in row.items() if name is not None}


def _label(row: Any, annotator: str) -> Label:
    if not isinstance(row, dict):
        raise ValueError("no JSON object")
    told = {"annotator": annotator, "number": 0, "time": time.time()} | {
        name: value for name, value in row.items() if value not in (None, "") or name == "subject"
    }
    label = Label.model_validate(told if "answer" in told else _from_columns(told))
    if not label.annotator:
        raise ValueError("it names no annotator: give one with --annotator")
    if label.answer.verdict not in (*VERDICTS[label.kind], "skipped", "open"):
        raise ValueError(f"{label.answer.verdict!r} is no answer to a {label.kind} question")
    return label


def _from_columns(row: dict[str, Any]) -> dict[str, Any]:
    """A row of columns as a label's fields."""
    own = {name: row[name] for name in ("question", "kind", "subject", "annotator", "number", "time")}
    calls = json.loads(row.get("calls", "[]"))
    answer = Answer(
        verdict=row["verdict"],
        calls=tuple(ToolCall.model_validate(one) for one in calls),
        order=tuple(json.loads(row.get("order", "[]"))),
        **{
            name: row[name]
            for name in ("text", "note", "origin", "audit", "suggested", "seconds", "flagged")
            if name in row
        },
    )
    return own | {"group": row.get("group", ""), "answer": answer}


def _why(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())[:500]
    return f"no {error} in it" if isinstance(error, KeyError) else str(error)


def _as_csv(labels: Iterable[Label]) -> str:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(COLUMNS)
    for label in labels:
        row = label.model_dump(exclude={"answer"}) | label.answer.model_dump()
        calls = [call.model_dump(exclude_none=True) for call in label.answer.calls]
        row |= {"calls": json.dumps(calls), "order": json.dumps(row["order"])}
        writer.writerow([_harmless(row[name]) for name in COLUMNS])
    return stream.getvalue()


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _plain(value: Any) -> Any:
    return value[1:] if isinstance(value, str) and value.startswith("'") else value
