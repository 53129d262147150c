"""Training rows to files and back: what is read equals what was written, and what cannot be read says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kt_lib.dataset_layouts import read_dataset, write_pairs, write_rows, write_unpaired
from kt_lib.dataset_records import UnpairedRow
from kt_lib.records import ChatMessage, PreferencePair, SftRow, ToolCall, ToolSpec

KINDS = ["jsonl", "parquet"]

# --- rows of every shape ---------------------------------------------------------------------------------------------

awkward = st.sampled_from(
    ["", " ", "\u2028", "a\u2028b\u2029c\x85\x0b", "👩‍💻 ja", "\x00", '"}]\\', "null", "[{", "NaN", "é"]
)
texts = st.text(max_size=12) | awkward
names = st.from_regex(r"[a-z_]{1,8}(\.[a-z]{1,3})?", fullmatch=True)
numbers = (
    st.integers()
    | st.sampled_from([2**70, -(2**63), 0, 1e300, 5e-324, -0.0])
    | st.floats(allow_nan=False, allow_infinity=False)
)
leaves = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
arguments = st.dictionaries(texts, values, max_size=3)
tools = st.lists(st.builds(ToolSpec, name=names, description=texts, parameters=arguments), max_size=2).map(tuple)
calls = st.builds(ToolCall, name=names, arguments=arguments, id=st.none() | texts, read_from=st.none() | texts)
messages = st.lists(
    st.builds(ChatMessage, role=st.sampled_from(["system", "user", "tool"]), content=texts, name=st.none() | names)
    | st.builds(
        ChatMessage, role=st.just("assistant"), content=texts, tool_calls=st.lists(calls, max_size=2).map(tuple)
    ),
    min_size=1,
    max_size=4,
).map(tuple)  # fmt: skip
terms = {
    "task_id": texts,
    "basis": texts,
    "source": texts,
    "licence": st.none() | texts,
    "consent": st.sampled_from([None, True, False]),
}
rows = st.builds(SftRow, messages=messages, tools=tools, learn=st.sampled_from(["last", "all"]), kind=texts, **terms)
pairs = st.builds(PreferencePair, prompt=messages, chosen=texts, rejected=texts, tools=tools, evidence=texts, **terms)
singles = st.builds(
    UnpairedRow, prompt=messages, completion=texts, label=st.booleans(), tools=tools, evidence=texts, **terms
)

patiently = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("kind", KINDS)
@given(written=st.lists(rows, max_size=3))
@patiently
def test_every_row_comes_back_as_it_was(tmp_path: Path, kind: str, written: list[SftRow]) -> None:
    path = tmp_path / f"rows.{kind}"
    assert write_rows(path, written).rows == len(written)
    found = read_dataset(path)
    assert not found.set_aside
    assert same(found.rows, written)


@pytest.mark.parametrize("kind", KINDS)
@given(written=st.lists(pairs, max_size=3))
@patiently
def test_every_pair_comes_back_as_it_was(tmp_path: Path, kind: str, written: list[PreferencePair]) -> None:
    path = tmp_path / f"pairs.{kind}"
    write_pairs(path, written)
    assert same(read_dataset(path).pairs, written)


@pytest.mark.parametrize("kind", KINDS)
@given(written=st.lists(singles, max_size=3))
@patiently
def test_every_answer_judged_alone_comes_back_as_it_was(tmp_path: Path, kind: str, written: list[UnpairedRow]) -> None:
    path = tmp_path / f"unpaired.{kind}"
    write_unpaired(path, written)
    assert same(read_dataset(path).unpaired, written)


def same(found: Any, written: Any) -> bool:
    """Equal, and of the same types: 1, 1.0 and True are three values."""
    return tuple(found) == tuple(written) and [one.model_dump_json() for one in found] == [
        one.model_dump_json() for one in written
    ]


# --- OpenAI's layout -------------------------------------------------------------------------------------------------

plain_names = st.from_regex(r"[a-zA-Z0-9_-]{1,8}", fullmatch=True)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[ChatMessage, ...]:
    """Conversations in which every result follows its call, as OpenAI wants them."""
    found = [ChatMessage(role="user", content=draw(texts))]
    for number in range(draw(st.integers(0, 2))):
        made = draw(st.lists(st.tuples(plain_names, arguments), min_size=1, max_size=2))
        asked = tuple(ToolCall(name=n, arguments=a, id=f"id{number}-{at}") for at, (n, a) in enumerate(made))
        found.append(ChatMessage(role="assistant", content=draw(texts), tool_calls=asked))
        found += [ChatMessage(role="tool", content=draw(texts), name=call.name) for call in asked]
    return (*found, ChatMessage(role="assistant", content=draw(texts)))


plain_tools = st.lists(st.builds(ToolSpec, name=plain_names, description=texts, parameters=arguments), max_size=2)


@given(said=conversations(), offered=plain_tools, learn=st.sampled_from(["last", "all"]))
@patiently
def test_openai_keeps_messages_tools_and_what_is_learned(
    tmp_path: Path, said: tuple[ChatMessage, ...], offered: list[ToolSpec], learn: Any
) -> None:
    offered = list({tool.name: tool for tool in offered}.values())
    row = SftRow(messages=said, tools=tuple(offered), learn=learn, kind="k", task_id="t", basis="b", licence="MIT")
    write_rows(tmp_path / "o.jsonl", [row], "openai")
    (found,) = read_dataset(tmp_path / "o.jsonl").rows
    assert (found.messages, found.tools, found.learn) == (row.messages, row.tools, row.learn)
    assert (found.source, found.licence, found.consent, found.task_id) == ("o.jsonl", None, None, "line 1")


@given(said=conversations(), chosen=texts, rejected=texts)
@patiently
def test_openai_keeps_pairs(tmp_path: Path, said: tuple[ChatMessage, ...], chosen: str, rejected: str) -> None:
    pair = PreferencePair(prompt=said[:-1], chosen=chosen, rejected=rejected, task_id="t", basis="b", evidence="e")
    write_pairs(tmp_path / "o.jsonl", [pair], "openai")
    (found,) = read_dataset(tmp_path / "o.jsonl").pairs
    assert (found.prompt, found.chosen, found.rejected) == (pair.prompt, chosen, rejected)
