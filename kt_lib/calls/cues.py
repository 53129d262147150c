"""The words that tell whether an answer means a call: said to be done, advised against, explained, or an afterthought."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kt_lib.calls.markdown import CODE
from kt_lib.records import ChatMessage

_C = CODE

_DIRECTS = re.compile(
    r"\b(?:run|execute|use|try|type|enter|issue|invoke|call|perform|launch|do|apply|trigger|fire off|kick off|make|submit|send|"
    r"running|executing|using|issuing|calling|invoking|with|via|through|command|query|call to|start with|begin with|check|inspect|"
    r"see|view|look at|list|get|show|find|restart|stop|start|reload|need|is|be|are|would be|should be|goes|ssh(?: in)?to|then)\b"
    r"[^.;]*$",
    re.IGNORECASE,
)
_FORBIDS = re.compile(
    r"\b(?:do not|don['’]?t|never|avoid|avoiding|without|rather than|instead of|shouldn['’]?t|should not|must not|mustn['’]?t|won['’]?t|"
    r"wouldn['’]?t|would not|not to|no need (?:to|for)|not necessary to|refrain from|unlike|as opposed to|not recommended|not|cannot|can['’]?t|"
    r"unable to|stop using|no longer|deprecated|neither|nor|isn['’]?t|aren['’]?t|needn['’]?t|replaces|advise against|against|careful with|"
    r"beware of|skip|than)\b[^,;:—–]*$",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r"[,;:—–]|\bbut\b|\bhowever\b|\bso\b|\band then\b|\binstead,?\s+(?=run|use|try|call)", re.IGNORECASE
)
_FORBIDS_AFTER = re.compile(
    r"^\W*(?:is|are|would be|can be|might be|may be|will)?\s*(?:not\b|n['’]t\b|never\b|dangerous|deprecated|unsafe|risky|obsolete|a bad idea|"
    r"destructive|overkill|unnecessary|wrong\b|won['’]?t|doesn['’]?t|isn['’]?t|cannot|can['’]?t|would (?:delete|remove|wipe|destroy|erase))",
    re.IGNORECASE,
)
_ALTERNATIVE = re.compile(
    r"\b(?:alternatively|or you (?:can|could)|another (?:option|way|approach|tool|command)|other options?|as an alternative|you (?:can|could|may|"
    r"might) also|you might (?:also )?(?:want|like)|also (?:try|use|run|check)|or use|or try|or run|or simply|or just|or even|some (?:people|prefer)|if you prefer|"
    r"similarly|variations?|variants?|if you(?:['’]d| would) (?:rather|prefer))\b|^\W*or\b|\bor\W*$",
    re.IGNORECASE,
)
_AFTERTHOUGHT = re.compile(
    r"\b(?:to (?:verify|confirm|double[- ]check|make sure|ensure|undo|revert|roll back|learn more|exit|quit|stop it)|verify (?:that|it|the|this|with|by)|"
    r"you can (?:verify|confirm)|afterwards?|optionally|for (?:more|further) (?:details?|information|info|help|options)|later on?|in (?:the )?future|"
    r"if (?:it|the|that|there|this|any|anything|you (?:see|get|find|notice|encounter|don['’]?t|do not|ever|are not|aren['’]t|have(?!n))|not|needed|necessary|so|"
    r"one|both|something|output|usage|none)|in case|unless|once (?:you|it|that|this|the|done)|when(?:ever)? you|when(?:ever)? (?:it|the|there|a|an)|"
    r"next time|pro tip|tip|note that|bonus|for example|e\.g\.|for instance|such as|say,|example|followed by|equivalent|same as|similar to|"
    r"similar(?:ly)?|like)\b",
    re.IGNORECASE,
)
_CONDITION_OF_WISH = re.compile(
    r"\bif you(?:['’]d| would)? (?:want|need|wish|like)\b|\bin case you (?:want|need)\b", re.IGNORECASE
)
_REPORTS = re.compile(
    r"\b(?:I(?:['’]ve| have)? (?:already )?(?:ran|run|executed|used|checked|called)|(?:was|were|been|already|just|has|have) (?:run|executed|used|called|"
    r"sent|created|scheduled)|you (?:ran|executed|used|typed|already|said|mentioned|wrote|entered)|we (?:ran|used|executed)|ran|executed|"
    r"(?:the )?(?:output|result|results|outputs) (?:of|from)|according to|based on|as shown by|returned by|error (?:from|in))\b[^,;]*$",
    re.IGNORECASE,
)
_OUTPUT_LEAD = re.compile(
    r"\b(?:output|outputs|prints?|returns?|results?|looks? like|look like|see something|you(?:['’]ll| will| should| would| might)? see|response|shows? something|sample|"
    r"example|displays?|get back|something like|similar to|contents? of|config(?:uration)?|would be:|log)\b",
    re.IGNORECASE,
)
_ASKS_TO_KNOW = re.compile(
    r"^\W*(?:hi|hey|hello|please|ok|okay|so|and|quick question|um|hm+)?\W*(?:(?:can|could|would) you (?:please )?)?(?:"
    r"explain|describe (?:what|how)|what (?:does|do|did|would|will)\b.{1,60}\b(?:do|mean|stand for|print|return|output|change)|"
    r"what(?:['’]s| is| are) (?:a|an|the (?:difference|meaning|purpose|point|use|idea|advantage|default))\b|"
    r"what(?:['’]s| is)\s+[`'\"]?[\w.-]+[`'\"]?\s+(?:for|used for)|how (?:does|do (?!i\b|we\b|you\b)|did|is .{1,40} different)|why\b|when (?:should|would|do|is)|"
    r"tell me (?:about|what|how|why)|teach me|help me understand|is it (?:safe|ok|okay|possible|true|bad)|should i\b|difference between|"
    r"what happens (?:if|when)|i(?:['’]m| am) (?:learning|curious)|define|compare|which is better|who (?:invented|made|wrote)|do i need)",
    re.IGNORECASE,
)
_ACTS_FIRST_PERSON = re.compile(
    r"\b(?:I(?:['’]ll| will|['’]m going to| am going to|['’]d| would| should| need to| have to| can)|let me|let['’]s|let us|we(?:['’]ll| will| should| can| need to))\b",
    re.IGNORECASE,
)


def asks_to_know(messages: Sequence[ChatMessage]) -> bool:
    """Whether the last request asks for an explanation, so that commands in the answer are examples."""
    last = next((message.content for message in reversed(messages) if message.role == "user"), "")
    return any(_ASKS_TO_KNOW.search(sentence) for sentence in re.split(r"(?<=[.!?])\s+|\n", last.strip()) if sentence)


def acts(sentence: str) -> bool:
    """Whether the speaker says that they will do it."""
    return _ACTS_FIRST_PERSON.search(sentence) is not None


def directs(before: str) -> bool:
    """Whether the words before a piece of code tell to use it."""
    return _DIRECTS.search(before) is not None


def forbids(before: str, after: str) -> bool:
    """Whether a piece of code is advised against, by the words before it in its clause or right after it."""
    clause = _CLAUSE.split(before)[-1]
    return _FORBIDS.search(clause) is not None or _FORBIDS_AFTER.search(after) is not None


def is_alternative(before: str) -> bool:
    """Whether what follows is offered in place of something said before."""
    return _ALTERNATIVE.search(before) is not None


def is_afterthought(before: str) -> bool:
    """Whether what follows is for later, for a case that may not come, or an example."""
    return _AFTERTHOUGHT.search(_CONDITION_OF_WISH.sub("", before)) is not None


def reports(before: str) -> bool:
    """Whether the words say that it has been done already."""
    return _REPORTS.search(before) is not None


def leads_to_output(lead: str) -> bool:
    """Whether the words before a fence announce an output, a file or an example."""
    return _OUTPUT_LEAD.search(lead) is not None


def asks_back(sentence: str) -> bool:
    """Whether a sentence is a question or an offer."""
    return sentence.rstrip(" *_\n\"')").endswith("?")
