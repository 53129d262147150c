"""How a run looks while it goes: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.status import Status


class PlainProgress:
    """One line when a step starts and one when it ends; nothing for cells."""

    def step_started(self, name: str, number: int, of: int, why: str) -> None:
        """Say that a kernel starts, and why."""
        typer.echo(f"[{number}/{of}] {name}: runs ({why})")

    def cell_started(self, number: int, of: int) -> None:
        """Nothing: a log is not read live."""

    def step_ended(self, name: str, number: int, of: int, status: str, note: str) -> None:
        """Say what came of it."""
        place = f"[{number}/{of}] " if of else ""
        typer.echo(f"{place}{name}: {status} ({note})")


class LiveProgress(PlainProgress):
    """The same with one line that moves while a notebook runs."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False)
        self._status: Status | None = None
        self._text = ""

    def step_started(self, name: str, number: int, of: int, why: str) -> None:
        """Start the moving line."""
        self._text = f"[{number}/{of}] {name} ({why})"
        self._status = self._console.status(_plain(self._text))
        self._status.start()

    def cell_started(self, number: int, of: int) -> None:
        """Move it."""
        if self._status:
            self._status.update(_plain(f"{self._text}: cell {number} of {of}"))

    def step_ended(self, name: str, number: int, of: int, status: str, note: str) -> None:
        """Stop it and leave a line."""
        if self._status:
            self._status.stop()
            self._status = None
        super().step_ended(name, number, of, status, note)


@contextmanager
def answers_as_they_come(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal that hears (answered, in all); nothing elsewhere. A new round begins the bar anew."""
    from tqdm.auto import tqdm

    with tqdm(desc=what, leave=False, disable=None) as bar:

        def move(done: int, of: int) -> None:
            if of != bar.total or done < bar.n:
                bar.reset(total=of)
            bar.update(done - bar.n)

        yield move


def progress() -> PlainProgress:
    """What fits where the output goes."""
    import sys

    return LiveProgress() if sys.stdout.isatty() else PlainProgress()


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(text)
