"""How good a conversation is to learn from, 0 to 1, with the reasons: what was looked at, with which weight, and why.

A score is the weighted mean of what applies to the conversation. Each weight is a judgement, not a measurement; what
the score is worth on data that people rated is measured by `quality.worth`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from kt_lib.branches import RATED_AS_A_WHOLE, Exchange, as_seen, best_leaf, exchanges, opinion, unanswered
from kt_lib.calls.judging import goes_in_circles
from kt_lib.calls.schemas import schema_fault
from kt_lib.quality.signs import (
    cut_off,
    grounded,
    literals,
    noise,
    refusal,
    same_language,
    words_of,
)
from kt_lib.records import ChatMessage, Conversation, Record, canonical_json
from kt_lib.tools_seen import calls_made

SHORTEST, LONGEST = 1, 800
"""Words of an answer that is neither a blank nor a book."""


class Reason(Record):
    """One thing that was looked at."""

    name: str
    """What it is."""
    weight: float
    """How much it counts beside the others."""
    value: float
    """0 bad to 1 good."""
    why: str
    """What was seen, in words."""


class Quality(Record):
    """How good a conversation is to learn from."""

    score: float
    """0 to 1: the mean of the reasons by weight."""
    reasons: tuple[Reason, ...]
    """What it is made of; what does not apply is not among them."""

    @property
    def worst(self) -> Reason | None:
        """What weighs most against it; None where nothing could be looked at."""
        return max(self.reasons, key=lambda one: one.weight * (1 - one.value), default=None)


class Looked(NamedTuple):
    """What the factors look at."""

    chat: Conversation
    """The conversation."""
    exchanges: list[Exchange]
    """The exchanges of the branch that is judged."""
    answers: list[tuple[ChatMessage, ...]]
    """What came of each exchange that was answered, as a model sees it."""
    asked: list[str]
    """What the user had said in each of these."""


Judge = Callable[[Looked], tuple[float, str] | None]


def quality(chat: Conversation, leaf: str | None = None, without: Collection[str] = ()) -> Quality:
    """The quality of the branch that ends with `leaf`, else of the one that would be learned (`best_leaf`).

    `without` names factors that are left out of it.
    """
    found = exchanges(chat, leaf or best_leaf(chat))
    answered = [one for one in found if one.answer]
    looked = Looked(
        chat=chat,
        exchanges=found,
        answers=[as_seen(one.answer.messages) if one.answer else () for one in answered],
        asked=["\n".join(message.text for message in one.asked) for one in answered],
    )
    reasons = []
    for name, (weight, judge) in FACTORS.items():
        said = None if name in without else judge(looked)
        if said is not None:
            reasons.append(Reason(name=name, weight=weight, value=round(said[0], 4), why=said[1]))
    whole = sum(one.weight for one in reasons)
    score = sum(one.weight * one.value for one in reasons) / whole if whole else 0.0
    return Quality(score=round(score, 4), reasons=tuple(reasons))


def worst_first(chats: Iterable[Conversation]) -> list[tuple[Conversation, Quality]]:
    """The conversations with their quality, the worst first."""
    return sorted(((chat, quality(chat)) for chat in chats), key=lambda both: both[1].score)


def good_enough(chats: Iterable[Conversation], least: float) -> tuple[list[Conversation], dict[str, int]]:
    """The conversations of at least this quality, and how many others, by what weighs most against each."""
    kept: list[Conversation] = []
    left_out = Counter[str]()
    for chat in chats:
        found = quality(chat)
        if found.score >= least:
            kept.append(chat)
        else:
            why = found.worst.name if found.worst else "nothing in it"
            left_out[f"quality below {least:g}, most of all for {why}"] += 1
    return kept, dict(left_out.most_common())


# --- the factors -----------------------------------------------------------------------------------------------------


def said_by_people(looked: Looked) -> tuple[float, str] | None:
    """What people said of the answers: their ratings, and what the user said next."""
    said = [opinion(one.answer) for one in looked.exchanges if one.answer]
    values = [one.value for one in said if one.value]
    if looked.chat.source.format in RATED_AS_A_WHOLE and said and said[-1].value:
        values = [said[-1].value]
    good = sum(value > 0 for value in values)
    return (good / len(values), f"{good} of {len(values)} opinions are good") if values else None


def turns_complete(looked: Looked) -> tuple[float, str] | None:
    """Whether what was asked was answered, and every turn came to its end."""
    if not looked.exchanges:
        return 0.0, "nobody asks anything"
    whole = sum(bool(one.answer and one.answer.ended_well and _ends_in_words(one)) for one in looked.exchanges)
    return whole / len(looked.exchanges), f"{whole} of {len(looked.exchanges)} exchanges came to an end"


def _ends_in_words(exchange: Exchange) -> bool:
    seen = as_seen(exchange.answer.messages) if exchange.answer else ()
    return bool(seen) and seen[-1].role == "assistant"


def calls_fit(looked: Looked) -> tuple[float, str] | None:
    """Whether calls can be read and fit the schemas of the tools that were offered, where these are known."""
    messages = [message for one in looked.exchanges if one.answer for message in one.answer.messages]
    parts = [part for message in messages for part in message.parts if part.kind == "tool_call"]
    tools = looked.chat.tools
    faults = [
        "a call that cannot be read" if not part.well_formed or part.call is None else schema_fault(part.call, tools)
        for part in parts
        if tools or not part.well_formed
    ]
    bad = [fault for fault in faults if fault]
    if not parts:
        return None
    return 1 - len(bad) / len(parts), bad[0] if bad else f"{len(parts)} calls" + (" fit their schemas" if tools else "")


def values_grounded(looked: Looked) -> tuple[float, str] | None:
    """Whether the values of calls stand in what was said or came back before them."""
    before, found, missing = looked.chat.system or "", 0, list[str]()
    for asked, answer in zip(looked.asked, looked.answers, strict=True):
        before += f"\n{asked}"
        for message in answer:
            for value in (value for call in message.tool_calls for value in literals_of_call(call.arguments)):
                found += 1
                missing += [] if grounded(value, before) else [value]
            before += f"\n{message.content}" if message.role == "tool" or not message.tool_calls else ""
    if not found:
        return None
    why = f"{missing[0][:40]!r} comes from nowhere" if missing else f"{found} values were said before"
    return 1 - len(missing) / found, why


def literals_of_call(arguments: object) -> list[str]:
    """The texts and numbers in a call's arguments."""
    if isinstance(arguments, dict):
        return [value for one in arguments.values() for value in literals_of_call(one)]
    if isinstance(arguments, list):
        return [value for one in arguments for value in literals_of_call(one)]
    return [str(arguments)] if isinstance(arguments, str | int | float) and not isinstance(arguments, bool) else []


def names_kept(looked: Looked) -> tuple[float, str] | None:
    """Whether numbers, paths and quoted names of a request come back in what is done or said for it."""
    wanted, lost = 0, list[str]()
    for asked, answer in zip(looked.asked, looked.answers, strict=True):
        told = "\n".join(f"{one.content} {canonical_json(one.model_dump()['tool_calls'])}" for one in answer)
        named = literals(asked)
        wanted += len(named)
        lost += [name for name in named if not grounded(name, told)]
    if not wanted:
        return None
    return 1 - len(lost) / wanted, f"{lost[0]!r} was named and not taken up" if lost else f"{wanted} names taken up"


def results_answered(looked: Looked) -> tuple[float, str] | None:
    """Whether calls have their results, but for those at the very end."""
    last = looked.exchanges[-1:]
    said = [(one.answer, one in last) for one in looked.exchanges if one.answer]
    made = [(answer, at_end) for answer, at_end in said if any(calls_made(one) for one in answer.messages)]
    if not made:
        return None
    lacking = sum(unanswered(answer.messages, at_end) for answer, at_end in made)
    why = f"{lacking} of {len(made)} exchanges lack results" if lacking else "every call has its result"
    return 1 - lacking / len(made), why


def answers_say_something(looked: Looked) -> tuple[float, str] | None:
    """Whether answers are neither empty nor a refusal."""
    texts = _texts(looked)
    bad = [why for text in texts if (why := refusal(text))]
    return (1 - len(bad) / len(texts), bad[0] if bad else f"{len(texts)} answers") if texts else (0.0, "no answer")


def nothing_repeated(looked: Looked) -> tuple[float, str] | None:
    """Whether no answer says what the one before it said, goes round in circles, or makes a call twice."""
    texts = [text for text in _texts(looked) if text]
    again = sum(goes_in_circles(text) for text in texts)
    again += sum(one == other for one, other in itertools.pairwise(texts))
    whole = len(texts)
    for answer in looked.answers:
        calls = [canonical_json([call.name, call.arguments]) for one in answer for call in one.tool_calls]
        again += len(calls) - len(set(calls))
        whole += len(calls)
    return (max(0.0, 1 - again / whole), f"{again} of {whole} said or called again") if whole else None


def ends_whole(looked: Looked) -> tuple[float, str] | None:
    """Whether no answer is cut off."""
    texts = [text for text in _texts(looked) if text]
    cut = [why for text in texts if (why := cut_off(text))]
    return (1 - len(cut) / len(texts), cut[0] if cut else "answers are whole") if texts else None


def plainly_spoken(looked: Looked) -> tuple[float, str] | None:
    """Whether answers are free of robotic phrases and apologies."""
    texts = [text for text in _texts(looked) if text]
    bad = [why for text in texts if (why := noise(text))]
    return (1 - len(bad) / len(texts), bad[0] if bad else "plainly spoken") if texts else None


def length_sane(looked: Looked) -> tuple[float, str] | None:
    """Whether answers in words are neither blank nor a book."""
    lengths = [len(words_of(text)) for text in _texts(looked) if text]
    sane = sum(SHORTEST <= length <= LONGEST for length in lengths)
    return (sane / len(lengths), f"{min(lengths)} to {max(lengths)} words an answer") if lengths else None


def language_kept(looked: Looked) -> tuple[float, str] | None:
    """Whether questions are answered in their script and language, as far as these can be told."""
    pairs = [(asked, text) for asked, text in zip(looked.asked, _texts(looked), strict=True) if text]
    alike = [one for one in (same_language(asked, text) for asked, text in pairs) if one is not None]
    return (sum(alike) / len(alike), f"{sum(alike)} of {len(alike)} in the user's language") if alike else None


def _texts(looked: Looked) -> list[str]:
    """What each answered exchange says in words; empty where its last step is a call."""
    return [
        "\n".join(one.content for one in answer if one.role == "assistant" and one.content).strip()
        if answer and not answer[-1].tool_calls
        else ""
        for answer in looked.answers
    ]


FACTORS: dict[str, tuple[float, Judge]] = {
    "said_by_people": (4.0, said_by_people),
    "turns_complete": (1.0, turns_complete),
    "calls_fit": (2.0, calls_fit),
    "values_grounded": (2.0, values_grounded),
    "names_kept": (1.0, names_kept),
    "results_answered": (1.0, results_answered),
    "answers_say_something": (2.0, answers_say_something),
    "nothing_repeated": (1.0, nothing_repeated),
    "ends_whole": (1.0, ends_whole),
    "plainly_spoken": (0.5, plainly_spoken),
    "length_sane": (0.5, length_sane),
    "language_kept": (0.5, language_kept),
}
"""Every factor with its weight: a person's word counts most, then what can be checked, then how it reads."""
