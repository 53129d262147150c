"""Tell what a record is by its shape, and say in words what it looks like when it is nothing that is read here."""

from __future__ import annotations

from typing import Any, Literal

from kt_lib.sources.fields import list_of, shown
from kt_lib.sources.found import Unusable
from kt_lib.sources.trajectories import REWARDS, messages_in

Kind = Literal[
    "openwebui.chat",
    "openwebui.feedback",
    "intercode.result",
    "trajectory",
    "bfcl.question",
    "suite.report",
    "suite.trace",
    "openai.row",
    "sharegpt.row",
    "alpaca.row",
    "xlam.row",
    "glaive.row",
    "star.dialogue",
    "taskmaster.action",
    "nl2bash.judgement",
]

_ROWS: dict[Kind, set[str]] = {
    "star.dialogue": {"Events", "Scenario"},
    "taskmaster.action": {"context", "generation", "reward"},
    "nl2bash.judgement": {"description", "prediction", "correct command"},
    "xlam.row": {"query", "tools", "answers"},
    "alpaca.row": {"instruction", "output"},
}
"""The keys that tell a row's kind."""
_ALPACA_PAIR = {"instruction", "chosen", "rejected"}


def kind_of(value: Any) -> Kind:
    """The kind of a record; `Unusable` says what it looks like instead."""
    if not isinstance(value, dict):
        raise Unusable(f"{shown(value)[:40]!r} is no record: an object is expected")
    if "turn_history" in value or ("query" in value and "trajectory" in value and "reward" in value):
        return "intercode.result"
    if ("question" in value and "function" in value) or str(value.get("id", "")).startswith("multi_turn_"):
        return _bfcl(value)
    if _is_feedback(value):
        return "openwebui.feedback"
    if isinstance(value.get("chat"), str) and isinstance(value.get("system"), str):
        return "glaive.row"
    if _is_chat(value):
        return "openwebui.chat"
    if isinstance(value.get("summary"), dict) and ("tier_details" in value or "tier_scores" in value["summary"]):
        return "suite.report"
    if "entry_type" in value and isinstance(value.get("data"), dict):
        return "suite.trace"
    if {"context", "generation", "reward"} <= value.keys():
        return "taskmaster.action"
    if messages_in(value) and any(key in value for key in REWARDS):
        return "trajectory"
    kind = _training_row(value)
    if kind is None:
        raise Unusable(looks_like(value))
    return kind


def _training_row(value: dict[str, Any]) -> Kind | None:
    """The kind of a row of a training set; None for none that is read here."""
    conversations = list_of(value.get("conversations"))
    if conversations and isinstance(conversations[0], dict) and _is_spoken(conversations[0]):
        return "sharegpt.row"
    for kind, keys in _ROWS.items():
        if keys <= value.keys():
            return kind
    if value.keys() >= _ALPACA_PAIR:
        return "alpaca.row"
    spoken = value.get("messages") or value.get("conversation")
    return "openai.row" if messages_in(value) or isinstance(spoken, str) else None


def _is_spoken(one: dict[str, Any]) -> bool:
    """Whether an object is one turn of a ShareGPT conversation."""
    return {"from", "value"} <= one.keys() or {"role", "content"} <= one.keys()


def _bfcl(value: dict[str, Any]) -> Kind:
    if "question" not in value:
        raise Unusable(looks_like(value))
    return "bfcl.question"


def _is_feedback(value: dict[str, Any]) -> bool:
    if "chat" in value or not isinstance(value.get("meta"), dict | str) or "data" not in value:
        return False
    return value.get("type") == "rating" or "snapshot" in value or "chat_id" in (value["meta"] or "")


def _is_chat(value: dict[str, Any]) -> bool:
    if "chat" in value and not isinstance(value["chat"], list):
        return True
    if isinstance(value.get("history"), dict) and "messages" in value["history"]:
        return True
    # The oldest files hold messages alone; a title, models or a time tell them from rows of OpenAI's form.
    flat = isinstance(value.get("messages"), list) and not any(key in value for key in (*REWARDS, "tools"))
    return flat and any(key in value for key in ("title", "models", "timestamp", "history", "options"))


def looks_like(value: dict[str, Any]) -> str:
    """What a record that is not read here looks like, with what to do about it."""
    if isinstance(value.get("mapping"), dict):
        return "looks like a ChatGPT export (`mapping`), not an Open WebUI chat"
    if isinstance(value.get("chat_messages"), list):
        return "looks like a Claude export (`chat_messages`), not an Open WebUI chat"
    if "ground_truth" in value:
        return "looks like a BFCL answer: give the question file, its answers are found beside it or with --answers"
    if "id" in value and ("result" in value or "output" in value):
        return "looks like model outputs on BFCL tasks: `kt score-calls` reads those"
    if not value:
        return "an empty object"
    keys = ", ".join(shown(key)[:30] for key in list(value)[:6])
    return f"nothing known: an object with {keys}"
