"""Typed looks into untyped JSON: whatever stands there, a value of the asked type or a plain "not there" comes out."""

from __future__ import annotations

import html
import json
import math
import re
from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue

from kt_lib.records import canonical_json

DEEPEST = 64
"""Levels of nesting kept in arguments; deeper ones are kept as text (readers of the stored line stop near 200)."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Text that can be written as UTF-8: half a surrogate pair becomes U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text)
    return text


def cleaned(value: Any) -> Any:
    """A JSON value with every text in it cleaned; the value itself where there was nothing to clean.

    Not done on the way in: almost no file holds half a surrogate pair, and records refuse one, so that it is seen.
    """
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        items = [cleaned(item) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if isinstance(value, dict):
        pairs = {clean(key): cleaned(item) for key, item in value.items()}
        same = all(pairs.get(key) is item for key, item in value.items()) and len(pairs) == len(value)
        return value if same else pairs
    return value


def text_of(value: Any) -> str:
    """The value if it is text, else ""."""
    return value if isinstance(value, str) else ""


def text_or_none(value: Any) -> str | None:
    """The value if it is text that says something, else None."""
    return value if isinstance(value, str) and not value.isspace() and value else None


def dict_of(value: Any) -> dict[str, Any]:
    """The value if it is an object, or a JSON text of one; else {}."""
    if isinstance(value, str):
        value = loaded(value)
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    """The value if it is a list, or a JSON text of one; else []."""
    if isinstance(value, str):
        value = loaded(value)
    return value if isinstance(value, list) else []


def texts_of(value: Any) -> tuple[str, ...]:
    """The texts in a list (or the `name` of objects in it), each once; a lone text is a list of one."""
    items = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    named = (item.get("name") if isinstance(item, dict) else item for item in items)
    return tuple(dict.fromkeys(item for item in named if isinstance(item, str) and item))


def number_of(value: Any) -> float | None:
    """A finite number, also written as text; booleans, NaN and infinities are none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def seconds_of(value: Any) -> float | None:
    """A time as seconds since the epoch, given in seconds, milliseconds, microseconds, nanoseconds or as ISO 8601."""
    number = number_of(value)
    if number is None:
        return _iso_seconds(value) if isinstance(value, str) else None
    if number <= 0:
        return None
    # 1e11 s is the year 5138 and 1e11 ms is 1973: the size alone tells the unit.
    for limit, unit in ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3)):
        if number >= limit:
            number /= unit
            break
    return number if number < 1e11 else None


def _iso_seconds(value: str) -> float | None:
    try:
        moment = datetime.fromisoformat(value.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def loaded(text: str) -> Any:
    """The JSON value in a text, or None when it is none (or nested too deeply to read)."""
    try:
        found = json.loads(text, parse_constant=_no_number)
        return cleaned(found) if "\\u" in text else found
    except (ValueError, RecursionError):
        return None


def _no_number(_: str) -> None:
    """NaN and Infinity are no JSON; they stand for "no number"."""


def json_value(value: Any, depth: int = 0) -> JsonValue:
    """A value that survives being written as JSON and read again; `ValueError` when nested deeper than `DEEPEST`."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    if depth >= DEEPEST:
        raise ValueError(f"nested deeper than {DEEPEST} levels")
    if isinstance(value, list):
        return [json_value(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {str(key): json_value(item, depth + 1) for key, item in value.items()}
    return str(value)


def shown(value: Any) -> str:
    """Any value as text: text as it is, the rest as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    try:
        return canonical_json(json_value(value))
    except ValueError:
        return f"{type(value).__name__} nested too deeply to show"


def arguments_of(raw: Any) -> tuple[dict[str, JsonValue] | None, str]:
    """Call arguments -> (arguments, "") or (None, the words as written) when they are no JSON object.

    Open WebUI writes them as an HTML-escaped JSON text of what is often a JSON text already: unescape only where needed
    (an argument may hold entities of its own), load, and load again.
    """
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        return {}, ""
    value, written = raw, shown(raw)
    for _ in range(4):
        if not isinstance(value, str):
            break
        found = loaded(value)
        if found is None and "&" in value and html.unescape(value) != value:
            found = html.unescape(value)
        if found is None:
            break
        value = found
        if isinstance(value, str) and not value.strip():
            return {}, ""
    if not isinstance(value, dict):
        return None, written
    try:
        cleaned = json_value(value)
    except ValueError:
        return None, written
    return (cleaned, "") if isinstance(cleaned, dict) else (None, written)
