"""Read from a user's next message whether it confirms the answer before it, refutes it, or says neither (English)."""

from __future__ import annotations

import re
from typing import Literal

Says = Literal["confirms", "refutes", "neither"]

_OPENING = 240
"""A verdict stands at the start of a message; what comes later is the next request."""


def _any(*phrases: str, start: str = r"\b", end: str = r"\b") -> re.Pattern[str]:
    return re.compile(f"{start}(?:{'|'.join(phrases)}){end}", re.IGNORECASE)


_GONE = (
    r"no (?:(?:more|further) (?:error|problem|issue)s?|(?:error|problem|issue)s)",
    r"the error (?:is|has) gone",
    r"(?:problem|issue|error)s? (?:(?:is|are|was|has been) )?(?:now )?(?:solved|fixed|resolved|gone)",
)
_SETTLED = _any(*_GONE)
# These hold words of refusal and are none: they are taken out before words of refusal are looked for.
_HARMLESS = _any(
    *_GONE,
    r"(?:no|without|zero)(?: any)? (?:error|problem|issue|trouble)s?",
    r"(?:thanks|thank you|up|running|working) again",
    r"(?:any|another) question",
    r"on (?:the|my) first try",
    r"try(?:ing)? it (?:tomorrow|later)",
)
_CONFIRMS = _any(
    r"(?:it|that|this|which|all|everything|just|yes|yep|yeah|okay|ok|thanks|thx|and)[\s,]+(?:now |just |all |really )?"
    r"(?:worked|helped|ran|(?<!that )(?<!this )works|works (?:now|great|perfectly|fine|well|flawlessly))",
    r"(?:that|it|this|which) did (?:it|the trick)",
    r"(?:that|it|this|which) (?:has )?(?:fixed|solved|resolved) (?:it|that|this|the \w+)",
    r"(?:it|that|this|all|everything)(?:'s| is| are)?(?: now)? (?:working|running|fixed|solved)"
    r"(?! out| low| late| slow)",
    r"(?:is|are) (?:up again|back up|(?:now )?(?:fine|good) now|now (?:fine|good))",
    r"all good|that was it|you nailed it|got the \w+ back",
    r"(?:exactly|just) what i (?:needed|wanted|was looking for)",
    r"the \w+ i (?:wanted|needed)",
    r"that(?:'s| is) (?:exactly it|exactly right|right|correct|the one)",
)
_GREETINGS = r"(?:okay|ok|ah|oh|yes|yep|yeah|wow|super|and|thanks|thank you|thx|great|sweet)"
_EXCLAIMS = _any(
    r"perfect|excellent|brilliant|awesome|fantastic|wonderful|amazing|lovely|spot on|bingo",
    r"fixed|solved|confirmed|correct",
    r"exactly(?: (?:right|it|that))?",
    r"works(?: (?:now|great|perfectly|fine|well|flawlessly))?",
    r"worked(?: (?:like a charm|fine|great|perfectly))?",
    r"great(?=[\s,!]+(?:thanks|thank you|thx)\b)",
    start=rf"^(?:{_GREETINGS}[\s,!]+)*",
    end=r"\s*(?=$|[,.!;:)]|thanks|thank you|thx)",
)
_DENIALS = (
    r"no|nope|wrong|incorrect|cannot|doesnt|didnt|isnt|fail(?:s|ed|ing)|errors?|still|actually|unfortunately|almost|denied",
    r"(?:does|did|is|was|were|are|ca|could|wo|do)n['’]t|(?:do|does|did) not",
    r"broken|broke|forgot|hangs|crashe[sd]|try again|but|except|unknown option|i (?:meant|said|asked)",
)
_OBJECTS = _any(
    *_DENIALS, r"not (?:what|quite|right|correct|working|it|found|the)|never works|nothing happened|is empty"
)
_DOUBTS = _any(
    *_DENIALS,
    r"not|never|nothing|none|neither|\w+n['’]t|cant|dont|failure|instead|however|nearly|hardly|barely|missing|undo|revert",
    r"hung|empty|only|again|too (?:much|many|few|long|short)|i mean|told|would (?:be|have)",
)
_SUPPOSES = _any(r"if|whether|would|could|should|might|will|when|until|unless|how|why|which|what|wish|hope|doubt")
_CLAUSE = re.compile(r"(?<=[.!?;])\s+|\n+|,\s*(?=(?:next|now|how|can|could|please)\b)", re.IGNORECASE)
_REQUESTS = re.compile(r"\s*(?:next|now (?!\w+ (?:is|are))\w+|can|could|please)\b", re.IGNORECASE)


def follow_up_says(text: str) -> Says:
    """What the user's message says of the answer before it.

    Only its opening is read, clause by clause. A word of doubt before the next request ("but", "still", "error") keeps
    it from confirming; questions and suppositions confirm nothing, and neither does a bare "thanks". Precision comes
    first: what is not clearly confirmed stays unverified ("that works" may accept a proposal, "that's it" may say
    goodbye).
    """
    clauses = [clause for clause in _CLAUSE.split(text.strip()[:_OPENING]) if clause.strip()]
    if any(_confirms(clause) for clause in clauses[:3]):
        return "refutes" if _DOUBTS.search(_HARMLESS.sub(" ", _judging_part(clauses))) else "confirms"
    stated = " ".join(clause for clause in clauses if not _asks(clause))
    asks_anyway = re.match(r"(?:what|how|when|why|if)\b", stated, re.IGNORECASE)
    return "refutes" if not asks_anyway and _OBJECTS.search(_HARMLESS.sub(" ", stated)) else "neither"


def _asks(clause: str) -> bool:
    return clause.rstrip().endswith("?")


def _confirms(clause: str) -> bool:
    if _asks(clause):
        return False
    if _EXCLAIMS.search(clause.strip()) or _SETTLED.search(clause):
        return True
    found = _CONFIRMS.search(clause)
    return found is not None and not _SUPPOSES.search(clause[: found.start()])


def _judging_part(clauses: list[str]) -> str:
    """Up to the first clause that asks for something else."""
    kept: list[str] = []
    for clause in clauses:
        if _asks(clause) or _REQUESTS.match(clause):
            break
        kept.append(clause)
    return " ".join(kept)
