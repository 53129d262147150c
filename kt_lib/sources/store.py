"""The ingested records: JSON lines below one folder, added to by one process at a time, each thing in them once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout
from pydantic import ValidationError
from pydantic_core import to_json

from kt_lib.errors import ArtifactError, WorkspaceBusy
from kt_lib.records import Attempt, Conversation, Edit, Record, SetAside, Task, content_id
from kt_lib.sources.found import Feedback, SuiteReport
from kt_lib.sources.lines import KeyedLines, Name, named_by_content, named_by_id, named_by_place, short_hash
from kt_lib.sources.merging import grown, rated, related
from kt_lib.sources.openwebui import SNAPSHOT

AnyRecord = TypeVar("AnyRecord", bound=Record)
_FILES: dict[type[Record], str] = {
    Conversation: "conversations", Edit: "edits", Task: "tasks", Attempt: "attempts", Feedback: "feedback",
    SuiteReport: "reports", SetAside: "set_aside",
}  # fmt: skip
_NAMED = {Attempt: named_by_content, SetAside: named_by_place}


class Store:
    """A folder of ingested records: conversations, edits, tasks, attempts, feedback, reports and set-aside rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, kind: type[Record]) -> Path:
        """The file that holds records of a kind."""
        return self.folder / f"{_FILES[kind]}.jsonl"

    def read(self, kind: type[AnyRecord]) -> Iterator[AnyRecord]:
        """Every record of a kind, one at a time; `ArtifactError` when the file is damaged."""
        path = self.path(kind)
        if not path.exists():
            return
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield kind.model_validate_json(line)
                except ValidationError as error:
                    raise ArtifactError(
                        f"{path} line {number} is no {kind.__name__}: move the file away and ingest again"
                    ) from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[Writing]:
        """Add to the store; nothing is kept unless `commit` is called. `WorkspaceBusy` when another process adds."""
        lock = FileLock(self.folder / ".lock")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except OSError as error:
            if not isinstance(error, Timeout):
                raise ArtifactError(f"{self.folder} cannot be written: {error.strerror or error}") from error
            raise WorkspaceBusy(f"another process is ingesting into {self.folder}: wait for it to end") from None
        try:
            with contextlib.closing(Writing(self)) as writing:
                yield writing
        finally:
            lock.release()


def line_of(record: Record) -> bytes:
    """A record as the line that holds it; `ValueError` when it cannot be written as JSON."""
    return record.model_dump_json().encode() + b"\n"


class Change:
    """A conversation before and after it was put: None before means that it is new."""

    def __init__(self, before: Conversation | None, after: Conversation, newly_rated: int) -> None:
        self.before = before
        self.after = after
        self.newly_rated = newly_rated
        """Ratings that waited for this conversation and were counted when they came."""


class Writing:
    """A store that is being added to."""

    def __init__(self, store: Store) -> None:
        self._lines: dict[type[Record], KeyedLines] = {}
        self._feedback: dict[bytes, list[bytes]] = {}
        try:
            for kind in _FILES:
                self._lines[kind] = KeyedLines(store.path(kind), _NAMED.get(kind, named_by_id))
            for line in self._lines[Feedback].lines():
                self._remember(Feedback.model_validate_json(line))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for lines in self._lines.values():
            lines.close()

    def commit(self) -> None:
        """Keep everything put so far. Each file is replaced whole; after a crash between two, ingest again."""
        for lines in self._lines.values():
            lines.commit()

    def put(self, record: Record) -> bool:
        """Keep a record unless it is there; says whether it was new (or knew more than the one that was there)."""
        lines = self._lines[type(record)]
        line = line_of(record)
        name = lines.name(line)
        known = lines.digest(name.key)
        if known == name.digest:
            return False
        if known is not None and not (isinstance(record, Task) and self._knows_more(record, name)):
            return False
        lines.put(name, line)
        return True

    def _knows_more(self, task: Task, name: Name) -> bool:
        """Whether a task that came again brings the evidence or the accepted calls that the stored one lacks."""
        old = Task.model_validate_json(self._lines[Task].line(name.key) or b"")
        return _knowledge(task) > _knowledge(old)

    def put_conversation(self, new: Conversation, line: bytes) -> Change | None:
        """Keep a conversation (and its line), merged with the version that is there; None when that adds nothing."""
        lines = self._lines[Conversation]
        rows = self._rows_about(new.id)
        after = rated(new, rows)
        line = line if after is new else line_of(after)
        name = lines.name(line)
        known = lines.digest(name.key)
        if known == name.digest:
            return None
        before = None
        if known is not None:
            before = Conversation.model_validate_json(lines.line(name.key) or b"")
            if _is_snapshot(new) and not _is_snapshot(before):
                return None
            if not related(before, new):
                new = _apart(new)
                return self.put_conversation(new, line_of(new))
            real = _is_snapshot(before) and not _is_snapshot(new)
            after = rated(new if real else grown(before, new), rows)
            line = line_of(after)
            name = lines.name(line)
            if known == name.digest:
                return None
        lines.put(name, line)
        return Change(before, after, _matched(rows, after) - _matched(rows, before))

    def put_feedback(self, row: Feedback) -> tuple[bool, int]:
        """Join a rating to its message, or keep it until its chat comes -> (is it new, ratings more than before)."""
        lines = self._lines[Feedback]
        line = line_of(row)
        name = lines.name(line)
        if lines.digest(name.key) is not None:
            return False, 0
        rows = self._rows_about(row.chat_id)
        lines.put(name, line)
        self._remember(row)
        stored = self._lines[Conversation].line(_chat_key(row.chat_id))
        about = any(other.message_id == row.message_id for other in rows)
        if stored is None:
            return True, 0 if about else 1
        before = Conversation.model_validate_json(stored)
        message = next((one for one in before.messages if one.source_id == row.message_id), None)
        if message is None:
            return True, 0 if about else 1
        after = rated(before, [*rows, row])
        if after is before:
            return False, 0
        line = line_of(after)
        self._lines[Conversation].put(self._lines[Conversation].name(line), line)
        return True, 1 if message.rating is None else 0

    def _remember(self, row: Feedback) -> None:
        key = self._lines[Feedback].name(line_of(row)).key
        self._feedback.setdefault(_chat_key(row.chat_id), []).append(key)

    def _rows_about(self, chat_id: str) -> list[Feedback]:
        keys = self._feedback.get(_chat_key(chat_id), ()) if self._feedback else ()
        lines = (self._lines[Feedback].line(key) for key in keys)
        return [Feedback.model_validate_json(line) for line in lines if line is not None]


def _is_snapshot(conversation: Conversation) -> bool:
    return conversation.source.format == SNAPSHOT


def _knowledge(task: Task) -> tuple[bool, bool]:
    return task.check.evidence != "none", bool(task.check.accepted)


def _matched(rows: list[Feedback], conversation: Conversation | None) -> int:
    """How many messages of a conversation the rows are about."""
    if conversation is None or not rows:
        return 0
    about = {row.message_id for row in rows}
    return sum(message.source_id in about for message in conversation.messages)


def _chat_key(chat_id: str) -> bytes:
    """The key under which a conversation's line stands: the hash of its id as JSON writes it."""
    return short_hash(to_json(chat_id)[1:-1])


def _apart(conversation: Conversation) -> Conversation:
    """Another chat that happens to have a used id: known by what it says from here on."""
    identity = content_id("chat", conversation.id, [message.id for message in conversation.messages])
    note = f"id {conversation.id[:60]} belongs to another chat that shares no message with this one"
    return conversation.model_copy(update={"id": identity, "notes": (*conversation.notes, note)})
