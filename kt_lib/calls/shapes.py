"""What a tool's parameters are for, told from their names and schemas: the command, the host, the folder."""

from __future__ import annotations

import json
import re
from typing import Any

from kt_lib.records import ToolSpec

_COMMANDS = ("command", "cmd", "shell_command", "bash_command", "commandline", "command_line", "script", "bash")
_QUERIES = ("query", "sql", "statement", "sql_query")
_SOURCES = ("code", "source", "python_code", "python", "snippet")
_HOSTS = (
    "agent_id agent host hostname server server_name machine node node_id device instance target agent_name host_name "
    "target_host remote_host vm"
).split()
_FOLDERS = "path repo repository directory dir folder cwd workdir working_directory working_dir repo_path root".split()


def properties_of(tool: ToolSpec) -> dict[str, dict[str, Any]]:
    """JSON Schemas by parameter."""
    properties = tool.parameters.get("properties")
    if not isinstance(properties, dict):
        return {}
    return {name: schema if isinstance(schema, dict) else {} for name, schema in properties.items()}


def required_of(tool: ToolSpec) -> list[str]:
    """Names of the required parameters."""
    required = tool.parameters.get("required")
    return [str(name) for name in required] if isinstance(required, list) else []


def command_parameter(tool: ToolSpec) -> str | None:
    """The parameter that takes a shell command, if the tool has one."""
    return _first(tool, _COMMANDS)


def query_parameter(tool: ToolSpec) -> str | None:
    """The parameter that takes a SQL query, told from its name and the words of the tool's description."""
    name = _first(tool, _QUERIES)
    if name is None or "sql" in name or name == "statement":
        return name
    schema = properties_of(tool)[name]
    words = f"{tool.name} {tool.description} {schema.get('description', '')}".lower()
    return name if re.search(r"sql|database|\bdb\b|table", words) else None


def code_parameter(tool: ToolSpec) -> str | None:
    """The parameter that takes program code."""
    return _first(tool, _SOURCES)


def host_parameter(tool: ToolSpec) -> str | None:
    """The parameter that names the machine or agent to act on."""
    return _first(tool, _HOSTS)


def folder_parameter(tool: ToolSpec) -> str | None:
    """The parameter that names the folder to act in, for a tool that also takes a command."""
    return _first(tool, _FOLDERS)


def _first(tool: ToolSpec, names: list[str] | tuple[str, ...]) -> str | None:
    held = {name.lower(): name for name, schema in properties_of(tool).items() if _takes_text(schema)}
    return next((held[name] for name in names if name in held), None)


def _takes_text(schema: dict[str, Any]) -> bool:
    kind = schema.get("type", "string")
    return kind in ("string", "any") or (isinstance(kind, list) and "string" in kind)


_MISFIT = object()


def cast(text: str, schema: dict[str, Any]) -> Any:
    """The words of a value as the schema's type; raises ValueError where they cannot be that.

    Numbers may carry thousands separators, booleans may be yes and no; an enum is matched without regard to case.
    """
    value = _cast_type(text.strip(), schema)
    options = schema.get("enum")
    if isinstance(options, list) and options:
        wanted = str(value).lower().replace("_", " ")
        value = next((option for option in options if str(option).lower().replace("_", " ") == wanted), _MISFIT)
        if value is _MISFIT:
            raise ValueError(f"{text!r} is none of {options}")
    return value


def _cast_type(text: str, schema: dict[str, Any]) -> Any:
    kind = schema.get("type", "string")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "string")
    if kind == "integer":
        return int(text.replace(",", ""))
    if kind in ("number", "float"):
        number = float(text.replace(",", ""))
        return int(number) if number.is_integer() and "." not in text and "e" not in text.lower() else number
    if kind in ("boolean", "bool"):
        lowered = text.lower()
        if lowered in ("true", "yes", "on", "enabled", "1"):
            return True
        if lowered in ("false", "no", "off", "disabled", "0"):
            return False
        raise ValueError(f"{text!r} is neither true nor false")
    if kind in ("array", "list", "tuple"):
        return _cast_list(text, schema)
    if kind in ("object", "dict"):
        value = json.loads(text)
        if not isinstance(value, dict):
            raise ValueError(f"{text!r} is no object")
        return value
    return text


def _cast_list(text: str, schema: dict[str, Any]) -> list[Any]:
    items = schema.get("items")
    item_schema = items if isinstance(items, dict) else {}
    if text.startswith("["):
        try:
            value = json.loads(text)
            if isinstance(value, list):
                return value
        except ValueError:
            text = text.strip("[]")
    parts = re.split(r"\s*(?:,|\band\b)\s*", text)
    return [cast(part.strip("\"'` "), item_schema) for part in parts if part.strip("\"'` ")]
