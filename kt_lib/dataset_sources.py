"""What each source of a declared mix gives: made here, of the newest run, of ingested chats, or read from files."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from kt_lib.conversation_rows import conversation_rows
from kt_lib.corrections.made import correction_pairs, correction_rows, corrections
from kt_lib.corrections.patterns import PATTERNS
from kt_lib.datafiles.layouts import read_dataset
from kt_lib.errors import SourceError
from kt_lib.evidence_pairs import evidence_pairs
from kt_lib.generator.dialogues import generate
from kt_lib.mixes import Mix, Portion
from kt_lib.quality.score import good_enough
from kt_lib.records import Conversation, Edit, PreferencePair, Protocol, SftRow, Task
from kt_lib.sources.ingesting import ingest
from kt_lib.sources.licences import Terms
from kt_lib.sources.store import Store

OnSource = Callable[[str], None]
"""Told of each source before it is read."""


class Workplace(NamedTuple):
    """What a workspace has to give."""

    rows: Sequence[SftRow] = ()
    """SFT rows of the newest run."""
    pairs: Sequence[PreferencePair] = ()
    """Its preference pairs."""
    tasks: Sequence[Task] = ()
    """Its tasks: nothing near the dev and test ones may be learned."""
    chats: Sequence[Conversation] = ()
    """Ingested conversations that may be learned from."""
    edits: Sequence[Edit] = ()
    """Ingested edits."""


class Given(NamedTuple):
    """What one source gives."""

    rows: Sequence[SftRow]
    """Rows."""
    pairs: Sequence[PreferencePair] = ()
    """Preference pairs."""
    left_out: dict[str, int] = {}
    """What gave neither, by reason."""


def gathered(
    mix: Mix, place: Workplace, protocol: Protocol, on_source: OnSource = lambda name: None
) -> dict[str, Given]:
    """What each source of a mix gives, in the mix's order; an absent one nothing. SourceError for a broken file."""
    found = {}
    for name, portion in mix.sources.items():
        on_source(name)
        found[name] = _given(name, portion, mix, place, protocol)
    return found


def _given(name: str, portion: Portion, mix: Mix, place: Workplace, protocol: Protocol) -> Given:
    asked = portion.asked(mix.rows)
    if portion.files:
        return _from_files(name, portion, protocol)
    if name == "corrections":
        made = corrections(-(-asked // len(PATTERNS)), mix.seed)
        return Given(correction_rows(made, protocol), correction_pairs(made, protocol))
    if name == "conversational":
        # A few more than asked for: some say the same as others, and fall out.
        return Given(list(generate(asked + asked // 50, mix.seed, protocol=protocol)))
    if name == "existing":
        return Given(list(place.rows), list(place.pairs))
    if name == "curated":
        return _from_chats(name, place.chats, place.edits, portion, protocol)
    return Given(())


def _from_chats(
    name: str, chats: Iterable[Conversation], edits: Iterable[Edit], portion: Portion, protocol: Protocol
) -> Given:
    chats = list(chats)
    good, poor = good_enough(chats, portion.quality)
    made = conversation_rows(good, protocol=protocol, source=name)
    paired = evidence_pairs(chats, edits, protocol=protocol, source=name)
    return Given(made.rows, paired.pairs, dict(Counter(poor) + Counter(made.left_out)))


def _from_files(name: str, portion: Portion, protocol: Protocol) -> Given:
    """Rows of Parquet files as they are, and of everything else that `kt ingest` reads, its conversations'."""
    terms = Terms(licence=portion.licence, consent=portion.consent)
    tables = [path for one in map(Path, portion.files) for path in _tables_in(one)]
    rows, pairs, left_out = list[SftRow](), list[PreferencePair](), Counter[str]()
    for table in tables:
        read = read_dataset(table)
        rows += [_under(row, terms) for row in read.rows]
        pairs += [_under(pair, terms) for pair in read.pairs]
        left_out.update(one.reason for one in read.set_aside)
    others = [path for path in portion.files if Path(path) not in tables]
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        report = ingest(others, store, terms=terms)
        if report.problems and not any((report.totals.conversations, rows, pairs)):
            raise SourceError(f"the source {name} cannot be read: {report.problems[0]}")
        left_out.update({f"set aside: {problem}": 1 for problem in report.problems})
        left_out.update({"set aside when it was read": report.totals.set_aside} if report.totals.set_aside else {})
        given = _from_chats(name, store.read(Conversation), store.read(Edit), portion, protocol)
    return Given([*rows, *given.rows], [*pairs, *given.pairs], dict(left_out + Counter(given.left_out)))


def _tables_in(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.rglob("*.parquet"))
    return [path] if path.suffix == ".parquet" else []


AnyRow = TypeVar("AnyRow", SftRow, PreferencePair)


def _under(row: AnyRow, terms: Terms) -> AnyRow:
    """A row under the terms that somebody states for its file, where it has none of its own."""
    return row.model_copy(
        update={
            "licence": row.licence or terms.licence,
            "consent": terms.consent if row.consent is None else row.consent,
        }
    )
