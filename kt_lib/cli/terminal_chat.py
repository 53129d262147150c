"""A chat in the terminal: the tools on offer and the calls the model makes are shown; nothing is ever executed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from kt_lib.models.interface import Model
    from kt_lib.records import ChatMessage, Completion, Mode, Request, ToolCall, ToolSpec

HELP = """\
/tools           the tools on offer
/mode chat       plain answers; /mode agent: calls in the JSON protocol
/new             forget the conversation
/quit            leave (so does the end of input)
After a call type what the tool answered; an empty line leaves it unanswered. Calls are shown, never executed."""

Ask = Callable[[str], "str | None"]
"""Asks for a line behind a prompt; None at the end of input."""
Show = Callable[[str, str, Literal["plain", "model", "call", "fault"]], None]
"""Shows (title, text, what it is)."""


class TerminalChat:
    """One conversation with one model; `ask` reads lines, `show` shows what is said."""

    def __init__(self, model: Model, mode: Mode, tools: Sequence[ToolSpec], ask: Ask, show: Show) -> None:
        self.model, self.mode, self.tools = model, mode, tuple(tools)
        self.ask, self.show = ask, show
        self.messages: list[ChatMessage] = []

    def run(self) -> None:
        """Until /quit or the end of input."""
        self.say(f"{self.model.name}, {self.mode} mode. /help says what can be typed.")
        self.list_tools()
        while (line := self.ask("you> ")) is not None:
            if line.startswith("/"):
                if not self.command(line):
                    return
            elif line.strip():
                self.turn("user", line)

    def say(self, text: str) -> None:
        """Shows a line of our own."""
        self.show("", text, "plain")

    def list_tools(self) -> None:
        """Shows the tools, as the model is told them."""
        from kt_lib.prompts import list_tools

        self.say(list_tools(self.tools) if self.tools else "No tools on offer.")

    def command(self, line: str) -> bool:
        """Does what a line with a slash says; False to leave."""
        name, _, rest = line.partition(" ")
        if name in ("/quit", "/exit"):
            return False
        if name == "/tools":
            self.list_tools()
        elif name == "/new":
            self.messages = []
            self.say("A new conversation.")
        elif name == "/mode" and rest.strip() in ("chat", "agent"):
            self.mode = "agent" if rest.strip() == "agent" else "chat"
            self.say(f"{self.mode} mode.")
        elif name == "/mode":
            self.say(f"{self.mode} mode; `/mode chat` or `/mode agent` changes it.")
        else:
            self.say(HELP if name == "/help" else f"There is no {name}.\n{HELP}")
        return True

    def turn(self, role: Literal["user", "tool"], text: str, tool: str | None = None) -> None:
        """Adds what was typed, and shows what the model makes of it."""
        from kt_lib.errors import ModelError
        from kt_lib.records import ChatMessage

        self.messages.append(ChatMessage(role=role, content=text, name=tool))
        try:
            (completion,) = self.model.complete([self.request()])
        except ModelError as error:
            self.messages.pop()
            self.show("no answer", str(error), "fault")
            return
        if completion.finish == "error":
            self.messages.pop()
            self.show("no answer", completion.error or "the model gave no reason", "fault")
            return
        self.answered(completion)

    def request(self) -> Request:
        """The conversation as every measured task is put: same prompts, same protocol."""
        from kt_lib.prompts import agent_request, chat_request
        from kt_lib.records import Check, Task

        check = Check(rule="never", evidence="none")
        task = Task(id="chat", messages=tuple(self.messages), tools=self.tools, check=check)
        return agent_request(task, "json") if self.mode == "agent" else chat_request(task)

    def answered(self, completion: Completion) -> None:
        """Shows an answer: words as words, a call as a call, a call that cannot be read with what is wrong with it."""
        from kt_lib.calls.protocol import read_agent
        from kt_lib.records import ChatMessage

        if self.mode == "chat":
            self.messages.append(ChatMessage(role="assistant", content=completion.text))
            self.show(self.model.name, completion.text, "model")
            return
        reading = read_agent(completion, self.tools, "json")
        if not reading.calls:
            self.messages.append(ChatMessage(role="assistant", content=completion.text))
            wrong = f"not a readable call: {reading.failure} ({reading.detail})" if reading.failure else ""
            self.show(wrong or self.model.name, completion.text, "fault" if wrong else "model")
            return
        self.messages.append(ChatMessage(role="assistant", content="", tool_calls=reading.calls))
        for call in reading.calls:
            self.show(f"calls {call.name}", written(call), "call")
        self.results(reading.calls)

    def results(self, calls: Sequence[ToolCall]) -> None:
        """Takes what the tools answered from the keyboard; the model goes on after the last one."""
        from kt_lib.records import ChatMessage

        typed = [(call.name, self.ask(f"{call.name} answers> ")) for call in calls]
        given = [(name, text) for name, text in typed if text and text.strip()]
        for name, text in given[:-1]:
            self.messages.append(ChatMessage(role="tool", content=text, name=name))
        if given:
            self.turn("tool", given[-1][1], given[-1][0])


def written(call: ToolCall) -> str:
    """A call as a line of code: `remote_bash(agent_id="web01", command="df -h")`."""
    values = (f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in call.arguments.items())
    return f"{call.name}({', '.join(values)})"


def printable(text: str) -> str:
    """What a model says may hold terminal control codes: they are shown as `?`, never sent to the terminal."""
    return "".join(char if char in "\n\t" or char.isprintable() else "?" for char in text)


def tools_in(file: Path) -> list[ToolSpec]:
    """The tools in a JSON file: a list, or `{"tools": [...]}`, in OpenAI's form, MCP's, or plain name and parameters.

    SourceError for a file that cannot be read or holds an entry that is no tool.
    """
    from kt_lib.errors import SourceError
    from kt_lib.sources.trajectories import tool_from

    try:
        read: Any = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise SourceError(f"{file} cannot be read as JSON: {error}") from error
    entries = read.get("tools") if isinstance(read, dict) else read
    if not isinstance(entries, list):
        raise SourceError(f'{file} holds no list of tools: write [{{"name": ..., "parameters": {{...}}}}]')
    found = [tool_from(entry) for entry in entries]
    if None in found:
        raise SourceError(
            f"{file}, tool {found.index(None) + 1}: it has no name, or is no tool: {entries[found.index(None)]!r:.80}"
        )
    return [tool for tool in found if tool]
