"""Tools that a chat answer names, with the values it gives them in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from kt_lib.calls import cues
from kt_lib.calls.markdown import MOST_PLACES, Answer, Sentence
from kt_lib.calls.prose_explicit import is_placeholder
from kt_lib.calls.rules import one_name
from kt_lib.calls.shapes import cast, properties_of, required_of
from kt_lib.records import ToolCall, ToolSpec

_LINK = (
    r"(?:[`*_\"']*)\s*(?:parameter|argument|field|value)?\s*(?:\((?:string|integer|number|required|optional)[^)]*\))?\s*"
    r"(?:\s*(?:=|:|\||→|->|–|—"
    r"|\b(?:is set to|would be|should be|set to|to be|is|as|of|to|equals?|named|called|being)\b))*"
    r"\s*[*_]*\s*"
)
_VALUE = (
    r"(?:`(?P<code>[^`\n]+)`|\"(?P<double>[^\"\n]+)\"|“(?P<curly>[^”\n]+)”|(?<!\w)'(?P<single>[^'\n]+)'(?!\w)|\*\*(?P<bold>[^*\n]+)\*\*|"
    r"(?P<list>\[[^\]\n]*\])|(?P<plain>[-+]?[$€]?\d[\w.,:%/-]*|[^\s`\"',;()]+(?<![.,;:!?)])))"
)
_DIRECTS = re.compile(
    r"\b(?:use|using|call|calling|run|running|invoke|invoking|execute|trigger|via|with|through|tool|function|need|is|be|make"
    r"|submit|try|then|file|start|job for|suggest|recommend)\b[^.;]*$",
    re.IGNORECASE,
)
_IS_RIGHT = re.compile(
    r"(?:tool|function)?\s*(?:is|would be|looks like|seems)\s+(?:to be\s+)?(?:the|a)\s+"
    r"(?:right|best|correct|appropriate|suitable)",
    re.IGNORECASE,
)
_NO_VALUE = re.compile(r"the|a|an|your|this|that|it|and|or|for|to|in|on|with|should|must|as", re.IGNORECASE)


class _Mention(NamedTuple):
    start: int
    end: int
    tool: ToolSpec


def named_calls(
    answer: Answer, tools: Mapping[str, ToolSpec], to_know: bool, taken: Sequence[tuple[int, int]]
) -> list[tuple[int, int, ToolCall]]:
    """Calls of tools named in prose, each with the place of the words it was read from; `tools` is by `one_name`."""
    mentions = [
        mention
        for mention in _mentions(answer, tools)
        if not any(first <= mention.start < last for first, last in taken)
    ]
    read: list[tuple[int, int, ToolCall]] = []
    for index, mention in enumerate(mentions):
        sentence = answer.sentence_at(mention.start)
        if sentence is None or not _is_meant(answer, mention, sentence, to_know):
            continue
        limit = next(
            (other.start for other in mentions[index + 1 :] if other.tool is not mention.tool), len(answer.text)
        )
        start, end = _scope(answer, mention, sentence, limit)
        arguments = read_values(answer.text[start:end], mention.tool)
        if not arguments and required_of(mention.tool):
            continue
        words = answer.text[start:end].strip()
        call = ToolCall(name=mention.tool.name, arguments=arguments, read_from=words)
        if not any(
            other.name == call.name and call.arguments.items() <= other.arguments.items() for _, _, other in read
        ):
            read.append((start, end, call))
    return read


def read_values(text: str, tool: ToolSpec) -> dict[str, Any]:
    """The values that a text gives to a tool's parameters by name, cast to their types."""
    held: dict[str, Any] = {}
    properties = properties_of(tool)
    for name in sorted(properties, key=len, reverse=True):
        for raw in _raw_values(text, name):
            if is_placeholder(raw) or re.fullmatch(
                r"(?:the|a|an|your|this|that|it|and|or|for|to|in|on|with)", raw, re.IGNORECASE
            ):
                continue
            try:
                held[name] = cast(raw, properties[name])
            except ValueError:
                continue
            break
    return {name: held[name] for name in properties if name in held}


def _raw_values(text: str, name: str) -> list[str]:
    spoken = re.escape(name).replace("_", r"[_\s-]")
    after = re.compile(rf"(?<![\w-])[`*_\"']*{spoken}(?!\w){_LINK}{_VALUE}", re.IGNORECASE)
    before = re.compile(
        rf"(?:`(?P<code>[^`\n]+)`|\"(?P<double>[^\"\n]+)\")\s+as\s+(?:the\s+|its\s+)?[`*]*{spoken}\b", re.IGNORECASE
    )
    values = [_value_of(found) for found in before.finditer(text)]
    strong = [found for found in after.finditer(text) if not _inside_value(text, found, name)]
    marked = [_value_of(found) for found in strong if not found["plain"]]
    plain = [_value_of(found) for found in strong if found["plain"]]
    return [*values, *marked, *plain]


def _inside_value(text: str, found: re.Match[str], name: str) -> bool:
    """Whether the parameter's name is only a word within a longer marked value."""
    spans = re.finditer(r"`[^`\n]+`|\"[^\"\n]+\"", text)
    return any(span.start() < found.start() + 1 < span.end() - 1 and len(span[0]) > len(name) + 2 for span in spans)


def _value_of(found: re.Match[str]) -> str:
    value = next(value for value in found.groupdict().values() if value is not None).strip()
    return value.rstrip(".,;:!?)") if found.groupdict().get("plain") else value


def _mentions(answer: Answer, tools: Mapping[str, ToolSpec]) -> list[_Mention]:
    mentions: list[_Mention] = []
    for tool in tools.values():
        spoken = re.escape(tool.name).replace(r"\.", "[._]").replace("_", r"(?:_|\\?_|\.)")
        distinct = re.search(r"[._]|[a-z][A-Z]", tool.name) is not None
        pattern = (
            rf"(?<![\w.]){spoken}(?![\w])"
            if distinct
            else rf"(?:[`*\"']+){spoken}(?:\(\))?(?:[`*\"']+)|\b{spoken}(?=\s+(?:tool|function)\b)"
        )
        found = islice(re.finditer(pattern, answer.text), MOST_PLACES)
        mentions.extend(_Mention(each.start(), each.end(), tool) for each in found)
    return sorted(mentions)[:MOST_PLACES]


def _is_meant(answer: Answer, mention: _Mention, sentence: Sentence, to_know: bool) -> bool:
    before = cues.near(answer.masked[sentence.start : mention.start])
    after = answer.masked[mention.end : sentence.end].lstrip("\ufffc`*\"'() ")[:200]
    if cues.asks_back(sentence.masked[-80:]) or (to_know and not cues.will_act(before)):
        return False
    if (
        cues.forbids(before, after)
        or cues.is_alternative(before)
        or cues.is_afterthought(before)
        or cues.reports(before)
    ):
        return False
    alone = not before.strip(" \t\n*_>-•0123456789.)(:`#\ufffc")
    starts = alone and re.match(r"(?:tool\s*)?(?:with\b|for\b|on\b|:|→|\n|$|\.)", after, re.IGNORECASE) is not None
    directs = _DIRECTS.search(before) is not None or cues.acts(before)
    return directs or starts or _IS_RIGHT.match(after) is not None


def _scope(answer: Answer, mention: _Mention, sentence: Sentence, limit: int) -> tuple[int, int]:
    """The sentence, and the list or the sentences after it that go on giving values."""
    sentences = answer.sentences
    at = sentences.index(sentence)
    end = sentence.end
    for following in sentences[at + 1 :]:
        if following.start >= limit:
            break
        names = [name.replace("_", "[_ -]") for name in properties_of(mention.tool)]
        gives = names and re.search(
            rf"[`*\"']*\b(?:{'|'.join(names)})\b", answer.text[following.start : following.end], re.IGNORECASE
        )
        if not gives or (not following.item and cues.is_afterthought(following.masked)):
            break
        end = following.end
    return sentence.start, min(end, limit)


def offered(tools: Sequence[ToolSpec]) -> dict[str, ToolSpec]:
    """Tools by `one_name`."""
    return {one_name(tool.name): tool for tool in tools}
