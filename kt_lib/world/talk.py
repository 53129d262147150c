"""Talk that needs no tool: thanks, greetings, questions with known answers, and what tools report."""

from __future__ import annotations

import random
from collections.abc import Callable

from kt_lib.world.names import make
from kt_lib.world.phrasing import one_side

Talk = tuple[tuple[tuple[str, ...], tuple[str, ...]], str]
"""((turns, alternately user and assistant), names in them), the right plain answer."""

NODS = ("Okay.", "Understood.", "Got it.", "Noted.")
DONE = ("Done.", "That is done.", "It worked.", "Finished.")
JOBS = ("web", "database", "mail", "backup", "cache", "build", "proxy", "monitoring")
FOLLOW_UPS = (
    "now the same on {at}", "and on {at}?", "do it on {at} too", "same for {at}", "and {at}?", "please do that on {at} as well",
    "{at} next", "repeat that on {at}", "what about {at}?", "also on {at}, please", "one more time, on {at}", "then {at}, please",
    "{at} needs the same", "can you do {at} too?", "do likewise on {at}",
)  # fmt: skip
COMMANDS = {
    "chmod": "changes the permissions of a file", "grep": "searches text for a pattern", "df": "shows the free disk space",
    "du": "measures the size of folders", "ps": "lists the running processes", "tar": "packs files into an archive",
    "ssh": "opens a shell on another machine", "ping": "tests whether a host answers", "tail": "prints the end of a file",
    "sort": "puts lines in order", "uname": "prints the kernel version", "mv": "moves or renames a file",
    "cp": "copies a file", "rm": "deletes a file", "mkdir": "creates a folder", "wc": "counts lines and words",
    "kill": "ends a process", "git": "keeps the history of files", "make": "builds a project", "dig": "looks up dns records",
}  # fmt: skip
ASK_COMMAND = (
    "{name} asks what {command} does", "what does {command} do? {name} wants to know", "tell {name} in words what {command} is for",
    "{name} here, what is {command} for?", "hello from {name}, what is {command}?", "explain {command} to {name}",
    "{name} would like to know what {command} does", "for {name}: what does the command {command} do?",
    "{name} is new here, explain {command} please", "{name} never heard of {command}, what is it?",
)  # fmt: skip
THANKS = (
    "thanks, {name} is fine now", "thank you, {name} is happy", "great, that fixed {name}", "perfect, {name} works again",
    "all good with {name}, thanks", "that was all for {name}, thank you", "{name} says thanks", "many thanks from {name}",
    "nice, {name} is back", "good work, {name} is okay",
)  # fmt: skip
GREETINGS = (
    "hello, this is {name}", "hi, {name} here", "good morning, i am {name}", "hey, my name is {name}", "good evening, {name} speaking",
    "hi there, {name} is my name", "hello, {name} again", "hey, it is {name}", "greetings from {name}", "this is {name} from the office",
)  # fmt: skip
REMEMBER = ("remember that {key} is {name}", "note: {key} is {name}", "for later: {key} is {name}", "{key} is {name}, keep it in mind",
            "by the way, {key} is {name}", "just so you know, {key} is {name}")  # fmt: skip
RECALL = ("what is {key}?", "tell me {key} again", "do you remember {key}?", "say {key} once more", "{key} was what?",
          "remind me, what is {key}?", "can you repeat {key}?", "i forgot {key}, what is it?")  # fmt: skip
KEYS = (
    "my name",
    "the code word",
    "the name of my dog",
    "the project name",
    "the name of the server",
    "our vendor",
    "my user name",
)
RESULTS = ("{n}% used", "ok", "exit 0", "{n} entries", "active", "{n} lines", "no errors", "{n} MB", "permission denied", "not found",
           "{n} running", "load {n}", "{name}: active", "{name} is up", "done in {n} s", "{name} not found")  # fmt: skip


def result(rng: random.Random) -> str:
    """What a tool reports; names in it are ordinary words of the world, never names of a task."""
    return rng.choice(RESULTS).format(n=rng.randint(1, 99), name=rng.choice(("nginx", "cron", "sshd", "backup")))


def command_question(rng: random.Random, held_out: bool) -> Talk:
    """What a command is for."""
    command, name = rng.choice(list(COMMANDS)), make("person", rng, held_out)
    asked = rng.choice(one_side(ASK_COMMAND, 0.2, held_out)).format(name=name, command=command)
    return ((asked,), (name,)), f"{command} {COMMANDS[command]}."


def thanks(rng: random.Random, held_out: bool) -> Talk:
    """Thanks."""
    name = make("host", rng, held_out)
    return ((rng.choice(one_side(THANKS, 0.2, held_out)).format(name=name),), (name,)), "You are welcome."


def greeting(rng: random.Random, held_out: bool) -> Talk:
    """A greeting."""
    name = make("person", rng, held_out)
    asked = rng.choice(one_side(GREETINGS, 0.2, held_out)).format(name=name)
    return ((asked,), (name,)), f"Hello {name}, what can I do for you?"


def known_answer(rng: random.Random, held_out: bool) -> Talk:
    """Something said two turns ago."""
    key, name = rng.choice(KEYS), make("host", rng, held_out)
    told = rng.choice(REMEMBER).format(key=key, name=name)
    asked = rng.choice(one_side(RECALL, 0.25, held_out)).format(key=key)
    return ((told, rng.choice(NODS), asked), (name,)), f"It is `{name}`."


TOPICS: dict[str, Callable[[random.Random, bool], Talk]] = {
    "command_question": command_question,
    "thanks": thanks,
    "greeting": greeting,
    "known_answer": known_answer,
}
