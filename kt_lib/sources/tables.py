"""CSV and Parquet files: each row is a record, whatever it holds."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kt_lib.errors import MissingPackage, SourceError
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


_BATCH = 500
"""Rows of a Parquet file held at once."""


def arrow() -> Any:
    """pyarrow with its Parquet part; MissingPackage with what to do where it is not installed."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackage("Parquet files need pyarrow: pip install -e '.[train]', or use .jsonl") from error
    return pyarrow


def rows_in_parquet(path: Path) -> Iterator[Raw]:
    """The rows of a Parquet file as objects, some at once; `SourceError` for a file that is no whole one."""
    reader = arrow()
    try:
        with reader.parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(_BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield Raw(f"row {number}", without_gaps(row))
    except reader.ArrowException as error:
        raise SourceError(f"{path} is no whole Parquet file: {str(error)[:200]}") from error


def without_gaps(value: Any) -> Any:
    """A value without the nulls that Arrow puts where a row has no such key."""
    if isinstance(value, Mapping):
        return {key: without_gaps(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [without_gaps(one) for one in value]
    return value
