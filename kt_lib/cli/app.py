"""The `kt` command: every area's functions, registered by name; one line for errors of ours."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated, NoReturn

import typer

from kt_lib.errors import KtError

# name of the command: (module below kt_lib.cli, function)
COMMANDS = {
    "run": ("workspace", "run"),
    "plan": ("workspace", "plan"),
    "status": ("workspace", "status"),
    "report": ("workspace", "report"),
    "ingest": ("ingest", "ingest"),
    "difference": ("difference", "difference"),
    "score-calls": ("score_calls", "score_calls"),
    "chat": ("versions", "chat"),
    "versions": ("versions", "versions"),
    "promote": ("versions", "promote"),
    "rollback": ("versions", "rollback"),
    "export": ("versions", "export"),
    "train": ("train", "train"),
    "bench": ("bench", "bench"),
    "doctor": ("workspace", "doctor"),
    "clean": ("workspace", "clean"),
    "sample": ("sample", "sample"),
}
GROUPS = {"label": ("label", "app"), "base": ("base", "app"), "dataset": ("dataset", "app")}

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"kt {version('kt')}")
        raise typer.Exit


@app.callback()
def kt(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Carry what a local model does well in chat over to what it does as an agent, measured."""


def _register() -> None:
    for name, (area, function) in COMMANDS.items():
        app.command(name)(getattr(importlib.import_module(f"kt_lib.cli.{area}"), function))
    for name, (area, attribute) in GROUPS.items():
        app.add_typer(getattr(importlib.import_module(f"kt_lib.cli.{area}"), attribute), name=name)


_register()


def main() -> NoReturn:
    """Run the command line; an error of ours is one line on stderr and its exit code, any other a traceback."""
    try:
        app()
    except KtError as error:
        print_error(error)
        sys.exit(error.exit_code)
    sys.exit(0)


def print_error(error: KtError) -> None:
    """One line, whatever the message holds."""
    typer.echo(f"kt: {' '.join(str(error).split())}", err=True)
