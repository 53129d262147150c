"""Gives an existing trajectory a voice: only its plain answers change, its calls and results stay as they are."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence

from kt_lib.calls.begun import begun_call
from kt_lib.calls.rules import one_name
from kt_lib.errors import SetupError
from kt_lib.generator.wording import say, upper, words
from kt_lib.records import ChatMessage, SftRow
from kt_lib.style import (
    CASUAL,
    EMOJI,
    EXECUTIVE,
    LEARNER,
    SMALL_TALK,
    bare_terms,
    broken_rules,
    failed,
    matches,
    sentences,
    words_in,
)

OPENING = 4
"""A first sentence of at most so many words and without a fact is an opening already."""
OPEN_SHARE, OFFER_SHARE, EMOJI_SHARE = 0.7, 0.6, 0.3
_CODE = re.compile(r"(```.*?```|`[^`\n]+`|https?://\S+|\]\([^)]*\))", re.DOTALL)
_PIECES = re.compile(r"((?<=[.!?])[ \t]+(?=\S)|\n+)")
_ACTING = re.compile(r"\A\s*(?:Thoughts?|Action|Act|Observation)\s*:", re.IGNORECASE)
_SORRY = re.compile(
    r"\A(?:(?:I am|I'm|We are|We're)\s+)?(?:(?:so|very|really|terribly)\s+)?"
    r"(?:sorry|(?:I|we)\s+(?:do\s+)?apologi[sz]e|(?:my |our )?apologies)"
    r"(?:\s+(?:about|for)\s+[^,.!?]*)?(?:\s*,\s*but|\s*,|\s+but|\s+-)?\s*[.!]*\s*",
    re.IGNORECASE,
)
_NAME = re.compile(r"[\w./@:-]{3,}")


def with_personality(row: SftRow, persona: str, seed: int) -> SftRow:
    """The row with its plain answers in the voice of an assistant that talks to this persona.

    Openings, offers and inline code are added; sentences without content that break a voice rule (robotic phrases,
    needless apologies) go. No fact is left out: `SetupError` for an answer that cannot be told in this voice whole, for
    example one too long for an executive (`voices_for` says beforehand which can).
    """
    rng = random.Random(f"personality {seed} {persona} {row.task_id}")
    terms, tools = technical_names(row), {one_name(tool.name) for tool in row.tools}
    messages: list[ChatMessage] = []
    asked = ""
    for message in row.messages:
        if message.role == "user":
            asked = message.content
        if is_plain_answer(message, tools):
            reports = messages[-1].role == "tool" if messages else False
            text = voiced(message.content, persona, asked, terms, rng, reports)
            message = message.model_copy(update={"content": text})
        messages.append(message)
    return row.model_copy(update={"messages": tuple(messages), "basis": f"{row.basis}; voice added: {persona}"})


def voices_for(row: SftRow, personas: Sequence[str], seed: int) -> tuple[str, ...]:
    """The personas whose voice the row can be given."""
    found = []
    for persona in personas:
        try:
            with_personality(row, persona, seed)
        except SetupError:
            continue
        found.append(persona)
    return tuple(found)


def is_plain_answer(message: ChatMessage, tools: set[str]) -> bool:
    """Whether a message is an answer in words: no call in any form, no thought before an action."""
    text = message.content
    if message.role != "assistant" or message.tool_calls or not text.strip() or _ACTING.match(text):
        return False
    return text.lstrip()[0] not in "{[" and begun_call(text, tools) is None


def technical_names(row: SftRow) -> list[str]:
    """Names in the row's calls that are no plain words: hosts, files, ids."""
    found: dict[str, None] = {}
    for message in row.messages:
        values: list[object] = [value for call in message.tool_calls for value in call.arguments.values()]
        if message.role == "assistant" and message.content.lstrip()[:1] in ("{", "["):
            values += values_in(message.content)
        for value in values:
            found |= dict.fromkeys(_NAME.findall(str(value)))
    return [name for name in found if re.search(r"[-_./\d]", name) and re.search(r"[A-Za-z]", name)]


def values_in(text: str) -> Iterator[object]:
    """The argument values of calls written by the JSON protocol."""
    try:
        held = json.loads(text)
    except ValueError:
        return
    for call in held if isinstance(held, list) else [held]:
        if isinstance(call, dict) and isinstance(call.get("params"), dict):
            yield from call["params"].values()


def voiced(text: str, persona: str, asked: str, terms: Sequence[str], rng: random.Random, reports: bool) -> str:
    """The answer in the voice; the plainest form that keeps all rules where the richer ones do not.

    Small talk gets nothing around it: only an answer that reports a result, or is longer, does.
    """
    body = coded(without_manners(text, persona, asked), terms)
    weighty = reports or len(words_in(body)) > SMALL_TALK
    first = sentences(body)[0] if sentences(body) else ""
    opened = len(words_in(first)) <= OPENING and not carries_facts(first)
    opening = weighty and not opened and not matches("apology", body) and rng.random() < OPEN_SHARE
    offer = weighty and rng.random() < OFFER_SHARE and not text.rstrip().endswith("?")
    broken: tuple[object, ...] = ()
    for opens, offers in ((opening, offer), (True, offer), (opening, False), (True, False), (False, False)):
        said = around(body, persona, opens, offers, rng)
        broken = broken_rules(said, persona, asked, terms)
        if not broken:
            return said
    raise SetupError(
        f"this answer cannot be told to a {persona} whole ({broken[0]}): {text[:80]!r}; take another persona"
    )


def around(body: str, persona: str, opens: bool, offers: bool, rng: random.Random) -> str:
    """The answer with what its persona puts around it."""
    held = words("personality")[persona]
    joint = "\n" if "\n" in body else " "
    body = f"{body}." if body[-1:].isalnum() else body
    if persona == EXECUTIVE and (len(words_in(body)) > SMALL_TALK or opens):
        body = body if body.startswith("TL;DR:") else f"TL;DR: {body}"
    elif opens and (opener := say(held["open"], rng)):
        body = f"{opener}{joint}{body}"
    if persona == LEARNER and not matches("tip", body) and len(words_in(body)) > SMALL_TALK:
        body += f"{joint}Pro tip: {say(held['tip'], rng)}."
    if persona == CASUAL and opens and body[-1] in ".!" and not EMOJI.search(body) and rng.random() < EMOJI_SHARE:
        body += f" {rng.choice(held['emoji'])}"
    return f"{body}{joint}{say(held['offer'], rng)}" if offers else body


def without_manners(text: str, persona: str, asked: str) -> str:
    """The answer without empty sentences and needless apologies, with marks and emoji as the persona has them."""
    parts = _PIECES.split(text.strip())
    apologies = 0
    kept: list[str] = []
    for piece, end in zip(parts[::2], [*parts[1::2], ""], strict=True):
        if matches("apology", piece):
            apologies += 1
            if apologies > 1 or not failed(text, asked):
                piece = upper(_SORRY.sub("", piece, count=1))
        empty = matches("robotic", piece) or matches("caveat_heavy", piece)
        if piece.strip() and (not empty or carries_facts(piece)):
            kept += [piece, end]
    said = "".join(kept).strip() or text.strip()
    if persona != CASUAL:
        said = EMOJI.sub("", said).strip()
        said = said if "!" in asked else re.sub(r"!+(?=\s|$)", ".", said)
    return re.sub(r"!{2,}", "!", said)


def carries_facts(piece: str) -> bool:
    """Whether a sentence holds something that must not be lost: a number, code, a path."""
    return bool(re.search(r"\d|`|/\w", piece))


def coded(text: str, terms: Sequence[str]) -> str:
    """The text with technical terms in inline code, where they are not in code, a link or an address already."""
    bare = sorted(bare_terms(text, terms), key=len, reverse=True)
    if not bare:
        return text
    whole = re.compile("|".join(rf"(?<![\w/.`-]){re.escape(term)}(?![\w-])(?!\.\w)" for term in bare))
    pieces = _CODE.split(text)
    return "".join(
        piece if at % 2 else whole.sub(lambda found: f"`{found[0]}`", piece) for at, piece in enumerate(pieces)
    )
