"""A declared mix: named sources with a share or a count each, and how often a row may stand in it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from kt_lib.records import Record


class Portion(Record):
    """What a mix asks of one source: a share of its rows, or a count."""

    share: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of the mix's rows, 0..1."""
    count: Annotated[int, Field(ge=0)] | None = None
    """Rows."""
    repeat: Annotated[float, Field(ge=1, le=100)] = 1.0
    """How often a row may stand in the mix at most (over-sampling)."""
    files: tuple[str, ...] = ()
    """Files or folders to read the source from, in any form that `kt ingest` reads or that kt writes."""
    quality: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Least quality score of a conversation read from files or chats, 0..1."""
    licence: str | None = None
    """Licence of these files, where none stands beside them."""
    consent: bool | None = None
    """Whether the people in these files agreed to training use."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Portion:
        if (self.share is None) == (self.count is None):
            raise ValueError("give a share or a count, one of the two")
        return self

    @model_serializer(mode="wrap")
    def _as_declared(self, whole: SerializerFunctionWrapHandler) -> Any:
        """A share or a count that nothing is added to is written as the number it was declared by."""
        if self == Portion(share=self.share, count=self.count):
            return self.count if self.share is None else self.share
        return whole(self)


def _number_is_portion(value: Any) -> Any:
    """0.4 is a share, 80 a count."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return {"count": value} if isinstance(value, int) else {"share": value}


Sources = dict[str, Annotated[Portion, BeforeValidator(_number_is_portion)]]
"""What is asked of each source by name: a `Portion`, a share (0.4) or a count (80)."""


class Mix(Record):
    """A declared mix of training rows."""

    name: str
    """What it is, in words."""
    rows: Annotated[int, Field(ge=1, le=100_000_000)]
    """Rows in all, of which shares are taken; the mix stays smaller where sources are short."""
    scale_to: str | None = None
    """A source by which a smaller mix keeps its shares: with half of what is asked of it, the whole is halved."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of what is drawn and of the order."""
    sources: Sources
    """What is asked of each source."""

    @model_validator(mode="after")
    def _shares_fit(self) -> Mix:
        shares = sum(portion.share or 0.0 for portion in self.sources.values())
        if shares > 1 + 1e-9:
            raise ValueError(f"the shares add up to {shares:.10g}: at most 1 can be shared out")
        if self.scale_to is not None and not (self.scale_to in self.sources and self.sources[self.scale_to].share):
            raise ValueError(f"scale_to names {self.scale_to!r}, which is no source with a share")
        return self

    def asked(self, whole: int) -> dict[str, int]:
        """Rows asked of each source in a mix of `whole` rows: shares by largest remainder, counts as they are.

        So shares never ask for more than `whole` together; counts come on top of them.
        """
        exact = {name: one.share * whole for name, one in self.sources.items() if one.share is not None}
        # A hair above, lest 0.29 of 100 be 28 rows and a remainder.
        found = {name: one.count or 0 for name, one in self.sources.items()}
        found |= {name: int(rows + 1e-9) for name, rows in exact.items()}
        left = min(whole, round(sum(exact.values()))) - sum(found[name] for name in exact)
        for name in sorted(exact, key=lambda name: found[name] - exact[name])[: max(0, left)]:
            found[name] += 1
        return found

    def scaled(self, rows: int | None) -> Mix:
        """The mix with another number of rows in all; counts go with it, so that the proportions stay."""
        if rows is None:
            return self
        counts = {
            name: one if one.count is None else one.model_copy(update={"count": round(one.count * rows / self.rows)})
            for name, one in self.sources.items()
        }
        return self.model_copy(update={"rows": rows, "sources": counts})
