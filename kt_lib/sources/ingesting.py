"""The front door: files in, records kept once each, what cannot be used set aside, and totals that reconcile.

What a record is: a chat (an item of an Open WebUI export, a line of its NDJSON, a row of `chat` in its database); a
feedback row; a trajectory; an item of an InterCode result file; a row of a BFCL question file; a suite report, or a
line of a suite's trace; a row of a training set (OpenAI, ShareGPT, Alpaca, Toucan, Glaive, AgentInstruct, xLAM,
ToolACE), a STAR dialogue, a Taskmaster action, a judged command; and each piece of a file that could not be read as any
of these. Every record is stored, a duplicate, or set aside.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from kt_lib.errors import SourceError
from kt_lib.records import Conversation, Record, SetAside
from kt_lib.sources.bfcl import read_answers
from kt_lib.sources.fields import clean, cleaned, shown
from kt_lib.sources.found import Found, Unusable
from kt_lib.sources.licences import Terms
from kt_lib.sources.mapping import FileReader, named_files
from kt_lib.sources.openwebui_database import records_in_database
from kt_lib.sources.reading import digest_of, holder_of, records_in
from kt_lib.sources.store import Store, Writing, line_of
from kt_lib.sources.window import EXCERPT, Raw

logger = logging.getLogger(__name__)

Progress = Callable[[Path, int], None]
"""Called with the file being read and the records read from it so far."""


class Totals(Record):
    """What an ingest read and what it added. records_in = stored + duplicate + set_aside, always."""

    records_in: int = 0
    """Records read."""
    stored: int = 0
    """Records that added something: new ones, and chats that grew."""
    duplicate: int = 0
    """Records that added nothing to what was stored before."""
    set_aside: int = 0
    """Records that could not be used."""
    grown: int = 0
    """Of those stored, chats that were there already and gained something."""
    conversations: int = 0
    """Conversations added."""
    messages: int = 0
    """Messages added."""
    branches: int = 0
    """Leaves added, over all conversations."""
    tool_calls: int = 0
    """Tool calls added, malformed ones included."""
    tool_results: int = 0
    """Tool results added."""
    ratings: int = 0
    """Rated messages added; a rating on the message and its feedback row are one."""
    edits: int = 0
    """Edits added."""
    tasks: int = 0
    """Tasks added."""
    attempts: int = 0
    """Recorded attempts added."""
    reports: int = 0
    """Suite reports added."""


class FileReport(Record):
    """What one file gave."""

    file: str
    """Path as it was named."""
    sha256: str = ""
    """Digest of its bytes."""
    formats: dict[str, int] = {}
    """How many records were read as what."""
    totals: Totals = Totals()
    """Its totals."""
    problem: str | None = None
    """Why the file as a whole could not be used."""


class IngestReport(Record):
    """What an ingest did."""

    totals: Totals
    """Over all files."""
    files: tuple[FileReport, ...]
    """File by file."""
    set_aside_file: str
    """Where the set-aside rows are."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What was wrong with whole files."""
        return tuple(file.problem for file in self.files if file.problem)


def ingest(
    paths: Iterable[Path | str],
    store: Store,
    *,
    answers: Path | None = None,
    terms: Terms = Terms(),
    progress: Progress | None = None,
) -> IngestReport:
    """Read files (or folders of them) into a store; the same file twice adds nothing.

    `answers` is a BFCL answer file; without it the one in `possible_answer/` beside each question file is taken.
    `terms` are the licence and the consent that every record carries; without a licence the one whose text lies beside
    the file is taken. A file
    that cannot be read at all is told in the report and does not stop the others. `SourceError` for a wrong answer
    file, `WorkspaceBusy` when another process ingests into the same store.
    """
    key = read_answers(answers) if answers is not None else None
    reports = []
    with store.writing() as writing:
        for path, problem in _files(paths):
            if problem is not None:
                reports.append(FileReport(file=clean(str(path)), problem=problem))
            else:
                reports.append(_ingest_file(path, writing, key, terms, progress))
        writing.commit()
    total: Counter[str] = Counter()
    for report in reports:
        total.update(report.totals.model_dump())
    return IngestReport(totals=Totals(**total), files=tuple(reports), set_aside_file=str(store.path(SetAside)))


def _files(paths: Iterable[Path | str]) -> Iterator[tuple[Path, str | None]]:
    for path in map(Path, paths):
        try:
            yield from ((file, None) for file in named_files(path))
        except (SourceError, OSError) as error:
            yield path, str(error)


def _ingest_file(
    path: Path,
    writing: Writing,
    answers: Mapping[str, dict[str, Any]] | None,
    terms: Terms,
    progress: Progress | None,
) -> FileReport:
    counts: Counter[str] = Counter()
    formats: dict[str, int] = {}
    sha256, problem, first_reason = "", None, ""
    try:
        sha256, holder = digest_of(path), holder_of(path)
        reader = FileReader(path, sha256, holder, answers, terms)
        formats = reader.formats
        for raw in records_in_database(path) if holder == "sqlite" else records_in(path, holder):
            fate, reason = _ingest_record(raw, reader, writing, counts)
            counts[fate] += 1
            counts["records_in"] += 1
            first_reason = first_reason or reason
            if progress is not None:
                progress(path, counts["records_in"])
    except (SourceError, OSError) as error:
        problem = str(error) if isinstance(error, SourceError) else f"{path} cannot be read: {error.strerror or error}"
    if problem is None and counts["set_aside"] and counts["set_aside"] == counts["records_in"]:
        problem = f"{path}: none of its {counts['records_in']} records can be used: {first_reason}"
    return FileReport(
        file=clean(str(path)),
        sha256=sha256,
        formats=formats,
        totals=Totals(**counts),
        problem=clean(problem) if problem else None,
    )


def _ingest_record(
    raw: Raw, reader: FileReader, writing: Writing, counts: Counter[str]
) -> tuple[Literal["stored", "duplicate", "set_aside"], str]:
    """One record to its fate, and why where it was set aside. A fault in a record is never more than that record's."""
    found, lines, problem = Found(), list[bytes](), raw.problem
    if not problem:
        found, lines, problem = _found(raw.value, raw.place, reader)
    if problem:
        source = reader.source(clean(raw.place), "unknown")
        excerpt = raw.excerpt or _excerpt(raw.value)
        writing.put(SetAside(source=source, reason=clean(problem)[:500], excerpt=excerpt))
        return "set_aside", problem
    return ("stored" if _keep(found, lines, writing, counts) else "duplicate"), ""


def _found(value: Any, place: str, reader: FileReader, again: bool = False) -> tuple[Found, list[bytes], str]:
    """What a record holds and the lines of its conversations, or why it cannot be used."""
    try:
        found = reader.found(value, place)
        # What cannot be written is found out here, before any of it is kept.
        for record in (*found.edits, *found.tasks, *found.attempts, *found.reports, *found.feedback):
            line_of(record)
        return found, [line_of(conversation) for conversation in found.conversations], ""
    except Unusable as error:
        return Found(), [], str(error)
    except (SourceError, ImportError):
        raise
    except RecursionError:
        return Found(), [], "nested too deeply"
    except Exception as error:
        if not again and (mended := _mended(value)) is not value:
            return _found(mended, place, reader, again=True)
        logger.debug("%s could not be read", place, exc_info=True)
        return Found(), [], f"cannot be read: {type(error).__name__}: {error}"


def _mended(value: Any) -> Any:
    try:
        return cleaned(value)
    except RecursionError:
        return value


def _excerpt(value: Any) -> str:
    try:
        return clean(shown(value)[:EXCERPT])
    except RecursionError:
        return ""


def _keep(found: Found, lines: list[bytes], writing: Writing, counts: Counter[str]) -> bool:
    """Put everything that a record gave; whether any of it was new."""
    new = False
    for conversation, line in zip(found.conversations, lines, strict=True):
        new = _keep_conversation(conversation, line, writing, counts) or new
    for row in found.feedback:
        fresh, more = writing.put_feedback(row)
        counts["ratings"] += more
        new = fresh or new
    for name in ("edits", "tasks", "attempts", "reports"):
        for record in getattr(found, name):
            if writing.put(record):
                counts[name] += 1
                new = True
    return new


def _keep_conversation(conversation: Conversation, line: bytes, writing: Writing, counts: Counter[str]) -> bool:
    change = writing.put_conversation(conversation, line)
    if change is None:
        return False
    counts.update(counted(change.after))
    if change.before is None:
        counts["conversations"] += 1
    else:
        counts["grown"] += 1
        counts.subtract(counted(change.before))
    counts["ratings"] -= change.newly_rated
    return True


def counted(conversation: Conversation) -> dict[str, int]:
    """How many messages, branches (leaves), tool calls, tool results and ratings a conversation holds."""
    messages = conversation.messages
    inner = {message.parent_id for message in messages}
    kinds = Counter(part.kind for message in messages for part in message.parts)
    return {
        "messages": len(messages),
        "branches": sum(message.id not in inner for message in messages),
        "tool_calls": kinds["tool_call"],
        "tool_results": kinds["tool_result"],
        "ratings": sum(message.rating is not None for message in messages),
    }
