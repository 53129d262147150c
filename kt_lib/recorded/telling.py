"""What a recorded comparison may be read as: its figures, what is surprising in it, and which pair of files is fair."""

from __future__ import annotations

from collections.abc import Iterable

from kt_lib.recorded.sides import NameClues, Side, read_name
from kt_lib.records import PairedTable


def is_fair(chat: Side, agent: Side) -> bool:
    """Same model, same environment and the same schema information: what differs is how the side worked."""
    known = chat.model is not None and chat.schema_given != "unknown"
    same = (chat.model, chat.environment, chat.schema_given) == (agent.model, agent.environment, agent.schema_given)
    return known and same


def fair_pairs(chat: str, agent: str, names: Iterable[str], folder: str = "") -> list[tuple[str, str]]:
    """Pairs (chat file, agent file) among `names` that keep how the sides worked and give both the same information.

    A pair keeps the turns and the method of the given files and shares model, environment, part and schema.
    """
    want_chat, want_agent = read_name(chat, folder), read_name(agent, folder)
    models = {clues.model for clues in (want_chat, want_agent)} - {None}
    known = {name: read_name(name, folder) for name in sorted({*names, chat, agent})}
    return [
        (one, other)
        for one, first in known.items()
        for other, second in known.items()
        if one != other
        and first.model in models
        and _works_as(first, want_chat)
        and _works_as(second, want_agent)
        and _information(first) == _information(second)
    ]


def _works_as(clues: NameClues, wanted: NameClues) -> bool:
    return (clues.environment, clues.method, clues.turns) == (wanted.environment, wanted.method, wanted.turns)


def _information(clues: NameClues) -> tuple[str | None, str | None, str | None, bool]:
    return clues.environment, clues.model, clues.part, clues.handicap


def tell(chat: Side, agent: Side, table: PairedTable, fair: list[tuple[str, str]]) -> list[str]:
    """The comparison in plain sentences: figures, schema, tries, model, and the fair pair."""
    if table.n == 0:
        return ["No query stands in both files: they are results of different tasks, and nothing can be compared."]
    sentences = [_figures(table), *_schema(chat, agent), *_tries(chat, agent), *_models(chat, agent)]
    if chat.environment != agent.environment:
        sentences.append(f"The environments differ too: {chat.environment} in chat, {agent.environment} as an agent.")
    if is_fair(chat, agent):
        sentences.append("As to information this pair is fair: what differs is how the two sides worked.")
    elif fair:
        named = "; or ".join(f"{one} against {other}" for one, other in fair)
        sentences.append(f"A fair pair beside these files: {named}.")
    else:
        sentences.append(
            "No file beside these makes a fair pair: it takes the same model and the same schema information."
        )
    return sentences


def _figures(table: PairedTable) -> str:
    return (
        f"Of the same {table.n} queries the chat side has {_percent(table.first.value)} right and the agent side "
        f"{_percent(table.second.value)}: agent minus chat is {100 * table.difference:+.1f} points "
        f"(95% {100 * table.low:+.1f} to {100 * table.high:+.1f}, McNemar mid-p {table.p_value:.2g})."
    )


def _percent(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.1%}"


def _schema(chat: Side, agent: Side) -> list[str]:
    given = (chat.schema_given, agent.schema_given)
    word = "'handicap' in a file name sounds like less, but it means that the schema WAS given"
    if given == ("given", "not_given"):
        return [f"The surprise: {word}. The chat side had the schema and the agent side had to find it out.", _MIXED]
    if given == ("not_given", "given"):
        return [f"The surprise: {word}. The agent side had the schema and the chat side had to guess it.", _MIXED]
    if given == ("given", "given"):
        return [f"Mind the word: {word}, here to both sides."]
    if given == ("not_given", "not_given"):
        guessed = f" ({chat.blind_starts:.0%} of its queries ask for it or name what does not exist)"
        return [
            "Neither side had the schema, and a single answer cannot look it up"
            + (guessed if chat.blind_starts is not None and chat.turns_allowed == 1 else "")
            + ": the gap shows what looking it up is worth, not that the model writes worse queries in chat."
        ]
    if "unknown" in given:
        sides = " and ".join(side.file for side in (chat, agent) if side.schema_given == "unknown")
        return [f"Whether a schema was given cannot be told from {sides}: the gap may be one of information."]
    return []


_MIXED = "So this comparison mixes mode and information: its gap must not be read as the mode's."


def _tries(chat: Side, agent: Side) -> list[str]:
    if agent.stops_when_right and chat.turns_allowed == 1:
        return [
            f"The agent side had up to {agent.turns_allowed} tries, and a run ended at its first right one: its rate "
            "is that of the best try, where the chat side had one."
        ]
    if chat.turns_allowed and agent.turns_allowed and chat.turns_allowed > agent.turns_allowed:
        return [f"The chat side had more turns ({chat.turns_allowed}) than the agent side ({agent.turns_allowed})."]
    return []


def _models(chat: Side, agent: Side) -> list[str]:
    if chat.model and agent.model and chat.model != agent.model:
        return [f"The models differ too: {chat.model} in chat, {agent.model} as an agent."]
    unnamed = [side.file for side in (chat, agent) if side.model is None]
    return [f"The model of {' and '.join(unnamed)} is not stated in the name."] if unnamed else []
