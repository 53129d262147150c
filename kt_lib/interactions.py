"""What was said in the playground: every exchange, and what a person thought of it, in the ledger's database."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from kt_lib.labels import Interaction
from kt_lib.ledger import Ledger
from kt_lib.records import ChatMessage, content_id
from kt_lib.redaction import redact


def interaction_id(model: str, messages: Sequence[ChatMessage], output: str, time: float) -> str:
    """The id of an exchange."""
    return content_id("interaction", model, [one.model_dump(mode="json") for one in messages], output, time)


def without_secrets(interaction: Interaction) -> Interaction:
    """The exchange with every word of the conversation, the answer, its calls and the correction redacted."""
    said = interaction.model_dump(mode="json", include={"messages", "output", "calls", "correction"})
    return Interaction.model_validate(interaction.model_dump(mode="json") | _redacted(said))


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value).text
    if isinstance(value, dict):
        return {name: _redacted(one) for name, one in value.items()}
    return [_redacted(one) for one in value] if isinstance(value, list) else value


class InteractionStore:
    """Interactions over the ledger's engine; short transactions."""

    def __init__(self, ledger: Ledger) -> None:
        self._engine = ledger.engine
        self._t = _tables()
        with self._engine.begin() as connection:
            self._t.metadata.create_all(connection)

    def put(self, interaction: Interaction) -> None:
        """Store an exchange, or what was said of it since. What is secret in any of its words is taken out first."""
        clean = without_secrets(interaction)
        table = self._t.interactions
        with self._engine.begin() as connection:
            connection.execute(table.delete().where(table.c.id == clean.id))
            row = {"id": clean.id, "time": clean.time, "verdict": clean.verdict, "record": clean.model_dump_json()}
            connection.execute(table.insert().values(**row))

    def all(self, judged: bool = False) -> list[Interaction]:
        """Every exchange, oldest first; with `judged` only those that a person said something of."""
        table = self._t.interactions
        query = table.select().order_by(table.c.time, table.c.id).with_only_columns(table.c.record)
        if judged:
            query = query.where(table.c.verdict != "unjudged")
        with self._engine.connect() as connection:
            return [Interaction.model_validate_json(row.record) for row in connection.execute(query)]


@functools.cache
def _tables() -> SimpleNamespace:
    from sqlalchemy import Column, Float, MetaData, String, Table, Text

    metadata = MetaData()
    return SimpleNamespace(
        metadata=metadata,
        interactions=Table(
            "interactions",
            metadata,
            Column("id", String(100), primary_key=True),
            Column("time", Float, nullable=False, index=True),
            Column("verdict", String(20), nullable=False, index=True),
            Column("record", Text, nullable=False),
        ),
    )
