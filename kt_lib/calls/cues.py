"""The words that tell whether an answer means a call: told to do, advised against, explained, or an afterthought."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kt_lib.calls.markdown import CODE
from kt_lib.records import ChatMessage


def _cue(before: str, words: str, after: str = "") -> re.Pattern[str]:
    """A pattern of `words`, alternatives separated by `|` and line ends, between `before` and `after`."""
    alternatives = "|".join(line.strip() for line in words.strip().split("\n"))
    return re.compile(before + f"(?:{alternatives})" + after, re.IGNORECASE)


_DIRECTS = _cue(
    r"\b",
    r"""run|execute|use|try|type|enter|issue|invoke|call|perform|launch|do|apply|trigger|fire off|kick off|make
    submit|send
    running|executing|using|issuing|calling|invoking|with|via|through|by|command|query|start with|begin with|check
    inspect
    see|view|look at|list|get|show|find|restart|stop|start|reload|need|is|be|are|goes|ssh(?: in)?to|then""",
    r"\b[^.;]*$",
)
_DIRECTS_PLAINLY = _cue(r"\b", "run|execute|use|try|type|command|enter|issue|running")
_FORBIDS = _cue(
    r"\b",
    r"""do not|don['’]?t|never|avoid|avoiding|without|rather than|instead of|shouldn['’]?t|must not|mustn['’]?t
    won['’]?t
    wouldn['’]?t|no need (?:to|for)|refrain from|unlike|as opposed to|not|cannot|can['’]?t|unable to|stop using
    no longer
    deprecated|neither|nor|isn['’]?t|aren['’]?t|needn['’]?t|replaces|advise against|against|careful with|beware of
    skip|than""",
    r"\b[^,;:—–]*$",
)
_CLAUSE = re.compile(
    r"[,;:—–]|\bbut\b|\bhowever\b|\bso\b|\band then\b|\binstead,?\s+(?=run|use|try|call)", re.IGNORECASE
)
_FORBIDS_AFTER = _cue(
    r"^\W*(?:is|are|would be|can be|might be|may be|will)?\s*",
    r"""not\b|n['’]t\b|never\b|dangerous|deprecated|unsafe|risky|obsolete|a bad idea|destructive|overkill|unnecessary
    wrong\b|won['’]?t|doesn['’]?t|isn['’]?t|cannot|can['’]?t|would (?:delete|remove|wipe|destroy|erase)""",
)
_ALTERNATIVE = _cue(
    "",
    r"""\balternatively\b|\bor you (?:can|could)\b|\banother (?:option|way|approach|tool|command)\b|\bother options?\b
    \bas an alternative\b|\byou (?:can|could|may|might) also\b|\byou might (?:also )?(?:want|like)\b
    \balso (?:try|use|run|check)\b|\bor (?:use|try|run|simply|just|even)\b|\bsome (?:people|prefer)\b|\bif you prefer\b
    \bsimilarly\b|\bvaria(?:tions?|nts?)\b|\bif you(?:['’]d| would) (?:rather|prefer)\b|^\W*or\b|\bor\W*$
    {code}[^{code}]*\bor\b[^{code}]*$""".replace("{code}", CODE),
)
_AFTERTHOUGHT = _cue(
    r"\b",
    r"""to (?:verify|confirm|double[- ]check|make sure|ensure|undo|revert|roll back|learn more|exit|quit|stop it)
    verify (?:that|it|the|this|with|by)|check (?:that|whether|if) (?:it|this|everything|all)|you can (?:verify|confirm)
    afterwards?|optionally|for (?:more|further) (?:details?|information|info|help|options)|later(?: on)?
    in (?:the )?future
    if (?:it|the|that|there|this|any|anything|not|needed|necessary|so|one|both|something|output|usage|none)
    if you (?:see|get|find|notice|encounter|don['’]?t|do not|ever|are not|aren['’]t|have(?!n))
    in case|unless|once (?:you|it|that|this|the|done)|when(?:ever)? (?:you|it|the|there|a|an)|next time|(?:pro )?tip
    note that|bonus|for example|e\.g\.|for instance|such as|say,|example|followed by|equivalent|same as|similar to
    like""",
    r"\b",
)
_IF_WANTED = re.compile(r"\b(?:if|in case) you(?:['’]d| would)? (?:want|need|wish|like)\b", re.IGNORECASE)
_REPORTS = _cue(
    r"\b",
    r"""I(?:['’]ve| have)? (?:already )?(?:ran|run|executed|used|checked|called)
    (?:was|were|been|already|just|has|have) (?:run|executed|used|called|sent|created|scheduled)
    you (?:ran|executed|used|typed|already|said|mentioned|wrote|entered)|we (?:ran|used|executed)|ran|executed
    it says|(?:command|tool|server|agent|output|result|which|that) (?:says|said|reads|reports?|printed|returned)
    (?:the )?(?:output|results?|outputs) (?:of|from)|according to|based on|as shown by|returned by|error (?:from|in)""",
    r"\b[^,;]*$",
)
_REPORTS_PAST = re.compile(
    r"\b(?:I|we|you)\s+(?:(?:already|have|just|then)\s+)*(?!need|proceed|feed|embed)\w+ed\b[^.;:]*$", re.IGNORECASE
)
_OUTPUT_LEAD = _cue(
    r"\b",
    r"""output|outputs|prints?|returns?|results?|looks? like|see something
    you(?:['’]ll| will| should| would| might)? see
    response|shows? something|sample|example|displays?|get back|gives you|something like|similar to|contents? of
    config(?:uration)?|would be:|log""",
    r"\b",
)
_ASKS_TO_KNOW = _cue(
    r"^\W*(?:hi|hey|hello|please|ok|okay|so|and|quick question|um|hm+)?\W*(?:(?:can|could|would) you (?:please )?)?",
    r"""explain|describe (?:what|how)|teach me|help me understand|is it (?:safe|ok|okay|true|bad)|should i\b
    what (?:does|do|did|would|will)\b.{1,60}\b(?:do|mean|stand for|print|return|output|change|need)\b
    what(?:['’]s| is| are) (?:an?|the (?:difference|meaning|purpose|point|use|idea|advantage|default))\b
    what(?:['’]s| is)\s+[`'\"]?[\w.-]+[`'\"]?\s+(?:for|used for)\b
    how (?:does|do (?!i\b|we\b|you\b)|did|is .{1,40} different)
    (?:what|which) (?:can you|are you able|tools|functions|commands)\b|when (?:should|would)\b
    tell me (?:about|why|how to)\b|tell \w+ (?:in words )?what .{1,40} (?:is for|does|means)
    difference between|i(?:['’]m| am) (?:learning|curious)|define|compare|which is better
    who (?:invented|made|wrote)""",
)
_ASKS_WHY = re.compile(r"^\W*(?:why|what happens (?:if|when)|how come)\b", re.IGNORECASE)
_PLACE = re.compile(r"[A-Za-z-]\d|\d+\.\d+\.\d+|(?<!\w)/\w+|\w-\w+\d")
_ACTS = _cue(
    r"\b",
    r"""I(?:['’]ll| will|['’]m going to| am going to|['’]d| would| should| need to| have to)|let me|let['’]s|let us
    we(?:['’]ll| will| should| can| need to)""",
    r"\b",
)
_CONDITIONALLY = re.compile(r"\b(?:would|could|should)\b", re.IGNORECASE)
_HEDGE = re.compile(r"\b(?:could|might|can)\b", re.IGNORECASE)
_HEDGE_AFTER = re.compile(r"\b(?:but|however|although|though)\b", re.IGNORECASE)


def asks_to_know(messages: Sequence[ChatMessage]) -> bool:
    """Whether the last request asks for an explanation, so that commands in the answer are examples."""
    last = next((message.content for message in reversed(messages) if message.role == "user"), "")
    for sentence in re.split(r"(?<=[.!?])\s+|\n", last.strip()):
        if _ASKS_TO_KNOW.search(sentence) or (_ASKS_WHY.search(sentence) and not _PLACE.search(last)):
            return True
    return False


def near(words: str) -> str:
    """The last words before a place, as many as can bear on it."""
    return words[-400:]


def will_act(sentence: str) -> bool:
    """Whether the speaker says that they will do it (not only what they would do)."""
    return _ACTS.search(_CONDITIONALLY.sub("", sentence)) is not None


def acts(sentence: str) -> bool:
    """Whether the speaker says that they will or would do it."""
    return _ACTS.search(sentence) is not None


def directs(before: str) -> bool:
    """Whether the words before a piece of code tell to use it."""
    return _DIRECTS.search(before) is not None


def directs_plainly(words: str) -> bool:
    """Whether words tell to run something in so many words."""
    return _DIRECTS_PLAINLY.search(words) is not None


def forbids(before: str, after: str) -> bool:
    """Whether a piece of code is advised against, by the words before it in its clause or right after it."""
    clause = _CLAUSE.split(before)[-1]
    return _FORBIDS.search(clause) is not None or _FORBIDS_AFTER.search(after) is not None


def is_alternative(before: str) -> bool:
    """Whether what follows is offered in place of something said before."""
    return _ALTERNATIVE.search(before) is not None


def is_afterthought(before: str) -> bool:
    """Whether what follows is for later, for a case that may not come, or an example."""
    return _AFTERTHOUGHT.search(_IF_WANTED.sub("", before)) is not None


def is_hedged(before: str, after: str) -> bool:
    """Whether a `could` before is taken back by a `but` after."""
    return _HEDGE.search(before) is not None and _HEDGE_AFTER.search(after) is not None


def reports(before: str) -> bool:
    """Whether the words say that it has been done already."""
    return _REPORTS.search(before) is not None or _REPORTS_PAST.search(before) is not None


def leads_to_output(lead: str) -> bool:
    """Whether the words before a fence announce an output, a file or an example."""
    return _OUTPUT_LEAD.search(lead) is not None


def asks_back(sentence: str) -> bool:
    """Whether a sentence is a question or an offer."""
    return sentence.rstrip(" *_\n\"')").endswith("?")
