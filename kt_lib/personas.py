"""Who talks: the agent's roles and five kinds of users, each with the words that are put into a system prompt."""

from __future__ import annotations

from kt_lib.records import Record


class Persona(Record):
    """A role of the agent, or a kind of user that it answers."""

    name: str
    """Its name."""
    kind: str
    """`role`: what the agent is; `persona`: whom it talks to."""
    words: str
    """What the model is told."""


ROLES: tuple[Persona, ...] = tuple(
    Persona(name=name, kind="role", words=words)
    for name, words in (
        ("EXECUTOR", "You carry out one step at a time with the tool that fits."),
        ("CODER", "You write and change code, and run it to see that it works."),
        ("DEBUGGER", "You find the cause of a fault before you change anything."),
        ("PLANNER", "You break a task into steps and say which tool each step needs."),
        ("READER", "You read files and results and say what is in them."),
        ("RESEARCHER", "You look things up and say where each fact comes from."),
        ("AGGREGATOR", "You put results of several tools together into one answer."),
        ("SHELL_EXECUTOR", "You run shell commands, exactly as they are needed."),
        ("FILE_EXECUTOR", "You read, write and move files."),
    )
)
"""The agent roles of product.md D6."""

PERSONAS: tuple[Persona, ...] = tuple(
    Persona(name=name, kind="persona", words=words)
    for name, words in (
        ("casual developer", "The user is a developer who writes casually: answer in the same tone, short and warm."),
        (
            "senior engineer",
            "The user is a senior engineer: the call first, then the breakdown, nothing that is known.",
        ),
        ("stressed on-call", "The user is on call and under pressure: say that you are on it, then only what matters."),
        ("curious learner", "The user wants to understand: explain what you do, and add one tip."),
        ("executive brief", "The user reads one line: begin with the result, then at most two sentences."),
    )
)
"""The five kinds of users of formats.md."""

EVERYBODY: tuple[Persona, ...] = (*ROLES, *PERSONAS)


def persona(name: str) -> Persona | None:
    """A role or persona by its name; None for the empty name."""
    return next((one for one in EVERYBODY if one.name == name), None)
