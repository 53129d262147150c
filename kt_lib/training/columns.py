"""Rows and pairs in the columns that TRL's trainers read, and which tokens of a row are learned."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from jinja2 import TemplateError

from kt_lib.errors import KtError
from kt_lib.records import ChatMessage, PreferencePair, SftRow, UnpairedRow

IGNORED = -100
"""The label of a token that is read and not learned; torch's cross-entropy leaves it out."""


class Tokens(NamedTuple):
    """A row as the trainer reads it."""

    input_ids: list[int]
    """Every token of the conversation."""
    labels: list[int]
    """The same where the token is learned, IGNORED elsewhere."""
    answers: int
    """Answers that are learned."""
    missed: int
    """Answers that were to be learned and stand elsewhere in the whole conversation than when they were given."""


def sft_tokens(rows: Sequence[SftRow], tokenizer: Any) -> list[Tokens]:
    """The rows in tokens by the model's own chat template, with the answers that `SftRow.learn` names as labels.

    An answer is what the template writes after the turn is opened, up to and with what closes the turn. It is found
    by rendering the conversation up to it and up to its end; where those are no beginnings of the whole conversation
    (a template that takes back earlier thoughts, say) it is counted as missed, except the last answer, which begins
    where the two part. KtError for a row that the template refuses.
    """
    if not rows:
        return []
    told = [_answers(row, tokenizer) for row in rows]
    encoded = tokenizer([text for text, _, _ in told], add_special_tokens=False, return_offsets_mapping=True)
    found = []
    for ids, places, (_, spans, missed) in zip(encoded["input_ids"], encoded["offset_mapping"], told, strict=True):
        learned = _learned(places, spans)
        labels = [one if learn else IGNORED for one, learn in zip(ids, learned, strict=True)]
        found.append(Tokens(input_ids=ids, labels=labels, answers=len(spans), missed=missed))
    return found


def sft_columns(tokens: Sequence[Tokens]) -> Any:
    """Rows in tokens as the `datasets.Dataset` that TRL takes as it is."""
    from datasets import Dataset

    return Dataset.from_list([{"input_ids": one.input_ids, "labels": one.labels} for one in tokens])


def dpo_columns(pairs: Sequence[PreferencePair]) -> Any:
    """TRL's prompt, chosen and rejected as a `datasets.Dataset`."""
    return _dataset(
        [{"chosen": [_answer(one.chosen)], "rejected": [_answer(one.rejected)], **_asked(one)} for one in pairs]
    )


def kto_columns(judged: Sequence[UnpairedRow]) -> Any:
    """TRL's prompt, completion and label as a `datasets.Dataset`."""
    return _dataset([{"completion": [_answer(one.completion)], "label": one.label, **_asked(one)} for one in judged])


def row_lengths(rows: Sequence[SftRow | PreferencePair | UnpairedRow], tokenizer: Any) -> list[tuple[int, ...]]:
    """Tokens of each row; of a pair, those of the prompt with the chosen and with the rejected answer."""
    if not rows:
        return []
    texts = [[_rendered(messages, row, tokenizer) for messages in _conversations(row)] for row in rows]
    counted = iter(tokenizer([text for sides in texts for text in sides], add_special_tokens=False)["input_ids"])
    return [tuple(len(next(counted)) for _ in sides) for sides in texts]


def by_length(pairs: Sequence[PreferencePair], batch: int, seed: int) -> list[PreferencePair]:
    """Pairs of like length together, the batches in random order: the engine groups rows only for SFT."""

    def size(at: int) -> tuple[int, int]:
        pair = pairs[at]
        return sum(len(one.content) for one in pair.prompt) + len(pair.chosen) + len(pair.rejected), at

    order = sorted(range(len(pairs)), key=size)
    batches = [order[at : at + batch] for at in range(0, len(order), batch)]
    random.Random(seed).shuffle(batches)
    return [pairs[at] for chosen in batches for at in chosen]


# --- the answers of a row --------------------------------------------------------------------------------------------

_Span = tuple[int, int]


def _answers(row: SftRow, tokenizer: Any) -> tuple[str, list[_Span], int]:
    """The whole conversation as the model reads it, where in it the answers to learn stand, and how many are missed."""
    if not row.messages or row.messages[-1].role != "assistant":
        raise KtError(f"the row of task {row.task_id} does not end with an answer: there is nothing in it to learn")
    messages = [_plain(one) for one in row.messages]
    whole = _rendered(messages, row, tokenizer)
    last = len(messages) - 1
    spans, missed = [], 0
    for at in range(last) if row.learn == "all" else ():
        if messages[at]["role"] != "assistant":
            continue
        span = _span(messages, at, whole, row, tokenizer)
        if span:
            spans.append(span)
        else:
            missed += 1
    asked = _rendered(messages[:last], row, tokenizer, opened=True)
    parted = (at for at, (one, other) in enumerate(zip(asked, whole, strict=False)) if one != other)
    return whole, [*spans, (next(parted, len(asked)), len(whole))], missed


def _span(messages: list[dict[str, Any]], at: int, whole: str, row: SftRow, tokenizer: Any) -> _Span | None:
    try:
        before = _rendered(messages[:at], row, tokenizer, opened=True)
        after = _rendered(messages[: at + 1], row, tokenizer)
    except KtError:
        # A template may refuse a conversation that begins with an answer, and take it within a longer one.
        return None
    whole_so_far = after.startswith(before) and whole.startswith(after)
    return (len(before), len(after)) if whole_so_far else None


def _learned(places: Sequence[_Span], spans: Sequence[_Span]) -> list[bool]:
    """Of each token whether it holds something of an answer; tokens and answers stand in order."""
    learned, ahead = [], iter(spans)
    begin, end = next(ahead)
    for first, past in places:
        while first >= end:
            following = next(ahead, None)
            if following is None:
                break
            begin, end = following
        learned.append(first < end and past > begin)
    return learned


def _rendered(
    messages: list[dict[str, Any]], row: SftRow | PreferencePair | UnpairedRow, tokenizer: Any, *, opened: bool = False
) -> str:
    try:
        text: str = tokenizer.apply_chat_template(
            messages, tools=_tools(row) or None, tokenize=False, add_generation_prompt=opened
        )
    except TemplateError as error:
        raise KtError(
            f"the model's chat template refuses the row of task {row.task_id} ({error}):"
            " leave it out, or put its messages in the order that the template asks for"
        ) from error
    return text


def _dataset(rows: list[dict[str, Any]]) -> Any:
    """The rows as columns; arguments of mixed types stay as they are."""
    from datasets import Dataset

    if not any(row["tools"] for row in rows):
        rows = [{name: value for name, value in row.items() if name != "tools"} for row in rows]
    return Dataset.from_list(rows, on_mixed_types="use_json")


def _conversations(row: SftRow | PreferencePair | UnpairedRow) -> list[list[dict[str, Any]]]:
    if isinstance(row, SftRow):
        return [[_plain(one) for one in row.messages]]
    answers = (row.chosen, row.rejected) if isinstance(row, PreferencePair) else (row.completion,)
    return [[*(_plain(one) for one in row.prompt), _answer(text)] for text in answers]


def _asked(row: PreferencePair | UnpairedRow) -> dict[str, Any]:
    """The prompt, and the tools as JSON text, because schemas of different tools share no column type."""
    tools = json.dumps(_tools(row)) if row.tools else None
    return {"prompt": [_plain(one) for one in row.prompt], "tools": tools}


def _answer(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def _plain(message: ChatMessage) -> dict[str, Any]:
    plain: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        functions = [{"name": call.name, "arguments": call.arguments} for call in message.tool_calls]
        plain["tool_calls"] = [{"type": "function", "function": function} for function in functions]
    if message.name:
        plain["name"] = message.name
    return plain


def _tools(row: SftRow | PreferencePair | UnpairedRow) -> list[dict[str, Any]]:
    return [{"type": "function", "function": tool.model_dump()} for tool in row.tools]
