"""Ratings of Open WebUI: on the message (`annotation`) and as rows of their own (feedback)."""

from __future__ import annotations

from typing import Any

from kt_lib.records import Provenance, Rating, canonical_json, content_id
from kt_lib.sources.fields import dict_of, number_of, seconds_of, shown, text_of, text_or_none, texts_of
from kt_lib.sources.found import Feedback, Found, Unusable

_WORDS = {
    "good": 1,
    "positive": 1,
    "thumbs_up": 1,
    "like": 1,
    "bad": -1,
    "negative": -1,
    "thumbs_down": -1,
    "dislike": -1,
}


def rating_of(data: Any) -> Rating | None:
    """A rating as `annotation` or a feedback row's `data` holds it; None when nobody rated (or in no known way)."""
    if not isinstance(data, dict):
        return None
    value = _value(data.get("rating"))
    if value is None:
        return None
    score = number_of(dict_of(data.get("details")).get("rating"))
    return Rating(
        value=value,
        score=int(score) if score is not None and 1 <= score <= 10 else None,
        reason=text_or_none(data.get("reason")),
        comment=text_or_none(data.get("comment")),
        tags=texts_of(data.get("tags")),
    )


def _value(raw: Any) -> int | None:
    if isinstance(raw, bool):
        return 1 if raw else -1
    if isinstance(raw, str) and raw.strip().lower() in _WORDS:
        return _WORDS[raw.strip().lower()]
    number = number_of(raw)
    return int(number) if number in (-1, 0, 1) else None


def feedback_from(row: dict[str, Any], source: Provenance) -> Found:
    """A feedback row -> the rating and the message that it is about; `Unusable` when it rates nothing."""
    kind = row.get("type", "rating")
    if kind != "rating":
        raise Unusable(f"feedback of type {shown(kind)[:40]!r}: only ratings are read")
    data, meta = dict_of(row.get("data")), dict_of(row.get("meta"))
    rating = rating_of(data)
    if rating is None:
        raise Unusable(f"no rating in it: `data.rating` is {shown(data.get('rating'))[:40]!r}, not 1, -1 or 0")
    chat_id, message_id = text_of(meta.get("chat_id")), text_of(meta.get("message_id"))
    if not chat_id or not message_id:
        raise Unusable("a rating of nothing: no `meta.chat_id` or no `meta.message_id`")
    updated = seconds_of(row.get("updated_at")) or seconds_of(row.get("created_at"))
    identity = content_id(chat_id, message_id, rating.model_dump(mode="json"))
    feedback = Feedback(
        id=identity, source=source, chat_id=chat_id, message_id=message_id, rating=rating, updated=updated
    )
    return Found(feedback=(feedback,))


def is_copied_rating(message: dict[str, Any], sibling: dict[str, Any]) -> bool:
    """Whether the rating of `message` was copied from `sibling` with "save as copy" (0.6) and not given to it.

    Two regenerations may both be liked: only the same feedback row, or the same words on the same usage, is a copy.
    """
    first, second = message.get("annotation"), sibling.get("annotation")
    if not isinstance(first, dict) or not isinstance(second, dict) or canonical_json(first) != canonical_json(second):
        return False
    one, other = message.get("feedbackId"), sibling.get("feedbackId")
    if one or other:
        return bool(one == other)
    if message.get("model") != sibling.get("model"):
        return False
    said = any(first.get(key) for key in ("comment", "reason", "tags"))
    usage = message.get("usage") or message.get("info")
    return bool(said or (usage and usage == (sibling.get("usage") or sibling.get("info"))))
