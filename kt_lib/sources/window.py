"""A moving window over a JSON file: one value at a time at the C decoder's speed, and the end of a broken one found."""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, BinaryIO, NamedTuple

CHUNK = 1 << 20
LONGEST = 1 << 27
"""Characters of one record held in memory; what is longer without an end is not read."""
EXCERPT = 500

_SPACE = re.compile(r"[ \t\r\n]*+")
_BAD_BYTE = re.compile("[\udc80-\udcff]")
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]"]', re.DOTALL)
_AFTER = tuple(",]} \t\r\n")
_SCALAR_END = re.compile(r"[,\]}\n]")


def _no_number(_: str) -> None:
    """NaN and Infinity are no JSON numbers; they stand for "no number"."""


_decode = json.JSONDecoder(parse_constant=_no_number).raw_decode


class Raw(NamedTuple):
    """One record as it stands in a file."""

    place: str
    """`item 3`, `line 17`, `row abc`."""
    value: Any
    """The decoded value; None when `problem` says why there is none."""
    problem: str = ""
    """Why it could not be decoded."""
    excerpt: str = ""
    """The first characters of what could not be decoded."""


class Window:
    """The text of a stream around the place being read. Holds one chunk, or one record where that is longer."""

    def __init__(self, stream: BinaryIO, skip: int = 0) -> None:
        self._stream = stream
        self._pending = b""
        self._read = skip
        self._dirty = False
        self.text = ""
        self.at = 0
        self.ended = False

    def byte(self) -> int:
        """The place in the file, in bytes."""
        ahead = len(self.text[self.at :].encode("utf-8", "surrogateescape"))
        return self._read - len(self._pending) - ahead

    def peek(self) -> str:
        """The next character that is no space, "" at the end of the file; the window stands on it."""
        while True:
            found = _SPACE.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if self.ended:
                return ""
            self._more()

    def take(self) -> None:
        """Go past one character."""
        self.at += 1

    def excerpt(self) -> str:
        """The characters that come next, fit to be shown."""
        return _shown(self.text[self.at : self.at + EXCERPT])

    def stop(self) -> None:
        """Read no further: nothing behind this place can be told apart."""
        self.text, self.at, self.ended = "", 0, True

    def value(self, place: str) -> Raw:
        """The value that begins here; the window then stands behind it (behind what was broken, as well as can be)."""
        try:
            found, end = _decode(self.text, self.at)
        except (ValueError, RecursionError):
            return self._value_by_its_end(place)
        # A number near the end of the window may go on in the next chunk: "-0." reads as 0 with something behind it.
        if self.text[end - 1] not in '}]"' and self.text[end : end + 1] not in _AFTER:
            return self._value_by_its_end(place)
        return self._done(place, found, end)

    def _done(self, place: str, found: Any, end: int) -> Raw:
        if self._dirty:
            written = self.text[self.at : end]
            if _BAD_BYTE.search(written):
                raw = Raw(place, None, f"not valid UTF-8 ({self._where()})", _shown(written))
                self.at = end
                return raw
        self.at = end
        return Raw(place, found)

    def _value_by_its_end(self, place: str) -> Raw:
        end = self._end_of_value()
        if end is None:
            too_long = not self.ended
            why = f"longer than {LONGEST >> 20} million characters" if too_long else "cut off: the file ends inside it"
            raw = Raw(place, None, f"{why} ({self._where()})", self.excerpt())
            self.stop()
            return raw
        try:
            found, stop = _decode(self.text, self.at)
            if stop == end:
                return self._done(place, found, end)
            why = "not valid JSON: something follows its end"
        except RecursionError:
            why = "nested too deeply"
        except json.JSONDecodeError as error:
            why = f"not valid JSON: {error.msg} at character {error.pos - self.at} of the record"
        except ValueError as error:
            why = f"not readable: {str(error).split(';')[0]}"
        raw = Raw(place, None, f"{why} ({self._where()})", _shown(self.text[self.at : end]))
        self.at = max(end, self.at + 1)
        return raw

    def _where(self) -> str:
        return f"from byte {self.byte()}"

    def _end_of_value(self) -> int | None:
        """Where the value that begins here ends: None when the file ends first, or it is longer than `LONGEST`."""
        if self.text[self.at] not in '{["':
            return self._end_of_scalar()
        opened: list[str] = []
        at = self.at
        while True:
            for token in _TOKEN.finditer(self.text, at):
                mark = token[0]
                if mark == '"':
                    at = token.start()
                    break
                at = token.end()
                if mark in "{[":
                    opened.append(mark)
                elif mark in "}]":
                    _close(opened, mark)
                if not opened:
                    return at
            if self.ended or len(self.text) - self.at > LONGEST:
                return None
            at -= self._more(keep=True)

    def _end_of_scalar(self) -> int | None:
        while True:
            found = _SCALAR_END.search(self.text, self.at)
            if found or self.ended:
                return found.start() if found else len(self.text)
            if len(self.text) - self.at > LONGEST:
                return None
            self._more(keep=True)

    def _more(self, keep: bool = False) -> int:
        """Read on, dropping what lies behind; says by how much places moved. A long record is read in growing steps."""
        dropped = self.at
        rest = self.text[self.at :]
        chunk = self._stream.read(max(CHUNK, len(rest)) if keep else CHUNK)
        self._read += len(chunk)
        self.ended = not chunk
        raw = self._pending + chunk
        try:
            more, used = codecs.utf_8_decode(raw, "strict", self.ended)
        except UnicodeDecodeError:
            self._dirty = True
            more, used = codecs.utf_8_decode(raw, "surrogateescape", self.ended)
        self._pending = raw[used:]
        self.text, self.at = rest + more, 0
        return dropped


def _close(opened: list[str], mark: str) -> None:
    """Close the nearest bracket of this kind: one left open inside does not swallow what follows."""
    wanted = "{" if mark == "}" else "["
    if wanted in opened:
        while opened.pop() != wanted:
            pass
    elif opened:
        opened.pop()


def _shown(text: str) -> str:
    return text[:EXCERPT].encode("utf-8", "replace").decode("utf-8")
