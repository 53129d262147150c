"""A model behind a server: many requests at once, faults tried again, nothing lost, nothing sent without consent."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from typing import Any

import stamina
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from kt_lib.errors import ModelError, ModelNotFound, ModelTimeout, ServerFault, ToolsNotSupported
from kt_lib.models.apart import Tell, run_apart
from kt_lib.models.faults import Declined, Transient, Unreachable, wait_before_retry
from kt_lib.models.interface import Progress
from kt_lib.models.outgoing import redacted, restored
from kt_lib.models.remote import Allowance, host_of, is_this_machine
from kt_lib.records import Completion, Request

log = logging.getLogger(__name__)

TIMEOUT = 300.0
"""Seconds one try of a request may take: a model of several GB may first have to be loaded from disk."""
CONNECT_TIMEOUT = 10.0
"""Seconds until a server must have taken up the connection."""
CONCURRENCY = 4
"""Requests under way at once; a server on one's own machine has few slots."""
TRIES = 4
"""Times a request is sent at most."""
HOPELESS = 8
"""Requests that fail for the server's sake, none having succeeded, before the whole set is given up."""


def _say_again(details: RetryDetails) -> None:
    log.info("try %d failed, again in %.1f s: %s", details.retry_num, details.wait_for, details.caused_by)


# stamina's own way is a warning for each try, without a cause, in the middle of a notebook.
set_on_retry_hooks([_say_again])


_WHO = re.compile(r"//[^/@]*@")
"""Name and password in an address: no message shows them."""


class ServedModel(ABC):
    """What all model servers have in common; a dialect says how to connect, ask and list.

    model: the server's name for the model. address: the server's URL. allow_remote, max_calls: see `Allowance`.
    timeout: seconds for one try. first_wait: seconds before the second try, doubled for each further one.
    """

    prefix: str
    remedy: str

    def __init__(
        self,
        model: str,
        address: str,
        *,
        allow_remote: bool = False,
        max_calls: int | None = None,
        timeout: float = TIMEOUT,
        concurrency: int = CONCURRENCY,
        first_wait: float = 0.5,
    ) -> None:
        self.model = model
        self.address = address
        self.shown_address = _WHO.sub("//", address)
        self.timeout = timeout
        self.concurrency = concurrency
        self.first_wait = first_wait
        self.host = host_of(address)
        self._allowed = allow_remote
        self._max_calls = max_calls
        self._answered = False
        self._failed = 0

    @property
    def name(self) -> str:
        """The name it was opened by."""
        return f"{self.prefix}:{self.model}"

    @cached_property
    def local(self) -> bool:
        """Whether the server is on this machine."""
        return is_this_machine(self.host)

    @cached_property
    def allowance(self) -> Allowance:
        """Consent and cap."""
        return Allowance(None if self.local else self.host, allowed=self._allowed, max_calls=self._max_calls)

    @property
    @abstractmethod
    def digest(self) -> str:
        """What the model is, as far as the server tells."""

    @abstractmethod
    def connect(self) -> AbstractAsyncContextManager[Any]:
        """A client of the server."""

    @abstractmethod
    async def ask(self, client: Any, request: Request) -> Completion:
        """One try of one request; raises the errors of `faults`."""

    @abstractmethod
    async def models(self, client: Any) -> list[str]:
        """Names of the models on the server; raises the errors of `faults`."""

    def complete(self, requests: Sequence[Request], progress: Progress | None = None) -> list[Completion]:
        """One completion for each request, in order.

        The first request goes alone, so that what is wrong with the set-up shows before the others are sent. Raises
        `ConsentRequired` before anything is sent, `ModelNotFound`, `ToolsNotSupported` or `ModelError` where no request
        can succeed; one request's failure is its completion.
        """
        if not requests:
            return []
        self.allowance.take(requests)
        return run_apart(lambda tell: self._complete(list(requests), tell), progress)

    async def _complete(self, requests: list[Request], tell: Tell) -> list[Completion]:
        done: dict[int, Completion] = {}
        self._failed = 0
        waiting = iter(enumerate(requests))

        async def work(client: Any, most: int | None = None) -> None:
            for at, request in waiting:
                done[at] = await self._complete_one(client, request)
                self._give_up_if_hopeless(done[at])
                tell(len(done), len(requests))
                if most is not None and len(done) >= most:
                    return

        try:
            async with self.connect() as client:
                await work(client, most=1)
                async with asyncio.TaskGroup() as group:
                    for _ in range(self.concurrency):
                        group.create_task(work(client))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [done[at] for at in range(len(requests))]

    async def _complete_one(self, client: Any, request: Request) -> Completion:
        sent, redaction = (request, None) if self.local else redacted(request)
        started, tries = time.perf_counter(), 0
        try:
            async for attempt in stamina.retry_context(
                wait_before_retry,
                attempts=TRIES,
                timeout=None,
                wait_initial=self.first_wait,
                wait_jitter=self.first_wait,
                wait_max=20,
            ):
                tries = attempt.num
                with attempt:
                    started = time.perf_counter()
                    completion = await self._within_limit(client, sent)
        except (Declined, ServerFault, ModelTimeout) as error:
            self._failed += not isinstance(error, Declined)
            words = f"{error}, after {tries} tries" if tries > 1 else str(error)
            log.info("%s: a request failed: %s", self.name, words)
            return Completion(finish="error", error=words, seconds=time.perf_counter() - started)
        except (ModelNotFound, ToolsNotSupported) as error:
            raise await self._with_remedy(client, error) from None
        except ModelError as error:
            raise type(error)(f"{self.name} at {self.shown_address}: {error}: {self.remedy}") from None
        self._answered = True
        completion = completion.model_copy(update={"seconds": time.perf_counter() - started})
        return restored(completion, redaction) if redaction else completion

    async def _within_limit(self, client: Any, request: Request) -> Completion:
        try:
            async with asyncio.timeout(self.timeout):
                return await self.ask(client, request)
        except TimeoutError:
            raise ModelTimeout(f"timeout: no answer within {self.timeout:g} s") from None
        except Unreachable as error:
            # a server that has answered before may be back in a moment; one that never has is not there
            if self._answered:
                raise Transient(str(error)) from None
            raise
        except UnicodeEncodeError as error:
            raise Declined(f"the request cannot be written as UTF-8: {error}") from None

    async def _with_remedy(self, client: Any, error: ModelError) -> ModelError:
        if isinstance(error, ToolsNotSupported):
            return ToolsNotSupported(
                f"{self.name} at {self.shown_address}: {error}: use protocol=json, or a model with native tools"
            )
        return ModelNotFound(f"{self.name} at {self.shown_address}: {error}: {await self._what_is_there(client)}")

    async def _what_is_there(self, client: Any) -> str:
        """What to do about a model that is not there, with the names of those that are."""
        try:
            async with asyncio.timeout(10):
                found = await self.models(client)
        except (ModelError, TimeoutError):
            found = []
        return f"{self.missing_remedy()}; on the server: {', '.join(found[:20]) or 'no model that it names'}"

    async def version(self, client: Any) -> str:
        """The server's version, empty where servers of this kind tell none."""
        return ""

    def has(self, there: Sequence[str]) -> bool:
        """Whether the model is among the names that the server gives."""
        return self.model in there

    def missing_remedy(self) -> str:
        """What to do about a model that is not there."""
        return "use a model that the server has"

    def _give_up_if_hopeless(self, completion: Completion) -> None:
        if self._failed >= HOPELESS and not self._answered:
            raise ModelError(
                f"{self.name} at {self.shown_address}: {self._failed} requests failed and none succeeded, the last"
                f" with: {completion.error}: {self.remedy}"
            )
