"""Reading JSON files as streams of records: whatever is broken costs itself, and the place is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kt_lib.errors import SourceError
from kt_lib.sources import window
from kt_lib.sources.reading import digest_of, holder_of, records_in
from kt_lib.sources.window import Raw, Window

RECORDS: list[Any] = [
    {"id": "a", "text": 'quote " and \\ and ] } é 🙂\u2028'},
    {"id": "b", "list": [1, [2, {"c": "}"}]]},
    {},
]


def read(tmp_path: Path, raw: bytes | str) -> list[Raw]:
    path = tmp_path / "file.json"
    path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    return list(records_in(path, holder_of(path)))


def values(raws: list[Raw]) -> list[Any]:
    assert [raw.problem for raw in raws] == [""] * len(raws)
    return [raw.value for raw in raws]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_a_list_gives_its_items(tmp_path: Path, indent: int | None, ascii_only: bool, bom: bytes) -> None:
    text = json.dumps(RECORDS, indent=indent, ensure_ascii=ascii_only)
    raws = read(tmp_path, bom + text.encode())
    assert values(raws) == RECORDS
    assert [raw.place for raw in raws] == ["item 1", "item 2", "item 3"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_give_their_objects(tmp_path: Path, end: str) -> None:
    text = end.join(["", *(json.dumps(record, ensure_ascii=False) for record in RECORDS), "", ""])
    raws = read(tmp_path, text)
    assert values(raws) == RECORDS
    assert [raw.place for raw in raws] == ["line 2", "line 3", "line 4"]


def test_a_broken_line_costs_itself_alone(tmp_path: Path) -> None:
    raws = read(tmp_path, b'{"a": 1}\n{"a": \n{"a": "\xff"}\n{"a": 3}\n{"a": 4')
    assert [raw.value for raw in raws if not raw.problem] == [{"a": 1}, {"a": 3}]
    assert [raw.place for raw in raws if raw.problem] == ["line 2", "line 3", "line 5"]
    assert "UTF-8" in raws[2].problem
    assert "cut off" in raws[4].problem


def test_a_broken_first_line_does_not_hide_that_lines_are_records(tmp_path: Path) -> None:
    raws = read(tmp_path, '{"a": \n{"a": 2}\n{"a": 3}\n')
    assert [raw.value for raw in raws] == [None, {"a": 2}, {"a": 3}]


def test_one_object_is_one_record_however_it_is_laid_out(tmp_path: Path) -> None:
    for indent in (None, 2):
        assert values(read(tmp_path, json.dumps(RECORDS[1], indent=indent))) == [RECORDS[1]]


def test_objects_one_behind_another_are_records(tmp_path: Path) -> None:
    text = "\n".join(json.dumps(record, indent=2) for record in RECORDS)
    assert values(read(tmp_path, text)) == RECORDS


@pytest.mark.parametrize("key", ["data", "items", "chats", "logs"])
def test_a_list_within_one_object_is_streamed(tmp_path: Path, key: str) -> None:
    raws = read(tmp_path, json.dumps({"success": True, key: RECORDS, "total": 3}))
    assert values(raws) == RECORDS


def test_records_wrapped_one_by_one_are_unwrapped(tmp_path: Path) -> None:
    raws = read(tmp_path, json.dumps([{"success": True, "data": {"id": 1}}, {"success": True, "data": [{"id": 2}, 3]}]))
    assert values(raws) == [{"id": 1}, {"id": 2}, 3]
    assert [raw.place for raw in raws] == ["item 1", "item 2, 1", "item 2, 2"]


@pytest.mark.parametrize("nested", [False, True])
def test_numbered_members_are_records(tmp_path: Path, nested: bool) -> None:
    items = {"0": {"query": "x"}, "17": {"query": "y"}}
    raws = read(tmp_path, json.dumps({"meta": {"n": 2}, "logs": items} if nested else items))
    assert values(raws) == list(items.values())
    assert [raw.place for raw in raws] == ["item 0", "item 17"]


@pytest.mark.parametrize("cut", range(1, 120, 7))
def test_a_list_that_is_cut_off_gives_what_was_whole_and_one_tail(tmp_path: Path, cut: int) -> None:
    whole = json.dumps(RECORDS)
    raws = read(tmp_path, whole[: len(whole) - cut] if cut < len(whole) else "[")
    assert [raw.value for raw in raws if not raw.problem] == RECORDS[: len(raws) - 1]
    assert raws[-1].problem
    assert "byte" in raws[-1].problem


def test_the_place_of_a_tail_is_its_byte(tmp_path: Path) -> None:
    text = '[{"a": "ééé"}, {"b": 1'
    raws = read(tmp_path, text)
    assert raws[1].problem == f"cut off: the file ends inside it (from byte {len(text[:14].encode()) + 1})"
    assert raws[1].excerpt == '{"b": 1'


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b'{"a": "\xff\xfe"}', "UTF-8"),
        (b'{"a": ' + b"9" * 5000 + b"}", "limit"),
        (b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "nested"),
        (b'{"a": [1, 2}', "not valid JSON"),
        (b'{"a": 1,, "b": 2}', "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b"undefined", "not valid JSON"),
        (b'"text" "more"', "broken"),
    ],
)
def test_a_broken_item_is_told_and_the_next_is_read(tmp_path: Path, bad: bytes, why: str) -> None:
    raws = read(tmp_path, b'[{"id": 1}, ' + bad + b', {"id": 3}]')
    assert raws[0].value == {"id": 1}
    assert any(why in raw.problem for raw in raws)
    if why != "broken":
        assert [raw.value for raw in raws] == [{"id": 1}, None, {"id": 3}]


def test_nan_and_infinity_stand_for_no_number(tmp_path: Path) -> None:
    assert values(read(tmp_path, '[{"a": NaN, "b": [-Infinity, 1e999]}]'))[0]["a"] is None


def test_what_follows_the_end_is_told(tmp_path: Path) -> None:
    raws = read(tmp_path, '[{"a": 1}] [{"a": 2}]')
    assert raws[0].value == {"a": 1}
    assert "follows the end" in raws[1].problem
    assert len(raws) == 2


@pytest.mark.parametrize(
    ("raw", "looks"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf  \n", "empty"),
        (b"id,title\n1,x\n", "id,title"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"PK\x03\x04", "ZIP"),
        ("[{}]".encode("utf-16"), "UTF-16"),
        (b"<html>", "HTML"),
        (b'"text"', "text"),
    ],
)
def test_a_file_that_holds_no_records_is_refused_in_words(tmp_path: Path, raw: bytes, looks: str) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(raw)
    with pytest.raises(SourceError, match=looks):
        holder_of(path)


def test_a_file_that_is_not_there_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        digest_of(tmp_path / "none.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150)
@given(st.lists(JSON, max_size=6), st.integers(1, 40), st.booleans())
def test_the_size_of_the_window_changes_nothing(items: list[Any], chunk: int, ascii_only: bool) -> None:
    import io

    raw = json.dumps(items, ensure_ascii=ascii_only).encode("utf-8", "replace")
    expected = json.loads(raw)
    found = []
    reader = Window(Small(io.BytesIO(raw), chunk))
    reader.peek()
    reader.take()
    while reader.peek() not in ("]", ""):
        found.append(reader.value("item"))
        assert reader.byte() <= len(raw)
        if reader.peek() == ",":
            reader.take()
    assert [one.value for one in found] == expected
    assert [one.problem for one in found] == [""] * len(expected)


class Small:
    """A stream that gives a few bytes at a time, whatever is asked for."""

    def __init__(self, stream: Any, most: int) -> None:
        self._stream = stream
        self._most = most

    def read(self, _: int) -> bytes:
        raw: bytes = self._stream.read(self._most)
        return raw


@settings(max_examples=300)
@given(
    st.lists(JSON, max_size=4), st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3)), max_size=3), st.data()
)
def test_no_damage_raises_and_reading_ends(
    items: list[Any], damage: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    import tempfile

    raw = json.dumps(items).encode()
    if data.draw(st.booleans()):
        raw = b"\n".join(json.dumps(item).encode() for item in items)
    for at, bytes_ in damage:
        raw = raw[:at] + bytes_ + raw[at + len(bytes_) :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.json"
        path.write_bytes(raw)
        try:
            holder = holder_of(path)
        except SourceError:
            return
        if holder != "sqlite":
            raws = list(records_in(path, holder))
            assert len(raws) <= len(raw) + 1


def test_a_record_longer_than_is_held_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "LONGEST", 1000)
    monkeypatch.setattr(window, "CHUNK", 100)
    raws = read(tmp_path, '[{"a": 1}, {"b": "' + "x" * 5000)
    assert raws[0].value == {"a": 1}
    assert "longer than" in raws[1].problem
