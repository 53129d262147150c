"""The values that travel through kt. Frozen, typed, and ignorant of where they are stored.

`ChatMessage`, `SftRow` and `PreferencePair` use TRL's field names, so that a row is a training row as it stands.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, JsonValue

Role = Literal["system", "user", "assistant", "tool"]
Mode = Literal["chat", "agent"]
Protocol = Literal["json", "native"]
Outcome = Literal["correct", "wrong", "abstained", "malformed", "error", "unverified"]
Cell = Literal["both", "chat_only", "agent_only", "neither", "unverified", "incomplete"]
Part = Literal["train", "dev", "test"]
Novelty = Literal["frame", "phrase", "both"]


class Record(BaseModel):
    """A value: frozen, nothing unknown in it, docstrings as field descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="null")


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, no escapes beyond need."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def content_id(*values: Any) -> str:
    """A stable id made from content: "sha256:" and 32 hex digits of the canonical JSON."""
    return "sha256:" + hashlib.sha256(canonical_json(values).encode("utf-8", "surrogatepass")).hexdigest()[:32]


# --- tools and calls -------------------------------------------------------------------------------------------------


class ToolSpec(Record):
    """A tool as it is offered to a model."""

    name: str
    """Name the model must use."""
    description: str = ""
    """What the tool does, in words for the model."""
    parameters: dict[str, JsonValue] = {}
    """JSON Schema of the arguments: `{"type": "object", "properties": {...}, "required": [...]}`."""


class ToolCall(Record):
    """One call of a tool, as read."""

    name: str
    """Tool name as written."""
    arguments: dict[str, JsonValue] = {}
    """Arguments by name."""
    id: str | None = None
    """Call id where the source has one."""
    read_from: str | None = None
    """The words the call was read from, where it was read from prose."""


class AcceptedCall(Record):
    """A right call with every value that counts as right (BFCL's form)."""

    name: str
    """Tool name."""
    arguments: dict[str, list[JsonValue]] = {}
    """Accepted values by parameter; `""` among them means the parameter may be left out."""


class Check(Record):
    """What counts as success for a task, and who says so."""

    rule: Literal["exact", "any", "all", "ordered", "never"]
    """exact: these in any order and no other; any: one of them; all: these, others allowed; ordered: these in order;
    never: no call."""
    accepted: tuple[AcceptedCall, ...] = ()
    """The accepted calls."""
    evidence: Literal["answer_key", "label", "rating", "follow_up", "recorded_result", "none"]
    """Independent evidence for the accepted calls; with `none` the task is shown and not scored."""


# --- chats -----------------------------------------------------------------------------------------------------------


class MessagePart(Record):
    """One part of a message as its source wrote it."""

    kind: Literal["text", "reasoning", "code", "tool_call", "tool_result", "attachment", "source"]
    """What the part is."""
    text: str = ""
    """Its text; for a tool call the arguments as written, when they cannot be read."""
    call: ToolCall | None = None
    """The call, for `tool_call`."""
    call_id: str | None = None
    """The call this belongs to, for `tool_call` and `tool_result`."""
    well_formed: bool = True
    """False where the source's own form was broken and `text` keeps it as it was."""


class Rating(Record):
    """What a person said of an answer."""

    value: int
    """1 good, -1 bad, 0 neutral."""
    score: int | None = None
    """1 to 10 where the source has it."""
    reason: str | None = None
    """Chosen reason."""
    comment: str | None = None
    """Free words."""
    tags: tuple[str, ...] = ()
    """Tags."""


class Message(Record):
    """A message in a conversation's tree."""

    id: str
    """Hash over content and parent (`content_id`), so labels survive a re-import."""
    source_id: str | None = None
    """The id in the source."""
    parent_id: str | None = None
    """`id` of the message before it; None for a root."""
    role: Role
    """Who speaks."""
    parts: tuple[MessagePart, ...] = ()
    """What is said, in order."""
    model: str | None = None
    """The model that wrote it."""
    created: float | None = None
    """Seconds since the epoch."""
    edited_from: str | None = None
    """Text before an edit, where the source kept it."""
    rating: Rating | None = None
    """The rating, if any."""
    status: Literal["ok", "failed", "unfinished"] = "ok"
    """Whether the turn came to an end."""
    error: str | None = None
    """The source's error text for a failed turn."""

    @property
    def text(self) -> str:
        """The visible text, without reasoning, calls and results."""
        return "\n".join(part.text for part in self.parts if part.kind in ("text", "code") and part.text)


class Provenance(Record):
    """Where a record came from."""

    file: str
    """File name."""
    sha256: str
    """Digest of the file's bytes."""
    format: str
    """The form it was read as, for example `openwebui.export`."""
    place: str
    """Where in the file: `item 3`, `line 17`, `row abc`."""
    licence: str | None = None
    """Licence, where stated."""
    consent: bool | None = None
    """Whether the people in it agreed to training use; None when unknown."""


class Conversation(Record):
    """A chat as a tree of messages."""

    id: str
    """The source's id, or a content id where it has none."""
    source: Provenance
    """Where it came from."""
    title: str = ""
    """Title."""
    models: tuple[str, ...] = ()
    """Models chosen for the chat."""
    tags: tuple[str, ...] = ()
    """Tags."""
    system: str | None = None
    """System prompt of the chat."""
    tools: tuple[ToolSpec, ...] = ()
    """Tools offered in it, where the source names them."""
    messages: tuple[Message, ...] = ()
    """Every message of every branch; a parent stands before its children."""
    active_leaf: str | None = None
    """Last message of the branch that was open."""
    created: float | None = None
    """Seconds since the epoch."""
    updated: float | None = None
    """Seconds since the epoch."""
    notes: tuple[str, ...] = ()
    """What had to be mended while reading (a parent cycle cut, an orphan kept as a root, ...)."""

    def branch(self, leaf: str | None = None) -> list[Message]:
        """The messages from the root to `leaf` (the active leaf by default), in order."""
        by_id = {message.id: message for message in self.messages}
        path: list[Message] = []
        at = by_id.get(leaf or self.active_leaf or "")
        while at is not None:
            path.append(at)
            at = by_id.get(at.parent_id or "")
        return path[::-1]


class Edit(Record):
    """A draft by a model and what a person made of it."""

    id: str
    """Content id."""
    source: Provenance
    """Where it came from."""
    original: str
    """The draft."""
    final: str
    """What the person kept."""
    agent: str | None = None
    """Agent or model that wrote the draft."""
    intent: str | None = None
    """Intent or intent type."""
    created: float | None = None
    """Seconds since the epoch."""


class SetAside(Record):
    """A row that could not be used, kept with its reason and place."""

    source: Provenance
    """Where it stands."""
    reason: str
    """Why it was set aside, in words."""
    excerpt: str = ""
    """The first 500 characters of it."""


# --- tasks and attempts ----------------------------------------------------------------------------------------------


class ChatMessage(Record):
    """A message as a model sees it (OpenAI's and TRL's form)."""

    role: Role
    """Who speaks."""
    content: str = ""
    """Text."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Calls made by the assistant."""
    name: str | None = None
    """Tool name, for role `tool`."""


class Task(Record):
    """Something to be done, put the same way in chat and as an agent."""

    id: str
    """Stable id."""
    messages: tuple[ChatMessage, ...]
    """The conversation up to and with the request; no protocol prompt in it."""
    tools: tuple[ToolSpec, ...] = ()
    """Tools the agent is offered."""
    check: Check
    """What counts as success."""
    role: str = "EXECUTOR"
    """Agent role (product.md D6)."""
    category: str = "general"
    """Group for tables: an intent, a BFCL category, a suite's dimension."""
    difficulty: int = 2
    """1 easy to 5 hard."""
    kind: Literal["main", "not_calling", "multi_turn"] = "main"
    """main tasks carry the verdict, the other kinds are guards."""
    part: Part = "test"
    """The part of the split it belongs to."""
    group: str = ""
    """Conversation or template the task came from: one group never stands in two parts."""
    novelty: Novelty | None = None
    """For evaluation tasks of the embedded world: what besides the entities was never seen."""
    entities: tuple[str, ...] = ()
    """Names made up for this task (used to prove that none was trained on)."""
    information: str = ""
    """What information the task gives, in words: `schema given`, `no schema`, ..."""
    tags: tuple[str, ...] = ()
    """Free tags."""
    source: Provenance | None = None
    """Where it came from."""


class Decoding(Record):
    """How to decode."""

    temperature: float = 0.0
    """0 is greedy."""
    max_tokens: int = 256
    """Most tokens to generate."""
    seed: int | None = None
    """Seed where the model takes one."""


class Request(Record):
    """One completion to ask of a model."""

    messages: tuple[ChatMessage, ...]
    """The conversation."""
    tools: tuple[ToolSpec, ...] = ()
    """Tools for native tool calling."""
    output_schema: dict[str, JsonValue] | None = None
    """JSON Schema the output must follow (constrained decoding), or None."""
    decoding: Decoding = Decoding()
    """How to decode."""


class Usage(Record):
    """Tokens of one completion."""

    prompt_tokens: int = 0
    """Tokens read."""
    completion_tokens: int = 0
    """Tokens written."""


class Completion(Record):
    """What a model answered to one request."""

    text: str = ""
    """Text of the answer; for native calling, what stands beside the calls."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Native calls."""
    unreadable_calls: tuple[str, ...] = ()
    """Native calls whose arguments could not be read, as the server sent them."""
    usage: Usage = Usage()
    """Tokens."""
    seconds: float = 0.0
    """Wall seconds, shared evenly within a batch."""
    finish: Literal["stop", "length", "tool_calls", "error"] = "stop"
    """Why it ended."""
    error: str | None = None
    """The server's own words when `finish` is `error`."""


class Attempt(Record):
    """A task put to a model once, and how it was judged."""

    task_id: str
    """The task."""
    mode: Mode
    """chat or agent."""
    protocol: Protocol | None = None
    """How agent calls are made; None in chat."""
    model: str
    """Model name with version, for example `embedded` or `embedded@1.0.0`."""
    lever: str = "none"
    """What was added: none, constrained, prompt:<name>, few_shot:<n>, sft, sft+dpo ..."""
    output: str = ""
    """Raw output."""
    calls: tuple[ToolCall, ...] = ()
    """Calls read from it."""
    outcome: Outcome
    """The verdict."""
    failure: str | None = None
    """Failure class when not correct (`calls` package names them)."""
    detail: str | None = None
    """What exactly was wrong, in words."""
    usage: Usage = Usage()
    """Tokens."""
    seconds: float = 0.0
    """Wall seconds."""


class Difference(Record):
    """One task's paired outcome."""

    task_id: str
    """The task."""
    cell: Cell
    """Which cell of the paired table; `unverified` without evidence, `incomplete` when one side errored."""
    chat: Attempt
    """The chat side."""
    agent: Attempt
    """The agent side."""


# --- what is learned -------------------------------------------------------------------------------------------------


class Pattern(Record):
    """A way of succeeding that was seen to work."""

    id: str
    """Content id."""
    kind: Literal["command_execution", "code_generation", "tool_selection", "parameter_formatting"]
    """Kind of success pattern (product.md K1)."""
    tool: str
    """Tool it calls."""
    template: str
    """The call with slots for what changes."""
    slots: tuple[str, ...] = ()
    """Slot names."""
    support: int
    """Tasks it was seen on."""
    successes: int
    """Of those, agent successes before any change."""
    examples: tuple[str, ...] = ()
    """Task ids."""


class Example(Record):
    """A verified request-to-call pair, fit for a few-shot prompt or a training row."""

    task_id: str
    """The task."""
    messages: tuple[ChatMessage, ...]
    """The request with its context."""
    tools: tuple[ToolSpec, ...]
    """Tools offered."""
    calls: tuple[ToolCall, ...]
    """Right calls, with the words they were read from; empty where the right thing is a plain answer."""
    answer: str = ""
    """The chat answer the calls were read from (or the plain answer)."""
    verified: tuple[str, ...]
    """How it was verified: `schema`, `accepted_values`, `dry_run`."""
    category: str = ""
    """The task's category."""


class Improvement(Record):
    """What a lever gave on tasks it was not made from."""

    lever: str
    """Lever name as in `Attempt.lever`."""
    failure: str
    """Failure class it was tried for, or `all`."""
    before: float
    """Rate before, in 0..1."""
    after: float
    """Rate after, in 0..1."""
    low: float
    """95% lower bound of the paired difference (Newcombe)."""
    high: float
    """95% upper bound."""
    p_value: float
    """McNemar mid-p."""
    p_holm: float
    """The same after Holm over the levers tried."""
    n: int
    """Paired tasks."""
    kept: bool
    """Whether it is kept."""
    reason: str
    """Why, in words."""


class Profile(Record):
    """The levers kept for a model, loadable."""

    name: str
    """Profile name."""
    model: str
    """Model it was made for."""
    prompt: str
    """Prompt variant name."""
    examples: tuple[Example, ...] = ()
    """Few-shot examples."""
    constrained: bool = False
    """Whether output is constrained to the protocol's schema."""
    decoding: Decoding = Decoding()
    """Decoding."""


class DatasetRow(Record):
    """A row of a dataset: where it comes from, and whether it may be used."""

    task_id: str
    """The task, conversation or variation it came from."""
    basis: str
    """What it rests on, in words; of a preference, why one answer is better: the failure class fixed."""
    source: str = "own"
    """The source of the mix that it belongs to: own, corrections, generator, toucan, ..."""
    licence: str | None = None
    """Licence of what it was made of; None where none is stated."""
    consent: bool | None = None
    """Whether the people in it agreed to training use; None when unknown."""
    private: bool = False
    """Whether it holds what people said in confidence: to share it takes their word, a licence is not enough."""


class SftRow(DatasetRow):
    """A training row for TRL's SFTTrainer."""

    messages: tuple[ChatMessage, ...]
    """Conversation; its last message is an answer."""
    tools: tuple[ToolSpec, ...] = ()
    """Tools offered."""
    learn: Literal["last", "all"] = "last"
    """Which of the assistant's messages are learned: the last one, or every one."""
    kind: str
    """What it teaches: agent_call, chat_replay, no_call, after_result, ..."""


class PreferencePair(DatasetRow):
    """A preference row for TRL's DPOTrainer."""

    prompt: tuple[ChatMessage, ...]
    """Conversation before the answer."""
    chosen: str
    """Better answer."""
    rejected: str
    """Worse answer."""
    tools: tuple[ToolSpec, ...] = ()
    """Tools offered."""
    evidence: str
    """Who says so."""


class UnpairedRow(DatasetRow):
    """One answer that was found good or bad by itself: TRL's unpaired preference, for its KTOTrainer."""

    prompt: tuple[ChatMessage, ...]
    """Conversation before the answer."""
    completion: str
    """The answer."""
    label: bool
    """Whether it is wanted."""
    tools: tuple[ToolSpec, ...] = ()
    """Tools offered."""
    evidence: str
    """Who says so."""


class Adapter(Record):
    """A trained adapter."""

    name: str
    """sft, sft+dpo, ..."""
    base: str
    """Digest of the base weights."""
    folder: str
    """Folder below the step's folder."""
    digest: str
    """Digest of the adapter's weights."""
    rows: int
    """Rows trained on."""
    steps: int
    """Optimiser steps."""
    seconds: float
    """Wall seconds of training."""
    tokens: int
    """Tokens trained on."""
    losses: tuple[tuple[int, float], ...] = ()
    """(step, loss)."""
    engine: str = ""
    """The libraries that trained: trl+peft, unsloth."""
    peak_mb: float = 0.0
    """Most memory that training held, beyond what the process held before."""


class Rate(Record):
    """A share with its Wilson interval."""

    value: float | None
    """Successes / n; None when n is 0."""
    low: float | None
    """95% lower bound."""
    high: float | None
    """95% upper bound."""
    n: int
    """Tasks counted."""
    errors: int = 0
    """Tasks that failed to run and are not counted."""


class Score(Record):
    """A measured rate of one variant on one set."""

    variant: str
    """base, constrained, prompt:..., few_shot:..., sft, sft+dpo."""
    mode: Mode
    """chat or agent."""
    suite: str
    """main, not_calling, multi_turn, main/frame, ..."""
    metric: str
    """success, malformed, ..."""
    rate: Rate
    """The rate."""


class PairedTable(Record):
    """Two sides on the same tasks: a 2x2 table with its statistics. The difference is second minus first."""

    both: int
    """Both succeeded."""
    first_only: int
    """Only the first."""
    second_only: int
    """Only the second."""
    neither: int
    """Neither."""
    first: Rate
    """The first side's rate."""
    second: Rate
    """The second side's rate."""
    difference: float
    """second minus first, -1..1."""
    low: float
    """95% Newcombe paired lower bound."""
    high: float
    """95% Newcombe paired upper bound."""
    p_value: float
    """McNemar mid-p."""

    @property
    def n(self) -> int:
        """Paired tasks."""
        return self.both + self.first_only + self.second_only + self.neither

    @property
    def in_points(self) -> str:
        """The difference in words: `+1.2 points (-0.4 to +2.8)`."""
        return f"{100 * self.difference:+.1f} points ({100 * self.low:+.1f} to {100 * self.high:+.1f})"


class Verdict(Record):
    """A paired comparison of a candidate with the base on one suite, judged against a margin."""

    variant: str
    """The candidate."""
    suite: str
    """target, plain_chat, not_calling, multi_turn."""
    table: PairedTable
    """first = base, second = candidate."""
    verdict: Literal["better", "worse", "equivalent", "not_worse", "inconclusive"]
    """In words of statistics.md."""
    passed: bool
    """Whether the gate is satisfied."""
    margin: float
    """Margin in 0..1."""
    discordance: float
    """Share of discordant tasks."""
    power: float
    """Power of this guard at this n and discordance, no true difference."""
    needed: int
    """Tasks needed for 80% power at this discordance."""
    reason: str
    """In words."""


class ModelVersion(Record):
    """A released model with its lineage."""

    version: str
    """`1.2.0`."""
    base: str
    """Base model name."""
    adapter: str
    """Digest of the adapter."""
    digest: str
    """Digest over weights and configuration."""
    run: str
    """Run that made it."""
    data: str
    """Digest of the training rows."""
    scores: tuple[Score, ...] = ()
    """Scores it was released on."""
    verdicts: tuple[Verdict, ...] = ()
    """The gate's verdicts."""
    promoted: bool = False
    """Whether the gate let it through."""
    reason: str = ""
    """Why this version number, and why promoted or not."""
    folder: str = ""
    """Folder of the merged weights below the state folder."""
    created: float = 0.0
    """Seconds since the epoch."""
