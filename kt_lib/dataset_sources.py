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
from kt_lib.permissions import said_in_confidence
from kt_lib.quality.score import good_enough
from kt_lib.records import Conversation, Edit, PreferencePair, Protocol, SetAside, SftRow, Task
from kt_lib.redaction import Redaction
from kt_lib.sources.ingesting import FileReport, IngestReport, ingest
from kt_lib.sources.licences import Terms
from kt_lib.sources.mapping import named_files
from kt_lib.sources.store import Store

AnyRow = TypeVar("AnyRow", SftRow, PreferencePair)
MADE_HERE = frozenset({"corrections", "conversational", "existing", "curated"})
"""Sources that need no files."""
_ROWS = ({"kt"}, {"prompt", "completion"}, {"prompt", "chosen", "rejected"}, {"input", "preferred_output"})
"""Keys by which rows of a trainer are told from other rows."""
_NAMED = 3
"""Files named of those that hold records which cannot be used."""
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
    """What each source of a mix gives, in the mix's order; an absent one nothing.

    SourceError for a file or folder named that cannot be read at all; what cannot be read in a folder is left out.
    """
    found, asked = {}, mix.asked(mix.rows)
    for name, portion in mix.sources.items():
        on_source(name)
        found[name] = _given(name, portion, asked[name], mix.seed, place, protocol)
    return found


def _given(name: str, portion: Portion, asked: int, seed: int, place: Workplace, protocol: Protocol) -> Given:
    if portion.files:
        return _from_files(name, portion, protocol)
    if name == "corrections":
        made = corrections(-(-asked // len(PATTERNS)), seed)
        return Given(correction_rows(made, protocol), correction_pairs(made, protocol))
    if name == "conversational":
        # A few more than asked for: some say the same as others, and fall out.
        return Given(list(generate(asked + asked // 50, seed, protocol=protocol)))
    if name == "existing":
        return _of_the_run(place)
    if name == "curated":
        return _from_chats(name, place.chats, place.edits, portion, protocol)
    return Given(())


def _of_the_run(place: Workplace) -> Given:
    """The newest run's, private but for what a made-up task asks: the rest is somebody's chats, labels and words."""
    made_up = {task.id for task in place.tasks if task.entities}

    def marked(row: AnyRow) -> AnyRow:
        own = row.consent is None and row.task_id not in made_up
        return row.model_copy(update={"private": row.private or own})

    return Given([marked(row) for row in place.rows], [marked(pair) for pair in place.pairs])


def _from_chats(
    name: str, chats: Iterable[Conversation], edits: Iterable[Edit], portion: Portion, protocol: Protocol
) -> Given:
    chats = list(chats)
    good, poor = good_enough(chats, portion.quality)
    made = conversation_rows(good, protocol=protocol, source=name)
    paired = evidence_pairs(chats, edits, protocol=protocol, source=name)
    own = {chat.id for chat in chats if said_in_confidence(chat.source)}
    rows = [row.model_copy(update={"private": row.task_id in own}) for row in made.rows]
    pairs = [pair.model_copy(update={"private": pair.task_id in own}) for pair in paired.pairs]
    return Given(rows, pairs, dict(Counter(poor) + Counter(made.left_out)))


def _from_files(name: str, portion: Portion, protocol: Protocol) -> Given:
    """Files of training rows as they are, secrets out; of all else that `kt ingest` reads, its conversations' rows."""
    terms = Terms(licence=portion.licence, consent=portion.consent)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        read = [_read(name, path, store, terms) for path in map(Path, portion.files)]
        talk = _from_chats(name, store.read(Conversation), store.read(Edit), portion, protocol)
        without = _without_talk([file for _, report in read for file in report.files], store.read(SetAside))
    every = [*(taught for taught, _ in read), talk]
    left_out = sum((Counter(one.left_out) for one in every), without)
    return Given(
        [row for one in every for row in one.rows], [pair for one in every for pair in one.pairs], dict(left_out)
    )


def _read(name: str, path: Path, store: Store, terms: Terms) -> tuple[Given, IngestReport]:
    """What rows in a file, or in those of a folder, teach; the conversations of the other files go to the store.

    SourceError where nothing of it can be read; what else cannot be is left out, with its file.
    """
    files = _files_in(path)
    of_rows = [file for file in files if is_training_file(file)]
    rows, pairs, left_out, faults = list[SftRow](), list[PreferencePair](), Counter[str](), list[str]()
    for file in of_rows:
        try:
            taught = _taught(file, terms)
        except SourceError as error:
            faults.append(str(error))
        else:
            rows, pairs = [*rows, *taught.rows], [*pairs, *taught.pairs]
            left_out.update(taught.left_out)
    report = ingest([file for file in files if file not in of_rows], store, terms=terms)
    if len(faults) + len(report.problems) == len(files):
        raise SourceError(f"the source {name} cannot be read: {[*faults, *report.problems][0]}")
    return Given(rows, pairs, dict(left_out + Counter(faults))), report


def _taught(path: Path, terms: Terms) -> Given:
    read = read_dataset(path)
    left_out = Counter(one.reason for one in read.set_aside)
    left_out.update("an answer judged by itself: a mix holds rows and pairs" for _ in read.unpaired)
    rows = [_under(without_secrets(row), terms) for row in read.rows]
    return Given(rows, [_under(without_secrets(pair), terms) for pair in read.pairs], dict(left_out))


def _without_talk(files: Sequence[FileReport], aside: Iterable[SetAside]) -> Counter[str]:
    """What ingested files hold that is no conversation or cannot be used, by reason, with the first files of each.

    A file of many records none of which can be used is told as one; it may give another reason for each.
    """
    found, places = Counter[str](), dict[str, dict[str, None]]()

    def tell(reason: str, file: str, count: int = 1) -> None:
        found[reason] += count
        places.setdefault(reason, {})[file] = None

    useless = {file.sha256 for file in files if file.problem and file.totals.records_in > 1}
    for file in files:
        held, name = file.totals, Path(file.file).name
        if file.problem and held.records_in != 1:
            found[file.problem] += held.records_in or 1
        elif held.stored and not (held.conversations or held.edits or held.grown or held.ratings):
            tell("gives tasks and results, not conversations", name, held.stored)
        if held.duplicate:
            tell("there already, in the same words", name, held.duplicate)
    for one in aside:
        if one.source.sha256 not in useless:
            tell(one.reason, one.source.file)
    return Counter({_with_places(reason, list(places.get(reason, ()))): count for reason, count in found.most_common()})


def _with_places(reason: str, files: Sequence[str]) -> str:
    more = f" and {len(files) - _NAMED:,} more" if len(files) > _NAMED else ""
    return f"{reason} (in {', '.join(files[:_NAMED])}{more})" if files else reason


def _files_in(path: Path) -> list[Path]:
    """A file; of a folder all that `kt ingest` reads. SourceError for a folder that has none."""
    return named_files(path) if path.is_dir() else [path]


def is_training_file(path: Path) -> bool:
    """Whether a file holds rows as kt or a trainer writes them, with their own terms, and no talk to be told apart."""
    if path.suffix.lower() not in (".jsonl", ".ndjson", ".parquet"):
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
