"""What may be done with a row: whether the people in it agreed, and what its licence says of sharing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Literal, TypeVar

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from kt_lib.records import DatasetRow, PreferencePair, Provenance, SftRow

Purpose = Literal["train", "share"]
"""train: learned from on this machine; share: given to others, as a file or in a card's examples."""
AnyRow = TypeVar("AnyRow", SftRow, PreferencePair)

_CHAT_EXPORTS = ("openwebui", "chatgpt", "claude")
"""Beginnings of the formats in which people hand over their own chats."""
_SHARED_FREELY = (
    "MIT", "MIT-0", "Apache-2.0", "ISC", "BSD-", "0BSD", "Unlicense", "WTFPL", "CC0-", "CC-BY-1", "CC-BY-2", "CC-BY-3",
    "CC-BY-4", "CC-BY-SA-", "ODC-By-", "ODbL-", "PDDL-", "CDLA-Permissive-", "CDLA-Sharing-", "GPL-", "LGPL-", "AGPL-",
    "MPL-2.0",
)  # fmt: skip
"""SPDX names, or their beginnings, of licences under which derived rows may be passed on."""


def said_in_confidence(source: Provenance) -> bool:
    """Whether a record comes from chats of people's own, as they are exported, and not from a published collection."""
    return source.format.startswith(_CHAT_EXPORTS)


def permitted(row: DatasetRow, purpose: Purpose, allow: Collection[str] = ()) -> str | None:
    """Why a row may not be used for a purpose, in words; None where it may.

    Where the people in it did not agree, it is neither learned nor shared, whatever else is said. To share it, its
    licence must be known to permit that, and where it is private, these people must have agreed. `allow` names sources
    and licences that somebody answers for all the same; a licence does not answer for people.
    """
    if row.consent is False:
        return "the people in it did not agree"
    if purpose == "train" or row.source in allow:
        return None
    if row.private and row.consent is None:
        return "nobody says that the people in it agreed"
    return None if (row.licence or "") in allow else licence_fault(row.licence)


def enforce(
    rows: Iterable[AnyRow], purpose: Purpose, allow: Collection[str] = ()
) -> tuple[list[AnyRow], dict[str, int]]:
    """The rows that may be used, and how many may not, by reason."""
    kept: list[AnyRow] = []
    left_out = Counter[str]()
    for row in rows:
        if why := permitted(row, purpose, allow):
            left_out[why] += 1
        else:
            kept.append(row)
    return kept, dict(left_out.most_common())


def licence_fault(licence: str | None) -> str | None:
    """Why what was made of something under this licence may not be passed on; of alternatives one must permit it."""
    if licence is None:
        return "no licence is stated"
    try:
        named = canonicalize_license_expression(licence.replace(" ", "-") if " BY" in licence.upper() else licence)
    except InvalidLicenseExpression:
        return f"{licence!r} is no licence by its SPDX name"
    if "(" in named:
        # Alternatives within what must hold together: every name must permit it, which is never too little.
        return next(filter(None, map(_fault_of, re.split(r" (?:OR|AND) ", re.sub(r"[()]", "", named)))), None)
    faults = [_fault_of(names) for names in named.split(" OR ")]
    return None if None in faults else faults[0]


def _fault_of(named: str) -> str | None:
    for name in named.split(" AND "):
        plain = name.split(" WITH ")[0]
        if "-NC" in plain or "noncommercial" in plain.lower():
            return f"{plain} forbids commercial use"
        if "-ND" in plain:
            return f"{plain} forbids what is derived from it"
        if not plain.startswith(_SHARED_FREELY):
            return f"{plain} is not known to permit sharing"
    return None
