"""`kt sample`: make the shipped sample anew, for those who work on kt itself."""

from __future__ import annotations

import typer


def sample() -> None:
    """Make the shipped sample anew from a small run; notebooks by hand read it where no run has finished."""
    from kt_lib.by_hand import SAMPLE
    from kt_lib.cli.progress import progress
    from kt_lib.runs import workspace_root
    from kt_lib.sample.packing import make_sample

    files = make_sample(workspace_root(), progress())
    size = sum(file.stat().st_size for file in files)
    typer.echo(f"{SAMPLE}: {len(files)} files, {size / 1e6:.1f} MB")
