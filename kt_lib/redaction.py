"""Take e-mail addresses, phone, card and account numbers, keys and tokens out of text before it leaves the machine.

Own patterns, because what is wanted is spans to replace in running text, in linear time and without a network:
detect-secrets reports secrets line by line and its entropy plugins take digests and ids; presidio needs a language
model for more than this. What no pattern can see stays: names, postal addresses, a bare ten-digit number without a word
like `phone` near it, a key of an unknown provider that nothing calls a key, an address written out ("bob at example dot
com"), a number that is split over two lines.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from kt_lib.records import ChatMessage, ToolCall, ToolSpec
from kt_lib.secret_patterns import Span, find_secrets

PLACEHOLDER = re.compile(r"<(?:EMAIL|PHONE|CARD|IBAN|KEY|TOKEN|PASSWORD|PRIVATE_KEY)_[0-9]+>")
_ENDS_A_TEXT = re.compile(r"[\"'`\\\n]")


_REMEMBERED = 400
"""Characters up to which what a text holds is remembered: the words of tools come again with every row."""


def _secrets_in(text: str) -> Sequence[Span]:
    return _remembered(text) if len(text) <= _REMEMBERED else find_secrets(text)


@lru_cache(maxsize=20_000)
def _remembered(text: str) -> tuple[Span, ...]:
    return tuple(find_secrets(text))


class Redacted(NamedTuple):
    """A text without what must not be seen."""

    text: str
    """The text with placeholders such as `<EMAIL_1>`; the same secret has the same placeholder."""
    counts: dict[str, int]
    """How many were taken out, by kind: email, phone, card, iban, key, token, password, private_key."""


def redact(text: str) -> Redacted:
    """`text` with placeholders for what must not be seen. Linear in its length."""
    redaction = Redaction(text)
    return Redacted(redaction.redact(text), dict(redaction.counts))


class Redaction:
    """One numbering of placeholders over several texts (a request's messages, tools and arguments), and the way back.

    known: text whose own placeholders must not be given out again.
    """

    def __init__(self, known: str = "") -> None:
        self.counts: Counter[str] = Counter()
        self._last: Counter[str] = Counter()
        self._taken = set(PLACEHOLDER.findall(known))
        self._placeholders: dict[tuple[str, str], str] = {}
        self._originals: dict[str, str] = {}

    def redact(self, text: str) -> str:
        """`text` with placeholders."""
        pieces, at = [], 0
        for start, end, kind in _secrets_in(text):
            self.counts[kind] += 1
            pieces += [text[at:start], self._placeholder(kind, text[start:end])]
            at = end
        return "".join([*pieces, text[at:]]) if pieces else text

    def redact_json(self, value: Any, *, keys: bool = False) -> Any:
        """A JSON value with its texts redacted; with `keys` the keys of objects too (never in a schema)."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, Mapping):
            return {self.redact(key) if keys else key: self._member(key, one, keys) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.redact_json(one, keys=keys) for one in value]
        return value

    def redact_message(self, message: ChatMessage) -> ChatMessage:
        """A message with its text and the arguments of its calls redacted."""
        calls = tuple(
            ToolCall(name=call.name, arguments=self.redact_json(call.arguments, keys=True), id=call.id)
            for call in message.tool_calls
        )
        return message.model_copy(update={"content": self.redact(message.content), "tool_calls": calls})

    def redact_tool(self, tool: ToolSpec) -> ToolSpec:
        """A tool with its description and the texts of its schema redacted."""
        return ToolSpec(
            name=tool.name, description=self.redact(tool.description), parameters=self.redact_json(tool.parameters)
        )

    def restore(self, text: str) -> str:
        """`text` with the originals back in place of this redaction's own placeholders.

        An original that could not stand unescaped in a JSON text (a private key with its line ends) stays away.
        """
        if not self._originals:
            return text
        return PLACEHOLDER.sub(lambda found: self._original(found.group()), text)

    def restore_json(self, value: Any) -> Any:
        """A JSON value with its texts and keys restored."""
        if isinstance(value, str):
            return self.restore(value)
        if isinstance(value, Mapping):
            return {self.restore(key): self.restore_json(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.restore_json(one) for one in value]
        return value

    def _member(self, key: str, value: Any, keys: bool) -> Any:
        """A member of an object; its name says what a bare value is: `"password": "x"`, `"phone": 4155550123`."""
        if isinstance(value, bool) or not isinstance(value, str | int):
            return self.redact_json(value, keys=keys)
        text = str(value)
        # as if it were written beside its name; what would end the text early is another letter for that
        before = f'{json.dumps(key, ensure_ascii=False)}: "'
        for start, end, kind in _secrets_in(before + _ENDS_A_TEXT.sub("x", text) + '"'):
            if (start - len(before), end - len(before)) == (0, len(text)):
                self.counts[kind] += 1
                return self._placeholder(kind, text)
        return self.redact(value) if isinstance(value, str) else value

    def _placeholder(self, kind: str, original: str) -> str:
        known = self._placeholders.get((kind, original))
        if known:
            return known
        self._last[kind] += 1
        while f"<{kind.upper()}_{self._last[kind]}>" in self._taken:
            self._last[kind] += 1
        placeholder = f"<{kind.upper()}_{self._last[kind]}>"
        self._placeholders[(kind, original)] = placeholder
        self._originals[placeholder] = original
        return placeholder

    def _original(self, placeholder: str) -> str:
        original = self._originals.get(placeholder, placeholder)
        return original if json.dumps(original, ensure_ascii=False) == f'"{original}"' else placeholder
