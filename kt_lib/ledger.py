"""The ledger: what cannot be made again (run history, model versions, who was champion when), in one database."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from kt_lib.errors import ArtifactError, GateRefused
from kt_lib.history import RunRecord, StepRecord
from kt_lib.records import ModelVersion, Record
from kt_lib.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

SCHEMA = 1
FILE = "ledger.db"


class Championship(Record):
    """One change of the version people get."""

    number: int
    """Counts up."""
    version: str | None
    """The version from then on; None means the base model."""
    previous: str | None
    """The version until then."""
    reason: str
    """Why."""
    time: float
    """Seconds since the epoch."""


def open_ledger(state: Path) -> Ledger:
    """The ledger of a state folder, or the one that `KT_LEDGER` names by URL; its tables are made when missing."""
    url = Settings().ledger
    if url is None:
        state.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{(state / FILE).absolute()}"
    return Ledger(url)


class Ledger:
    """Short transactions over SQLite in WAL mode (each commit on disk before it returns), or any SQLAlchemy URL."""

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self._t = _tables()
        with self._engine.begin() as connection:
            self._t.metadata.create_all(connection)
            self._check_schema(connection)

    @property
    def engine(self) -> Engine:
        """The database, for other tables in it."""
        return self._engine

    def close(self) -> None:
        """Give the database back."""
        self._engine.dispose()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- runs and steps ---

    def record_run(self, run: RunRecord) -> None:
        """Store a run, or what has become of it."""
        with self._engine.begin() as connection:
            self._put(connection, self._t.runs, {"id": run.id}, {"status": run.status, "record": _json(run)})

    def record_steps(self, steps: Iterable[StepRecord]) -> int:
        """Store finished steps that are not stored yet; returns how many were new."""
        with self._engine.begin() as connection:
            table = self._t.steps
            known = {tuple(row) for row in connection.execute(self._select(table.c.run, table.c.notebook))}
            new = {(one.run, one.notebook): one for one in steps if (one.run, one.notebook) not in known}
            rows = [_step_row(one) for one in new.values()]
            if rows:
                connection.execute(table.insert(), rows)
            return len(rows)

    def runs(self) -> list[RunRecord]:
        """Every run, newest first, those whose folder is gone included."""
        table = self._t.runs
        return [RunRecord.model_validate_json(row.record) for row in self._rows(table.c.record, table.c.id.desc())]

    def steps(self, run: str | None = None) -> list[StepRecord]:
        """Finished steps, oldest first; of one run, or of all."""
        table = self._t.steps
        found = [StepRecord.model_validate_json(row.record) for row in self._rows(table.c.record, table.c.finished)]
        return [step for step in found if run is None or step.run == run]

    # --- versions ---

    def record_version(self, version: ModelVersion) -> None:
        """Store a version, or the same weights with newer evidence; other weights under its number are refused."""
        with self._engine.begin() as connection:
            table = self._t.versions
            found = connection.execute(self._select(table.c.digest).where(table.c.version == version.version)).scalar()
            if found not in (None, version.digest):
                raise ArtifactError(
                    f"version {version.version} is in the ledger with other weights: give another number"
                )
            row = {"digest": version.digest, "created": version.created or time.time(), "record": _json(version)}
            self._put(connection, table, {"version": version.version}, row)

    def versions(self) -> list[ModelVersion]:
        """Every version, oldest first."""
        table = self._t.versions
        return [ModelVersion.model_validate_json(row.record) for row in self._rows(table.c.record, table.c.number)]

    def version(self, version: str) -> ModelVersion:
        """One version by its number. Raises `ArtifactError` when there is none."""
        for one in self.versions():
            if one.version == version:
                return one
        known = ", ".join(one.version for one in self.versions()) or "none yet"
        raise ArtifactError(f"there is no version {version!r} (there are: {known}); see `kt versions`")

    def champion(self) -> ModelVersion | None:
        """The version people get; None means the base model."""
        history = self.championships()
        current = history[-1].version if history else None
        return self.version(current) if current else None

    def championships(self) -> list[Championship]:
        """Every change of the champion, oldest first."""
        table = self._t.champions
        rows = self._rows(
            table.c.number, table.c.version, table.c.previous, table.c.reason, table.c.time, table.c.number
        )
        return [Championship(**row._mapping) for row in rows]

    def promote(self, version: str, reason: str) -> Championship:
        """Make `version` the champion; the one before stays in the history."""
        self.version(version)
        return self._crown(version, reason)

    def roll_back(self, reason: str) -> Championship:
        """Give people the version they had before the champion (the base model when there was none).

        A roll-back of a roll-back goes one further back. Raises `GateRefused` when there is nothing to go back from.
        """
        stack: list[str | None] = [None]
        for change in self.championships():
            if len(stack) > 1 and change.reason.startswith("rollback: "):
                stack.pop()
            else:
                stack.append(change.version)
        if len(stack) == 1:
            raise GateRefused("there is nothing to roll back: people get the base model")
        return self._crown(stack[-2], f"rollback: {reason}")

    # --- within ---

    def _crown(self, version: str | None, reason: str) -> Championship:
        table = self._t.champions
        with self._engine.begin() as connection:
            last = connection.execute(
                self._select(table.c.version, table.c.number).order_by(table.c.number.desc())
            ).first()
            row = {
                "version": version,
                "previous": last.version if last else None,
                "reason": reason,
                "time": time.time(),
            }
            inserted: Any = connection.execute(table.insert().values(**row)).inserted_primary_key
        return Championship(number=inserted[0], **row)

    def _check_schema(self, connection: Connection) -> None:
        table = self._t.about
        found = connection.execute(self._select(table.c.value).where(table.c.name == "schema")).scalar()
        if found is None:
            connection.execute(table.insert().values(name="schema", value=str(SCHEMA)))
        elif int(found) > SCHEMA:
            raise ArtifactError(f"the ledger is of schema {found}, this kt knows {SCHEMA}: install a newer kt")

    def _put(self, connection: Connection, table: Any, key: dict[str, Any], values: dict[str, Any]) -> None:
        where = [table.c[name] == value for name, value in key.items()]
        if not connection.execute(table.update().where(*where).values(**values)).rowcount:
            connection.execute(table.insert().values(**key, **values))

    def _select(self, *columns: Any) -> Any:
        from sqlalchemy import select

        return select(*columns)

    def _rows(self, *columns_then_order: Any) -> Iterator[Any]:
        *columns, order = columns_then_order
        with self._engine.connect() as connection:
            yield from connection.execute(self._select(*columns).order_by(order)).all()


def _json(record: Record) -> str:
    return record.model_dump_json()


def _step_row(step: StepRecord) -> dict[str, Any]:
    return {
        "run": step.run,
        "notebook": step.notebook,
        "key": step.key,
        "status": step.status,
        "finished": step.finished,
        "record": _json(step),
    }


def _engine(url: str) -> Engine:
    from sqlalchemy import create_engine, event

    engine = create_engine(url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def careful(connection: Any, _: object) -> None:
            for pragma in ("busy_timeout = 30000", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                connection.execute(f"PRAGMA {pragma}").close()
            connection.isolation_level = None

        @event.listens_for(engine, "begin")
        def alone(connection: Connection) -> None:
            # What is read before a write must still be true when it is written: the write lock comes first.
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@functools.cache
def _tables() -> SimpleNamespace:
    from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text

    metadata = MetaData()
    return SimpleNamespace(
        metadata=metadata,
        about=Table("about", metadata, Column("name", String(50), primary_key=True), Column("value", Text)),
        runs=Table(
            "runs",
            metadata,
            Column("id", String(50), primary_key=True),
            Column("status", String(20), nullable=False),
            Column("record", Text, nullable=False),
        ),
        steps=Table(
            "steps",
            metadata,
            Column("run", String(50), primary_key=True),
            Column("notebook", String(100), primary_key=True),
            Column("key", String(100), nullable=False, index=True),
            Column("status", String(20), nullable=False),
            Column("finished", Float, nullable=False),
            Column("record", Text, nullable=False),
        ),
        versions=Table(
            "versions",
            metadata,
            Column("number", Integer, primary_key=True, autoincrement=True),
            Column("version", String(50), unique=True, nullable=False),
            Column("digest", String(100), nullable=False),
            Column("created", Float, nullable=False),
            Column("record", Text, nullable=False),
        ),
        champions=Table(
            "champions",
            metadata,
            Column("number", Integer, primary_key=True, autoincrement=True),
            Column("version", String(50)),
            Column("previous", String(50)),
            Column("reason", Text, nullable=False),
            Column("time", Float, nullable=False),
        ),
    )
