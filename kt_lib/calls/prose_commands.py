"""Commands that a chat answer tells to run, with the machine or folder they are meant for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kt_lib.calls import cues
from kt_lib.calls.markdown import CODE, Answer, Sentence, Span
from kt_lib.calls.shapes import (
    code_parameter,
    command_parameter,
    folder_parameter,
    host_parameter,
    properties_of,
    query_parameter,
    required_of,
)
from kt_lib.calls.shell import SHELL_LANGUAGES, commands_in, has_placeholder, is_command, split_folder, split_ssh
from kt_lib.records import ChatMessage, ToolCall, ToolSpec

_SQL = re.compile(r"^\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|ALTER|DROP|SHOW|DESCRIBE|EXPLAIN)\b", re.IGNORECASE)
_ON = re.compile(
    r"\b(?:on|at|for|to|into|from|against)\s+(?:the\s+|both\s+|host\s+|server\s+|machine\s+|agent\s+|node\s+|box\s+|hosts\s+|servers\s+|agents\s+|machines\s+)*"
    r"((?:[\"'*_`]*[\w.\-:/]+[\"'*_`]*)(?:(?:\s*,\s*(?:and\s+)?|\s+and\s+|\s*&\s*)[\"'*_`]*[\w.\-:/]+[\"'*_`]*)*)",
    re.IGNORECASE,
)
_IN = re.compile(
    r"\b(?:in|inside|within|from|under|into|at|for|to)\s+(?:the\s+|your\s+)?(?:directory\s+|folder\s+|repo(?:sitory)?\s+)?[\"'*_`]*(~?\.{0,2}/[\w./\-]*|~)[\"'*_`]*"
)
_ALL = re.compile(r"\b(?:on|across|to|against|for)\s+(?:all|every|each)\b(?:\s+of)?(?:\s+the)?\s*\w*", re.IGNORECASE)
_NO_HOST = frozenset(
    "a an the this that these those it its your my our their his her each every any all one both either linux unix macos mac windows ubuntu debian centos "
    "fedora rhel bsd top bottom disk file files which what how see show list check get find make do be run use demand purpose fact case order time first "
    "second another other here there localhost more information details info example instance now then terminal shell".split()
)


class Placed(NamedTuple):
    """A call with its place in the answer."""

    start: int
    end: int
    call: ToolCall


class _Told(NamedTuple):
    command: str
    kind: str  # command, query or code
    span: Span
    context: str  # the words in which the machine may be named, code included


def command_calls(
    answer: Answer,
    tools: Sequence[ToolSpec],
    messages: Sequence[ChatMessage],
    to_know: bool,
    taken: Sequence[tuple[int, int]],
) -> list[Placed]:
    """Calls for the commands that the answer tells to run; places in `taken` were read already."""
    takers = [tool for tool in tools if command_parameter(tool) or query_parameter(tool) or code_parameter(tool)]
    if not takers:
        return []
    known = " ".join(message.content for message in messages)
    placed: list[Placed] = []
    login: str | None = None
    for told in _told(answer, to_know, taken):
        remote = split_ssh(told.command)
        if remote and any(host_parameter(tool) for tool in takers):
            if not remote[1]:
                login = remote[0]
                continue
            told = told._replace(command=remote[1])
        hosts = (
            [remote[0]]
            if remote
            else _hosts(told.context, known, takers) or _hosts(_heading(answer, told.span), known, takers)
        )
        hosts = hosts or ([login] if login else [])
        if has_placeholder(told.command):
            continue
        words = answer.text[told.span.start : told.span.end]
        for call in _calls(told, hosts, takers, answer):
            placed.append(
                Placed(
                    told.span.start,
                    told.span.end,
                    call.model_copy(update={"read_from": _words(answer, told.span) or words}),
                )
            )
    return placed


def _told(answer: Answer, to_know: bool, taken: Sequence[tuple[int, int]]) -> list[_Told]:
    told: list[_Told] = []
    for span in sorted([*answer.codes, *answer.fences], key=lambda span: span.start):
        if any(first <= span.start < last for first, last in taken):
            continue
        if span.kind == "code":
            kind = _kind(span.value)
            sentence = answer.sentence_at(span.start)
            if kind and sentence and _inline_is_told(answer, span, sentence, to_know, bool(told)):
                told.append(_Told(span.value, kind, span, _context(answer, sentence)))
        else:
            told.extend(_fence_told(answer, span, to_know, bool(told)))
    return told


def _kind(code: str) -> str | None:
    if _SQL.match(code) and len(code.split()) > 2 and code.split()[0].isupper():
        return "query"
    return "command" if is_command(code) else None


def _inline_is_told(answer: Answer, span: Span, sentence: Sentence, to_know: bool, already: bool) -> bool:
    before = sentence.masked[: span.start - sentence.start]
    after = sentence.masked[span.end - sentence.start :]
    if to_know and not cues.acts(before):
        return False
    if cues.asks_back(sentence.masked) or cues.forbids(before, after) or cues.reports(before):
        return False
    if cues.is_alternative(before) or cues.is_afterthought(before) or _is_hedged(before, after):
        return False
    bare = before.strip(" \t\n*_>-•0123456789.)(:")
    if not bare:
        return not already or _ends(after)
    return cues.directs(before) or before.rstrip().endswith(":")


def _ends(after: str) -> bool:
    return not after.strip(" .!*_\n")


def _is_hedged(before: str, after: str) -> bool:
    return (
        re.search(r"\b(?:could|might|can)\b", before) is not None
        and re.search(r",?\s*\b(?:but|however|although|though)\b", after) is not None
    )


def _fence_told(answer: Answer, fence: Span, to_know: bool, already: bool) -> list[_Told]:
    lead = answer.lead_of(fence)
    last = lead[-1].masked if lead else ""
    if to_know and not cues.acts(last):
        return []
    directs = cues.directs(last)
    doubtful = cues.is_alternative(last) or cues.is_afterthought(last) or cues.reports(last) or cues.forbids(last, "")
    if (
        doubtful
        or (already and not lead)
        or (
            cues.leads_to_output(last)
            and not re.search(r"\b(?:run|execute|use|try|type|command)\b", last, re.IGNORECASE)
        )
    ):
        return []
    context = " ".join(_with_code(answer, sentence) for sentence in lead[-2:])
    if fence.language in ("sql", "postgresql", "mysql", "sqlite"):
        return [
            _Told(
                fence.value.strip().rstrip(";").strip() if fence.value.strip().count(";") <= 1 else fence.value.strip(),
                "query",
                fence,
                context,
            )
        ]
    if fence.language in ("python", "py", "python3"):
        return [_Told(fence.value.rstrip("\n"), "code", fence, context)]
    if fence.language and fence.language not in SHELL_LANGUAGES and fence.language not in ("text", "txt", "plaintext"):
        return []
    if _SQL.match(fence.value) and not fence.language:
        return [_Told(fence.value.strip(), "query", fence, context)]
    commands = commands_in(fence.value)
    sure = fence.language in SHELL_LANGUAGES
    read = [command for command in commands if is_command(command.split("\n")[0]) or (sure and "\n" in command)]
    if not sure and (len(read) < len(commands) or not (directs or not lead)):
        read = read if read[:1] == commands[:1] and directs else []
    return [_Told(command, "command", fence, context) for command in read]


def _calls(told: _Told, hosts: list[str], takers: Sequence[ToolSpec], answer: Answer) -> list[ToolCall]:
    parameter_of = {"command": command_parameter, "query": query_parameter, "code": code_parameter}[told.kind]
    able = [tool for tool in takers if parameter_of(tool)]
    if not able:
        return []
    command, folder = told.command, _folder(told.context)
    for_all = [tool for tool in able if re.search(r"_all\b|^all_|everywhere|broadcast", tool.name)]
    if _ALL.search(told.context) and for_all and not hosts:
        return [ToolCall(name=for_all[0].name, arguments={str(parameter_of(for_all[0])): command})]
    able = [tool for tool in able if tool not in for_all] or able
    with_host = [tool for tool in able if host_parameter(tool)]
    if hosts and with_host:
        tool = with_host[0]
        return [
            ToolCall(name=tool.name, arguments={str(host_parameter(tool)): host, str(parameter_of(tool)): command})
            for host in hosts
        ]
    with_folder = [tool for tool in able if folder_parameter(tool) and not host_parameter(tool)]
    inside = split_folder(command)
    if with_folder and (folder or inside):
        tool = with_folder[0]
        folder, command = inside or (folder or "", command)
        return [
            ToolCall(name=tool.name, arguments={str(folder_parameter(tool)): folder, str(parameter_of(tool)): command})
        ]
    local = [tool for tool in able if set(required_of(tool)) <= {parameter_of(tool)}]
    tool = (local or able)[0]
    return [ToolCall(name=tool.name, arguments={str(parameter_of(tool)): command})]


def _context(answer: Answer, sentence: Sentence) -> str:
    """The sentence with its code, and the one before it in the same paragraph where that names no command."""
    own = _with_code(answer, sentence)
    index = answer.sentences.index(sentence)
    if _ON.search(own) and _named_hosts(own):
        return own
    earlier = answer.sentences[index - 1] if index else None
    near = earlier and (earlier.paragraph == sentence.paragraph or sentence.item)
    return f"{_with_code(answer, earlier)} {own}" if earlier and near else own


def _with_code(answer: Answer, sentence: Sentence) -> str:
    """The sentence as written, its commands left out so that their words name no machine."""
    text = answer.text[sentence.start : sentence.end]
    parts, at = [], 0
    for span in answer.codes:
        if sentence.start <= span.start < sentence.end and (" " in span.value or is_command(span.value)):
            parts.append(text[at : span.start - sentence.start])
            at = span.end - sentence.start
    parts.append(text[at:])
    return f" {CODE} ".join(parts)


def _heading(answer: Answer, span: Span) -> str:
    before = [s for s in answer.sentences if s.end <= span.start]
    return _with_code(answer, before[-1]) if before and re.match(r"\s*#|\s*\*\*", before[-1].masked) else ""


def _named_hosts(context: str) -> list[str]:
    names: list[str] = []
    for found in _ON.finditer(context):
        for name in re.split(r"\s*,\s*(?:and\s+)?|\s+and\s+|\s*&\s*", found[1]):
            clean = name.strip("\"'*_`.:")
            marked = name[:1] in "\"'*_`"
            if clean and clean.lower() not in _NO_HOST and "/" not in clean and (marked or _looks_like_host(clean)):
                names.append(clean)
    return names


def _looks_like_host(name: str) -> bool:
    return (
        re.search(r"\d|[-.]\w|_", name) is not None
        and not re.fullmatch(r"[\d.,:%]+", name)
        or re.fullmatch(r"\d+(\.\d+){3}", name) is not None
    )


def _hosts(context: str, known: str, takers: Sequence[ToolSpec]) -> list[str]:
    if not context:
        return []
    enumerated = _enumerated(takers)
    names = _named_hosts(context)
    for found in _ON.finditer(context):
        for name in re.split(r"\s*,\s*(?:and\s+)?|\s+and\s+|\s*&\s*", found[1]):
            clean = name.strip("\"'*_`.:")
            said = re.search(rf"(?<![\w.-]){re.escape(clean)}(?![\w-])", known) if clean else None
            if clean in enumerated or (
                said and clean.lower() not in _NO_HOST and "/" not in clean and not clean.isdigit()
            ):
                names.append(clean)
    return list(dict.fromkeys(names))


def _enumerated(takers: Sequence[ToolSpec]) -> set[str]:
    held: set[str] = set()
    for tool in takers:
        schema: Mapping[str, object] = properties_of(tool).get(host_parameter(tool) or "", {})
        options = schema.get("enum")
        held.update(map(str, options) if isinstance(options, list) else ())
    return held


def _folder(context: str) -> str | None:
    found = _IN.search(context)
    return found[1].rstrip(".") if found else None


def _words(answer: Answer, span: Span) -> str:
    sentence = answer.sentence_at(span.start) if span.kind == "code" else None
    if sentence:
        return answer.text[sentence.start : sentence.end].strip()
    lead = answer.lead_of(span)
    return (answer.text[lead[-1].start : span.end] if lead else answer.text[span.start : span.end]).strip()
