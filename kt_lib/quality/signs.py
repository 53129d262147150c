"""What a text shows by itself: that it refuses, is cut off, makes noise, which names it holds, how it is written."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import cache
from importlib.resources import files

import yaml

from kt_lib.calls.judging import REFUSES
from kt_lib.style import matches, without_code

_QUOTED = re.compile(r"\"([^\"\n]{1,80})\"|'([^'\n]{2,80})'(?!\w)|`([^`\n]{1,80})`")
_TECHNICAL = re.compile(r"(?<![\w])(?:[~/.]?/[\w./*-]+|[\w*-]+\.[A-Za-z]\w{0,5}\b|\w*\d[\w:.%-]*\w|\d)")
_DANGLING = re.compile(r"(?:,|\b(?:the|a|an|and|or|of|your|my|our|because|which|if))\Z", re.IGNORECASE)
"""No sentence ends with these."""


_SHORT = 3
"""Characters up to which a value counts as a whole word only: a 5 does not stand in 15."""

_FEW_LETTERS, _FEW_WORDS = 8, 3
"""Letters and small words below which nothing is said of a script and a language."""


def words_of(text: str) -> list[str]:
    """The words of a text."""
    return re.findall(r"\w+", text)


def refusal(text: str) -> str | None:
    """Why a text is no answer; None where it is one. A call has no text and is one."""
    found = REFUSES.search(text)
    return f"declines: {found[0]!r}" if found else None


def cut_off(text: str) -> str | None:
    """Why a text looks cut off; None where it looks whole. People often end without a full stop: that alone is fine."""
    if text.count("```") % 2:
        return "a code fence is never closed"
    found = _DANGLING.search(without_code(text).rstrip())
    return f"ends in the middle of a sentence: {found[0]!r}" if found else None


def noise(text: str) -> str | None:
    """A robotic phrase or an apology in a text, in words."""
    for kind, what in (("robotic", "nobody says"), ("apology", "apologises:")):
        if found := matches(kind, without_code(text)):
            return f"{what} {found[0]!r}"
    return None


def literals(text: str) -> list[str]:
    """The numbers, paths, file names and quoted names in a text, each once."""
    quoted = [next(filter(None, found)) for found in _QUOTED.findall(text)]
    rest = _QUOTED.sub(" ", text)
    return list(dict.fromkeys([*(one.strip() for one in quoted if one.strip()), *_TECHNICAL.findall(rest)]))


def grounded(value: str, text: str) -> bool:
    """Whether a value stands in a text, or most of its words do: values are often written otherwise than said."""
    plain, said = _folded(value), _folded(text)
    if re.search(rf"(?<!\w){re.escape(plain)}(?!\w)", said) or (len(plain) > _SHORT and plain in said):
        return True
    words = [word for word in words_of(plain) if len(word) > 1]
    known = set(words_of(said))
    return len(words) > 1 and sum(word in known for word in words) > len(words) / 2


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def same_language(one: str, other: str) -> bool | None:
    """Whether two texts are of one script and, as far as their small words tell, one language; None where neither can.

    Told apart by small words are English, German, French, Spanish, Italian, Portuguese and Dutch.
    """
    first, second = _script(one), _script(other)
    if first is None or second is None:
        return None
    spoken, answered = _language(one), _language(other)
    return first == second and (spoken is None or answered is None or spoken == answered)


def _script(text: str) -> str | None:
    letters = [character for character in without_code(text) if character.isalpha()][:2000]
    if len(letters) < _FEW_LETTERS:
        return None
    names = Counter(unicodedata.name(character, "?").split()[0] for character in letters)
    return names.most_common(1)[0][0]


def _language(text: str) -> str | None:
    """The language whose small words a text holds, where they are several and clearly more than any other's."""
    held = words_of(without_code(text).casefold())
    found = Counter({name: sum(word in known for word in held) for name, known in _small_words().items()})
    (best, count), (_, next_count) = found.most_common(2)
    return best if count >= _FEW_WORDS and count >= 2 * next_count else None


@cache
def _small_words() -> dict[str, frozenset[str]]:
    text = (files("kt_lib.quality") / "signs.yaml").read_text(encoding="utf-8")
    listed: dict[str, str] = yaml.load(text, Loader=yaml.BaseLoader)
    return {name: frozenset(words.split()) for name, words in listed.items()}
