"""The voice of an assistant: the rules that an answer keeps for each of the five kinds of users.

A rule reads the text without its inline code and fences, as whole words: `mayor` is no `may`, `--force` is no shout.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import yaml

from kt_lib.errors import SetupError
from kt_lib.personas import PERSONAS

CASUAL, SENIOR, ON_CALL, LEARNER, EXECUTIVE = (persona.name for persona in PERSONAS)
MOST_WORDS = {CASUAL: 110, SENIOR: 120, ON_CALL: 70, LEARNER: 170, EXECUTIVE: 75}
"""Most words of an answer, by persona; a run of inline code is one word."""
FIRST_SENTENCE = 12
"""Most words of the first sentence for a user who is terse or under pressure."""
TERSE = 5
"""A request of at most so many words is terse."""
SMALL_TALK = 20
"""An answer of at most so many words (hello, you're welcome) needs neither a summary nor a tip."""
MOST_CAVEATS = 2
"""Light caveats (might, probably) that an answer may hold; of heavy ones (please note) it may hold one."""

_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
EMOJI = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\u2b50\u2b55\u231a\u231b]")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=\S)|\n+")
_MARKUP = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+", re.MULTILINE)
_TECHNICAL = re.compile(
    r"(?<![\w/`.-])(?:"
    r"/(?:[\w.-]+/)*[\w.-]*\w"  # a path from the root
    r"|--[a-z][\w-]+|-[a-zA-Z](?![\w-])"  # flags
    r"|[\w-]+\.(?:py|js|ts|go|c|conf|cfg|ini|log|txt|sh|ya?ml|json|toml|md|csv|tar|gz|service)\b"  # file names
    r"|[\w.-]+/[\w.-]+/[\w.-]+"  # a path
    r"|(?:systemctl|journalctl|kubectl|apt-get|chmod|chown)\b"  # programs that are no words of English
    r"|\d{1,3}(?:\.\d{1,3}){3}"  # an address
    r")"
)


class Broken(NamedTuple):
    """A rule that an answer breaks."""

    rule: str
    """The rule's name."""
    detail: str
    """What breaks it, in words."""


def broken_rules(answer: str, persona: str, asked: str, terms: Sequence[str] = ()) -> tuple[Broken, ...]:
    """The voice rules that `answer` breaks for a user of this persona who wrote `asked`; none for a good answer.

    `terms` are names known to be technical here (hosts, services, commands of the calls and results): like paths,
    flags and file names they stand in inline code.
    """
    if persona not in MOST_WORDS:
        raise SetupError(f"`{persona}` is no persona with a voice: give one of {', '.join(MOST_WORDS)}")
    text = without_code(answer)
    found = [rule(text, persona, asked) for rule in (_emoji, _robotic, _apology, _caveats, _energy, _shouting)]
    found += [_length(text, persona), _inline_code(answer, terms), _BY_PERSONA.get(persona, _nothing)(text)]
    return tuple(broken for broken in found if broken)


def without_code(text: str) -> str:
    """The text with each piece of inline code and each fence replaced by the one word CODE."""
    return _CODE.sub("CODE", text)


def sentences(text: str) -> list[str]:
    """The sentences of a text, list items counted as sentences; code in it is never cut."""
    masked = _CODE.sub(lambda code: "x" * len(code[0]), text)
    ends = [0, *(at for found in _SENTENCE_END.finditer(masked) for at in found.span()), len(text)]
    parts = [text[start:end] for start, end in zip(ends[::2], ends[1::2], strict=True)]
    return [bare for part in parts if (bare := _MARKUP.sub("", part).strip())]


def words_in(text: str) -> list[str]:
    """The words of a text, code counted as one word."""
    return re.findall(r"[\w%][\w'’%.-]*", without_code(text))


def matches(kind: str, text: str) -> list[str]:
    """What in the text matches the phrases of one kind in style.yaml, as whole words."""
    return [found[0] for found in _phrases(kind).finditer(text.replace("’", "'"))]


def bare_terms(text: str, terms: Iterable[str]) -> list[str]:
    """Technical terms that stand outside inline code: the given ones, and paths, flags, file names, addresses."""
    outside = _CODE.sub(" ", text)
    whole = (re.compile(rf"(?<![\w-]){re.escape(term)}(?![\w-])") for term in terms if term in outside)
    known = [found[0] for term in whole if (found := term.search(outside))]
    return list(dict.fromkeys([*known, *(found[0] for found in _TECHNICAL.finditer(outside))]))


def under_pressure(asked: str, persona: str) -> bool:
    """Whether the user is stressed or terse: on call, shouting, in a hurry, or of few words."""
    text = without_code(asked)
    return persona == ON_CALL or bool(matches("stress", text)) or "!!" in text or 0 < len(words_in(text)) <= TERSE


def failed(answer: str, asked: str) -> bool:
    """Whether something went wrong, by what is said: then an apology is due."""
    return bool(matches("failure", answer) or matches("failure", without_code(asked)))


@cache
def _phrases(kind: str) -> re.Pattern[str]:
    listed: dict[str, list[str]] = yaml.safe_load((files("kt_lib") / "style.yaml").read_text(encoding="utf-8"))
    return re.compile(rf"(?i)(?<![\w'-])(?:{'|'.join(listed[kind])})(?![\w-])")


def _nothing(text: str) -> Broken | None:
    return None


def _emoji(text: str, persona: str, asked: str) -> Broken | None:
    count = len(EMOJI.findall(text))
    if count > 1:
        return Broken("emoji", f"{count} emoji where one is the most")
    return Broken("emoji", f"an emoji for a {persona}") if count and persona != CASUAL else None


def _robotic(text: str, persona: str, asked: str) -> Broken | None:
    found = matches("robotic", text)
    return Broken("robotic", f"nobody says {found[0]!r}") if found else None


def _apology(text: str, persona: str, asked: str) -> Broken | None:
    said = matches("apology", text)
    if len(said) > 1:
        return Broken("apology", f"{len(said)} apologies: {', '.join(said)}")
    if said and not failed(text, asked):
        return Broken("apology", f"{said[0]!r} where nothing failed")
    return None


def _caveats(text: str, persona: str, asked: str) -> Broken | None:
    heavy, light = matches("caveat_heavy", text), matches("caveat_light", text)
    if len(heavy) > 1 or len(heavy) + len(light) > MOST_CAVEATS:
        return Broken("caveats", f"too many caveats: {', '.join((*heavy, *light))}")
    return None


def _energy(text: str, persona: str, asked: str) -> Broken | None:
    first = next(iter(sentences(text)), "")
    length = len(words_in(first.removeprefix("TL;DR:")))
    if under_pressure(asked, persona) and length > FIRST_SENTENCE:
        return Broken("energy", f"a first sentence of {length} words for a user who is terse or under pressure")
    return None


def _shouting(text: str, persona: str, asked: str) -> Broken | None:
    if "!!" in text or text.count("!") > 2:
        return Broken("energy", "more exclamation marks than anybody needs")
    if "!" in text and persona != CASUAL and "!" not in asked:
        return Broken("energy", "an exclamation mark where the user has none")
    return None


def _length(text: str, persona: str) -> Broken | None:
    count = len(words_in(text))
    most = MOST_WORDS[persona]
    return Broken("length", f"{count} words, a {persona} gets at most {most}") if count > most else None


def _inline_code(answer: str, terms: Sequence[str]) -> Broken | None:
    bare = bare_terms(answer, terms)
    return Broken("inline_code", f"{bare[0]!r} stands outside inline code") if bare else None


def _executive(text: str) -> Broken | None:
    if not text.startswith("TL;DR:"):
        short = len(words_in(text)) <= SMALL_TALK and len(sentences(text)) <= 3
        return None if short else Broken("persona", "the answer does not begin with `TL;DR:`")
    after = len(sentences(text.removeprefix("TL;DR:"))) - 1
    return Broken("persona", f"{after} sentences after the summary, two are the most") if after > 2 else None


def _learner(text: str) -> Broken | None:
    tips = len(matches("tip", text))
    if tips > 1:
        return Broken("persona", f"{tips} tips, one is enough")
    if not tips and len(words_in(text)) > SMALL_TALK:
        return Broken("persona", "no tip for somebody who wants to learn")
    return None


def _senior(text: str) -> Broken | None:
    known = [*matches("explains_the_known", text), *matches("tip", text)]
    return Broken("persona", f"explains what a senior engineer knows: {known[0]!r}") if known else None


_BY_PERSONA: dict[str, Callable[[str], Broken | None]] = {
    EXECUTIVE: _executive,
    LEARNER: _learner,
    SENIOR: _senior,
}
