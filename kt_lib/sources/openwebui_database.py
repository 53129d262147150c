"""A copy of Open WebUI's `webui.db` (SQLite): its chats and its feedback, a row at a time, nothing written to it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kt_lib.errors import SourceError
from kt_lib.sources.fields import clean, dict_of, list_of, loaded
from kt_lib.sources.window import EXCERPT, Raw

_JSON = ("chat", "meta", "data")


def records_in_database(path: Path) -> Iterator[Raw]:
    """Every chat row and every feedback row, shaped like the records of an export.

    `SourceError` when it has no `chat` table. A database that breaks off midway gives one record that says so.
    """
    with contextlib.closing(_opened(path)) as database:
        tables = _tables(database, path)
        if "chat" not in tables:
            raise SourceError(f"{path} is a SQLite database without a `chat` table: not Open WebUI's webui.db")
        yield from _rows(database, "chat", "chat_message" in tables)
        if "feedback" in tables:
            yield from _rows(database, "feedback", False)


def _opened(path: Path) -> sqlite3.Connection:
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    # A copy taken without its -wal file, or on a read-only disk, opens only as immutable.
    for flags in ("", "&immutable=1"):
        database = sqlite3.connect(address + flags, uri=True)
        database.text_factory = bytes
        try:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return database
        except sqlite3.Error as error:
            database.close()
            problem = error
    raise SourceError(f"{path} cannot be opened as a SQLite database: {problem}")


def _tables(database: sqlite3.Connection, path: Path) -> set[str]:
    try:
        rows = database.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')").fetchall()
    except sqlite3.Error as error:
        raise SourceError(f"{path} cannot be read as a SQLite database: {error}") from error
    return {str(_text(name)).lower() for (name,) in rows}


def _text(value: Any) -> Any:
    return clean(value.decode("utf-8", "replace")) if isinstance(value, bytes) else value


def _rows(database: sqlite3.Connection, table: str, has_messages: bool) -> Iterator[Raw]:
    number = 0
    try:
        columns = [str(row[1], "utf-8", "replace") for row in database.execute(f"PRAGMA table_info({table})")]
        # Snapshots hold the whole chat once more and are not read.
        wanted = [column for column in columns if column != "snapshot"]
        quoted = ", ".join('"' + column.replace('"', '""') + '"' for column in wanted)
        for row in database.execute(f"SELECT {quoted} FROM {table}"):
            number += 1
            record = {column: _text(value) for column, value in zip(wanted, row, strict=True)}
            yield _raw(database, record, table, number, has_messages)
    except sqlite3.Error as error:
        yield Raw(f"{table} after row {number}", None, f"the database breaks off: {error}")


def _raw(database: sqlite3.Connection, record: dict[str, Any], table: str, number: int, has_messages: bool) -> Raw:
    place = f"{table} row {record.get('id') or number}"
    written = record.get("chat", record.get("data"))
    for column in _JSON:
        if isinstance(record.get(column), str):
            record[column] = loaded(record[column])
    if table == "feedback":
        return Raw(place, {**record, "type": record.get("type") or "rating", "meta": dict_of(record.get("meta"))})
    if isinstance(written, str) and record.get("chat") is None and written.strip() != "null":
        return Raw(place, None, "column `chat` is not valid JSON", written[:EXCERPT])
    if has_messages and not _has_messages(record.get("chat")):
        record["chat"] = _from_messages(database, record)
    return Raw(place, record)


def _has_messages(blob: Any) -> bool:
    return bool(dict_of(dict_of(blob).get("history")).get("messages") or list_of(dict_of(blob).get("messages")))


def _from_messages(database: sqlite3.Connection, record: dict[str, Any]) -> dict[str, Any]:
    """A chat whose JSON holds no message, built from its rows in `chat_message` (0.8 on); ratings are not in those."""
    blob = dict_of(record.get("chat"))
    cursor = database.execute("SELECT * FROM chat_message WHERE chat_id = ? ORDER BY rowid", (record.get("id"),))
    names = [column[0] for column in cursor.description]
    messages: dict[str, Any] = {}
    for row in cursor:
        one = {name: _text(value) for name, value in zip(names, row, strict=True)}
        key = str(one.get("id") or "").removeprefix(f"{record.get('id')}-")
        messages[key] = {
            "id": key,
            "parentId": one.get("parent_id"),
            "role": one.get("role"),
            "content": _json_or_text(one.get("content")),
            "timestamp": one.get("created_at"),
            "model": one.get("model_id"),
            **{name: _json_or_text(one.get(name)) for name in ("output", "files", "sources", "error", "usage")},
        }
        if one.get("done") is not None:
            messages[key]["done"] = bool(one["done"])
    if not messages:
        return blob
    history = {"messages": messages, "currentId": record.get("current_message_id")}
    return {**blob, "history": history}


def _json_or_text(value: Any) -> Any:
    """A JSON column; the text `null` is nothing, and what is no JSON is the text itself."""
    if not isinstance(value, str):
        return value
    found = loaded(value)
    return value if found is None and value.strip() != "null" else found
