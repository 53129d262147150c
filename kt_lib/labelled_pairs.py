"""Preference pairs made of what people say: which of two answers is better, and whether an edit is an improvement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kt_lib.calls.protocol import read_agent
from kt_lib.calls.schemas import fits_schema
from kt_lib.calls.writing import write_calls
from kt_lib.deduplication import without_near
from kt_lib.labels import Label, Question, Side
from kt_lib.prompts import agent_request, chat_request
from kt_lib.records import Check, Completion, PreferencePair, Protocol, Record, Request, Task
from kt_lib.standing import how_given

_FIRST_IS_BETTER = {"first": True, "second": False, "no": True, "yes": False}
"""A preference names the better side; an edit is draft and final, and a yes is for the final."""


class LabelledPairs(Record):
    """The pairs that labels give, and why others give none."""

    pairs: tuple[PreferencePair, ...]
    """The pairs."""
    left_out: dict[str, int]
    """How many labels gave none, by reason."""


def labelled_pairs(
    questions: Iterable[Question],
    labels: Iterable[Label],
    agreeing: Mapping[str, int],
    tasks: Sequence[Task],
    training: frozenset[str],
    protocol: Protocol,
    threshold: float,
) -> LabelledPairs:
    """A pair for each label that says which of two texts is better, where the prompt before them is known.

    `training` holds the conversations in the train part: labels on others teach nothing. What `without_near` finds near
    an evaluation task is left out too: the same words may stand in two conversations.
    """
    asked = {question.id: question for question in questions}
    left_out: dict[str, int] = {}
    found: list[PreferencePair] = []
    for label in labels:
        question = asked.get(label.question)
        if label.answer.verdict in _FIRST_IS_BETTER and label.kind in ("preference", "edit"):
            made = _pair(question, label, agreeing, training, protocol) if question else "no longer asked"
            if isinstance(made, PreferencePair):
                found.append(made)
            else:
                left_out[made] = left_out.get(made, 0) + 1
    kept, near = without_near(found, tasks, threshold)
    return LabelledPairs(pairs=tuple(kept), left_out=dict(sorted((left_out | near).items())))


def labels_first(labelled: LabelledPairs, others: Iterable[PreferencePair], most: int) -> list[PreferencePair]:
    """At most `most` pairs, those of people first; what people said already is not said a second time."""
    known = {(pair.prompt, pair.chosen, pair.rejected) for pair in labelled.pairs}
    new = [pair for pair in others if (pair.prompt, pair.chosen, pair.rejected) not in known]
    return [*labelled.pairs, *new][:most]


def _pair(
    question: Question, label: Label, agreeing: Mapping[str, int], training: frozenset[str], protocol: Protocol
) -> PreferencePair | str:
    """The pair, or why there is none."""
    if question.group not in training:
        return "not in the train part"
    if not question.context:
        return "what was asked is not known"
    better_first = _FIRST_IS_BETTER[label.answer.verdict]
    made = _texts(question, better_first, protocol)
    if isinstance(made, str):
        return made
    asked, first, second = made
    if first.strip() == second.strip() or not (first.strip() and second.strip()):
        return "nothing to tell apart"
    return PreferencePair(
        prompt=asked.messages,
        chosen=first if better_first else second,
        rejected=second if better_first else first,
        tools=asked.tools,
        task_id=question.id,
        basis="label",
        evidence=_evidence(label, agreeing.get(question.id, 1)),
    )


def _evidence(label: Label, annotators: int) -> str:
    """Who says so: how many annotators, and how."""
    said, how = f"{annotators} annotator{'s' if annotators > 1 else ''}", how_given(label)
    return f"label: {said}, {how}" if how else f"label: {said}"


def _texts(question: Question, better_first: bool, protocol: Protocol) -> tuple[Request, str, str] | str:
    """The request and both answers to it in its form, or why there are none.

    Words are compared as answers in chat. Calls are compared as the agent has to write them, whichever way they were
    given, so that a preference for what chat did never teaches the agent to tell instead of to act.
    """
    first, second = question.sides[0], question.sides[1]
    task = Task(
        id=question.id, messages=question.context, tools=question.tools, check=Check(rule="exact", evidence="none")
    )
    if protocol == "native" and (first.calls or second.calls):
        return "a native call, which a pair of texts cannot say"
    if second.name == "agent":
        why = _no_model(first if better_first else second, task)
        told = write_calls(first.calls) if first.calls else first.text
        return why or (agent_request(task, protocol), told, _written(second))
    made = [_was_made(side) for side in (first, second)]
    if not any(made):
        return chat_request(task), first.text, second.text
    if not all(made):
        return "one answer called tools and the other did not"
    return agent_request(task, protocol), write_calls(first.calls), write_calls(second.calls)


def _no_model(better: Side, task: Task) -> str | None:
    """Why an answer is no model for the agent although it is the better one."""
    if better.name == "agent":
        malformed = read_agent(Completion(text=_written(better)), task.tools, "json").failure is not None
        return "the better answer is malformed" if malformed else None
    if not better.calls:
        return "the better answer tells what to do and makes no call"
    fits = all(fits_schema(call, task.tools) for call in better.calls)
    return None if fits else "the better answer's call does not fit its schema"


def _written(agent: Side) -> str:
    return agent.text.strip() or write_calls(agent.calls)


def _was_made(side: Side) -> bool:
    """Whether calls were made, and not only told in words: what is said after their results cannot stand alone."""
    return any(call.read_from is None for call in side.calls)
