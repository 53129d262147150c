"""What a file of training rows holds once it is read: every row with its place, or the reason it cannot be used."""

from __future__ import annotations

from collections.abc import Sequence

from kt_lib.records import PreferencePair, Record, SetAside, SftRow, UnpairedRow


class Entry(Record):
    """One row of a file."""

    place: str
    """Where it stands: `line 17`, `row 17`."""
    form: str
    """The layout it was read as: messages, prompt/completion, preference, unpaired, openai preference, or unknown."""
    row: SftRow | PreferencePair | UnpairedRow | SetAside
    """What was read."""
    notes: tuple[str, ...] = ()
    """What stands in the row and was not kept, or had to be read in another way."""


class Dataset(Record):
    """The rows of a file in their order. A conversation of which only some answers are learned gives several."""

    name: str
    """File name, or other words for where the rows are."""
    entries: tuple[Entry, ...] = ()
    """Every row."""

    @property
    def rows(self) -> tuple[SftRow, ...]:
        """Conversations to learn answers from."""
        return tuple(entry.row for entry in self.entries if isinstance(entry.row, SftRow))

    @property
    def pairs(self) -> tuple[PreferencePair, ...]:
        """Preference pairs."""
        return tuple(entry.row for entry in self.entries if isinstance(entry.row, PreferencePair))

    @property
    def unpaired(self) -> tuple[UnpairedRow, ...]:
        """Answers found good or bad by themselves."""
        return tuple(entry.row for entry in self.entries if isinstance(entry.row, UnpairedRow))

    @property
    def set_aside(self) -> tuple[SetAside, ...]:
        """Rows that cannot be used, each with its line and reason."""
        return tuple(entry.row for entry in self.entries if isinstance(entry.row, SetAside))

    def places_of(self, rows: Sequence[Record]) -> list[str]:
        """Where these rows of it stand."""
        places = {id(entry.row): entry.place for entry in self.entries}
        return [places[id(row)] for row in rows]


class Written(Record):
    """What became of rows that were to be written."""

    rows: int
    """Rows in the file."""
    set_aside: tuple[SetAside, ...] = ()
    """Rows that the layout cannot say, each with its number and the reason."""
    notes: tuple[str, ...] = ()
    """What is said in another way than the rows say it, with how many they are."""


def dataset_of(
    name: str, rows: Sequence[SftRow] = (), pairs: Sequence[PreferencePair] = (), unpaired: Sequence[UnpairedRow] = ()
) -> Dataset:
    """Rows that never were a file, so that they can be checked like one."""
    entries = [Entry(place=f"row {at}", form="messages", row=row) for at, row in enumerate(rows, 1)]
    entries += [Entry(place=f"pair {at}", form="preference", row=pair) for at, pair in enumerate(pairs, 1)]
    entries += [Entry(place=f"unpaired row {at}", form="unpaired", row=one) for at, one in enumerate(unpaired, 1)]
    return Dataset(name=name, entries=tuple(entries))
