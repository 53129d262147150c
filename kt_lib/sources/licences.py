"""What may be done with a source: its licence, as stated or as found beside it, and whether people agreed."""

from __future__ import annotations

import re
from pathlib import Path

from kt_lib.records import Record

_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt", "COPYING")
_LEVELS = 2
"""Folders in which a file's licence is looked for: its own, and the one around it."""
_KNOWN = (
    ("Apache-2.0", r"apache license\s+version 2\.0"),
    ("MIT", r"\bmit license\b|permission is hereby granted, free of charge, to any person obtaining a copy"),
    ("CC-BY-NC-4.0", r"attribution-noncommercial 4\.0"),
    ("CC-BY-SA-4.0", r"attribution-sharealike 4\.0"),
    ("CC-BY-4.0", r"attribution 4\.0|cc[ -]by[ -]4\.0"),
    ("GPL-3.0", r"gnu general public license\s+version 3"),
    ("BSD-3-Clause", r"redistribution and use in source and binary forms(?s:.*)neither the name"),
)


class Terms(Record):
    """What the person who ingests says of their files."""

    licence: str | None = None
    """SPDX name of the licence, or other words; None looks beside the file."""
    consent: bool | None = None
    """Whether the people in it agreed to training use; None when unknown."""


def licence_beside(path: Path) -> str | None:
    """The licence whose text lies beside a file or one folder above it; None where there is no such text."""
    for folder in list(path.absolute().parents)[:_LEVELS]:
        for name in _FILES:
            file = folder / name
            if file.is_file():
                return licence_named(file.read_bytes()[:20_000].decode("utf-8", "replace"))
    return None


def licence_named(text: str) -> str:
    """The SPDX name of a licence by its text, or its first words where it is none of the known."""
    plain = " ".join(text.split())
    for name, sign in _KNOWN:
        if re.search(sign, plain, re.IGNORECASE):
            return name
    return plain[:60] or "unknown"
