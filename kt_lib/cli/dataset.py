"""`kt dataset`: check a file of training rows, and write it in another layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from kt_lib.cli.dataset_build import build
from kt_lib.cli.teach import teach

if TYPE_CHECKING:
    from kt_lib.datafiles.checks import Finding, Findings
    from kt_lib.datafiles.entries import Dataset, Written
    from kt_lib.datafiles.lengths import Ruler
    from kt_lib.records import PreferencePair, SftRow

app = typer.Typer(help="Training data: check a file, write it in another layout.", no_args_is_help=True)

_WRONG = 1
_SHOWN = 5
_Refused = tuple[str, str]


app.command()(build)
app.command()(teach)


@app.callback()
def dataset() -> None:
    """Training data."""


@app.command()
def validate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="TRL's or OpenAI's layout, as .jsonl or .parquet.")],
    model: Annotated[
        Path | None, typer.Option("--model", help="Folder of the model whose tokenizer and template count the tokens.")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option("--max-length", min=1, help="Most tokens of a row; what the model reads by default.")
    ] = None,
    fewest: Annotated[int, typer.Option("--fewest", min=0, help="Rows there must be at least.")] = 50,
    distinct: Annotated[
        float, typer.Option("--distinct", min=0, max=1, help="Share of requests that must differ when masked.")
    ] = 0.5,
    shown: Annotated[int, typer.Option("--shown", min=1, help="Findings of one kind to show.")] = _SHOWN,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings too end it with exit code 1.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Check a file of training rows; exit code 1 when something in it must not be trained on.

    Checked are the format, consent and licence, the order of roles, calls against the offered tools, that there are
    enough rows and varied ones (digits, quoted text, paths, hosts and names masked), pairs that are identical or
    contradict one another, repeated rows, rows that are longer than the model reads, and secrets. Each finding names
    its row and what to do.
    A row that is too long is an error where a length or a model was chosen, and a warning by the embedded model.
    """
    from kt_lib.datafiles.checks import validate as check
    from kt_lib.datafiles.layouts import read_dataset

    read = read_dataset(file)
    ruler = _ruler(model)
    most = max_length or (ruler.reads if model else None)
    found = check(read, ruler=ruler, max_length=most, fewest=fewest, distinct=distinct)
    if as_json:
        told = {"passed": found.passed, "errors": found.errors, **found.model_dump(mode="json")}
        typer.echo(json.dumps(told, ensure_ascii=False))
    else:
        _show(found, shown)
    if not found.passed or (strict and found.findings):
        raise typer.Exit(_WRONG)


def _ruler(model: Path | None) -> Ruler:
    """The chosen model's tokenizer, else the embedded model's; an estimate where training is not installed."""
    from kt_lib.datafiles.lengths import estimate, ruler_of
    from kt_lib.errors import MissingPackage
    from kt_lib.models.embedded import packaged_base

    if model:
        return ruler_of(model)
    try:
        return ruler_of(packaged_base())
    except MissingPackage:
        return estimate()


def _show(found: Findings, most: int) -> None:
    """What was measured, then a table of the findings, so many of each rule."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from kt_lib.showing import shown

    console = Console(highlight=False)
    fits = f"; {found.max_length:,} fit" if found.max_length else ""
    typer.echo(
        f"{found.name}: {found.sft_rows:,} SFT rows, {found.pairs:,} preference pairs, {found.unpaired:,} unpaired,"
        f" {found.set_aside:,} set aside\n"
        f"{found.diversity.distinct:,} of {found.diversity.n:,} requests are different when masked"
        f" ({found.diversity.share:.0%})\n"
        f"the longest row has {found.longest:,} tokens by {found.measured_by}{fits}"
    )
    if found.findings:
        table = Table("", "Rule", "Where", "What", "Remedy", box=None, pad_edge=False)
        for finding in _first_of_each(found.findings, most):
            words = (finding.severity, finding.rule, finding.place, finding.what, finding.remedy)
            table.add_row(*(Text(shown(word, 300)) for word in words))
        console.print(table)
    warnings = len(found.findings) - found.errors
    typer.echo(f"{found.errors:,} error(s), {warnings:,} warning(s)")


def _first_of_each(findings: tuple[Finding, ...], most: int) -> list[Finding]:
    """The first findings of each rule, and one line for the rest of it."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.rule), []).append(finding)
    told: list[Finding] = []
    for group in groups.values():
        told += group[:most]
        if len(group) > most:
            rest = {"place": "", "what": f"and {len(group) - most:,} more", "remedy": "`--shown`, `--json` tell all"}
            told.append(group[0].model_copy(update=rest))
    return told


@app.command()
def convert(
    file: Annotated[Path, typer.Argument(metavar="IN", help="TRL's or OpenAI's layout, as .jsonl or .parquet.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to write, .jsonl or .parquet.")],
    layout: Annotated[Literal["trl", "openai"], typer.Option("--layout", help="Layout of the file to write.")],
    only: Annotated[
        Literal["rows", "pairs", "unpaired"] | None, typer.Option("--only", help="What to write, where IN mixes them.")
    ] = None,
    purpose: Annotated[
        Literal["train", "share"], typer.Option("--for", help="share: only rows whose licence lets others have them.")
    ] = "train",
    allow: Annotated[
        list[str] | None, typer.Option("--allow", help="Source or licence to share all the same; you answer for it.")
    ] = None,
) -> None:
    """Write a file of training rows in another layout.

    Left out, and told with their place and reason, are rows that cannot be read, that the layout cannot say, or of
    people who did not agree. Ends with exit code 1 when no row could be written.
    """
    from kt_lib.datafiles.entries import Written
    from kt_lib.datafiles.layouts import read_dataset
    from kt_lib.errors import SetupError

    if out.exists() and out.samefile(file):
        raise SetupError(f"{out} is IN itself: name another file, so that nothing of it is lost")
    read = read_dataset(file)
    kept, refused = _permitted(read, purpose, allow or [])
    what = only or _one_shape(kept)
    written = _write(kept, what, out, layout) if getattr(kept, what) else Written(rows=0)
    left_out = [(one.source.place, one.reason) for one in (*read.set_aside, *written.set_aside)] + refused
    _tell(left_out)
    for note in dict.fromkeys((*(note for entry in kept.entries for note in entry.notes), *written.notes)):
        typer.echo(f"not as it was: {note}", err=True)
    typer.echo(f"{out}: {written.rows:,} rows written, {len(left_out):,} left out")
    if not written.rows:
        raise typer.Exit(_WRONG)


def _tell(left_out: list[_Refused]) -> None:
    """Each reason once, with the first places it holds of."""
    places: dict[str, list[str]] = {}
    for place, reason in left_out:
        places.setdefault(reason, []).append(place)
    for reason, where in places.items():
        more = f" and {len(where) - _SHOWN:,} more" if len(where) > _SHOWN else ""
        typer.echo(f"left out, {', '.join(where[:_SHOWN])}{more}: {reason}", err=True)


def _permitted(read: Dataset, purpose: Literal["train", "share"], allow: list[str]) -> tuple[Dataset, list[_Refused]]:
    """The rows that may be used for a purpose, and where the others stand and why they may not."""
    from kt_lib.permissions import permitted
    from kt_lib.records import SetAside

    kept, refused = [], []
    for entry in read.entries:
        row = entry.row
        # It looks at source, licence and consent, which an unpaired row has too.
        why = None if isinstance(row, SetAside) else permitted(cast("SftRow | PreferencePair", row), purpose, allow)
        if why:
            remedy = (
                ""
                if purpose == "train" or getattr(row, "consent", None) is False
                else "; what you answer for yourself is named by `--allow`"
            )
            refused.append((entry.place, why + remedy))
        else:
            kept.append(entry)
    return read.model_copy(update={"entries": tuple(kept)}), refused


def _one_shape(read: Dataset) -> str:
    """What the file holds, if that is one thing."""
    from kt_lib.errors import SetupError

    there = [name for name in ("rows", "pairs", "unpaired") if getattr(read, name)]
    if len(there) > 1:
        raise SetupError(f"{read.name} holds {' and '.join(there)}, and a file has one shape: choose with `--only`")
    return there[0] if there else "rows"


def _write(read: Dataset, what: str, out: Path, layout: Literal["trl", "openai"]) -> Written:
    from kt_lib.datafiles.layouts import write_pairs, write_rows, write_unpaired
    from kt_lib.errors import SetupError

    if what == "rows":
        return write_rows(out, read.rows, layout, read.places_of(read.rows))
    if what == "pairs":
        return write_pairs(out, read.pairs, layout, read.places_of(read.pairs))
    if layout == "openai":
        raise SetupError("OpenAI's form has no place for an answer judged by itself: use `--layout trl`")
    return write_unpaired(out, read.unpaired)
