"""JSON-lines files whose lines have keys: looked up by key, replaced by key, written whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from kt_lib.artifacts import whole_file
from kt_lib.errors import ArtifactError

_HEAD = re.compile(rb'\{"id":"((?:[^"\\]|\\.)*+)"')
_SOURCE = re.compile(rb',"source":\{(?:[^"{}]|"(?:[^"\\]|\\.)*+")*+\}')


class Name(NamedTuple):
    """What a line is known by."""

    key: bytes
    """Hash of its id: equal for versions of one thing."""
    digest: bytes
    """Hash of what it says, without where it came from: equal for equal things."""


class _Place(NamedTuple):
    fresh: bool
    offset: int
    length: int
    digest: bytes


def short_hash(raw: bytes) -> bytes:
    """16 bytes of hash: what the index holds instead of ids and contents."""
    return blake2b(raw, digest_size=16).digest()


def named_by_id(line: bytes) -> Name:
    """The name of a line whose record has an id first and its source second or last."""
    head = _HEAD.match(line)
    if head is None:
        raise ValueError("the line has no id")
    source = _SOURCE.match(line, head.end())
    # A text cannot hold the bytes `,"source":` (its quotes are escaped), so the last occurrence is the field.
    said = line[: source.start()] + line[source.end() :] if source else line[: line.rindex(b',"source":')]
    return Name(short_hash(head[1]), short_hash(said.rstrip(b"\n")))


def named_by_content(line: bytes) -> Name:
    """The name of a line that is known by all it says."""
    digest = short_hash(line.rstrip(b"\n"))
    return Name(digest, digest)


def named_by_place(line: bytes) -> Name:
    """The name of a set-aside row: the file's digest and the place in it."""
    source = json.loads(line)["source"]
    key = short_hash(f"{source['sha256']} {source['place']}".encode("utf-8", "surrogatepass"))
    return Name(key, key)


class KeyedLines:
    """One file and the lines waiting to go into it. Holds hashes and places of lines, never the lines."""

    def __init__(self, path: Path, named: Callable[[bytes], Name]) -> None:
        self._path = path
        self._named = named
        self._places: dict[bytes, _Place] = {}
        self._replaced = False
        self._end = 0
        self._waiting_path = path.with_name(f".{path.name}.waiting")
        self._waiting = self._waiting_path.open("w+b")
        self._base = path.open("rb") if path.exists() else None
        try:
            self._load()
        except BaseException:
            self.close()
            raise

    def _load(self) -> None:
        offset = 0
        for number, line in enumerate(self._base or (), 1):
            try:
                if not line.endswith(b"\n"):
                    raise ValueError("the line is cut off")
                name = self._named(line)
            except (ValueError, KeyError, TypeError) as error:
                raise ArtifactError(
                    f"{self._path} line {number} is damaged: move the file away, ingest again"
                ) from error
            self._places[name.key] = _Place(False, offset, len(line), name.digest)
            offset += len(line)

    def name(self, line: bytes) -> Name:
        """What a line would be known by."""
        return self._named(line)

    def digest(self, key: bytes) -> bytes | None:
        """The digest of what stands under a key; None when nothing does."""
        place = self._places.get(key)
        return None if place is None else place.digest

    def line(self, key: bytes) -> bytes | None:
        """The line under a key."""
        place = self._places.get(key)
        return None if place is None else self._read(place)

    def lines(self) -> Iterator[bytes]:
        """Every line, in no promised order."""
        for place in list(self._places.values()):
            yield self._read(place)

    def _read(self, place: _Place) -> bytes:
        if place.fresh:
            self._flush()
            return os.pread(self._waiting.fileno(), place.length, place.offset)
        assert self._base is not None
        return os.pread(self._base.fileno(), place.length, place.offset)

    def put(self, name: Name, line: bytes) -> None:
        """Let a line (with its line end) stand under its key, instead of any other that does."""
        self._replaced = self._replaced or name.key in self._places
        # Taken out first: the place in the dictionary is the place in the file.
        self._places.pop(name.key, None)
        self._places[name.key] = _Place(True, self._end, len(line), name.digest)
        try:
            self._waiting.write(line)
        except OSError as error:
            raise ArtifactError(f"{self._path} cannot be written: {error.strerror or error}") from error
        self._end += len(line)

    def _flush(self) -> None:
        try:
            self._waiting.flush()
        except OSError as error:
            raise ArtifactError(f"{self._path} cannot be written: {error.strerror or error}") from error

    def commit(self) -> None:
        """Write the file anew with what waits; readers see the old file or the new one."""
        if not self._end:
            return
        self._flush()
        with whole_file(self._path) as out:
            if self._replaced:
                for place in self._places.values():
                    out.write(self._read(place))
            else:
                if self._base is not None:
                    self._base.seek(0)
                    shutil.copyfileobj(self._base, out, 1 << 20)
                self._waiting.seek(0)
                shutil.copyfileobj(self._waiting, out, 1 << 20)

    def close(self) -> None:
        """Forget what waits and was not committed."""
        self._waiting.close()
        self._waiting_path.unlink(missing_ok=True)
        if self._base is not None:
            self._base.close()
