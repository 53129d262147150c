"""What a teacher model is asked for: conversations by persona, scenario and pattern, and the requests for them."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache as once
from importlib.resources import as_file, files
from typing import Any

from kt_lib.corrections.wordings import tools as agent_tools
from kt_lib.errors import SetupError
from kt_lib.personas import PERSONAS, persona
from kt_lib.records import ChatMessage, Decoding, Record, Request, ToolSpec, content_id
from kt_lib.teaching.conversations import Refusal
from kt_lib.yaml_files import read_yaml

WARMTH = 0.8
"""Temperature: a teacher that always writes the same is no use."""
LONGEST = 2000
"""Most tokens of one conversation."""
NO_CALL, SINGLE = "no call", "single request"
_SEEDS = 1_000_000
"""How far the seeds of a first and a second try stand apart."""


class Wish(Record):
    """A conversation that is wanted."""

    persona: str
    """One of the five kinds of users."""
    scenario: str
    """What it is about: a scenario of teacher.yaml by its name, or free words."""
    pattern: str
    """How it goes: a pattern of teacher.yaml."""
    tools: tuple[ToolSpec, ...]
    """Tools offered in it."""


def patterns() -> Mapping[str, Any]:
    """The patterns a conversation may follow, by name: words, turns of the user, and whether tools are called."""
    found: dict[str, Any] = _words()["patterns"]
    return found


def scenarios() -> Mapping[str, Any]:
    """The scenarios by name: words, and the names of the tools offered in them."""
    found: dict[str, Any] = _words()["scenarios"]
    return found


def drawn_wishes(
    count: int,
    seed: int,
    tools: Sequence[ToolSpec] = (),
    multi_turn_share: float = 0.3,
    no_call_share: float = 0.15,
) -> list[Wish]:
    """`count` wishes in the wanted shares, the same for the same arguments; personas and scenarios take turns.

    `tools` are offered in all of them; without, each scenario offers those of the agent protocol that it needs.
    """
    if min(multi_turn_share, no_call_share) < 0 or multi_turn_share + no_call_share > 1:
        raise SetupError(
            f"shares of {multi_turn_share} for several turns and {no_call_share} without a call cannot be drawn:"
            " give two numbers from 0 on that are together at most 1"
        )
    rng = random.Random(f"wishes {seed}")
    several = [name for name, pattern in patterns().items() if pattern["user_turns"][0] > 1]
    silent, longer = round(count * no_call_share), round(count * multi_turn_share)
    chosen = [NO_CALL] * silent + [several[at % len(several)] for at in range(longer)]
    chosen = (chosen + [SINGLE] * count)[:count]
    rng.shuffle(chosen)
    users, about = (rng.sample(list(all_), len(all_)) for all_ in ([one.name for one in PERSONAS], scenarios()))
    return [
        Wish(
            # Five and ten share a factor: the shift lets every persona meet every scenario.
            persona=users[(at + at // len(about)) % len(users)],
            scenario=about[at % len(about)],
            pattern=pattern,
            tools=tuple(tools) or _tools_for(about[at % len(about)]),
        )
        for at, pattern in enumerate(chosen)
    ]


def _tools_for(scenario: str) -> tuple[ToolSpec, ...]:
    known = agent_tools(described=True)
    return tuple(known[name] for name in scenarios()[scenario]["tools"])


def requests_for(wishes: Sequence[Wish], seed: int, constrained: bool = False) -> dict[int, Request]:
    """The first request for each wish, by its place; equal wishes are told apart by a number, and so is each seed.

    `constrained` asks the server to keep the answer inside `conversation_schema`.
    """
    seen: Counter[str] = Counter()
    found = {}
    for at, wish in enumerate(wishes):
        kind = content_id(wish.model_dump(mode="json"))
        seen[kind] += 1
        schema = conversation_schema(wish.tools) if constrained else None
        found[at] = _request(wish, seen[kind], seed).model_copy(update={"output_schema": schema})
    return found


def conversation_schema(tools: Sequence[ToolSpec]) -> dict[str, Any]:
    """JSON Schema of a conversation with these tools: what `read_conversation` reads, with calls that fit."""
    words = {"type": "string", "minLength": 1}
    calls = [_object(name={"const": tool.name}, arguments=_closed(tool.parameters)) for tool in tools]
    messages = [
        _object(role={"const": "user"}, content=words),
        _object(role={"const": "assistant"}, content=words),
        _object(role={"const": "assistant"}, tool_calls={"type": "array", "minItems": 1, "items": {"anyOf": calls}}),
        _object(role={"const": "tool"}, name={"enum": [tool.name for tool in tools]}, content=words),
    ]
    return _object(messages={"type": "array", "minItems": 2, "items": {"anyOf": messages}})


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _closed(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", **parameters, "additionalProperties": False}


def _request(wish: Wish, variation: int, seed: int) -> Request:
    user = persona(wish.persona)
    if user not in PERSONAS:
        raise SetupError(f"{wish.persona!r} is no persona: give one of {', '.join(one.name for one in PERSONAS)}")
    if wish.pattern not in patterns():
        raise SetupError(f"{wish.pattern!r} is no pattern: give one of {', '.join(patterns())}")
    if not wish.tools:
        raise SetupError(f"a conversation about {wish.scenario!r} is wanted without tools: offer at least one")
    known = scenarios().get(wish.scenario)
    asked = _words()["wish"].format(
        persona=wish.persona,
        persona_words=user.words,
        scenario=f"{wish.scenario}. {known['words']}" if known else wish.scenario,
        pattern=wish.pattern,
        pattern_words=patterns()[wish.pattern]["words"],
        tools="\n".join(json.dumps(tool.model_dump(), ensure_ascii=False) for tool in wish.tools),
        variation=variation,
    )
    messages = (ChatMessage(role="system", content=_words()["system"]), ChatMessage(role="user", content=asked))
    decoding = Decoding(temperature=WARMTH, max_tokens=LONGEST, seed=seed + variation - 1)
    return Request(messages=messages, decoding=decoding)


def asked_again(first: Request, fault: Refusal, tried: int) -> Request:
    """The same wish by another seed, with what was wrong with the last answer; that answer itself is not sent."""
    system, wish = first.messages
    text = f"{wish.content}\n\n{_words()['again'].format(reason=fault.reason, detail=fault.detail)}"
    messages = (system, wish.model_copy(update={"content": text}))
    decoding = first.decoding.model_copy(update={"seed": (first.decoding.seed or 0) + tried * _SEEDS})
    return first.model_copy(update={"messages": messages, "decoding": decoding})


@once
def _words() -> dict[str, Any]:
    with as_file(files("kt_lib.teaching") / "teacher.yaml") as path:
        found: dict[str, Any] = read_yaml(path, "teacher's prompt", SetupError)
    return found
