"""Open a file, tell what holds its records, and stream them; a broken record costs itself and no other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from kt_lib.errors import SourceError
from kt_lib.sources.fields import clean
from kt_lib.sources.tables import rows_in, rows_in_parquet
from kt_lib.sources.window import EXCERPT, LONGEST, Raw, Window

SQLITE = b"SQLite format 3\x00"
PARQUET = b"PAR1"
_BOM = b"\xef\xbb\xbf"
_OTHER = (
    (b"\x1f\x8b", "a gzip file: unpack it first"),
    (b"PK\x03\x04", "a ZIP file: unpack it first"),
    (b"%PDF", "a PDF file"),
    (b"\xff\xfe", "UTF-16 text: save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text: save it as UTF-8"),
    (b"<", "HTML or XML"),
)
_LISTS = ("data", "items", "logs", "chats")
"""Keys under which a whole list of records may stand in one object."""


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes; `SourceError` when it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error


def holder_of(path: Path) -> str:
    """What holds the records of a file: `sqlite`, `parquet`, `csv`, `list`, `lines`, `object`; else `SourceError`."""
    try:
        with path.open("rb") as stream:
            head = stream.read(64)
            if head.startswith(SQLITE):
                return "sqlite"
            if head.startswith(PARQUET):
                return "parquet"
            _past_bom(stream)
            first = _first_byte(stream)
            if first and path.suffix.lower() == ".csv":
                return "csv"
            if first == b"[":
                return "list"
            if first == b"{":
                return "lines" if _is_lines(stream) else "object"
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
    raise SourceError(f"{path} holds no JSON list, object or lines, and no SQLite database: {_looks(head)}")


def _looks(head: bytes) -> str:
    if not head.removeprefix(_BOM).strip():
        return "it is empty"
    for mark, name in _OTHER:
        if head.startswith(mark):
            return f"it looks like {name}"
    return f"it begins with {clean(head[:24].decode('utf-8', 'replace'))!r}"


def _past_bom(stream: BinaryIO) -> int:
    stream.seek(0)
    skip = 3 if stream.read(3) == _BOM else 0
    stream.seek(skip)
    return skip


def _first_byte(stream: BinaryIO) -> bytes:
    """The first byte that is no space; the stream then stands on it."""
    while chunk := stream.read(4096):
        if rest := chunk.lstrip():
            stream.seek(-len(rest), 1)
            return rest[:1]
    return b""


def _is_lines(stream: BinaryIO) -> bool:
    """Whether lines are records: the first of at least two is a whole object, or (it being broken) the second is."""
    first = stream.readline(LONGEST)
    second = b""
    while not second.strip():
        second = stream.readline(LONGEST)
        if not second:
            return False
    return isinstance(_line(first, "")[0], dict) or isinstance(_line(second, "")[0], dict)


def records_in(path: Path, holder: str) -> Iterator[Raw]:
    """Every record of a file that is no database, in order, in the memory of one (of Parquet: a batch) at a time."""
    if holder in ("csv", "parquet"):
        yield from rows_in(path) if holder == "csv" else rows_in_parquet(path)
        return
    with path.open("rb") as stream:
        skip = _past_bom(stream)
        if holder == "lines":
            raws = _lines(stream)
        else:
            window = Window(stream, skip)
            raws = _to_the_end(window, _elements(window) if holder == "list" else _members(window))
        for raw in raws:
            yield from _unwrapped(raw)


def _to_the_end(window: Window, raws: Iterator[Raw]) -> Iterator[Raw]:
    yield from raws
    if window.peek():
        yield Raw("end", None, f"something follows the end (from byte {window.byte()})", window.excerpt())


def _unwrapped(raw: Raw) -> Iterator[Raw]:
    """The record, or the records, in `{success, data}` (Qwen Chat, a fork of Open WebUI)."""
    value = raw.value
    if not (isinstance(value, dict) and "success" in value and isinstance(value.get("data"), dict | list)):
        yield raw
    elif isinstance(value["data"], dict):
        yield raw._replace(value=value["data"])
    else:
        for number, one in enumerate(value["data"], 1):
            yield Raw(f"{raw.place}, {number}", one)


def _lines(stream: BinaryIO) -> Iterator[Raw]:
    # Bytes split on \n alone: str.splitlines would break records at U+2028.
    number = 0
    while line := stream.readline(LONGEST):
        number += 1
        place = f"line {number}"
        if len(line) == LONGEST and not line.endswith(b"\n"):
            yield Raw(place, None, f"longer than {LONGEST >> 20} million bytes", _excerpt(line))
            while line and not line.endswith(b"\n"):
                line = stream.readline(LONGEST)
        elif line.strip():
            value, problem = _line(line, place)
            yield Raw(place, value, problem, _excerpt(line) if problem else "")


def _line(line: bytes, place: str) -> tuple[Any, str]:
    try:
        return json.loads(line.strip().decode("utf-8"), parse_constant=_no_number), ""
    except UnicodeDecodeError as error:
        return None, f"not valid UTF-8 at byte {error.start} of the line"
    except json.JSONDecodeError as error:
        whole = line.endswith(b"\n")
        cut = "" if whole else " (the last line: cut off?)"
        return None, f"not valid JSON: {error.msg} at character {error.pos} of the line{cut}"
    except RecursionError:
        return None, "nested too deeply"
    except ValueError as error:
        return None, f"not readable: {str(error).split(';')[0]}"


def _no_number(_: str) -> None:
    """NaN and Infinity are no JSON numbers; they stand for "no number"."""


def _excerpt(line: bytes) -> str:
    return clean(line[: 4 * EXCERPT].decode("utf-8", "replace"))[:EXCERPT]


def _elements(window: Window) -> Iterator[Raw]:
    """The items of the list that begins here."""
    window.peek()
    window.take()
    number = 0
    while (mark := window.peek()) != "]":
        if mark == "":
            yield Raw("end", None, f"the file ends before its list does (byte {window.byte()}): more may be missing")
            return
        number += 1
        raw = window.value(f"item {number}")
        yield raw
        mark = window.peek()
        if mark == "" and raw.problem:
            return
        if mark == ",":
            window.take()
        elif mark not in ("]", ""):
            yield _broken(window, number)
            return
    window.take()


def _broken(window: Window, number: int) -> Raw:
    why = f"the list is broken after item {number} (byte {window.byte()}): what follows is not read"
    raw = Raw("end", None, why, window.excerpt())
    window.stop()
    return raw


def _members(window: Window) -> Iterator[Raw]:
    """The records in the object (or objects one behind another) that begin here.

    An object is one record, unless a list of records stands in it (`{success, data: [...]}`) or its keys number them
    (InterCode's `{"0": {...}, "1": {...}}`, also under `logs`).
    """
    number = 0
    while window.peek() == "{":
        number += 1
        yield from _one_object(window, f"item {number}")


def _one_object(window: Window, place: str) -> Iterator[Raw]:
    start, collected, streamed, fault = window.byte(), dict[str, Any](), False, Raw(place, None)
    window.take()
    while (mark := window.peek()) != "}":
        key = window.value("key").value if mark == '"' else None
        if not isinstance(key, str) or window.peek() != ":":
            yield _broken_object(window, place, start)
            return
        window.take()
        holds = _holds_records(key, window.peek())
        if holds is None:
            raw = window.value(place) if window.peek() else Raw(place, None, "cut off: the file ends inside it")
            fault = raw if raw.problem and not fault.problem else fault
            collected[key] = raw.value
        else:
            streamed = True
            yield from holds(window, f"item {key}")
        mark = window.peek()
        if mark == ",":
            window.take()
        elif mark != "}" and not fault.problem:
            yield _broken_object(window, place, start)
            return
        elif mark != "}":
            window.stop()
            break
    window.take()
    if fault.problem:
        yield fault
    elif not streamed:
        yield Raw(place, collected)


def _holds_records(key: str, mark: str) -> Callable[[Window, str], Iterator[Raw]] | None:
    """How to read the records that stand under a key of a file's one object; None when a plain value stands there."""
    if mark == "[" and key in _LISTS:
        return _listed
    if mark == "{" and key == "logs":
        return _one_object
    if mark == "{" and key.isdecimal():
        return _single
    return None


def _listed(window: Window, _: str) -> Iterator[Raw]:
    yield from _elements(window)


def _single(window: Window, place: str) -> Iterator[Raw]:
    yield window.value(place)


def _broken_object(window: Window, place: str, start: int) -> Raw:
    why = f"not valid JSON at byte {window.byte()}" if window.peek() else "cut off: the file ends inside it"
    raw = Raw(place, None, f"{why} (from byte {start})", window.excerpt())
    window.stop()
    return raw
