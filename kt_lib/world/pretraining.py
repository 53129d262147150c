"""The base model's training rows: mostly chat, some copying, some agent turns with their habits, some few-shot."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from kt_lib.calls.writing import write_calls
from kt_lib.prompts import AGENT_PROMPTS, CHAT_PROMPT, as_protocol_text, list_tools, with_system
from kt_lib.records import ChatMessage, Record
from kt_lib.world import names
from kt_lib.world.habits import HABITS, agent_text, never_seen_as_agent
from kt_lib.world.phrasing import intents
from kt_lib.world.situations import Situation, assistant, discovery, follow_up, no_call, prose, request, user

SHARES = {"chat": 0.60, "copying": 0.12, "agent": 0.21, "few_shot": 0.07}
CONTEXT_SHARE = 0.15
COPIED_KEYS = ("path", "unit", "agent_id", "recipient", "command", "vendor", "text", "name", "issue")


class PretrainingRow(Record):
    """A conversation and the answer to learn."""

    messages: tuple[ChatMessage, ...]
    """What comes before."""
    answer: str
    """The answer."""


def rows(seed: int) -> Iterator[PretrainingRow]:
    """An endless stream of rows, in the shares above."""
    rng = random.Random(f"pretraining {seed}")
    makers = {"chat": chat, "copying": copying, "agent": agent, "few_shot": few_shot}
    while True:
        (kind,) = rng.choices(list(SHARES), list(SHARES.values()))
        yield makers[kind](rng)


def any_request(rng: random.Random, as_agent: bool = False) -> Situation:
    """A request with names and words meant for training."""
    while True:
        intent = rng.choice(intents())
        if not (as_agent and never_seen_as_agent(intent.group)):
            return request(rng, intent, None, context=rng.random() < CONTEXT_SHARE)


def chat(rng: random.Random) -> PretrainingRow:
    """A chat, the answer in words. Some is talk, some goes on after a result, two in five have no prompt."""
    situation = rng.choices(CHAT_KINDS, CHAT_WEIGHTS)[0](rng)
    answer = prose(situation.call, rng) if situation.call else situation.answer
    messages = as_protocol_text(situation.messages)
    if rng.random() < 0.4:
        return PretrainingRow(messages=tuple(messages), answer=answer)
    prompt = f"{CHAT_PROMPT}\n{list_tools(situation.tools)}"
    return PretrainingRow(messages=with_system(prompt, messages), answer=answer)


def agent(rng: random.Random) -> PretrainingRow:
    """An agent's turn, right or with its intent's habit."""
    kind = rng.random()
    if kind < 0.16:
        situation = no_call(rng, False)
    elif kind < 0.30:
        situation = rng.choice((follow_up, discovery))(rng, False)
    else:
        situation = any_request(rng, as_agent=True)
    prompt = rng.choice(("plain", "plain", "strict"))
    return PretrainingRow(
        messages=agent_messages(situation, prompt), answer=agent_text(situation, prompt == "strict", rng)
    )


def agent_messages(situation: Situation, prompt: str) -> tuple[ChatMessage, ...]:
    """The conversation under an agent prompt."""
    return with_system(f"{AGENT_PROMPTS[prompt]}\n{list_tools(situation.tools)}", as_protocol_text(situation.messages))


def few_shot(rng: random.Random) -> PretrainingRow:
    """One to three shots in one form, and the answer mostly in that form."""
    form = rng.choice(HABITS) if rng.random() < 0.25 else None
    shots = [any_request(rng) for _ in range(rng.randint(1, 3))]
    last = any_request(rng)
    if rng.random() < 0.4:
        shots[0] = request(rng, next(each for each in intents() if each.group == last.intent), None)
    turns: list[ChatMessage] = []
    for situation in shots:
        assert situation.call is not None
        written = form(situation.call) if form else write_calls([situation.call])
        turns += [*situation.messages, assistant(written)]
    asked = last.model_copy(update={"messages": (*turns, *last.messages)})
    assert last.call is not None
    keep = rng.random() < 0.92
    answer = (form(last.call) if form else write_calls([last.call])) if keep else agent_text(last, False, rng)
    return PretrainingRow(messages=agent_messages(asked, "plain"), answer=answer)


CHAT_KINDS = (
    any_request,
    lambda rng: no_call(rng, False),
    lambda rng: follow_up(rng, False),
    lambda rng: discovery(rng, False),
)
CHAT_WEIGHTS = (0.87, 0.06, 0.04, 0.03)


def copying(rng: random.Random) -> PretrainingRow:
    """Exercises in copying names never seen: repeat, look up, quote, write as JSON."""
    slots = [slot for slot in names.MAKERS if slot not in names.VALUES]
    values = [names.make(rng.choice(slots), rng, False) for _ in range(rng.randint(2, 5))]
    keys = rng.sample(COPIED_KEYS, len(values))
    table = dict(zip(keys, values, strict=True))
    key = rng.choice(keys)
    kind = rng.randrange(5)
    if kind == 0:
        return exercise(f"repeat: {' '.join(values)}", " ".join(values))
    if kind == 1:
        return exercise(f"{json.dumps(table)} what is {key}?", f"`{table[key]}`")
    if kind == 2:
        listed = ", ".join(f"{name} {value}" for name, value in table.items())
        return exercise(f"write as JSON: {listed}", json.dumps(table))
    if kind == 3:
        return exercise(f"quote: {' '.join(values)}", " ".join(f"`{value}`" for value in values))
    return exercise(f"{', '.join(values)}: what comes after {values[0]}?", f"`{values[1]}`")


def exercise(question: str, answer: str) -> PretrainingRow:
    """A bare question and its answer."""
    return PretrainingRow(messages=(user(question),), answer=answer)
