"""STAR's suggestions that the worker was shown and did not pick, in the words that STAR has for them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kt_lib.branches import PASSED_OVER
from kt_lib.records import Message, MessagePart, Rating
from kt_lib.sources.fields import dict_of, list_of, text_of
from kt_lib.sources.openwebui import message_id

TASKS, RESPONSES = "tasks", "responses.json"
"""STAR's folder of tasks beside the dialogues, and the file in each that words its labels."""

Wordings = Mapping[str, Mapping[str, str]]
"""By task, the words of each label."""


def wordings_beside(dialogue: Path) -> dict[str, dict[str, str]]:
    """The words of every task that lies where STAR puts them; none where a dialogue stands alone."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted((dialogue.absolute().parent.parent / TASKS).glob(f"*/{RESPONSES}")):
        try:
            raw = dict_of(json.loads(path.read_bytes()))
        except (OSError, ValueError):
            continue
        found[path.parent.name] = {label: text for label, text in raw.items() if isinstance(text, str)}
    return found


def passed_over(
    told: Iterable[tuple[Mapping[str, Any], Message]], tasks: Sequence[str], wordings: Wordings
) -> Iterator[Message]:
    """A message beside each pick for every other suggestion whose words are known: those without gaps to be filled.

    A label that the dialogue's tasks word differently has no known words.
    """
    for event, picked in told:
        seen: dict[str, int] = {}
        said = {picked.text.strip()}
        for label in map(text_of, list_of(event.get("ActionLabelOptions"))):
            words = {wordings[task][label] for task in tasks if label in wordings.get(task, {})}
            text = words.pop().strip() if len(words) == 1 else ""
            if not text or "{" in text or text in said or label == event.get("ActionLabel"):
                continue
            said.add(text)
            parts = (MessagePart(kind="text", text=text),)
            yield Message(
                id=message_id(picked.parent_id, "assistant", parts, seen),
                parent_id=picked.parent_id,
                role="assistant",
                parts=parts,
                rating=Rating(value=0, reason=PASSED_OVER),
            )
