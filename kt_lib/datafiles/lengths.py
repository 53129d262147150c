"""How long training rows are, in tokens of the model that shall learn from them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kt_lib.datafiles.layouts import trl_messages, trl_tools
from kt_lib.errors import MissingPackage, ModelNotFound
from kt_lib.records import ChatMessage, PreferencePair, Record, SftRow, UnpairedRow

TrainingRow = SftRow | PreferencePair | UnpairedRow
LETTERS_A_TOKEN = 4
"""What the estimate goes by where there is no tokenizer."""
_AT_ONCE = 512


class Length(NamedTuple):
    """How long one row is."""

    tokens: int
    """Tokens; of a pair those of its longer side."""
    fault: str = ""
    """Why the chat template refuses the row, where it does."""


class Ruler(NamedTuple):
    """What rows are measured by."""

    name: str
    """In words: whose tokenizer, or that it is an estimate."""
    reads: int | None
    """The most tokens that the model reads."""
    measure: Callable[[Sequence[TrainingRow]], list[Length]]
    """The length of each row."""


class LengthLine(Record):
    """The lengths of one kind of row."""

    what: str
    """`SFT rows` or `preference pairs`."""
    n: int
    """Rows."""
    low: int
    """5% are not longer."""
    middle: int
    """Half are not longer."""
    high: int
    """95% are not longer."""
    longest: int
    """The longest."""
    over: int
    """Rows longer than `Lengths.max_length`."""


class Lengths(Record):
    """The lengths of a dataset."""

    measured_by: str
    """Whose tokenizer."""
    max_length: int | None
    """The most tokens a row may have; None where nobody says."""
    lines: tuple[LengthLine, ...]
    """By kind of row."""


def lengths_of(
    rows: Sequence[SftRow], pairs: Sequence[PreferencePair], ruler: Ruler, max_length: int | None = None
) -> Lengths:
    """The lengths by a ruler; `max_length` is what its model reads by default."""
    most = max_length or ruler.reads
    lines = [_line("SFT rows", ruler.measure(rows), most), _line("preference pairs", ruler.measure(pairs), most)]
    return Lengths(measured_by=ruler.name, max_length=most, lines=tuple(line for line in lines if line.n))


def _line(what: str, lengths: Sequence[Length], most: int | None) -> LengthLine:
    ordered = sorted(length.tokens for length in lengths)

    def reached(share: float) -> int:
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0

    return LengthLine(
        what=what,
        n=len(ordered),
        low=reached(0.05),
        middle=reached(0.5),
        high=reached(0.95),
        longest=reached(1),
        over=sum(most is not None and tokens > most for tokens in ordered),
    )


# --- what is measured by ---------------------------------------------------------------------------------------------


def ruler_of(folder: Path) -> Ruler:
    """The tokenizer and chat template in a folder, which is never asked of a network.

    ModelNotFound where there are none, MissingPackage without the `train` extra.
    """
    tokenizer = _tokenizer(folder)

    def measure(rows: Sequence[TrainingRow]) -> list[Length]:
        found: list[Length] = []
        for start in range(0, len(rows), _AT_ONCE):
            found += _measured(rows[start : start + _AT_ONCE], tokenizer)
        return found

    return Ruler(name=f"the tokenizer of {folder.name}", reads=_reads(folder), measure=measure)


def estimate() -> Ruler:
    """A rough length where there is no tokenizer; whoever shows it must say that it is an estimate."""

    def measure(rows: Sequence[TrainingRow]) -> list[Length]:
        return [
            Length(max(sum(map(_letters, side)) for side in _sides(row)) // LETTERS_A_TOKEN + _tools(row))
            for row in rows
        ]

    return Ruler(name=f"an estimate of {LETTERS_A_TOKEN} letters a token", reads=None, measure=measure)


def _letters(message: ChatMessage) -> int:
    calls = sum(len(call.name) + len(json.dumps(call.arguments)) for call in message.tool_calls)
    return len(message.content) + calls


def _tools(row: TrainingRow) -> int:
    return len(json.dumps(trl_tools(row.tools))) // LETTERS_A_TOKEN if row.tools else 0


def _sides(row: TrainingRow) -> list[tuple[ChatMessage, ...]]:
    """The conversations that a row is trained on."""
    if isinstance(row, SftRow):
        return [row.messages]
    texts = [row.completion] if isinstance(row, UnpairedRow) else [row.chosen, row.rejected]
    return [(*row.prompt, ChatMessage(role="assistant", content=text)) for text in texts]


def _tokenizer(folder: Path) -> Any:
    from kt_lib.weights import load_tokenizer

    if not folder.is_dir():
        raise ModelNotFound(f"{folder} is no folder: give one with a tokenizer and its chat template")
    try:
        return load_tokenizer(folder)
    except ImportError as error:
        raise MissingPackage("a model's tokenizer needs transformers: pip install -e '.[train]'") from error
    except (OSError, ValueError) as error:
        first = " ".join(str(error).split())[:200]
        raise ModelNotFound(f"no tokenizer can be read from {folder} ({first}): give a model's folder") from error


def _reads(folder: Path) -> int | None:
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return None
    found = config.get("max_position_embeddings") if isinstance(config, dict) else None
    return found if isinstance(found, int) and found > 0 else None


def _measured(rows: Sequence[TrainingRow], tokenizer: Any) -> list[Length]:
    rendered = [_rendered(row, tokenizer) for row in rows]
    texts = [text for sides in rendered if not isinstance(sides, str) for text in sides]
    encoded = tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"] if texts else []
    sizes = iter([len(ids) for ids in encoded])
    return [
        Length(0, sides) if isinstance(sides, str) else Length(max(next(sizes) for _ in sides)) for sides in rendered
    ]


def _rendered(row: TrainingRow, tokenizer: Any) -> list[str] | str:
    """Each side of a row as the model reads it, or the words with which the chat template refuses it."""
    from jinja2 import TemplateError

    tools = trl_tools(row.tools) or None
    try:
        return [tokenizer.apply_chat_template(trl_messages(side), tools=tools, tokenize=False) for side in _sides(row)]
    except (TemplateError, TypeError, ValueError) as error:
        return " ".join(str(error).split())[:200] or type(error).__name__
