"""Where labels are kept: the ledger's database, one row for each question and annotator, and every action in a log.

An action is a label (or several at once), an undo, a redo or an import. Row and log are written in one transaction, so
after a crash both are there or neither. Whoever writes says the newest action they have seen: two tabs of one annotator
never overwrite each other.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from kt_lib.errors import StaleLabel
from kt_lib.labels import Answer, Label, Question
from kt_lib.ledger import Ledger
from kt_lib.records import Record
from kt_lib.redaction import redact

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Undone(Record):
    """What an undo, or a redo, changed."""

    number: int
    """Number of the action that did it."""
    questions: tuple[str, ...]
    """The questions whose labels changed: several where they were labelled in one stroke."""


class Merged(Record):
    """What taking in labels did."""

    new: int
    """Labels that were stored."""
    older: int
    """Labels that were not, for the annotator has said something else since."""


class LabelStore:
    """Short transactions over the ledger's engine."""

    def __init__(self, ledger: Ledger) -> None:
        self._engine = ledger.engine
        self._t = _tables()
        with self._engine.begin() as connection:
            self._t.metadata.create_all(connection)

    def labels(self, annotator: str | None = None) -> list[Label]:
        """The current labels, skips included, in the order they were given; of one annotator, or of all."""
        with self._engine.connect() as connection:
            return self._labels(connection, annotator)

    def newest(self, annotator: str) -> int:
        """Number of the annotator's newest action; 0 before the first."""
        with self._engine.connect() as connection:
            return self._newest(connection, annotator)

    def place(self, annotator: str) -> str | None:
        """The question that the annotator looked at last."""
        table = self._t.places
        with self._engine.connect() as connection:
            query = table.select().where(table.c.annotator == annotator).with_only_columns(table.c.question)
            found: str | None = connection.execute(query).scalar()
            return found

    def keep_place(self, annotator: str, question: str) -> None:
        """Remember the question that the annotator looks at."""
        table = self._t.places
        with self._engine.begin() as connection:
            connection.execute(table.delete().where(table.c.annotator == annotator))
            connection.execute(table.insert().values(annotator=annotator, question=question))

    def put(self, question: Question, annotator: str, answer: Answer, seen: int, session: str = "") -> Label:
        """Store an answer in the place of the annotator's earlier one.

        `seen` is the newest action that was looked at, `session` names the tab whose own actions are known anyway.
        StaleLabel when another tab acted on the question since.
        """
        return self.put_all([(question, answer)], annotator, seen, session)[0]

    def put_all(
        self, answers: Sequence[tuple[Question, Answer]], annotator: str, seen: int, session: str = ""
    ) -> list[Label]:
        """Store several answers in one stroke: one undo takes all of them back. StaleLabel as `put`."""
        with self._engine.begin() as connection:
            for question, _ in answers:
                self._refuse_stale(connection, annotator, seen, session, question.id)
            stored: list[Label] = []
            for question, answer in answers:
                batch = stored[0].number if stored else None
                label = _unnumbered(question, annotator, answer)
                stored.append(self._store(connection, label, "label", batch, session))
            return stored

    def take_in(self, labels: Sequence[Label]) -> Merged:
        """Store labels from elsewhere under their own annotators, as imported.

        Of two labels of one annotator on one question the later one holds, whichever of them is stored already. What an
        annotator did before an import can then not be undone.
        """
        with self._engine.begin() as connection:
            known = {(one.question, one.annotator): one for one in self._labels(connection)}
            latest: dict[tuple[str, str], Label] = {}
            for one in sorted(labels, key=lambda label: label.time):
                latest[one.question, one.annotator] = _clean(one)
            other = [one for key, one in latest.items() if key not in known or known[key].answer != one.answer]
            new = [one for one in other if known.get((one.question, one.annotator), one).time <= one.time]
            for label in new:
                self._store(connection, label, "import", None, "")
            return Merged(new=len(new), older=len(other) - len(new))

    def undo(self, annotator: str, seen: int, session: str = "") -> Undone | None:
        """Take back the annotator's newest label that still stands; None when there is nothing to take back.

        The label before it stands again, or none. StaleLabel when another tab acted after `seen`.
        """
        return self._turn(annotator, seen, session, "undo")

    def redo(self, annotator: str, seen: int, session: str = "") -> Undone | None:
        """Give back what was taken back last; None when nothing was, or when a label was given since."""
        return self._turn(annotator, seen, session, "redo")

    # --- within ---

    def _labels(self, connection: Connection, annotator: str | None = None) -> list[Label]:
        table = self._t.labels
        query = table.select().order_by(table.c.number).with_only_columns(table.c.record)
        if annotator is not None:
            query = query.where(table.c.annotator == annotator)
        return [Label.model_validate_json(row.record) for row in connection.execute(query)]

    def _turn(self, annotator: str, seen: int, session: str, did: str) -> Undone | None:
        with self._engine.begin() as connection:
            self._refuse_stale(connection, annotator, seen, session)
            done, undone = self._stacks(connection, annotator)
            stack = done if did == "undo" else undone
            if not stack:
                return None
            batch = stack[-1]
            table, side = self._t.actions, "before" if did == "undo" else "after"
            query = table.select().where(table.c.batch == batch, table.c.did == "label")
            rows = connection.execute(query.order_by(table.c.number)).all()
            for row in rows:
                self._replace(connection, row.question, annotator, getattr(row, side))
            values = {
                "annotator": annotator,
                "question": rows[-1].question,
                "did": did,
                "batch": batch,
                "session": session,
            }
            number = self._log(connection, **values)
            return Undone(number=number, questions=tuple(row.question for row in rows))

    def _stacks(self, connection: Connection, annotator: str) -> tuple[list[int], list[int]]:
        """Batches that can be undone, and redone; the last of each is next."""
        table = self._t.actions
        query = table.select().where(table.c.annotator == annotator).order_by(table.c.number)
        done: list[int] = []
        undone: list[int] = []
        for row in connection.execute(query.with_only_columns(table.c.did, table.c.batch)):
            if row.did == "undo":
                undone.append(done.pop())
            elif row.did == "redo":
                done.append(undone.pop())
            else:
                undone.clear()
                if row.did == "import":
                    done.clear()
                elif done[-1:] != [row.batch]:
                    done.append(row.batch)
        return done, undone

    def _store(self, connection: Connection, label: Label, did: str, batch: int | None, session: str) -> Label:
        table = self._t.labels
        own = (table.c.question == label.question, table.c.annotator == label.annotator)
        before = connection.execute(table.select().where(*own).with_only_columns(table.c.record)).scalar()
        values = {"annotator": label.annotator, "question": label.question, "did": did, "session": session}
        number = self._log(connection, **values, batch=batch, before=before)
        stored = label.model_copy(update={"number": number})
        after = stored.model_dump_json()
        log = self._t.actions
        connection.execute(log.update().where(log.c.number == number).values(after=after, batch=batch or number))
        self._replace(connection, label.question, label.annotator, after)
        return stored

    def _log(self, connection: Connection, **values: Any) -> int:
        result: Any = connection.execute(self._t.actions.insert().values(time=time.time(), **values))
        return int(result.inserted_primary_key[0])

    def _replace(self, connection: Connection, question: str, annotator: str, record: str | None) -> None:
        table = self._t.labels
        connection.execute(table.delete().where(table.c.question == question, table.c.annotator == annotator))
        if record is not None:
            label = Label.model_validate_json(record)
            values = {"question": question, "annotator": annotator, "kind": label.kind, "number": label.number}
            connection.execute(table.insert().values(**values, record=record))

    def _refuse_stale(
        self, connection: Connection, annotator: str, seen: int, session: str, question: str | None = None
    ) -> None:
        if self._newest(connection, annotator, session, question) > seen:
            what = "this question" if question else "this queue"
            raise StaleLabel(
                f"{annotator} worked on {what} in another tab: look at what stands there, then do it again"
            )

    def _newest(self, connection: Connection, annotator: str, session: str = "", question: str | None = None) -> int:
        """The annotator's newest action outside a session (any, for no session), on one question or on all."""
        from sqlalchemy import func, select

        table = self._t.actions
        query = select(func.max(table.c.number)).where(table.c.annotator == annotator)
        if session:
            query = query.where(table.c.session != session)
        if question is not None:
            # An undo of several labels is logged under one of them; its batch tells that the others changed too.
            own = select(table.c.batch).where(table.c.question == question, table.c.annotator == annotator)
            query = query.where(table.c.batch.in_(own))
        return connection.execute(query).scalar() or 0


def _unnumbered(question: Question, annotator: str, answer: Answer) -> Label:
    """The label an answer makes."""
    label = Label(
        question=question.id,
        kind=question.kind,
        subject=question.subject,
        group=question.group,
        annotator=annotator,
        answer=answer,
        number=0,
        time=time.time(),
    )
    return _clean(label)


def _clean(label: Label) -> Label:
    """The label without secrets in what was typed freely."""
    answer = label.answer
    text = redact(answer.text).text if answer.verdict == "skipped" else answer.text
    return label.model_copy(
        update={"answer": answer.model_copy(update={"note": redact(answer.note).text, "text": text})}
    )


@functools.cache
def _tables() -> SimpleNamespace:
    from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text

    metadata = MetaData()
    return SimpleNamespace(
        metadata=metadata,
        labels=Table(
            "labels",
            metadata,
            Column("question", String(100), primary_key=True),
            Column("annotator", String(200), primary_key=True),
            Column("kind", String(20), nullable=False),
            Column("number", Integer, nullable=False, index=True),
            Column("record", Text, nullable=False),
        ),
        places=Table(
            "label_places",
            metadata,
            Column("annotator", String(200), primary_key=True),
            Column("question", String(100), nullable=False),
        ),
        actions=Table(
            "label_actions",
            metadata,
            Column("number", Integer, primary_key=True, autoincrement=True),
            Column("annotator", String(200), nullable=False, index=True),
            Column("question", String(100), nullable=False, index=True),
            Column("did", String(10), nullable=False),
            Column("session", String(50), nullable=False),
            Column("batch", Integer, index=True),
            Column("before", Text),
            Column("after", Text),
            Column("time", Float, nullable=False),
            sqlite_autoincrement=True,
        ),
    )
