"""Ask a model within a budget, and ask nothing twice: every answer is kept in a file as soon as it is there."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from pydantic import Field, ValidationError

from kt_lib.errors import ModelError
from kt_lib.models.interface import Model, Progress
from kt_lib.models.remote import CHARACTERS_PER_TOKEN, prompt_tokens
from kt_lib.records import Completion, Record, Request, ToolCall, Usage, content_id
from kt_lib.redaction import Redaction

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Requests between two writes to the cache: no more answers than these are lost when the process is killed."""


class Budget(Record):
    """What one run may ask; answers from the cache are free."""

    max_calls: int = Field(ge=0)
    """Most requests to ask."""
    max_tokens: int = Field(ge=0)
    """Most tokens, read and written together. A request is asked only where its longest answer still fits."""


class Spent(Record):
    """What was asked so far, and what was not."""

    asked: int = 0
    """Requests that went to the model."""
    cached: int = 0
    """Requests answered from the cache."""
    failed: int = 0
    """Requests of `asked` that the model did not answer; they are not kept, and asked again the next time."""
    left: int = 0
    """Requests that were not asked, for the budget was at its end."""
    prompt_tokens: int = 0
    """Tokens read, as the model says, else estimated from the characters."""
    completion_tokens: int = 0
    """Tokens written, counted likewise."""
    seconds: float = 0.0
    """The model's seconds."""

    @property
    def tokens(self) -> int:
        """Tokens read and written."""
        return self.prompt_tokens + self.completion_tokens


class KeptAnswer(Record):
    """A line of the cache."""

    request: str
    """Content id of model and request."""
    completion: Completion
    """What the model answered, without secrets and personal data."""


class CachedAsking:
    """One model, one cache file, one budget.

    A line is written whole and put on disk before the next requests are asked. What a killed process left half-written
    is passed over. E-mail addresses, keys and the like are taken out of an answer before it is kept or given on.
    """

    def __init__(self, model: Model, cache: Path, budget: Budget) -> None:
        self.model, self.cache, self.budget = model, cache, budget
        self.spent = Spent()
        self._kept = _read(cache)
        self._who = ""
        self._planned: dict[str, int] = {}

    def ask(self, requests: Sequence[Request], progress: Progress | None = None) -> list[Completion | None]:
        """An answer for each request, in order; None where the budget was at its end before it.

        Equal requests are asked once. A failed request is a completion with `finish="error"`, as the model gives it.
        """
        self._who = self._who or (content_id(self.model.name, self.model.digest) if requests else "")
        keys = [content_id(self._who, request.model_dump(mode="json")) for request in requests]
        found = {key: self._kept[key] for key in keys if key in self._kept}
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in found}
        self._count(cached=len(set(keys)) - len(missing))
        while missing and (chosen := self._within_budget(missing)):
            answers = self.model.complete([missing.pop(key) for key in chosen])
            found |= self._keep(dict(zip(chosen, answers, strict=True)))
            if progress:
                progress(len(found), len(set(keys)))
        self._count(left=len(missing))
        return [found.get(key) for key in keys]

    def _within_budget(self, missing: dict[str, Request]) -> list[str]:
        """The next requests that calls and tokens still allow, in order."""
        calls, tokens = self.budget.max_calls - self.spent.asked, self.budget.max_tokens - self.spent.tokens
        chosen: list[str] = []
        for key, request in missing.items():
            wanted = prompt_tokens(request) + request.decoding.max_tokens
            if len(chosen) >= min(calls, AT_ONCE):
                break
            if wanted <= tokens:
                tokens -= wanted
                chosen.append(key)
        self._planned = {key: prompt_tokens(missing[key]) for key in chosen}
        return chosen

    def _keep(self, answers: dict[str, Completion]) -> dict[str, Completion]:
        clean = {key: without_secrets(answer) for key, answer in answers.items()}
        usages = [_usage(answer, self._planned[key]) for key, answer in answers.items()]
        self._count(
            asked=len(answers),
            failed=sum(answer.finish == "error" for answer in answers.values()),
            prompt_tokens=sum(one.prompt_tokens for one in usages),
            completion_tokens=sum(one.completion_tokens for one in usages),
            seconds=sum(answer.seconds for answer in answers.values()),
        )
        answered = {key: answer for key, answer in clean.items() if answer.finish != "error"}
        _append(self.cache, [KeptAnswer(request=key, completion=answer) for key, answer in answered.items()])
        self._kept |= answered
        return clean

    def _count(self, **more: float) -> None:
        self.spent = self.spent.model_copy(update={name: getattr(self.spent, name) + by for name, by in more.items()})


def without_secrets(completion: Completion) -> Completion:
    """The completion with placeholders for keys, e-mail addresses and what else must not be kept."""
    redaction = Redaction()
    calls = tuple(
        ToolCall(name=call.name, arguments=redaction.redact_json(call.arguments, keys=True), id=call.id)
        for call in completion.tool_calls
    )
    unreadable = tuple(redaction.redact(text) for text in completion.unreadable_calls)
    clean = {"text": redaction.redact(completion.text), "tool_calls": calls, "unreadable_calls": unreadable}
    return completion.model_copy(update=clean)


def _usage(completion: Completion, planned: int) -> Usage:
    """The tokens of an answer: the model's own count, else an estimate, so that a silent server is not for nothing."""
    if completion.usage.prompt_tokens or completion.usage.completion_tokens or completion.finish == "error":
        return completion.usage
    return Usage(prompt_tokens=planned, completion_tokens=len(completion.text) // CHARACTERS_PER_TOKEN + 1)


def _read(cache: Path) -> dict[str, Completion]:
    if not cache.exists():
        return {}
    kept: dict[str, Completion] = {}
    passed_over = 0
    with cache.open("rb") as lines:
        for line in lines:
            try:
                one = KeptAnswer.model_validate_json(line)
            except ValidationError:
                passed_over += bool(line.strip())
            else:
                kept[one.request] = one.completion
    if passed_over:
        log.warning("%s: %d lines cannot be read; what they answered is asked again", cache, passed_over)
    return kept


def _append(cache: Path, lines: Sequence[KeptAnswer]) -> None:
    """Puts whole lines at the end of the file and on disk, after a line that a killed process left cut off."""
    if not lines:
        return
    written = b"".join(line.model_dump_json().encode() + b"\n" for line in lines)
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with cache.open("ab+") as handle:
            handle.write(b"\n" + written if _is_cut_off(handle) else written)
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        raise ModelError(f"answers cannot be kept in {cache} ({error}): name a file that can be written") from error


def _is_cut_off(handle: IO[bytes]) -> bool:
    if handle.seek(0, os.SEEK_END) == 0:
        return False
    handle.seek(-1, os.SEEK_END)
    return handle.read(1) != b"\n"
