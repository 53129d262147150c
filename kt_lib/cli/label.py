"""`kt label`: labelling in JupyterLab, how far the labels are, and labels to a file and back."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kt_lib.cli.judge import judge

if TYPE_CHECKING:
    from kt_lib.label_store import LabelStore

NOTEBOOK = "02_label.ipynb"

app = typer.Typer(invoke_without_command=True, add_completion=False)
app.command()(judge)


@app.callback()
def label(
    context: typer.Context,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the browser.")] = True,
) -> None:
    """Label in JupyterLab: opens 02_label, which works by keys and stores every answer at once."""
    if context.invoked_subcommand is None:
        from kt_lib.errors import MissingPackage
        from kt_lib.runs import workspace_root

        if shutil.which("jupyter-lab", path=str(Path(sys.executable).parent)) is None:
            raise MissingPackage("labelling needs JupyterLab: pip install -e .")
        root = workspace_root()
        typer.echo(f"JupyterLab opens {NOTEBOOK}; run its cells (Run, Run All Cells). End it with Ctrl-C.", err=True)
        command = [sys.executable, "-m", "jupyterlab", *([] if browser else ["--no-browser"])]
        raise typer.Exit(subprocess.call([*command, f"notebooks/{NOTEBOOK}"], cwd=root))


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Say how many labels there are, of which kind, by whom, and how far annotators agree."""
    from kt_lib.labelling.together import agreement, agreement_rows, counts
    from kt_lib.standing import standing

    with _labels() as store:
        given = store.labels()
    stands = standing(given)
    rows = counts(given, stands.labels)
    found = [agreement(given, kind) for kind in ("all", *(str(row["kind"]) for row in rows))]
    if as_json:
        told = {"kinds": rows, "to_settle": len(stands.tied), "agreement": [one.model_dump() for one in found]}
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    if not given:
        typer.echo("No label yet: `kt label` opens the notebook to give some.")
        return
    from kt_lib.tables import Table

    typer.echo(str(Table(rows)))
    typer.echo(f"{len(stands.tied)} to settle." if stands.tied else "Nothing to settle.")
    agreed = agreement_rows(found)
    typer.echo(
        str(Table(agreed)) if agreed else "No question was answered by two people: agreement is not measured yet."
    )


@app.command("export")
def export_(file: Annotated[Path, typer.Argument(help="Where to: .jsonl, or .csv for a spreadsheet.")]) -> None:
    """Write every label to a file."""
    from kt_lib.labelling.exchange import export_labels

    with _labels() as store:
        typer.echo(f"{export_labels(store.labels(), file)} labels in {file}")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A .jsonl or .csv file of labels.")],
    annotator: Annotated[str, typer.Option(help="Who gave the labels that name nobody.")] = "",
) -> None:
    """Take labels from a file; the same file twice adds nothing. What is no label is told, with its line."""
    from kt_lib.labelling.exchange import import_labels
    from kt_lib.showing import shown

    with _labels() as store:
        taken = import_labels(file, store, annotator)
    typer.echo(f"{taken.read} labels read, {taken.new} of them new, {len(taken.set_aside)} rows set aside")
    if taken.older:
        typer.echo(f"{taken.older} left out: their annotators have said something else since")
    for one in taken.set_aside:
        typer.echo(f"  {one.source.place}: {shown(one.reason, 300)}", err=True)
    if taken.set_aside:
        raise typer.Exit(1)


@contextmanager
def _labels() -> Iterator[LabelStore]:
    from kt_lib.label_store import LabelStore
    from kt_lib.ledger import open_ledger
    from kt_lib.runs import workspace_root
    from kt_lib.settings import Settings

    with open_ledger(Settings().state_folder(workspace_root())) as ledger:
        yield LabelStore(ledger)
