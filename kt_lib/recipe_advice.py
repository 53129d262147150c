"""Recipes by weakness: given how a model fails, which data and which parameters help, why, and who says so."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml

from kt_lib.errors import KtError
from kt_lib.records import Rate, Record
from kt_lib.statistics import wilson


class Advice(Record):
    """What to do about one weakness."""

    weakness: str
    """What goes wrong, in words."""
    share: Rate
    """Attempts that failed so, of all, with its interval."""
    failures: dict[str, int]
    """The failure classes that were counted, the most frequent first."""
    data: dict[str, str]
    """Sources of a mix to take more of, and what of them."""
    parameters: dict[str, str]
    """Fields of a recipe to change, and how."""
    why: str
    """Why this helps."""
    ground: Literal["measured", "literature"]
    """Whether it was measured in this project, or is reported elsewhere."""
    source: str
    """Where."""


def advice(failures: Mapping[str, int], n: int) -> list[Advice]:
    """What helps against these failures of `n` attempts, the most frequent weakness first; nothing where none failed.

    KtError for a class nobody knows, and for more failures than attempts.
    """
    known = {name: entry for entry in _table() for name in entry["failures"]}
    unknown = sorted(set(failures) - set(known))
    if unknown:
        raise KtError(f"no failure class is called {', '.join(unknown)}: there are {', '.join(sorted(known))}")
    if sum(failures.values()) > n:
        raise KtError(f"{sum(failures.values())} failures of {n} attempts: give all attempts as `n`")
    found = [_advised(entry, failures, n) for entry in _table()]
    return sorted((one for one in found if one.failures), key=lambda one: -(one.share.value or 0))


def _advised(entry: dict[str, Any], failures: Mapping[str, int], n: int) -> Advice:
    counts = {name: failures.get(name, 0) for name in entry["failures"]}
    seen = {name: count for name, count in sorted(counts.items(), key=lambda both: -both[1]) if count}
    texts = {part: {name: str(words) for name, words in entry[part].items()} for part in ("data", "parameters")}
    return Advice.model_validate({**entry, **texts, "share": wilson(sum(seen.values()), n), "failures": seen})


@cache
def _table() -> list[dict[str, Any]]:
    text = (files("kt_lib") / "recipe_advice.yaml").read_text(encoding="utf-8")
    table: list[dict[str, Any]] = yaml.safe_load(text)
    return table
