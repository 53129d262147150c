"""How varied the requests of a dataset are, once what may be exchanged in a template is masked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from kt_lib.records import Record
from kt_lib.splits import normalised

_QUOTED = re.compile(
    r"```.*?```|`[^`\n]{0,300}`|\"[^\"\n]{0,300}\"|“[^”\n]{0,300}”|(?<!\w)'[^'\n]{1,300}'(?!\w)", re.DOTALL
)
_WORD = re.compile(r"\n|\S+")
_AROUND = "\"'`“”()[]{}<>,;:.!?*"
_ENDS = (".", "!", "?", ":")
_PLACE = re.compile(r"[\d/\\@_]|[^\W_][.:-][^\W_]")
_MASK = "_x_"
_SHOWN = 3


class Diversity(Record):
    """How many requests are different."""

    n: int
    """Requests."""
    distinct: int
    """Different ones after masking."""
    share: float
    """Distinct of all, 0..1."""
    commonest: tuple[tuple[str, int], ...] = ()
    """Masked requests that stand there most often, with how often."""


def masked_request(text: str) -> str:
    """A request without quoted and backticked text, digits, paths, host-like words and capitalised names.

    Masked is a word with a digit, a slash, `@` or `_`, or with `.`, `:` or `-` within it, and one that has a capital
    letter where no sentence begins.
    """
    found: list[str] = []
    begins = True
    for word in _WORD.findall(_QUOTED.sub(f" {_MASK} ", text)):
        if word == "\n":
            begins = True
            continue
        core = word.strip(_AROUND)
        masked = _MASK if _PLACE.search(core) or (not begins and _is_name(core)) else normalised(core)
        if masked and not (masked == _MASK and found and found[-1] == _MASK):
            found.append(masked)
        begins = word.endswith(_ENDS)
    return " ".join(found)


def _is_name(word: str) -> bool:
    return word[:1].isupper() and not word.startswith(("I'", "I’")) and word != "I"


def diversity(requests: Sequence[str]) -> Diversity:
    """The share of requests that stay different when masked."""
    counted = Counter(map(masked_request, requests))
    commonest = [(text, count) for text, count in counted.most_common(_SHOWN) if count > 1]
    share = len(counted) / len(requests) if requests else 0.0
    return Diversity(n=len(requests), distinct=len(counted), share=share, commonest=tuple(commonest))
