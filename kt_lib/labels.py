"""What a person is asked and what they answered: questions, suggestions, answers, labels, judged exchanges."""

from __future__ import annotations

from typing import Literal

from kt_lib.records import ChatMessage, Mode, Protocol, Record, ToolCall, ToolSpec, Usage

QuestionKind = Literal["turn", "reading", "preference", "edit", "pattern", "voice"]
Verdict = Literal["yes", "no", "corrected", "first", "second", "tie", "same", "skipped", "open"]
Origin = Literal["person", "accepted", "bulk", "import", "settled"]

Judged = Literal["right", "wrong", "corrected", "unjudged"]

VERDICTS: dict[QuestionKind, tuple[Verdict, ...]] = {
    "turn": ("yes", "no"),
    "reading": ("yes", "no", "corrected"),
    "preference": ("first", "second", "tie"),
    "edit": ("yes", "no", "same"),
    "pattern": ("yes", "no", "corrected"),
    "voice": ("yes", "no"),
}
"""What may be answered to each kind of question; `skipped`, with a reason, always.

`open` is no answer yet: the question was flagged, or a note was written on it."""


class Side(Record):
    """One thing to be judged: an answer, a draft, a pattern."""

    name: str
    """Whose it is, in words: `chat`, `agent`, `answer 1`, `draft`, `final`, `template`."""
    text: str
    """Its text, as it was written."""
    calls: tuple[ToolCall, ...] = ()
    """The calls made, or read from the text."""


class Suggestion(Record):
    """What a heuristic or a model would answer."""

    verdict: Verdict
    """The answer."""
    score: float
    """How sure, 0 to 1: 0.5 is a coin."""
    origin: str
    """Which heuristic or model, for example `rating`, `follow_up`, `regenerated`, `checker`."""
    because: str = ""
    """Why, in words."""


class Question(Record):
    """Something to be judged by a person, with all that is needed to judge it."""

    id: str
    """Content id over kind and subject: the same question in every run and after every re-import."""
    kind: QuestionKind
    """turn: did this chat turn succeed; reading: are the calls read from this answer the right ones for the request;
    preference: which of two answers is better; edit: is this edit an improvement; pattern: is this pattern right;
    voice: does this answer fit the user that it was meant for."""
    subject: str
    """Id of what is judged: the answer's message (turn, reading), both answers (preference), the edit, the pattern, the
    task and its answer (voice)."""
    group: str
    """Conversation it belongs to, or another key that questions on the same thing share."""
    context: tuple[ChatMessage, ...] = ()
    """The conversation up to and with the request."""
    sides: tuple[Side, ...]
    """What is judged first; what stands beside it (the agent's answer to the same task) after. preference: the two
    answers; edit: draft and final; voice: the answer and, in words, the user."""
    tools: tuple[ToolSpec, ...] = ()
    """Tools offered, for the schema of a call."""
    suggestions: tuple[Suggestion, ...] = ()
    """What is suggested, most trusted first."""


class Answer(Record):
    """What an annotator said of one question."""

    verdict: Verdict
    """One of `VERDICTS` of the question's kind, `skipped`, or `open`."""
    calls: tuple[ToolCall, ...] = ()
    """For a corrected reading: the right calls; none means that no call is due."""
    text: str = ""
    """For a corrected pattern: the right template. For `skipped`: the reason."""
    order: tuple[int, ...] = ()
    """The order the sides were shown in, where they were shuffled: `(1, 0)` had the second one left."""
    flagged: bool = False
    """Whether to look at it again."""
    note: str = ""
    """Free words."""
    origin: Origin = "person"
    """How it came: typed, a suggestion accepted, accepted in bulk, imported, settled after a disagreement."""
    audit: Literal["", "due", "confirmed", "changed"] = ""
    """Of a label accepted in bulk that was drawn to be looked at: still to be looked at, or what came of it."""
    suggested: str = ""
    """`origin` of the suggestion that was in sight when the annotator answered; empty when none was."""
    seconds: float = 0.0
    """Time spent on it."""


class Label(Record):
    """An answer as it is stored: one for each question and annotator."""

    question: str
    """The question's id."""
    kind: QuestionKind
    """Its kind."""
    subject: str
    """What was judged."""
    group: str
    """The conversation."""
    annotator: str
    """Who judged."""
    answer: Answer
    """What they said."""
    number: int
    """Number of the action that stored it: counts up over all labels, and no two share one."""
    time: float
    """Seconds since the epoch."""


class Interaction(Record):
    """One answer of a model, and what a person said of it."""

    id: str
    """Content id over model, conversation, output and time."""
    time: float
    """Seconds since the epoch."""
    origin: str
    """Where it was said: `playground`."""
    mode: Mode
    """chat or agent."""
    protocol: Protocol = "json"
    """How the agent's calls were to be made."""
    model: str
    """The model's name, with its version."""
    digest: str
    """What the model was."""
    profile: str = ""
    """Profile whose levers were used; empty for none."""
    persona: str = ""
    """Role or persona; empty for none."""
    messages: tuple[ChatMessage, ...]
    """The conversation up to and with the request, without prompts of ours."""
    tools: tuple[ToolSpec, ...] = ()
    """Tools offered."""
    output: str
    """What the model wrote."""
    calls: tuple[ToolCall, ...] = ()
    """Calls read from it."""
    stopped: bool = False
    """Whether a person stopped it: what is there is not the whole answer."""
    failure: str = ""
    """Failure class where a call was meant and cannot be read."""
    verdict: Judged = "unjudged"
    """What the person said."""
    correction: str = ""
    """The right answer: text, or for an agent also calls as JSON, as typed."""
    annotator: str = ""
    """Who judged."""
    usage: Usage = Usage()
    """Tokens."""
    seconds: float = 0.0
    """Wall seconds."""
    first_seconds: float = 0.0
    """Seconds to the first piece of text."""
