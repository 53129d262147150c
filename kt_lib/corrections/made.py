"""Corrections in the wanted number, and what is learned from them: SFT rows and preference pairs."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from kt_lib.calls.protocol import read_agent
from kt_lib.corrections.correction import Correction, checked
from kt_lib.corrections.drawing import Decks, Names
from kt_lib.corrections.patterns import PATTERNS, Draft
from kt_lib.corrections.scenes import Dealer
from kt_lib.corrections.wordings import wordings
from kt_lib.leakage import masked
from kt_lib.prompts import agent_request
from kt_lib.records import (
    AcceptedCall,
    ChatMessage,
    Check,
    Completion,
    PreferencePair,
    Protocol,
    SftRow,
    Task,
    content_id,
)

SOURCE = "corrections"
LICENCE = "MIT"
_QUOTED = re.compile(r"`[^`]*`|\"[^\"]*\"|“[^”]*”")


def corrections(variations: int, seed: int) -> list[Correction]:
    """Every documented error in this many variations, all of them checked; the same seed gives the same list.

    The errors take turns, so that any beginning of the list holds all of them alike.
    """
    by_pattern = {pattern: _variations(pattern, variations, seed) for pattern in PATTERNS}
    made = [each for variation in zip(*by_pattern.values(), strict=True) for each in variation]
    checked(made)
    return made


def correction_rows(made: Sequence[Correction], protocol: Protocol) -> list[SftRow]:
    """A row for each correction: the agent's request as an evaluation puts it, and the right answer."""
    return [
        SftRow(
            messages=(*asked.messages, _right(each, protocol)),
            tools=asked.tools,
            kind="correction",
            task_id=each.task.id,
            basis=f"the documented error {each.pattern}, put right; passes the checker",
            source=SOURCE,
            licence=LICENCE,
            consent=True,
        )
        for each in made
        for asked in [agent_request(each.task, protocol)]
    ]


def correction_pairs(made: Sequence[Correction], protocol: Protocol) -> list[PreferencePair]:
    """A pair for each correction: the right answer is preferred to the documented error.

    A pair's sides are texts. By native calling a right call is no text, so that only the corrections whose right answer
    is plain give a pair there; the others are learned from their row alone.
    """
    return [
        PreferencePair(
            prompt=asked.messages,
            chosen=each.right,
            rejected=each.wrong,
            tools=asked.tools,
            task_id=each.task.id,
            basis=each.failure,
            evidence=f"correction: {each.pattern}, both sides checked",
            source=SOURCE,
            licence=LICENCE,
            consent=True,
        )
        for each in made
        if protocol == "json" or not each.task.check.accepted
        for asked in [agent_request(each.task, protocol)]
    ]


def diversity(made: Sequence[Correction]) -> float:
    """The share of different requests once made-up names, digits and quoted text are masked, 0..1; 1 for none.

    The request is what the user said last; earlier turns do not make it another.
    """
    return len(set(map(masked_request, made))) / len(made) if made else 1.0


def masked_request(made: Correction) -> str:
    """What the user said last, without what may change in it."""
    last = next(turn.content for turn in reversed(made.task.messages) if turn.role == "user")
    return masked(_QUOTED.sub(" _quoted_ ", last), made.task.entities)


def _variations(pattern: str, count: int, seed: int) -> list[Correction]:
    rng = random.Random(f"corrections {seed} {pattern}")
    decks = Decks(rng)
    build = PATTERNS[pattern][1]
    found = []
    for variation in range(count):
        names = Names(rng)
        found.append(_correction(pattern, variation, build(Dealer(rng, decks, names)), tuple(names.drawn)))
    return found


def _correction(pattern: str, variation: int, draft: Draft, names: tuple[str, ...]) -> Correction:
    said = "\n".join(f"{turn.content} {[call.arguments for call in turn.tool_calls]}" for turn in draft.turns)
    earlier = sum(turn.role == "user" for turn in draft.turns) - 1
    return Correction(
        pattern=pattern,
        failure=PATTERNS[pattern][0],
        task=Task(
            id=content_id([turn.model_dump() for turn in draft.turns], [tool.name for tool in draft.tools]),
            messages=draft.turns,
            tools=draft.tools,
            check=_check(draft),
            category=draft.category,
            kind="not_calling" if draft.call is None else "multi_turn" if earlier else "main",
            part="train",
            group=f"correction {pattern} {variation}",
            entities=tuple(name for name in names if name in said or name in draft.right or name in draft.wrong),
            information="the tools are named in both modes",
            tags=("correction",),
        ),
        right=draft.right,
        wrong=draft.wrong,
        why=wordings().why[pattern],
        says=draft.says,
        counts=draft.counts,
        different=draft.different,
        bullets=draft.bullets,
    )


def _check(draft: Draft) -> Check:
    if draft.call is None:
        return Check(rule="never", evidence="answer_key")
    accepted = AcceptedCall(
        name=draft.call.name, arguments={name: [value] for name, value in draft.call.arguments.items()}
    )
    return Check(rule="exact", accepted=(accepted,), evidence="answer_key")


def _right(made: Correction, protocol: Protocol) -> ChatMessage:
    calls = read_agent(Completion(text=made.right), made.task.tools, "json").calls
    if protocol == "native" and calls:
        return ChatMessage(role="assistant", tool_calls=calls)
    return ChatMessage(role="assistant", content=made.right)
