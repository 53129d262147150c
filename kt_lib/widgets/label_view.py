"""What the labelling widget shows, as plain data: every text fit to be shown, nothing of it markup."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from kt_lib.labelling.queue import Progress, Queue
from kt_lib.labels import Answer, Label, Question, QuestionKind, Side, Suggestion, Verdict
from kt_lib.records import ToolCall, canonical_json
from kt_lib.showing import shown

ASKED: dict[QuestionKind, str] = {
    "turn": "Did this chat turn succeed?",
    "reading": "Are these the right calls for this request?",
    "preference": "Which answer is better?",
    "edit": "Is this edit an improvement?",
    "pattern": "Is this pattern right?",
    "voice": "Does this answer fit this user in tone, length and what it explains, right or not?",
}
CHOICES: dict[QuestionKind, tuple[tuple[str, Verdict, str], ...]] = {
    "turn": (("y", "yes", "Yes"), ("n", "no", "No")),
    "reading": (("y", "yes", "Yes"), ("n", "no", "No"), ("c", "corrected", "Correct it")),
    "preference": (("1", "first", "Left"), ("2", "second", "Right"), ("0", "tie", "Equal")),
    "edit": (("y", "yes", "Better"), ("n", "no", "Worse"), ("0", "same", "Neither")),
    "pattern": (("y", "yes", "Accept"), ("n", "no", "Reject"), ("c", "corrected", "Correct it")),
    "voice": (("y", "yes", "Fits"), ("n", "no", "Does not")),
}
"""(key, verdict, words) for each kind of question; `first` and `second` are the sides as they are shown."""
_LONGEST = 20_000
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_MOST_WORDS = 4_000
_SWAPPED: dict[Verdict, Verdict] = {"first": "second", "second": "first"}


def question_view(question: Question, answer: Answer | None, annotator: str, hidden: bool) -> dict[str, Any]:
    """One question with all that is needed to judge it."""
    order = side_order(question, annotator)
    blind = question.kind == "preference"
    names = ("left", "right") if blind else tuple(side.name for side in question.sides)
    sides = [question.sides[at] for at in order]
    return {
        "id": question.id,
        "kind": question.kind,
        "asked": ASKED[question.kind],
        "context": [
            {"role": one.role, "text": shown(_said(one.content, one.tool_calls), _LONGEST)} for one in question.context
        ],
        "sides": [_side(side, name) for side, name in zip(sides, names, strict=False)],
        "diff": word_diff(question.sides[0].text, question.sides[1].text) if _is_edit(question) else None,
        "tools": [{"name": shown(tool.name, 200), "schema": _pretty(tool.parameters)} for tool in question.tools],
        "choices": [{"key": key, "verdict": verdict, "words": words} for key, verdict, words in CHOICES[question.kind]],
        "suggestions": [] if hidden else [_suggestion(one, question, order) for one in question.suggestions],
        "answer": _answer(answer, question, order) if answer else None,
        "draft": draft(question, answer),
    }


def _is_edit(question: Question) -> bool:
    return question.kind == "edit" and len(question.sides) > 1


def side_order(question: Question, annotator: str) -> tuple[int, ...]:
    """The order in which the sides are shown: of two answers either may stand left, by hash, so that no place wins."""
    if question.kind == "preference":
        swapped = hashlib.sha256(f"{question.id}\n{annotator}".encode()).digest()[0] % 2
        return (1, 0) if swapped else (0, 1)
    return tuple(range(len(question.sides)))


def as_asked(verdict: Verdict, order: tuple[int, ...]) -> Verdict:
    """A verdict on the sides as they stand in the question, from one on the sides as they were shown; and back."""
    return _SWAPPED.get(verdict, verdict) if order == (1, 0) else verdict


def _side(side: Side, name: str) -> dict[str, Any]:
    return {
        "name": shown(name, 100),
        "text": shown(side.text, _LONGEST),
        "calls": [shown(written(call), _LONGEST) for call in side.calls],
    }


def _said(text: str, calls: Sequence[ToolCall]) -> str:
    return "\n".join(filter(None, [text, *(written(call) for call in calls)]))


def written(call: ToolCall) -> str:
    """A call on one line."""
    return f"{call.name}({', '.join(f'{name}={canonical_json(value)}' for name, value in call.arguments.items())})"


def _suggestion(one: Suggestion, question: Question, order: tuple[int, ...]) -> dict[str, Any]:
    verdict = as_asked(one.verdict, order)
    return {
        "verdict": verdict,
        "words": words_of(verdict, question.kind),
        "score": round(one.score, 2),
        "origin": shown(one.origin, 100),
        "because": shown(one.because, 400),
    }


def words_of(verdict: Verdict, kind: QuestionKind) -> str:
    """A verdict as the buttons say it."""
    return next((words for _, name, words in CHOICES[kind] if name == verdict), verdict)


def _answer(answer: Answer, question: Question, order: tuple[int, ...]) -> dict[str, Any]:
    verdict = as_asked(answer.verdict, order)
    return {
        "verdict": verdict,
        "words": words_of(verdict, question.kind),
        "text": shown(answer.text, 2000),
        "calls": [shown(written(call), 2000) for call in answer.calls],
        "flagged": answer.flagged,
        "note": shown(answer.note, 2000),
        "origin": answer.origin,
    }


def draft(question: Question, answer: Answer | None) -> str | None:
    """What a correction starts from: the last correction, else what is judged. None where nothing can be corrected."""
    if question.kind == "pattern":
        return answer.text if answer and answer.text else question.sides[0].text
    if question.kind != "reading":
        return None
    calls = answer.calls if answer and answer.verdict == "corrected" else question.sides[0].calls
    return _pretty([{"name": call.name, "arguments": call.arguments} for call in calls])


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


def word_diff(before: str, after: str) -> list[dict[str, str]]:
    """What became of a text, word by word: pieces that stayed, went (`del`) or came (`ins`)."""
    old, new = (_WORDS.findall(shown(text, _LONGEST))[:_MOST_WORDS] for text in (before, after))
    pieces: list[dict[str, str]] = []
    for did, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if did == "equal":
            pieces.append({"did": "same", "text": "".join(old[a:b])})
        else:
            pieces += [{"did": "del", "text": "".join(old[a:b])}] * (b > a)
            pieces += [{"did": "ins", "text": "".join(new[c:d])}] * (d > c)
    return pieces


def progress_view(progress: Progress) -> dict[str, Any]:
    """Counts, rate and time left, in words."""
    return {
        "done": progress.done,
        "skipped": progress.skipped,
        "flagged": progress.flagged,
        "total": progress.total,
        "rate": f"{progress.per_hour:.0f} an hour" if progress.per_hour else "",
        "left": in_words(progress.seconds_left) if progress.seconds_left else "",
    }


def in_words(seconds: float) -> str:
    """A duration to plan by."""
    if seconds < 90:
        return "about a minute left"
    return f"about {seconds / 60:.0f} minutes left" if seconds < 5400 else f"about {seconds / 3600:.0f} hours left"


def disputed_view(queue: Queue) -> list[dict[str, Any]]:
    """The disagreements: each question with what everybody said."""
    return [
        {
            "id": question.id,
            "asked": ASKED[question.kind],
            "about": shown(question.context[-1].content if question.context else question.sides[0].text, 200),
            "said": [_said_by(label, question) for label in labels],
        }
        for question, labels in queue.disagreements()
    ]


def _said_by(label: Label, question: Question) -> dict[str, str]:
    order = tuple(range(len(question.sides)))
    answer = _answer(label.answer, question, order)
    more = "; ".join(filter(None, [*answer["calls"], answer["text"], answer["note"]]))
    return {
        "annotator": shown(label.annotator, 100),
        "words": f"{_canonical(label.answer.verdict, question)}",
        "more": more,
    }


def _canonical(verdict: Verdict, question: Question) -> str:
    """A verdict in words that do not hang on where a side was shown."""
    if verdict in ("first", "second") and question.kind == "preference":
        return shown(question.sides[verdict == "second"].name, 100)
    return words_of(verdict, question.kind)
