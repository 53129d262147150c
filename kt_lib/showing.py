"""Text from outside made fit to be shown: secrets taken out, control and direction marks made visible, cut to size."""

from __future__ import annotations

import re

from kt_lib.redaction import redact

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


_LONGEST_SECRET = 25_000


def shown(text: str, limit: int | None = None) -> str:
    """`text` as a reader may see it; still text, to be escaped by whatever puts it into a page.

    Redacted, without terminal escapes, and with every character that hides or turns around what stands beside it
    written as its code point (`[U+202E]`). Cut to `limit` characters, saying how many are left out.
    """
    # A secret that the cut would go through is still seen whole by the redaction.
    looked_at = text if limit is None else text[: limit + _LONGEST_SECRET]
    clean = redact(visible(looked_at)).text
    if limit is None or len(clean) <= limit:
        return clean
    left_out = len(clean) - limit + len(text) - len(looked_at)
    return f"{clean[:limit].rstrip()} … ({left_out:,} more characters)"


def visible(text: str) -> str:
    """`text` without terminal escapes, line ends as one newline, and what cannot be seen written as a code point."""
    plain = _ANSI.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _UNSEEN.sub(lambda found: f"[U+{ord(found.group()):04X}]", plain)
