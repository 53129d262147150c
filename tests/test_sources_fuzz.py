"""Whatever is fed to ingest: no exception, totals that reconcile, a store that can be read, nothing twice."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kt_lib.records import Attempt, Conversation, Edit, SetAside, Task
from kt_lib.sources.found import Feedback, SuiteReport
from kt_lib.sources.ingesting import counted, ingest
from kt_lib.sources.store import Store

WORDS = st.sampled_from(
    "id chat history messages currentId parentId childrenIds role content timestamp annotation rating output error"
    " files sources originalContent content_list model models title meta tags data type snapshot message_id chat_id"
    " arguments function name call_id feedbackId tool_calls question ground_truth turn_history query summary max_reward"
    " rewards actions reward traj info task tools success tier_details entry_type task_id prompt user_id done"
    " params system".split()
)
TEXTS = st.one_of(
    st.text(max_size=12),
    WORDS,
    st.sampled_from(
        [
            "user",
            "assistant",
            "a",
            "b",
            "c",
            "rating",
            "shared-a",
            "function_call",
            "message",
            "reasoning",
            "null",
            "{}",
        ]
    ),
    st.sampled_from(
        [
            '<details type="tool_calls" name="f" arguments="&quot;{}&quot;">\n</details>',
            '<details type="reasoning">\n> x',
            '<details type="tool_calls" content="[[1],2]" results="{">',
            "```\n<details",
            '{"a": [NaN, "\\ud800"]}',
            "<think>x",
        ]
    ),
    st.text(st.characters(codec=None), max_size=4),
)
SCALARS = st.none() | st.booleans() | st.integers() | st.integers(-3, 3) | st.floats() | TEXTS
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | TEXTS, inner, max_size=6),
    max_leaves=15,
)
KEYS = st.sampled_from("abc")


def fields(**kinds: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with these fields, one of them now and then of a wrong type, or gone."""
    right = st.fixed_dictionaries(kinds)
    names = st.sampled_from(sorted(kinds))
    wrong = st.builds(lambda one, name, value: {**one, name: value}, right, names, JSON)
    gone = st.builds(lambda one, name: {key: value for key, value in one.items() if key != name}, right, names)
    return st.one_of(right, right, right, wrong, gone)


OUTPUT = fields(
    type=st.sampled_from(
        ["message", "function_call", "function_call_output", "reasoning", "open_webui:code_interpreter"]
    ),
    call_id=KEYS,
    name=TEXTS,
    arguments=TEXTS,
    content=st.lists(fields(text=TEXTS), max_size=2),
    output=st.lists(fields(text=TEXTS), max_size=2),
)
MESSAGES = fields(
    id=KEYS,
    parentId=KEYS,
    childrenIds=st.lists(KEYS),
    role=TEXTS,
    content=TEXTS,
    timestamp=st.integers(0, 5),
    output=st.lists(OUTPUT | JSON, max_size=3),
    annotation=fields(rating=st.integers(-1, 1), comment=TEXTS),
    originalContent=TEXTS,
    error=JSON,
    feedbackId=KEYS,
)
HISTORIES = fields(messages=st.dictionaries(KEYS, MESSAGES, min_size=1, max_size=4), currentId=KEYS)
CHATS = fields(
    id=KEYS,
    user_id=TEXTS,
    title=TEXTS,
    chat=fields(history=HISTORIES, messages=st.lists(MESSAGES, max_size=4), models=JSON, tags=JSON),
    updated_at=st.integers(0, 3),
)
FEEDBACK = fields(
    type=st.just("rating"),
    data=fields(rating=st.integers(-1, 1)),
    meta=fields(chat_id=KEYS, message_id=KEYS),
    snapshot=fields(chat=CHATS),
    updated_at=st.integers(0, 3),
)
INTERCODE = fields(
    query=TEXTS,
    turn_history=fields(actions=st.lists(TEXTS, max_size=3), rewards=st.lists(st.floats(), max_size=3)),
    summary=fields(max_reward=st.floats(), turns_max=st.integers(0, 10)),
)
TRAJECTORIES = fields(
    messages=st.lists(
        fields(role=st.sampled_from(["user", "assistant", "tool"]), content=JSON, tool_calls=JSON), max_size=4
    ),
    reward=st.integers(0, 1),
    tools=JSON,
    info=JSON,
)
SUITES = fields(
    model=TEXTS, summary=fields(tier_scores=JSON), tier_details=JSON, entry_type=TEXTS, data=JSON, task_id=TEXTS
)
RECORDS = st.one_of(JSON, CHATS, CHATS, CHATS, FEEDBACK, INTERCODE, TRAJECTORIES, SUITES)


def check(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, store = Path(folder) / "x.json", Store(Path(folder) / "ingest")
        path.write_bytes(raw)
        first = ingest([path], store).totals
        again = ingest([path], store).totals
        for totals in (first, again):
            assert totals.records_in == totals.stored + totals.duplicate + totals.set_aside
        assert (again.stored, again.set_aside) == (0, first.set_aside)
        chats = list(store.read(Conversation))
        rated = {(chat.id, message.source_id) for chat in chats for message in chat.messages if message.rating}
        waiting = {(row.chat_id, row.message_id) for row in store.read(Feedback)} - rated
        counts = [counted(chat) for chat in chats]
        assert len(chats) == len({chat.id for chat in chats}) == first.conversations
        for name in ("messages", "branches", "tool_calls", "tool_results"):
            assert sum(one[name] for one in counts) == getattr(first, name)
        assert sum(one["ratings"] for one in counts) + len(waiting) == first.ratings
        assert len(list(store.read(Edit))) == first.edits
        assert len(list(store.read(Task))) == first.tasks
        assert len(list(store.read(Attempt))) == first.attempts
        assert len(list(store.read(SuiteReport))) == first.reports
        assert len(list(store.read(SetAside))) == first.set_aside
        for chat in chats:
            whole(chat)


def whole(chat: Conversation) -> None:
    """A tree: ids are unique, every parent stands before its children, the open leaf is one of the messages."""
    seen: set[str] = set()
    for message in chat.messages:
        assert message.parent_id is None or message.parent_id in seen
        assert message.id not in seen
        seen.add(message.id)
    assert chat.active_leaf in seen


@settings(max_examples=250, deadline=None)
@given(st.lists(RECORDS, max_size=6), st.sampled_from(["list", "lines", "wrapped", "one"]))
def test_any_records_in_any_holder(records: list[Any], holder: str) -> None:
    if holder == "lines":
        check("\n".join(json.dumps(record) for record in records).encode())
    elif holder == "wrapped":
        check(json.dumps({"success": True, "data": records}).encode())
    else:
        check(json.dumps(records if holder == "list" else records[:1] and records[0]).encode())


@settings(max_examples=150, deadline=None)
@given(
    st.lists(CHATS, min_size=1, max_size=4), st.lists(st.tuples(st.integers(0, 600), st.binary(max_size=4)), max_size=4)
)
def test_any_damage_to_the_bytes(records: list[Any], damage: list[tuple[int, bytes]]) -> None:
    raw = json.dumps(records).encode()
    for at, put in damage:
        raw = raw[:at] + put + raw[at + 2 :]
    check(raw)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80), st.sampled_from([b"", b"[", b"{", b"\xef\xbb\xbf[", b"SQLite format 3\x00"]))
def test_any_bytes_at_all(raw: bytes, head: bytes) -> None:
    check(head + raw)
