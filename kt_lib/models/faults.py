"""What can go wrong with a model server: which faults are worth another try, and which make every request fail."""

from __future__ import annotations

import json
import re
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

from kt_lib.errors import ModelError, ModelNotFound, ServerFault, ToolsNotSupported

LONGEST_WAIT = 60.0
"""Seconds a server may ask to be left alone before a request is given up."""

_TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_NO_TOOLS = re.compile(
    r"(?is)(?:does not|doesn't|not|no) support\w*.{0,40}\btools?\b"
    r"|\btools?\b.{0,80}(?:not supported|unsupported|requires? --)|\btool.{0,40}--enable-auto-tool-choice"
    r"|function calling is not"
)
_NO_MODEL = re.compile(
    r"(?is)\bmodel\b.{0,120}(?:not found|not exist|n't exist|unknown|no such|not available|not loaded)|model_not_found"
    r"|(?:unknown|no such|invalid) model"
)


class Unreachable(ModelError):
    """Nobody answers at the server's address."""


class Declined(ModelError):
    """The server declined this one request; others may do."""


class Transient(ServerFault):
    """A fault that may be gone at the next try. retry_after: seconds the server asked for, or None."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def wait_before_retry(error: Exception) -> bool | float:
    """For stamina: whether to try again, or after how many seconds."""
    if not isinstance(error, Transient):
        return False
    if error.retry_after is None:
        return True
    return error.retry_after if error.retry_after <= LONGEST_WAIT else False


def from_status(
    status: int, body: str, *, retry_after: str | None = None, location: str | None = None, has_tools: bool = False
) -> ModelError:
    """The error for an HTTP status above 299, in the server's own words.

    `ModelNotFound` and `ToolsNotSupported` come without remedy: who knows the server adds it.
    """
    words = own_words(body) or "no word from the server"
    told = f"{words} (HTTP {status})"
    # the tools first: servers say "model X does not support tools"
    if has_tools and status < 502 and _NO_TOOLS.search(words):
        return ToolsNotSupported(told)
    if status in (400, 404, 422) and _NO_MODEL.search(words):
        return ModelNotFound(told)
    if status in _TRANSIENT:
        return Transient(told, seconds_of(retry_after))
    if status in (401, 403):
        return ModelError(f"the server refuses the key: {told}")
    if 300 <= status < 400:
        return ModelError(f"the server sends its callers on to {location or 'another address'} (HTTP {status})")
    if status in (404, 405):
        return ModelError(f"there is no model server at this address: {told}")
    return Declined(told)


def own_words(body: Any) -> str:
    """What a server said went wrong, taken out of whatever form it came in; at most 500 characters."""
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except ValueError:
            return re.sub(r"<[^>]{0,200}>|\s+", " ", body[:2000]).strip()[:500]
    while isinstance(body, dict):
        found = next((body[key] for key in ("error", "message", "detail", "errors", "msg") if body.get(key)), None)
        if found is None:
            return json.dumps(body, ensure_ascii=False)[:500]
        body = found
    return (body if isinstance(body, str) else json.dumps(body, ensure_ascii=False))[:500]


def seconds_of(retry_after: str | None) -> float | None:
    """Seconds of a Retry-After header (a number or a date), None when there is none that can be read."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time())
    except ValueError:
        return None
