"""CSV files: each line below the header is a record, whatever it holds."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from kt_lib.sources.window import EXCERPT, LONGEST, Raw


def rows_in(path: Path) -> Iterator[Raw]:
    """The rows of a CSV file as objects of texts, in the memory of one row; a row of another width is a fault."""
    csv.field_size_limit(LONGEST)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        reader = csv.reader(stream)
        try:
            header = next(reader, [])
            for cells in reader:
                if cells:
                    yield _row(header, cells, f"line {reader.line_num}")
        except csv.Error as error:
            yield Raw(f"line {reader.line_num}", None, f"not valid CSV: {error}", "")


def _row(header: list[str], cells: list[str], place: str) -> Raw:
    if len(cells) != len(header):
        fault = f"{len(cells)} cells where the header has {len(header)}"
        return Raw(place, None, fault, ",".join(cells)[:EXCERPT])
    return Raw(place, dict(zip(header, cells, strict=True)))
