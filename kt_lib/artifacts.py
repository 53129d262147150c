"""Artifacts: typed JSONL files, texts and folders that are either whole or not there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Literal, TypeVar

from pydantic import ValidationError

from kt_lib.errors import ArtifactError
from kt_lib.records import Record

AnyRecord = TypeVar("AnyRecord", bound=Record)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class Artifact(Record):
    """What a step wrote, named only once it is whole."""

    file: str
    """File or folder below the step's folder."""
    kind: Literal["rows", "text", "folder"]
    """rows: one JSON record a line; text: a file; folder: a folder of files."""
    sha256: str
    """Digest of its bytes; of a folder, of its files' names and digests."""
    bytes: int
    """Size, all files together."""
    rows: int | None = None
    """Records, for rows."""


def checked_name(name: str) -> str:
    """`name`, if it can be an artifact's name; `ArtifactError` otherwise (a path or a hidden file is none)."""
    if not _NAME.fullmatch(name):
        raise ArtifactError(f"{name!r} is no artifact name: use letters, digits, `_`, `-` and `.`, and no path")
    return name


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write; it appears at `path` complete and on disk when the block ends well, else not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(part, path)
        _sync_folder(path.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_whole(path: Path, text: str | bytes) -> None:
    """Write `text` to `path` at once: readers see the old content or the new, never a part."""
    with whole_file(path) as handle:
        handle.write(text.encode() if isinstance(text, str) else text)


def write_rows(folder: Path, name: str, records: Iterable[Record]) -> Artifact:
    """Stream `records` to `<folder>/<name>.jsonl`, one JSON object a line, in constant memory."""
    path = folder / f"{checked_name(name)}.jsonl"
    digest, size, rows = hashlib.sha256(), 0, 0
    with whole_file(path) as handle:
        for record in records:
            line = record.model_dump_json().encode() + b"\n"
            handle.write(line)
            digest.update(line)
            size += len(line)
            rows += 1
    return Artifact(file=path.name, kind="rows", sha256=digest.hexdigest(), bytes=size, rows=rows)


def write_text(folder: Path, name: str, text: str) -> Artifact:
    """Write a text artifact under its own name (`card.md`)."""
    raw = text.encode()
    write_whole(folder / checked_name(name), raw)
    return Artifact(file=name, kind="text", sha256=hashlib.sha256(raw).hexdigest(), bytes=len(raw))


def describe_folder(folder: Path, name: str) -> Artifact:
    """Sync a folder artifact to disk and describe it; `ArtifactError` when it is missing or empty."""
    path = folder / checked_name(name)
    files = files_below(path)
    if not files:
        raise ArtifactError(f"nothing to keep in {path}: write its files before `step.keep({name!r})`")
    for file in files:
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
        _sync_folder(file.parent)
    size = sum(file.stat().st_size for file in files)
    return Artifact(file=name, kind="folder", sha256=folder_digest(path), bytes=size)


def read_rows(path: Path, type_: type[AnyRecord], expected: Artifact | None = None) -> Iterator[AnyRecord]:
    """Records of a JSONL artifact in order; `ArtifactError` for a missing, cut-off or differently typed file."""
    if not path.is_file():
        raise ArtifactError(f"{path} is missing: run `kt run` to make it again")
    if expected is not None and path.stat().st_size != expected.bytes:
        raise ArtifactError(
            f"{path} has {path.stat().st_size} bytes, {expected.bytes} were written: run `kt run` again"
        )
    return _rows(path, type_)


def _rows(path: Path, type_: type[AnyRecord]) -> Iterator[AnyRecord]:
    # Binary lines end at \n alone; text mode would also be safe, str.splitlines would break rows at U+2028.
    with path.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            if not line.endswith(b"\n"):
                raise ArtifactError(f"{path} line {number} is cut off: run `kt run` to make it again")
            try:
                yield type_.model_validate_json(line)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"])
                raise ArtifactError(f"{path} line {number} is no {type_.__name__}: {where} {first['msg']}") from None


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def folder_digest(path: Path, digest_of: Callable[[Path], str] = file_digest) -> str:
    """SHA-256 over the sorted names and digests of the files below a folder."""
    digest = hashlib.sha256()
    for file in files_below(path):
        digest.update(f"{file.relative_to(path).as_posix()}\0{digest_of(file)}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def files_below(path: Path) -> list[Path]:
    """Every file below a folder, sorted, without half-written parts and bytecode."""
    if not path.is_dir():
        return []
    return sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not file.name.endswith((".part", ".pyc")) and "__pycache__" not in file.parts
    )


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
