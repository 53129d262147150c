"""What one record of a source holds, and how a reader says that a record cannot be used."""

from __future__ import annotations

from pydantic import JsonValue

from kt_lib.records import Attempt, Conversation, Edit, Provenance, Rating, Record, Task


class Unusable(ValueError):
    """This one record cannot be used; the message says why. It is set aside, the rest goes on."""


class Feedback(Record):
    """A rating that came by itself, to be joined to its message by the ids of the source."""

    id: str
    """Content id over chat, message and rating."""
    source: Provenance
    """Where it came from."""
    chat_id: str
    """Id of the chat in the source."""
    message_id: str
    """Id of the rated message in the source."""
    rating: Rating
    """What was said."""
    updated: float | None = None
    """Seconds since the epoch; of two rows about one message the later holds."""


class SuiteReport(Record):
    """One run of an agent test suite: its scores as the suite states them (no count of tasks, so no interval)."""

    id: str
    """Content id over the report."""
    source: Provenance
    """Where it came from."""
    model: str
    """The model that was tested."""
    created: float | None = None
    """Seconds since the epoch."""
    temperature: float | None = None
    """Temperature of the run."""
    overall: float | None = None
    """Overall score in percent."""
    passed: bool | None = None
    """Whether the suite says that the run passed."""
    tiers: dict[str, float] = {}
    """Score in percent by tier."""
    dimensions: dict[str, float] = {}
    """Score in percent by dimension: tool_selection, parameters, planning, context, error_handling, reasoning."""
    details: dict[str, JsonValue] = {}
    """What the report says of each tier, as it stands."""


class Found(Record):
    """Everything that one record of a source gave."""

    conversations: tuple[Conversation, ...] = ()
    """Chats."""
    edits: tuple[Edit, ...] = ()
    """Drafts and what people made of them."""
    tasks: tuple[Task, ...] = ()
    """Things to be done."""
    attempts: tuple[Attempt, ...] = ()
    """Recorded attempts at tasks."""
    feedback: tuple[Feedback, ...] = ()
    """Ratings that stand alone."""
    reports: tuple[SuiteReport, ...] = ()
    """Suite reports."""
