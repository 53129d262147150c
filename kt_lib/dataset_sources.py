"""What each source of a declared mix gives: made here, of the newest run, of ingested chats, or read from files."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from kt_lib.conversation_rows import conversation_rows
from kt_lib.corrections.made import correction_pairs, correction_rows, corrections
from kt_lib.corrections.patterns import PATTERNS
from kt_lib.datafiles.files import read_objects
from kt_lib.datafiles.layouts import read_dataset
from kt_lib.errors import SourceError
from kt_lib.evidence_pairs import evidence_pairs
from kt_lib.generator.dialogues import generate
from kt_lib.mixes import Mix, Portion
from kt_lib.quality.score import good_enough
from kt_lib.records import Conversation, Edit, PreferencePair, Protocol, SetAside, SftRow, Task
from kt_lib.redaction import Redaction
from kt_lib.sources.ingesting import ingest
from kt_lib.sources.licences import Terms
from kt_lib.sources.store import Store

AnyRow = TypeVar("AnyRow", SftRow, PreferencePair)
MADE_HERE = frozenset({"corrections", "conversational", "existing", "curated"})
"""Sources that need no files."""
CHAT_EXPORTS = ("openwebui", "chatgpt", "claude")
"""Beginnings of the formats in which people hand over their own chats."""
_READ = (".jsonl", ".json", ".csv", ".parquet")
_ROWS = ({"kt"}, {"prompt", "completion"}, {"prompt", "chosen", "rejected"}, {"input", "preferred_output"})
"""Keys by which rows of a trainer are told from other rows."""
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
    private: bool = False
    """Whether people said it in confidence: to share it takes their word, a licence is not enough."""


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
    private = any(chat.source.format.startswith(CHAT_EXPORTS) for chat in chats)
    return Given(made.rows, paired.pairs, dict(Counter(poor) + Counter(made.left_out)), private)


def _from_files(name: str, portion: Portion, protocol: Protocol) -> Given:
    """Files of training rows as they are, secrets out; of all else that `kt ingest` reads, its conversations' rows."""
    terms = Terms(licence=portion.licence, consent=portion.consent)
    files = [path for one in map(Path, portion.files) for path in _files_in(one)]
    taught = [path for path in files if is_training_file(path)]
    rows, pairs, left_out = list[SftRow](), list[PreferencePair](), Counter[str]()
    for path in taught:
        read = read_dataset(path)
        rows += [_under(without_secrets(row), terms) for row in read.rows]
        pairs += [_under(without_secrets(pair), terms) for pair in read.pairs]
        left_out.update(one.reason for one in read.set_aside)
        left_out.update("an answer judged by itself: a mix holds rows and pairs" for _ in read.unpaired)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        report = ingest([path for path in files if path not in taught], store, terms=terms)
        if report.problems and not any((report.totals.conversations, rows, pairs)):
            raise SourceError(f"the source {name} cannot be read: {report.problems[0]}")
        left_out.update(one.reason for one in store.read(SetAside))
        given = _from_chats(name, store.read(Conversation), store.read(Edit), portion, protocol)
    return Given([*rows, *given.rows], [*pairs, *given.pairs], dict(left_out + Counter(given.left_out)), given.private)


def _files_in(path: Path) -> list[Path]:
    """A file; a folder as it is, or its files where some of them hold training rows."""
    below = [one for one in sorted(path.rglob("*")) if one.is_file() and one.suffix in _READ] if path.is_dir() else []
    return below if any(map(is_training_file, below)) else [path]


def is_training_file(path: Path) -> bool:
    """Whether a file holds rows as kt or a trainer writes them, with their own terms, and no talk to be told apart."""
    if path.suffix not in (".jsonl", ".parquet"):
        return False
    try:
        row = next((one.value for one in read_objects(path)), None) or {}
    except SourceError:
        return False
    return any(marks <= row.keys() for marks in _ROWS) or _is_weighted(row)


def _is_weighted(row: dict[str, Any]) -> bool:
    """Whether a row says which of its answers are learned, which a conversation cannot keep."""
    messages = row.get("messages")
    return isinstance(messages, list) and any(isinstance(one, dict) and "weight" in one for one in messages)


def without_secrets(row: AnyRow) -> AnyRow:
    """A row that somebody else wrote, with placeholders for what must not be seen."""
    redaction = Redaction(row.model_dump_json())
    if isinstance(row, SftRow):
        return row.model_copy(update={"messages": tuple(map(redaction.redact_message, row.messages))})
    sides = {side: redaction.redact(getattr(row, side)) for side in ("chosen", "rejected")}
    return row.model_copy(update={"prompt": tuple(map(redaction.redact_message, row.prompt)), **sides})


def _under(row: AnyRow, terms: Terms) -> AnyRow:
    """A row under the terms that somebody states for its file, where it has none of its own."""
    return row.model_copy(
        update={
            "licence": row.licence or terms.licence,
            "consent": terms.consent if row.consent is None else row.consent,
        }
    )
