"""What every model is to the rest of kt: a name, a digest, and `complete`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from kt_lib.records import Completion, Request

Progress = Callable[[int, int], None]
"""Called in the caller's thread with (requests answered, requests in all)."""


class Model(Protocol):
    """Something that completes many requests at once.

    A request that fails is a `Completion` with `finish="error"` and the model's own words, never left out. Only what
    makes every request fail raises: `ModelNotFound`, `ToolsNotSupported`, `ConsentRequired`, or another `ModelError`.
    """

    @property
    def name(self) -> str:
        """The name it was opened by, for example `embedded` or `ollama:qwen2.5:7b`."""

    @property
    def digest(self) -> str:
        """What it is: another digest means another model. A server's digest is as good as the server's word."""

    def complete(self, requests: Sequence[Request], progress: Progress | None = None) -> list[Completion]:
        """One completion for each request, in the order of the requests."""
