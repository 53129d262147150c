"""`kt bench`: the rates that matter, as ratios measured in one run."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Annotated

import typer


def bench(
    areas: Annotated[
        list[str] | None, typer.Argument(metavar="[AREA]...", help="Areas to measure; all by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object: {area: {figure: value}}.")] = False,
) -> None:
    """Measure ingest, attempts, training and the runner beside a bare baseline in the same run, and a dataset built.

    `gpu` measures QLoRA on an NVIDIA GPU; without one it is left out, or refused where it was asked for by name.
    """
    import importlib
    import pkgutil

    import kt_lib.bench
    from kt_lib.errors import ParameterError

    known = sorted(module.name for module in pkgutil.iter_modules(kt_lib.bench.__path__))
    chosen = areas or [area for area in known if _can_be_measured(area)]
    unknown = [area for area in chosen if area not in known]
    if unknown:
        raise ParameterError(f"no such area: {', '.join(unknown)}; there are {', '.join(known)}")
    found: dict[str, dict[str, float | str]] = {}
    for area in chosen:
        typer.echo(f"{area} ...", err=True)
        with _stdout_to_stderr():
            figures = importlib.import_module(f"kt_lib.bench.{area}").measure()
        found[area] = {
            name: value if isinstance(value, str) else round(float(value), 4) for name, value in figures.items()
        }
        if not as_json:
            typer.echo(area)
            for name, value in found[area].items():
                typer.echo(f"  {name:32} {value}" if isinstance(value, str) else f"  {name:32} {value:12,.3f}")
    if as_json:
        typer.echo(json.dumps(found))


def _can_be_measured(area: str) -> bool:
    """Whether this machine has what the area measures; what it lacks is told."""
    import importlib

    absent = getattr(importlib.import_module(f"kt_lib.bench.{area}"), "absent", str)()
    if absent:
        typer.echo(f"{area} is left out: {absent}", err=True)
    return not absent


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """What the measured tools and their children print must not stand among the figures."""
    import os
    import sys

    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
