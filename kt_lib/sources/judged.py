"""Answers that people judged right or wrong: Taskmaster's next actions, NL2Bash's predicted commands."""

from __future__ import annotations

import re
from typing import Any

from kt_lib.records import MessagePart, Provenance, Rating
from kt_lib.sources.chains import Turn, conversation_from, said
from kt_lib.sources.fields import dict_of, list_of, loaded, number_of, shown, text_of
from kt_lib.sources.found import Found, Unusable
from kt_lib.sources.openwebui_details import call_part, result_part
from kt_lib.tools_seen import BASH

_PLACEHOLDER = re.compile(r"\w*__SP__\w*|\b_*UNK\w*|\[[a-z]{4,}\]")
"""What NL2Bash's models write where they know no value: `__SP__UNK`, `[regex]`, `[quantity]`."""


def taskmaster_row(row: dict[str, Any], source: Provenance) -> Found:
    """`{context, generation, reward}`: the talk so far, one next action, and whether people found it right.

    Rows with one context are branches of one conversation, each with its rating.
    """
    context = [_taskmaster_turn(one) for one in list_of(loaded(text_of(row.get("context"))))]
    reward = number_of(row.get("reward"))
    if not context or reward is None:
        raise Unusable("a Taskmaster row without a context or a reward")
    role, parts = _taskmaster_turn(loaded(text_of(row.get("generation"))))
    if role != "assistant" or not parts:
        raise Unusable("a Taskmaster row whose generation is no action of the agent")
    rating = Rating(value=1 if reward >= 1 else -1, reason=f"reward {reward:g}")
    talk = conversation_from([*context, (role, parts)], source, rating=rating, grows_from=len(context))
    return Found(conversations=(talk,))


def _taskmaster_turn(raw: Any) -> Turn:
    one = dict_of(raw)
    if one.get("role") == "user":
        return said("user", text_of(one.get("text")))
    if one.get("role") == "api":
        results = [result_part(shown(value), None) for value in dict_of(one.get("response")).values()]
        return "tool", tuple(results)
    calls: list[MessagePart] = [
        call_part(name, arguments if isinstance(arguments, dict) else {}, None)
        for name, arguments in dict_of(one.get("api")).items()
    ]
    return "assistant", (*said("assistant", text_of(one.get("text")))[1], *calls)


def nl2bash_row(row: dict[str, Any], source: Provenance) -> Found:
    """`description,prediction,...,correct command`: a request, a predicted command, and a person's y or n.

    Predictions for one request are branches of one conversation, each a call of a shell: that is what was judged.
    """
    asked, command = text_of(row.get("description")).strip(), text_of(row.get("prediction")).strip()
    verdict = text_of(row.get("correct command")).strip().lower()
    if not asked or not command:
        raise Unusable("a judged command without its request or its prediction")
    if any(found not in asked for found in _PLACEHOLDER.findall(command)):
        raise Unusable("a judged command with a placeholder where a value is due")
    rating = Rating(value=1 if verdict == "y" else -1, reason="judged by people") if verdict in ("y", "n") else None
    answer: Turn = ("assistant", (call_part(BASH.name, {"command": command}, None),))
    talk = conversation_from([said("user", asked), answer], source, tools=(BASH,), rating=rating, grows_from=1)
    return Found(conversations=(talk,))
