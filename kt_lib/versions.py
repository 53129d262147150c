"""Which number a released model gets and why, what changed since the last one, and what it was made from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from kt_lib.errors import GateRefused
from kt_lib.records import ModelVersion, PairedTable, Protocol, Record, Score, Verdict
from kt_lib.statistics import guard_word, judge, not_worse

FIRST = "1.0.0"
DAY = 24 * 3600
STALE_DAYS = 30
ALPHA = 0.05


class AgainstChampion(Record):
    """A candidate beside the version that people get, on the same tasks."""

    version: str
    """What people get."""
    tables: dict[str, PairedTable] = {}
    """By suite, `target` and guards: what people get first, the candidate second; empty where they are not compared."""
    same: bool = False
    """Whether the candidate is that very version."""
    missing: str = ""
    """Why they could not be compared, in words."""


class Number(Record):
    """A version number with its reason."""

    version: str
    """`1.2.0`."""
    reason: str
    """Why this number, in words."""
    new: bool
    """False where these very weights already have a number: nothing needs to be built."""


def number_for(
    history: Sequence[ModelVersion],
    *,
    base: str,
    data: str,
    digest: str,
    against_champion: PairedTable | None = None,
    now: float | None = None,
) -> Number:
    """The number for a model with this digest, made from `base` (with its form of calls) and `data`, after `history`.

    The same digest keeps its number. Otherwise: major for another base or form; minor where `against_champion` (what
    people get first, this one second, on the same tasks) proves it better; patch for changed data, after 30 days, or
    for another recipe. The first is 1.0.0. `now` is seconds since the epoch.
    """
    same = next((one for one in history if one.digest == digest), None)
    if same:
        return Number(version=same.version, reason=f"the same weights as {same.version}", new=False)
    if not history:
        return Number(version=FIRST, reason="the first version", new=True)
    last = newest(history)
    major, minor, patch = _parts(last.version)
    if last.base != base:
        return Number(version=f"{major + 1}.0.0", reason=f"another base or form of calls than {last.version}", new=True)
    if against_champion and against_champion.p_value < ALPHA and against_champion.low > 0:
        gain = f"{100 * against_champion.difference:+.1f} points on {against_champion.n} tasks"
        return Number(version=f"{major}.{minor + 1}.0", reason=f"proven better than what people get: {gain}", new=True)
    why = due(history, base=base, data=data, now=now) or f"another recipe than {last.version} on the same data"
    return Number(version=f"{major}.{minor}.{patch + 1}", reason=why, new=True)


def newest(history: Sequence[ModelVersion]) -> ModelVersion:
    """The version with the highest number."""
    return max(history, key=lambda one: _parts(one.version))


def _parts(version: str) -> tuple[int, int, int]:
    major, minor, patch = (int(part) for part in version.split("."))
    return major, minor, patch


def due(history: Sequence[ModelVersion], *, base: str, data: str, now: float | None = None) -> str | None:
    """Why a new version should be built, in words; None where the newest stands on the same ground and is fresh."""
    if not history:
        return "there is no version yet"
    last = newest(history)
    age = (time.time() if now is None else now) - last.created
    if last.base != base:
        return f"another base or form of calls than {last.version}"
    if last.data != data:
        return f"the data changed since {last.version}"
    return f"{last.version} is {age / DAY:.0f} days old" if age >= STALE_DAYS * DAY else None


# --- the gate's word -------------------------------------------------------------------------------------------------


def refusal(verdicts: Sequence[Verdict]) -> str | None:
    """Why these verdicts do not let a version through, naming each guard; None where they do.

    No verdicts, or none on the target, let nothing through.
    """
    if not any(one.suite == "target" for one in verdicts):
        return "it was never compared with the base on the target"
    failed = [one for one in verdicts if not one.passed]
    return "; ".join(_failure(one) for one in failed) or None


def worded(one: Verdict) -> str:
    """A verdict in a reader's words: a guard may pass on a loss, and is then called worse by less than the margin."""
    return guard_word(one.table, one.margin) if one.verdict == "not_worse" else one.verdict.replace("_", " ")


def _failure(one: Verdict) -> str:
    table = one.table
    found = f"{table.in_points} on {table.n} tasks"
    if one.suite == "target":
        return f"target {one.verdict}: {found}"
    words = f"guard {one.suite} {one.verdict}: {found}, margin {100 * one.margin:g}"
    if one.verdict == "inconclusive":
        words += f"; its power is {one.power:.0%} and {one.needed} tasks would give 80%"
    return words


def let_through(version: ModelVersion) -> None:
    """GateRefused, naming the guard and the figure, unless the gate let this version through."""
    why = refusal(version.verdicts)
    if why or not version.promoted:
        raise GateRefused(f"version {version.version} may not be promoted: {why or version.reason}")


def new_version(
    history: Sequence[ModelVersion],
    *,
    base: str,
    adapter: str,
    digest: str,
    run: str,
    data: str,
    scores: Sequence[Score],
    verdicts: Sequence[Verdict],
    passed: bool,
    protocol: Protocol = "json",
    against_champion: AgainstChampion | None = None,
    now: float | None = None,
) -> ModelVersion:
    """The record of a model with its number, evidence and lineage; `number_for` says how it is numbered.

    `base`, `adapter`, `digest` (merged model) and `data` (training rows and pairs) are digests. `passed` is the gate's
    word; verdicts that do not bear it out are not let through, and neither is what loses something of what people get
    now. The reason says all of it. The same weights again keep number, run and time, and carry the new evidence.
    """
    ground, margin = f"{base}, {protocol} calls", verdicts[0].margin if verdicts else 0.0
    now_theirs = against_champion.tables.get("target") if against_champion else None
    number = number_for(history, base=ground, data=data, digest=digest, against_champion=now_theirs, now=now)
    worse = _lost(against_champion, margin) if against_champion else None
    why = refusal(verdicts) or worse or (None if passed else "the gate did not pass it")
    gate = f"not let through: {why}" if why else "let through: better on the target, no guard lost"
    told = why is not None and why == worse
    beside = _beside(against_champion, margin, why is None) if against_champion and not told else ""
    evidence: dict[str, Any] = {"scores": tuple(scores), "verdicts": tuple(verdicts), "promoted": why is None}
    evidence["reason"] = "; ".join(part for part in (number.reason, gate, beside) if part)
    if not number.new:
        return next(one for one in history if one.version == number.version).model_copy(update=evidence)
    made = {"base": ground, "adapter": adapter, "digest": digest, "run": run, "data": data}
    when = time.time() if now is None else now
    return ModelVersion(version=number.version, folder=f"models/{number.version}", created=when, **made, **evidence)


def _lost(against: AgainstChampion, margin: float) -> str | None:
    """What of that which people get now a candidate loses, in words: the target proven worse, or a guard proven worse
    and not surely within `margin` (0..1). None where nothing is.
    """
    found = [
        _compared(suite, table, margin) for suite, table in against.tables.items() if _is_lost(suite, table, margin)
    ]
    return f"proven worse than {against.version}, which people get: {', '.join(found)}" if found else None


def _beside(against: AgainstChampion, margin: float, passes: bool) -> str:
    """How a candidate stands beside what people get, in words; "" where they are one and there is nothing to tell."""
    if against.missing:
        return f"not compared with {against.version}, which people get: {against.missing}"
    if against.same:
        return "" if passes else "people get it all the same: `kt rollback` gives them the version before"
    told = ", ".join(_compared(suite, table, margin) for suite, table in against.tables.items())
    return f"beside {against.version}, which people get: {told}" if told else ""


def _is_lost(suite: str, table: PairedTable, margin: float) -> bool:
    proven = table.p_value < ALPHA and table.high < 0
    return proven and (suite == "target" or not not_worse(table, margin))


def _compared(suite: str, table: PairedTable, margin: float) -> str:
    word = judge(table, margin) if suite == "target" else guard_word(table, margin)
    return f"{suite} {word} ({table.in_points} on {table.n} tasks)"


# --- in words and numbers --------------------------------------------------------------------------------------------


def changes(before: ModelVersion | None, after: ModelVersion) -> list[str]:
    """What changed from one version to the next, a line each, in words and numbers."""
    if before is None:
        return [f"first version, on {after.base}"]
    named = {"base": "base and form", "data": "training data", "adapter": "adapter"}
    lines = [f"another {words}" for field, words in named.items() if getattr(before, field) != getattr(after, field)]
    known = {_where(one): one.rate for one in before.scores}
    for score in after.scores:
        old = known.get(_where(score))
        if old and old.value is not None and score.rate.value is not None and old.value != score.rate.value:
            lines.append(
                f"{score.suite} {score.metric} in {score.mode} ({score.variant}): {old.value:.1%} (n {old.n})"
                f" -> {score.rate.value:.1%} (n {score.rate.n})"
            )
    return lines or ["nothing"]


def _where(score: Score) -> tuple[str, str, str, str]:
    return score.variant, score.mode, score.suite, score.metric


def lineage(version: ModelVersion) -> list[tuple[str, str]]:
    """Where a version comes from, from the data on: (what, which)."""
    return [
        ("run", version.run),
        ("training data", version.data),
        ("base", version.base),
        ("adapter", version.adapter),
        ("merged weights", version.digest),
        ("version", version.version),
        ("reason", version.reason),
    ]
