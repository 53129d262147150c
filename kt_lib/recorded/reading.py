"""Read InterCode result files into recorded results; what cannot be read is set aside with its reason and place."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from kt_lib.errors import SourceError
from kt_lib.records import Provenance, Record, SetAside, canonical_json

FORMAT = "intercode.results"


class RecordedResult(Record):
    """One task as someone recorded it: what was tried and the best reward it got."""

    query: str
    """The request, as written."""
    reward: float
    """Best reward over the turns; for bash 0.67 is given for doing nothing."""
    place: str
    """Where in the file."""
    environment: str = ""
    """`ic_sql`, `ic_bash`, ..."""
    dataset: str = ""
    """The data set that the task came from, as the file names it."""
    hardness: str = ""
    """easy, medium, hard or extra, where the file says so."""
    actions: tuple[str, ...] = ()
    """What was done, turn by turn."""
    observations: tuple[str, ...] = ()
    """What came back, turn by turn."""
    rewards: tuple[float, ...] = ()
    """Reward of each turn that has one."""
    turns_max: int | None = None
    """Turns allowed, where the file says so."""
    contradicts: bool = False
    """The summary's best reward is not the best of the turns; the summary is believed."""

    @property
    def success(self) -> bool:
        """Right only with the full reward."""
        return self.reward >= 1

    @property
    def key(self) -> str:
        """What results are joined on: the query without differences in white space."""
        return " ".join(self.query.split())


class RecordedFile(Record):
    """A file of recorded results: records_in = results + set_aside."""

    file: str
    """File name."""
    sha256: str = ""
    """Digest of the file's bytes."""
    records_in: int
    """Items found."""
    results: tuple[RecordedResult, ...] = ()
    """Items that could be read, in the file's order."""
    set_aside: tuple[SetAside, ...] = ()
    """Items that could not."""
    settings: dict[str, JsonValue] = {}
    """The run's settings where the file carries them (`meta`)."""


def read_results(raw: bytes, file: str) -> RecordedFile:
    """The bytes of a result file (JSON, or JSON lines; a BOM is fine) -> its results.

    SourceError when the bytes are no JSON, hold no items, or hold not one readable item.
    """
    sha256 = hashlib.sha256(raw).hexdigest()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise SourceError(f"{file} is not UTF-8 text (byte {problem.start}); save it as UTF-8 JSON") from problem
    try:
        data = json.loads(text, object_pairs_hook=_keep_all)
    except json.JSONDecodeError as problem:
        data = _lines(text)
        if data is None:
            where = f"line {problem.lineno}, column {problem.colno}"
            raise SourceError(f"{file} is not JSON, or was cut off: {problem.msg} at {where}") from problem
    except ValueError as problem:
        raise SourceError(f"{file} holds a number that cannot be read: {problem}") from problem
    except RecursionError as problem:
        raise SourceError(f"{file} is nested too deeply to be a result file") from problem
    return intercode_results(data, file, sha256)


def _keep_all(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose repeated keys do not swallow one another: the second `17` becomes `17 (2)`."""
    found: dict[str, Any] = {}
    seen: Counter[str] = Counter()
    for key, value in pairs:
        seen[key] += 1
        found[key if seen[key] == 1 else f"{key} ({seen[key]})"] = value
    return found


def _lines(text: str) -> list[Any] | None:
    """JSON lines, where the first line is an object; a line that cannot be read stays text, to be set aside."""
    rows: list[Any] = []
    for line in text.split("\n"):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line, object_pairs_hook=_keep_all))
        except (ValueError, RecursionError):
            if not rows:
                return None
            rows.append(line)
    return rows or None


def intercode_results(data: Any, file: str, sha256: str = "") -> RecordedFile:
    """The loaded JSON of a result file -> its results.

    Accepts an object of items by number, the same under `logs` beside `meta`, a list of items, and one item alone.
    SourceError when there are no items or not one can be read.
    """
    results: list[RecordedResult] = []
    aside: list[SetAside] = []
    for place, item in _items(data, file):
        try:
            results.append(_result(item, place))
        except ValueError as problem:
            source = Provenance(file=file, sha256=sha256, format=FORMAT, place=place)
            excerpt = item if isinstance(item, str) else canonical_json(item)
            aside.append(SetAside(source=source, reason=str(problem), excerpt=_clean(excerpt)[:500]))
    if not results:
        first = f"; {aside[0].source.place}: {aside[0].reason}" if aside else ""
        raise SourceError(f"{file} holds no InterCode result ({len(aside)} items{first})")
    settings = data.get("meta") if isinstance(data, Mapping) else None
    return RecordedFile(
        file=file,
        sha256=sha256,
        records_in=len(results) + len(aside),
        results=tuple(results),
        set_aside=tuple(aside),
        settings=dict(settings) if isinstance(settings, Mapping) else {},
    )


def _items(data: Any, file: str) -> Iterator[tuple[str, Any]]:
    if isinstance(data, Mapping) and isinstance(data.get("logs"), Mapping | list):
        data = data["logs"]
    if isinstance(data, Mapping) and isinstance(data.get("query"), str):
        yield "item 1", data
    elif isinstance(data, Mapping):
        yield from ((f"item {key}", item) for key, item in data.items())
    elif isinstance(data, list):
        yield from ((f"item {number}", item) for number, item in enumerate(data, 1))
    else:
        raise SourceError(f"{file} holds a single {type(data).__name__}; an object or a list of results is expected")


def _result(item: Any, place: str) -> RecordedResult:
    if not isinstance(item, Mapping):
        raise ValueError("not an object" if not isinstance(item, str) else "a line or item that is not an object")
    query = item.get("query")
    if not isinstance(query, str) or not query.strip():
        raise ValueError("no query to join on")
    history = item.get("turn_history")
    history = history if isinstance(history, Mapping) else {}
    summary = item.get("summary")
    summary = summary if isinstance(summary, Mapping) else {}
    rewards = tuple(value for one in _list(history.get("rewards")) if (value := _number(one)) is not None)
    stated = _number(summary.get("max_reward"))
    best = max(rewards, default=_number(item.get("reward")))
    reward = best if stated is None else stated
    if reward is None:
        raise ValueError("no reward: neither summary.max_reward nor turn_history.rewards holds a number")
    steps = [step for step in _list(item.get("trajectory")) if isinstance(step, Mapping)]
    turns_max = _number(summary.get("turns_max"))
    return RecordedResult(
        query=_clean(query),
        reward=reward,
        place=place,
        environment=_text(item.get("environment")),
        dataset=_text(item.get("dataset")),
        hardness=_text(item.get("hardness")),
        actions=tuple(_text(one) for one in _list(history.get("actions")) or [step.get("action") for step in steps]),
        observations=tuple(
            _text(one) for one in _list(history.get("observations")) or [step.get("observation") for step in steps]
        ),
        rewards=rewards,
        turns_max=int(turns_max) if turns_max is not None and turns_max >= 1 else None,
        contradicts=stated is not None and bool(rewards) and not math.isclose(stated, max(rewards), abs_tol=1e-9),
    )


def _number(value: Any) -> float | None:
    """A finite number, or None: text, null and NaN are no rewards."""
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _text(value: Any) -> str:
    if value is None:
        return ""
    return _clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _clean(text: str) -> str:
    """Lone surrogates cannot be written as UTF-8 again."""
    return text.encode("utf-8", "replace").decode("utf-8")
