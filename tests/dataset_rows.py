"""Rows of training files written by hand, as plain objects: good ones in both layouts, to be broken one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HOST = {"type": "object", "properties": {"host": {"type": "string"}}, "required": ["host"]}
TOOL = {"type": "function", "function": {"name": "uptime", "description": "", "parameters": HOST}}
VERBS = "show list count find check read open move copy sort".split()
THINGS = "logs users disks routes jobs mails".split()


def asked(number: int) -> str:
    """Sixty requests in other words."""
    return f"please {VERBS[number % 10]} all the {THINGS[number // 10]} for me"


def plain(number: int) -> dict[str, Any]:
    """A question and its answer."""
    return {"messages": [said("user", asked(number)), said("assistant", f"here are the {THINGS[number // 10]}")]}


def called(number: int, arguments: Any = '{"host": "web"}', name: str = "uptime") -> dict[str, Any]:
    """A call with its result, in OpenAI's form."""
    call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}
    messages = [
        said("system", "Be short."),
        said("user", asked(number)),
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "up 3 days"},
        said("assistant", "It is up."),
    ]
    return {"messages": messages, "tools": [TOOL]}


def pair(number: int, chosen: str = "a good answer", rejected: str = "a bad answer") -> dict[str, Any]:
    """A preference pair in TRL's form."""
    sides = {"chosen": [said("assistant", chosen)], "rejected": [said("assistant", rejected)]}
    return {"prompt": [said("user", asked(number))], **sides}


def said(role: str, content: str) -> dict[str, Any]:
    """A message."""
    return {"role": role, "content": content}


def good(count: int = 60) -> list[dict[str, Any]]:
    """Rows with nothing wrong: every third one calls a tool."""
    return [plain(at) if at % 3 else called(at) for at in range(count)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """One object a line."""
    path.write_bytes(b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows))
    return path
