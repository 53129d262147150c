"""Commands that a chat answer tells to run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from kt_lib.calls import cues
from kt_lib.calls.markdown import CODE, Answer, Sentence, Span
from kt_lib.calls.places import everywhere, folder_named, hosts_named
from kt_lib.calls.shapes import (
    code_parameter,
    command_parameter,
    folder_parameter,
    host_parameter,
    query_parameter,
    required_of,
)
from kt_lib.calls.shell import (
    SHELL_LANGUAGES,
    commands_in,
    has_blank,
    is_bare_command,
    is_command,
    split_folder,
    split_ssh,
)
from kt_lib.records import ChatMessage, ToolCall, ToolSpec

_SQL = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|ALTER|DROP|SHOW|DESCRIBE|EXPLAIN)\s", re.IGNORECASE)
_SQL_BARE = re.compile(r"(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|CREATE TABLE)\s[^`]*\Z", re.DOTALL)
_SQL_LANGUAGES = ("sql", "postgresql", "postgres", "mysql", "sqlite", "plsql", "tsql")
_PARAMETER = {"command": command_parameter, "query": query_parameter, "code": code_parameter}


class Told(NamedTuple):
    """Something that the answer tells to run."""

    code: str
    kind: str
    """command, query or code."""
    span: Span
    context: str
    """The words in which the machine or folder may be named."""
    host: str | None = None
    """The machine that an `ssh` names."""


def command_calls(
    answer: Answer,
    tools: Sequence[ToolSpec],
    messages: Sequence[ChatMessage],
    to_know: bool,
    taken: Sequence[tuple[int, int]],
) -> list[tuple[int, int, ToolCall]]:
    """Calls for what the answer tells to run, each with its place; places in `taken` were read already.

    A command goes to the offered tool that takes one: with the machine or folder that the answer names, where the tool
    takes that too, else to the tool that takes the command alone.
    """
    takers = [tool for tool in tools if any(parameter(tool) for parameter in _PARAMETER.values())]
    if not takers:
        return []
    known = "\n".join(message.content for message in messages)
    calls: list[tuple[int, int, ToolCall]] = []
    for told in _logged_in(_told(answer, to_know, taken), takers):
        if not has_blank(told.code):
            hosts = [told.host] if told.host else _hosts(answer, told, known, takers)
            for call in _calls(told, hosts, takers):
                said = call.model_copy(update={"read_from": _words(answer, told.span)})
                calls.append((told.span.start, told.span.end, said))
    return calls


def _logged_in(told: Sequence[Told], takers: Sequence[ToolSpec]) -> list[Told]:
    """`ssh host` taken off where a tool takes the host: it names the machine for what comes after it."""
    if not any(host_parameter(tool) for tool in takers):
        return list(told)
    login: str | None = None
    kept: list[Told] = []
    for entry in told:
        remote = split_ssh(entry.code) if entry.kind == "command" else None
        if remote and not remote[1]:
            login = None if has_blank(entry.code) else remote[0]
        elif remote:
            kept.append(entry._replace(code=remote[1], host=remote[0]))
        else:
            kept.append(entry._replace(host=login))
    return kept


def _told(answer: Answer, to_know: bool, taken: Sequence[tuple[int, int]]) -> list[Told]:
    told: list[Told] = []
    for span in sorted([*answer.codes, *answer.fences], key=lambda span: span.start):
        if any(first <= span.start < last for first, last in taken):
            continue
        if span.kind == "fence":
            told.extend(_told_in_fence(answer, span, to_know, bool(told)))
            continue
        kind = _kind(span.value)
        sentence = answer.sentence_at(span.start)
        if kind and sentence and _inline_is_told(span, sentence, to_know, bool(told)):
            told.append(Told(span.value, kind, span, _context(answer, sentence)))
    text = answer.text.strip()
    if not told and not taken and not answer.codes and not answer.fences and not to_know:
        whole = Span(0, len(answer.text), text, "text")
        if _SQL_BARE.match(text) and not text.endswith((".", "?", "!", ":")):
            return [Told(text.rstrip("; "), "query", whole, "")]
        if is_bare_command(text):
            return [Told(text, "command", whole, "")]
    return told


def _kind(code: str) -> str | None:
    if _SQL.match(code) and len(code.split()) > 2 and code.split()[0].isupper():
        return "query"
    return "command" if is_command(code) else None


def _inline_is_told(span: Span, sentence: Sentence, to_know: bool, already: bool) -> bool:
    before = cues.near(sentence.masked[: span.start - sentence.start])
    after = sentence.masked[span.end - sentence.start :][:200]
    if to_know and not cues.will_act(before):
        return False
    if cues.asks_back(sentence.masked[-80:]) or cues.forbids(before, after) or cues.reports(before):
        return False
    if cues.is_alternative(before) or cues.is_afterthought(before) or cues.is_hedged(before, after):
        return False
    bare = before.strip(" \t\n*_>-•0123456789.)(:")
    if not bare:
        return not already or not after.strip(" .!*_\n")
    if already and not sentence.item and re.match(r"to\s+\w+", bare, re.IGNORECASE):
        return False  # "To undo it: ...": another purpose than the one asked for
    return cues.directs(before) or before.rstrip().endswith(":")


def _told_in_fence(answer: Answer, fence: Span, to_know: bool, already: bool) -> list[Told]:
    lead = answer.lead_of(fence)
    last = cues.near(lead[-1].masked) if lead else ""
    if to_know and not cues.will_act(last):
        return []
    if cues.is_alternative(last) or cues.is_afterthought(last) or cues.reports(last) or cues.forbids(last, ""):
        return []
    if (already and not lead) or (cues.leads_to_output(last) and not cues.directs_plainly(last)):
        return []
    context = " ".join(_without_commands(answer, sentence) for sentence in lead[-2:])
    body = fence.value.strip()
    if fence.language in _SQL_LANGUAGES or (_SQL.match(body) and not fence.language):
        query = body.rstrip("; \n") if body.count(";") <= 1 else body
        return [Told(query, "query", fence, context)]
    if fence.language in ("python", "py", "python3"):
        return [Told(fence.value.rstrip("\n"), "code", fence, context)]
    if fence.language in SHELL_LANGUAGES:
        found = [code for code in commands_in(fence.value) if is_command(code.split("\n")[0]) or "\n" in code]
    elif fence.language in ("", "text", "txt", "plaintext"):
        found = _in_plain_fence(fence, last, bool(lead))
    else:
        found = []
    return [Told(code, "command", fence, context) for code in found]


def _in_plain_fence(fence: Span, lead: str, has_lead: bool) -> list[str]:
    commands = commands_in(fence.value)
    found = [code for code in commands if is_command(code.split("\n")[0])]
    if has_lead and not (cues.directs(lead) or lead.rstrip().endswith(":")):
        return []
    return found if len(found) == len(commands) or (found and found[0] == commands[0] and cues.directs(lead)) else []


def _calls(told: Told, hosts: Sequence[str], takers: Sequence[ToolSpec]) -> list[ToolCall]:
    parameter_of = _PARAMETER[told.kind]
    able = [tool for tool in takers if parameter_of(tool)]
    for_all = [tool for tool in able if re.search(r"(?:^|_)all(?:_|$)|everywhere|broadcast", tool.name)]
    if for_all and not hosts and everywhere(told.context):
        return [ToolCall(name=for_all[0].name, arguments={str(parameter_of(for_all[0])): told.code})]
    able = [tool for tool in able if tool not in for_all] or able
    if not able:
        return []
    remote = next((tool for tool in able if host_parameter(tool)), None)
    if hosts and remote:
        place, code = str(host_parameter(remote)), str(parameter_of(remote))
        return [ToolCall(name=remote.name, arguments={place: host, code: told.code}) for host in hosts]
    local = [tool for tool in able if set(required_of(tool)) <= {parameter_of(tool)}]
    there = next((tool for tool in able if folder_parameter(tool) and not host_parameter(tool)), None)
    folder, code = split_folder(told.code) or (folder_named(told.context), told.code)
    if there and folder:
        place, takes = str(folder_parameter(there)), str(parameter_of(there))
        return [ToolCall(name=there.name, arguments={place: folder, takes: code})]
    tool = (local or able)[0]
    return [ToolCall(name=tool.name, arguments={str(parameter_of(tool)): told.code})]


def _hosts(answer: Answer, told: Told, known: str, takers: Sequence[ToolSpec]) -> list[str]:
    """Machines named near the command, else in the heading before it, else the one machine named before it at all."""
    near = hosts_named(told.context, known, takers)
    if near:
        return near
    before = answer.before(told.span.start)
    if before and re.match(r"\s*(?:#|\*\*)", before[-1].masked):
        heading = _without_commands(answer, before[-1])
        under = hosts_named(heading, known, takers) or hosts_named(f"on {heading.strip(' #*:')}", known, takers)
        if under:
            return under[:1]
    said = [host for sentence in before for host in hosts_named(_without_commands(answer, sentence), known, takers)]
    return said[:1] if len(set(said)) == 1 else []


def _context(answer: Answer, sentence: Sentence) -> str:
    """The sentence without its commands, and the one before it in the paragraph or before the list."""
    own = _without_commands(answer, sentence)
    before = answer.before(sentence.start)
    earlier = before[-1] if before else None
    near = earlier and (earlier.paragraph == sentence.paragraph or sentence.item)
    if hosts_named(own, "", ()) or folder_named(own):
        return own
    return f"{_without_commands(answer, earlier)} {own}" if earlier and near else own


def _without_commands(answer: Answer, sentence: Sentence) -> str:
    """The sentence as written, its commands left out so that their words name no machine."""
    text = answer.text[sentence.start : min(sentence.end, sentence.start + 1000)]
    parts, at = [], 0
    for span in answer.codes:
        if sentence.start <= span.start < sentence.end and (" " in span.value or is_command(span.value)):
            parts.append(text[at : span.start - sentence.start])
            at = span.end - sentence.start
    parts.append(text[at:])
    return f" {CODE} ".join(parts)


def _words(answer: Answer, span: Span) -> str:
    sentence = answer.sentence_at(span.start) if span.kind == "code" else None
    if sentence:
        return answer.text[sentence.start : sentence.end].strip()
    lead = answer.lead_of(span) if span.kind == "fence" else []
    return answer.text[lead[-1].start if lead else span.start : span.end].strip()
