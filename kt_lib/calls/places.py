"""Machines and folders that the words around a command name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kt_lib.calls.shapes import host_parameter, properties_of
from kt_lib.records import ToolSpec

_NAME = r"[\"'*_`]*[\w.\-:/]+[\"'*_`]*"
_ON = re.compile(
    r"\b(?:on|at|for|to|into|from|against|of|over)\s+"
    r"(?:(?:the|both|hosts?|servers?|machines?|agents?|nodes?|box|called|named)\s+)*"
    rf"({_NAME}(?:(?:\s*,\s*(?:and\s+)?|\s+and\s+|\s*&\s*){_NAME})*)",
    re.IGNORECASE,
)
_IN = re.compile(
    r"\b(?:in|inside|within|from|under|into|at|for|to)\s+(?:the\s+|your\s+)?(?:directory\s+|folder\s+|repo(?:sitory)?\s+)?"
    r"[\"'*_`]*(~?\.{0,2}/[\w./\-]*|~)[\"'*_`]*",
    re.IGNORECASE,
)
_ALL = re.compile(r"\b(?:on|across|to|against|for)\s+(?:all|every|each)\b", re.IGNORECASE)
_NO_HOST = frozenset(
    """
    a an the this that these those it its your my our their his her each every any all one both either linux unix macos
    mac windows ubuntu debian centos fedora rhel bsd top bottom disk file files which what how see show list check get
    find make do be run use demand purpose fact case order time first second another other here there localhost more
    information details info example instance now then terminal shell and or memory space cpu
    """.split()
)


def everywhere(context: str) -> bool:
    """Whether the words say that all machines are meant."""
    return _ALL.search(context) is not None


def folder_named(context: str) -> str | None:
    """The folder that the words name, as an absolute, home or dotted path."""
    found = _IN.search(context)
    return found[1].rstrip(".") if found else None


def hosts_named(context: str, known: str, takers: Sequence[ToolSpec]) -> list[str]:
    """Machines after `on`, `at`, `of` ..., in order, each once.

    A name counts when it is marked (code, quotes, bold), when it looks like a host (digits, dashes, dots), when a tool
    lists it, or when it was said in the conversation (`known`).
    """
    listed = _listed(takers)
    names: list[str] = []
    for found in _ON.finditer(context):
        for raw in re.split(r"\s*,\s*(?:and\s+)?|\s+and\s+|\s*&\s*", found[1]):
            name = raw.strip("\"'*_`.:")
            if not name or name.lower() in _NO_HOST or "/" in name or name.isdigit():
                continue
            marked = raw[:1] in "\"'*_`"
            if marked or name in listed or _looks_like_host(name) or (known and _said(name, known)):
                names.append(name)
    return list(dict.fromkeys(names))


def _looks_like_host(name: str) -> bool:
    if re.fullmatch(r"\d+(?:\.\d+){3}", name):
        return True
    return re.search(r"\d|[-.]\w|_", name) is not None and re.fullmatch(r"[\d.,:%]+\w?", name) is None


def _said(name: str, known: str) -> bool:
    return (
        re.search(rf"\b(?:on|at|of|with|with the|is|to|from|fix|machine|host|server)\s+{re.escape(name)}\b", known)
        is not None
    )


def _listed(takers: Sequence[ToolSpec]) -> set[str]:
    held: set[str] = set()
    for tool in takers:
        options = properties_of(tool).get(host_parameter(tool) or "", {}).get("enum")
        held.update(map(str, options) if isinstance(options, list) else ())
    return held
