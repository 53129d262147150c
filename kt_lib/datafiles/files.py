"""JSON-lines and Parquet files of rows: raw objects out of a file and into it, in constant memory.

In Parquet a message, and whatever else has no fixed shape, is JSON text of Arrow's JSON type, with the features that
`datasets` wrote itself: there it comes out as the object it was, and no absent key comes out as null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from kt_lib.artifacts import whole_file
from kt_lib.errors import SetupError, SourceError
from kt_lib.sources.tables import arrow, rows_in_parquet

_BATCH = 2_000
"""Rows of a Parquet file held at once."""
_KINDS = {"text": {"dtype": "string", "_type": "Value"}, "flag": {"dtype": "bool", "_type": "Value"},
          "json": {"_type": "Json"}, "messages": {"feature": {"_type": "Json"}, "_type": "List"}}  # fmt: skip
COLUMNS = {"messages": "messages", "prompt": "messages", "completion": "messages", "chosen": "messages",
           "rejected": "messages", "preferred_output": "messages", "non_preferred_output": "messages",
           "label": "flag", "tools": "text", "kt": "text", "input": "json"}  # fmt: skip
"""What each column holds; `tools` and `kt` are JSON text in every file."""
_OTHER = ((b"\x1f\x8b", "a gzip file: unpack it"), (b"PK\x03\x04", "a ZIP file: unpack it"),
          (b"\xff\xfe", "UTF-16 text: save it as UTF-8"), (b"\xfe\xff", "UTF-16 text: save it as UTF-8"),
          (b"<", "HTML or XML"), (b"\x00", "no text"))  # fmt: skip
"""How files begin that hold no rows, what they are, and what to do."""


class Raw(NamedTuple):
    """One row as it stands in a file."""

    place: str
    """`line 17`, `row 17`."""
    value: dict[str, Any] | None
    """The row; None where it is no JSON object."""
    fault: str
    """Why it is none."""
    text: str
    """The beginning of the row as written."""


def features_of(columns: Iterable[str]) -> dict[str, Any]:
    """The features of these columns as `datasets` writes them."""
    return {name: _KINDS[COLUMNS[name]] for name in columns}


def read_objects(path: Path) -> Iterator[Raw]:
    """Every row of a file. `SourceError` for a file that cannot be read as a whole."""
    if path.is_dir():
        raise SourceError(f"{path} is a folder: give a .jsonl or .parquet file in it")
    if not path.is_file():
        raise SourceError(f"{path} is not there: give a .jsonl or .parquet file")
    with path.open("rb") as handle:
        start = handle.read(4)
    if other := next((words for mark, words in _OTHER if start.startswith(mark)), None):
        raise SourceError(f"{path} is {other}; rows are read from JSON lines and Parquet")
    return _parquet_rows(path) if start == b"PAR1" else _lines(path)


def write_objects(path: Path, objects: Iterable[dict[str, Any]], columns: tuple[str, ...]) -> int:
    """The objects in a file of the kind its ending names, whole or not at all; how many they are."""
    if path.suffix == ".parquet":
        return _write_parquet(path, objects, columns)
    if path.suffix != ".jsonl":
        raise SetupError(f"{path.name} is no kind of file kt writes: end it in .jsonl or .parquet")
    count = 0
    with whole_file(path) as handle:
        for one in objects:
            handle.write(json.dumps(one, ensure_ascii=False).encode() + b"\n")
            count += 1
    return count


# --- JSON lines ------------------------------------------------------------------------------------------------------


def _lines(path: Path) -> Iterator[Raw]:
    # Binary lines end at \n alone: a text may hold U+2028, at which other ways of splitting break it.
    with path.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if number == 1 and line.lstrip().startswith(b"["):
                raise SourceError(f"{path} is one JSON list: write each object of it on a line of its own")
            if number == 1 and line.strip() == b"{":
                raise SourceError(f"{path} has objects of several lines: write each on one line of its own")
            if line.strip():
                yield _line(f"line {number}", line)


def _line(place: str, line: bytes) -> Raw:
    text = line[:2_000].decode("utf-8", "replace").strip()
    try:
        value = strict_json(line.rstrip().decode("utf-8"))
    except UnicodeDecodeError as error:
        return Raw(place, None, f"no UTF-8 at byte {error.start + 1}", text)
    except ValueError as error:
        return Raw(place, None, f"no JSON: {error}", text)
    if not isinstance(value, dict):
        return Raw(place, None, f"a JSON {type(value).__name__} where an object is due", text)
    return Raw(place, value, "", text)


def strict_json(text: str) -> Any:
    """What a JSON text says; ValueError in words where it says it twice, by a number that is none, or not at all."""
    try:
        return json.loads(text, parse_constant=_no_number, parse_float=_number, object_pairs_hook=_each_key_once)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("nested too deeply to be read") from None
    except ValueError as error:
        raise ValueError("a whole number too long to be read" if "digits" in str(error) else str(error)) from None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _number(written: str) -> float:
    found = float(written)
    if math.isinf(found):
        raise ValueError(f"the number {written[:30]} is larger than any that can be kept")
    return found


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for at, (key, _) in enumerate(pairs) if key in {name for name, _ in pairs[:at]})
        raise ValueError(f"the key `{twice}` stands twice in one object")
    return found


# --- Parquet ---------------------------------------------------------------------------------------------------------


def _parquet_rows(path: Path) -> Iterator[Raw]:
    for raw in rows_in_parquet(path):
        yield Raw(raw.place, raw.value, "", str(raw.value)[:2_000])


def _write_parquet(path: Path, objects: Iterable[dict[str, Any]], columns: tuple[str, ...]) -> int:
    pyarrow = arrow()
    stored = {"flag": pyarrow.bool_(), "messages": pyarrow.list_(pyarrow.string())}
    meant = {"json": pyarrow.json_(), "messages": pyarrow.list_(pyarrow.json_())}
    kinds = [COLUMNS[name] for name in columns]
    plain = [stored.get(kind, pyarrow.string()) for kind in kinds]
    types = [meant.get(kind, type_) for kind, type_ in zip(kinds, plain, strict=True)]
    info = json.dumps({"info": {"features": features_of(columns)}})
    schema = pyarrow.schema(zip(columns, types, strict=True), metadata={"huggingface": info})
    waiting, count = iter(objects), 0
    first = list(islice(waiting, _BATCH))
    with whole_file(path) as handle, pyarrow.parquet.ParquetWriter(handle, schema) as writer:
        for start in chain([first], iter(lambda: list(islice(waiting, _BATCH)), [])):
            count += len(start)
            arrays = [
                pyarrow.array([_stored(one.get(name), kind) for one in start], type_).cast(to)
                for name, kind, type_, to in zip(columns, kinds, plain, types, strict=True)
            ]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
    return count


def _stored(value: Any, kind: str) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if kind == "messages":
        return [json.dumps(one, ensure_ascii=False) for one in value]
    return json.dumps(value, ensure_ascii=False)
