"""Training rows to files and back: what is read equals what was written, and what cannot be read says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dataset_rows import called, pair, said, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kt_lib.datafiles.checks import validate
from kt_lib.datafiles.entries import Dataset
from kt_lib.datafiles.files import write_objects
from kt_lib.datafiles.layouts import read_dataset, write_pairs, write_rows, write_unpaired
from kt_lib.datafiles.lengths import estimate
from kt_lib.errors import SetupError
from kt_lib.prompts import AGENT_PROMPTS, agent_request
from kt_lib.records import ChatMessage, Check, PreferencePair, SftRow, Task, ToolCall, ToolSpec, UnpairedRow

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


@given(told=conversations(), offered=plain_tools, learn=st.sampled_from(["last", "all"]))
@patiently
def test_openai_keeps_messages_tools_and_what_is_learned(
    tmp_path: Path, told: tuple[ChatMessage, ...], offered: list[ToolSpec], learn: Any
) -> None:
    offered = list({tool.name: tool for tool in offered}.values())
    row = SftRow(messages=told, tools=tuple(offered), learn=learn, kind="k", task_id="t", basis="b", licence="MIT")
    write_rows(tmp_path / "o.jsonl", [row], "openai")
    (found,) = read_dataset(tmp_path / "o.jsonl").rows
    assert (found.messages, found.tools, found.learn) == (row.messages, row.tools, row.learn)
    assert (found.source, found.licence, found.consent, found.task_id) == ("o.jsonl", None, None, "line 1")


@given(told=conversations(), chosen=texts, rejected=texts)
@patiently
def test_openai_keeps_pairs(tmp_path: Path, told: tuple[ChatMessage, ...], chosen: str, rejected: str) -> None:
    pair = PreferencePair(prompt=told[:-1], chosen=chosen, rejected=rejected, task_id="t", basis="b", evidence="e")
    write_pairs(tmp_path / "o.jsonl", [pair], "openai")
    (found,) = read_dataset(tmp_path / "o.jsonl").pairs
    assert (found.prompt, found.chosen, found.rejected) == (pair.prompt, chosen, rejected)


# --- the JSON protocol in OpenAI's layout ----------------------------------------------------------------------------

ASKED = ToolSpec(
    name="disk_usage",
    description="How full a disk is - in percent",
    parameters={
        "type": "object",
        "properties": {"host": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["host"],
    },
)
LISTED = ToolSpec(name="hosts", parameters={"type": "object", "properties": {}, "required": []})
BOTH = tuple(ToolCall(name="disk_usage", arguments={"host": host}) for host in ("web", "db"))
OWN = ChatMessage(role="system", content="Be short.\nName the host.")
TOLD = (
    OWN,
    ChatMessage(role="user", content="how full are web and db?"),
    ChatMessage(role="assistant", tool_calls=BOTH),
    ChatMessage(role="tool", content="91%", name="disk_usage"),
    ChatMessage(role="tool", content="12%", name="disk_usage"),
    ChatMessage(role="assistant", content="web is at 91%, db at 12%."),
)


def in_protocol(told: tuple[ChatMessage, ...], prompt: str = "plain") -> tuple[ChatMessage, ...]:
    """The conversation as an agent is asked it in the JSON protocol."""
    task = Task(id="t", messages=told, tools=(ASKED, LISTED), check=Check(rule="exact", evidence="none"))
    return agent_request(task, "json", prompt=prompt).messages


def sft(messages: tuple[ChatMessage, ...], **more: Any) -> SftRow:
    return SftRow(messages=messages, kind="k", task_id="t", basis="b", **more)


@pytest.mark.parametrize("prompt", list(AGENT_PROMPTS))
@pytest.mark.parametrize("told", [TOLD, TOLD[1:], TOLD[:3], (*TOLD[:2], TOLD[-1])])
def test_calls_of_the_json_protocol_become_native_and_can_be_asked_in_it_again(
    tmp_path: Path, prompt: str, told: tuple[ChatMessage, ...]
) -> None:
    row = sft(in_protocol(told, prompt), learn="all")
    written = write_rows(tmp_path / "o.jsonl", [row], "openai")
    assert (written.rows, written.set_aside, written.notes[0][:11]) == (1, (), "1 of 1 rows")
    (found,) = read_dataset(tmp_path / "o.jsonl").rows
    assert [(one.role, one.content, one.name) for one in found.messages] == [
        (one.role, one.content, one.name) for one in told
    ]
    assert [(tool.name, tool.description, tool.parameters) for tool in found.tools] == [
        (tool.name, tool.description, tool.parameters) for tool in (ASKED, LISTED)
    ]
    assert in_protocol(found.messages, prompt) == row.messages
    assert validate(read_dataset(tmp_path / "o.jsonl"), ruler=estimate(), fewest=1).findings == ()


def test_every_result_in_openais_form_names_its_call(tmp_path: Path) -> None:
    write_rows(tmp_path / "o.jsonl", [sft(in_protocol(TOLD))], "openai")
    messages = json.loads((tmp_path / "o.jsonl").read_text())["messages"]
    ids = [call["id"] for call in messages[2]["tool_calls"]]
    assert len(set(ids)) == 2
    assert [one["tool_call_id"] for one in messages[3:5]] == ids
    assert "content" not in messages[2]


def test_a_pair_after_a_result_has_native_sides(tmp_path: Path) -> None:
    again = '{"tool": "hosts", "params": {}}'
    about = {"task_id": "t", "basis": "b", "evidence": "e"}
    pair = PreferencePair(prompt=in_protocol(TOLD)[:-1], chosen="Full.", rejected=again, **about)
    broken = pair.model_copy(update={"rejected": "{'tool': 'hosts'}"})
    written = write_pairs(tmp_path / "o.jsonl", [pair, broken], "openai", ["line 1", "line 2"])
    assert written.rows == 1
    (aside,) = written.set_aside
    assert aside.source.place == "line 2"
    assert "a broken call (python_dict), which native calling cannot say" in aside.reason
    made = json.loads((tmp_path / "o.jsonl").read_text())
    assert made["preferred_output"] == [said("assistant", "Full.")]
    assert made["non_preferred_output"][0]["tool_calls"][0]["function"]["name"] == "hosts"
    (found,) = read_dataset(tmp_path / "o.jsonl").pairs
    assert (found.chosen, found.rejected) == ("Full.", again)


def test_a_name_that_openai_does_not_take_is_another_and_said_to_be(tmp_path: Path) -> None:
    told = in_protocol(TOLD)
    dotted = tuple(one.model_copy(update={"content": one.content.replace("disk_usage", "disk.usage")}) for one in told)
    _, renamed = write_rows(tmp_path / "o.jsonl", [sft(dotted)], "openai").notes
    assert renamed == "1 of 1 rows: tools whose names OpenAI does not take bear names that it takes"
    (found,) = read_dataset(tmp_path / "o.jsonl").rows
    assert {call.name for one in found.messages for call in one.tool_calls} == {found.tools[0].name} == {"disk_usage"}


def changed(at: int, **fields: Any) -> tuple[ChatMessage, ...]:
    told = list(in_protocol(TOLD))
    told[at] = told[at].model_copy(update=fields)
    return tuple(told)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (in_protocol(TOLD)[1:], "no prompt of kt's says which tools"),
        (changed(2, content='{"tool": "reboot", "params": {}}'), "calls `reboot`, which its prompt does not list"),
        (changed(2, content='{"tool": "hosts", "params": {}}'), "a tool's result follows no call"),
        (changed(2, content='{"tool": "hosts"}'), "a broken call"),
        (changed(2, content='{"reasoning": "so", "tool": "hosts", "params": {}}'), "words beside its calls"),
        ((*in_protocol(TOLD)[:4], *in_protocol(TOLD)[5:]), "1 call(s) in it have no result"),
        (changed(0, content=in_protocol(TOLD)[0].content + "\nBe polite (always)"), "at 'Be polite (always)'"),
    ],
)
def test_what_cannot_be_said_natively_is_set_aside_with_what_to_do(
    tmp_path: Path, told: tuple[ChatMessage, ...], why: str
) -> None:
    written = write_rows(tmp_path / "o.jsonl", [sft(told)], "openai")
    (aside,) = written.set_aside
    assert why in aside.reason
    assert aside.reason.endswith("build the rows with `--protocol native`, or keep them in TRL's layout")


def test_a_call_as_text_that_nothing_answers_stays_text_where_its_tools_are_not_known(tmp_path: Path) -> None:
    told = (ChatMessage(role="user", content="a"), ChatMessage(role="assistant", content='{"tool": "f", "params": {}}'))
    assert write_rows(tmp_path / "o.jsonl", [sft(told)], "openai").notes == ()
    assert read_dataset(tmp_path / "o.jsonl").rows[0].messages == told


# --- other people's files --------------------------------------------------------------------------------------------


def read(tmp_path: Path, *rows: dict[str, Any]) -> Dataset:
    return read_dataset(write(tmp_path / "data.jsonl", list(rows)))


def test_a_prompt_and_its_completion_are_a_row_that_learns_the_last_answer(tmp_path: Path) -> None:
    (row,) = read(tmp_path, {"prompt": "Hello?", "completion": "Hi."}).rows
    assert row.messages == (ChatMessage(role="user", content="Hello?"), ChatMessage(role="assistant", content="Hi."))
    assert (row.learn, row.source, row.licence, row.consent) == ("last", "data.jsonl", None, None)


def test_messages_without_a_word_on_it_learn_every_answer(tmp_path: Path) -> None:
    (row,) = read(tmp_path, {"messages": [said("user", "a"), said("assistant", "b")]}).rows
    assert row.learn == "all"


def test_of_answers_of_which_some_are_learned_each_is_a_row_of_its_own(tmp_path: Path) -> None:
    answers = [{**said("assistant", str(at)), "weight": int(at != 1)} for at in range(4)]
    told = [one for answer in answers for one in (said("user", "?"), answer)]
    found = read(tmp_path, {"messages": told})
    assert [(row.learn, row.messages[-1].content) for row in found.rows] == [
        ("last", "0"),
        ("last", "2"),
        ("last", "3"),
    ]
    assert [len(row.messages) for row in found.rows] == [2, 6, 8]
    assert [entry.place for entry in found.entries] == ["line 1"] * 3


def test_a_completion_of_several_messages_learns_each_of_its_answers(tmp_path: Path) -> None:
    before = [said("user", "a"), said("assistant", "old"), said("user", "b")]
    after = [said("assistant", "1"), said("user", "c"), said("assistant", "2")]
    found = read(tmp_path, {"prompt": before, "completion": after})
    assert [row.messages[-1].content for row in found.rows] == ["1", "2"]


def test_sides_that_begin_alike_share_that_as_their_prompt(tmp_path: Path) -> None:
    start = [said("user", "a"), said("assistant", "b"), said("user", "c")]
    (pair,) = read(
        tmp_path, {"chosen": [*start, said("assistant", "x")], "rejected": [*start, said("assistant", "y")]}
    ).pairs
    assert [message.content for message in pair.prompt] == ["a", "b", "c"]
    assert (pair.chosen, pair.rejected) == ("x", "y")


def test_a_chosen_call_is_read_as_text_and_said_to_be(tmp_path: Path) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    row = {
        "input": {"messages": [said("user", "do it")], "tools": [], "parallel_tool_calls": True},
        "preferred_output": [{"role": "assistant", "tool_calls": [call]}],
        "non_preferred_output": [said("assistant", "no")],
    }
    (entry,) = read(tmp_path, row).entries
    assert isinstance(entry.row, PreferencePair)
    assert entry.row.chosen == '{"tool": "f", "params": {"a": 1}}'
    assert entry.notes == ("the calls of `chosen` are read as the JSON protocol's text",)


def test_results_stand_in_the_order_of_their_calls_and_bear_their_names(tmp_path: Path) -> None:
    made = [{"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}} for name in ("f", "g")]
    results = [{"role": "tool", "tool_call_id": name, "content": f"of {name}"} for name in ("g", "f")]
    told = [said("user", "a"), {"role": "assistant", "content": None, "tool_calls": made}, *results]
    (row,) = read(tmp_path, {"messages": [*told, said("assistant", "b")]}).rows
    assert [(one.name, one.content) for one in row.messages if one.role == "tool"] == [("f", "of f"), ("g", "of g")]


def test_older_function_calls_and_a_developer_are_read(tmp_path: Path) -> None:
    told = [
        said("developer", "Be short."),
        said("user", "a"),
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"x": 1}'}},
        {"role": "function", "name": "f", "content": "1"},
        {"role": "assistant", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]},
    ]
    (row,) = read(tmp_path, {"messages": told, "functions": [{"name": "f"}]}).rows
    assert [one.role for one in row.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert row.messages[2].tool_calls == (ToolCall(name="f", arguments={"x": 1}),)
    assert (row.messages[4].content, row.tools) == ("bc", (ToolSpec(name="f"),))


def test_the_rows_that_kt_keeps_in_a_run_are_read_with_all_they_say(tmp_path: Path) -> None:
    call = ToolCall(name="f", arguments={"a": 1}, read_from="f(1)")
    told = (ChatMessage(role="user", content="a"), ChatMessage(role="assistant", tool_calls=(call,)))
    row = SftRow(
        messages=told, tools=(ToolSpec(name="f"),), kind="k", task_id="t", basis="b", licence="MIT", consent=True
    )
    pair = PreferencePair(prompt=told[:1], chosen="x", rejected="y", task_id="t", basis="b", evidence="e")
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{row.model_dump_json()}\n{pair.model_dump_json()}\n", encoding="utf-8")
    found = read_dataset(path)
    assert (found.rows, found.pairs) == ((row,), (pair,))
    assert all(not entry.notes for entry in found.entries)


def test_every_line_gives_a_row_or_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    half = b'{"messages": [{"role": "assistant", "content": "\\ud83d"}]}'
    good = b'{"prompt": "a", "completion": "b"}'
    lines = [b"\xef\xbb\xbf" + good, b"", b"{", b'{"messages": "x"}', b'{"a": 1, "a": 2}', half, b"[" * 5000, good]
    path.write_bytes(b"\n".join(lines))
    found = read_dataset(path)
    assert [(entry.place, entry.form) for entry in found.entries] == [
        ("line 1", "prompt/completion"), ("line 3", "unknown"), ("line 4", "messages"), ("line 5", "unknown"),
        ("line 6", "messages"), ("line 7", "unknown"), ("line 8", "prompt/completion"),
    ]  # fmt: skip
    assert [one.source.place for one in found.set_aside] == ["line 3", "line 4", "line 5", "line 6", "line 7"]
    assert all(one.reason and one.excerpt and one.source.sha256 for one in found.set_aside)


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl.gz", "x"])
def test_a_kind_of_file_that_kt_does_not_write_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SetupError, match=r"end it in \.jsonl or \.parquet"):
        write_rows(tmp_path / name, [])


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", [{"prompt": "a", "completion": "b"}])
    before = path.read_bytes()

    def broken() -> Any:
        yield {"messages": []}
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        write_objects(path, broken(), ("messages",))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["data.jsonl"]


def test_names_that_openai_refuses_are_written_otherwise_everywhere(tmp_path: Path) -> None:
    call = ToolCall(name="net.scan", arguments={}, id="c")
    told = (ChatMessage(role="user", content="a"), ChatMessage(role="assistant", tool_calls=(call,)))
    row = SftRow(messages=told, tools=(ToolSpec(name="net.scan"),), kind="k", task_id="t", basis="b")
    write_rows(tmp_path / "o.jsonl", [row], "openai")
    written = json.loads((tmp_path / "o.jsonl").read_bytes())
    assert written["tools"][0]["function"]["name"] == "net_scan"
    assert written["messages"][1]["tool_calls"][0]["function"] == {"name": "net_scan", "arguments": "{}"}
    assert written["messages"][1]["weight"] == 1


# --- in the hands of `datasets` and TRL ------------------------------------------------------------------------------

MIXED = ({"a": 1}, {"a": "x", "b": [1, "y", {"c": None}]}, {}, {"a": 1.5})


def mixed_rows() -> list[SftRow]:
    """Calls whose arguments share no type."""
    offered = (ToolSpec(name="f", description="\u2028", parameters={"type": "object"}),)
    return [
        SftRow(
            messages=(
                ChatMessage(role="user", content=f"do {at} 👍"),
                ChatMessage(role="assistant", tool_calls=(ToolCall(name="f", arguments=given),)),
                ChatMessage(role="tool", name="f", content="done"),
                ChatMessage(role="assistant", content="It is done."),
            ),
            tools=offered if at else (),
            kind="k",
            task_id="t",
            basis="b",
        )
        for at, given in enumerate(MIXED)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_datasets_loads_every_message_as_it_was(tmp_path: Path, kind: str) -> None:
    datasets = pytest.importorskip("datasets")
    path = tmp_path / f"rows.{kind}"
    write_rows(path, mixed_rows())
    way = "json" if kind == "jsonl" else "parquet"
    loaded = datasets.load_dataset(way, data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    calls = [one["messages"][1]["tool_calls"][0]["function"]["arguments"] for one in loaded]
    assert calls == list(MIXED)
    assert loaded[0]["messages"][0] == {"role": "user", "content": "do 0 👍"}
    assert loaded[0]["tools"] is None
    assert json.loads(loaded[1]["tools"])[0]["function"]["name"] == "f"


@pytest.mark.parametrize("kind", KINDS)
def test_trl_trains_on_a_file_of_pairs_as_on_the_pairs_themselves(tmp_path: Path, kind: str) -> None:
    datasets = pytest.importorskip("datasets")
    from kt_lib.training.columns import dpo_columns

    pairs = [
        PreferencePair(
            prompt=row.messages[:3], chosen="c", rejected="r", tools=row.tools, task_id="t", basis="b", evidence="e"
        )
        for row in mixed_rows()
    ]
    path = tmp_path / f"pairs.{kind}"
    write_pairs(path, pairs)
    way = "json" if kind == "jsonl" else "parquet"
    loaded = datasets.load_dataset(way, data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    for mine, theirs in zip(loaded, dpo_columns(pairs), strict=True):
        assert {name: mine[name] for name in ("prompt", "chosen", "rejected")} == {
            name: theirs[name] for name in ("prompt", "chosen", "rejected")
        }
        assert json.loads(mine["tools"] or "null") == json.loads(theirs["tools"] or "null")


def test_a_loaded_row_is_rendered_as_the_trainer_renders_it(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    from kt_lib.models.embedded import packaged_base
    from kt_lib.training.columns import sft_tokens
    from kt_lib.weights import load_tokenizer

    write_rows(tmp_path / "rows.parquet", mixed_rows())
    files = str(tmp_path / "rows.parquet")
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    tokenizer = load_tokenizer(packaged_base())
    for one, tokens in zip(loaded, sft_tokens(mixed_rows(), tokenizer), strict=True):
        tools = json.loads(one["tools"]) if one["tools"] else None
        text = tokenizer.apply_chat_template(one["messages"], tools=tools, tokenize=False)
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == tokens.input_ids


# --- whatever stands in a row ----------------------------------------------------------------------------------------

STARTS: list[dict[str, Any]] = [
    called(1),
    pair(1),
    {"prompt": "a", "completion": "b", "label": True, "tools": "[]", "kt": '{"read_from": [], "learn": "last"}'},
    {
        "input": {"messages": [said("user", "a")]},
        "preferred_output": [said("assistant", "b")],
        "non_preferred_output": [],
    },
]
words = st.sampled_from(["", "x", "[", "{}", "[{}]", "user", "assistant", "tool"])
keys = st.sampled_from(["role", "content", "function", "name", "id", "message", "read_from"])
junk = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=5,
)


def spots(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(spot for key, one in inner for spot in spots(one, (*path, key)))]


@given(
    start=st.sampled_from(STARTS),
    number=st.integers(0, 100),
    put=junk,
    more=st.dictionaries(st.sampled_from(["kt", "tools", "weight", "task_id", "functions"]), junk),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_in_a_row_stops_the_reading_or_the_checks(
    tmp_path: Path, start: dict[str, Any], number: int, put: Any, more: dict[str, Any]
) -> None:
    broken = json.loads(json.dumps(start))
    path = spots(broken)[1:][number % (len(spots(broken)) - 1)]
    holder = broken
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = put
    found = read(tmp_path, {**broken, **more}, {"prompt": "a", "completion": "b"})
    assert {entry.place for entry in found.entries} == {"line 1", "line 2"}
    assert found.entries[-1].form == "prompt/completion"
    assert validate(found, ruler=estimate()).errors >= len(found.set_aside)


def test_parquet_by_others_has_nulls_where_a_row_has_no_such_key(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    def told(arguments: dict[str, Any]) -> dict[str, Any]:
        call = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}
        return {"messages": [said("user", "a"), call]}

    path = tmp_path / "theirs.parquet"
    parquet.write_table(arrow.Table.from_pylist([told({"a": 1}), told({"b": "x"})]), path)
    found = read_dataset(path)
    assert [row.messages[1].tool_calls[0].arguments for row in found.rows] == [{"a": 1}, {"b": "x"}]
    assert [entry.place for entry in found.entries] == ["row 1", "row 2"]
