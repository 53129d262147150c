"""`kt dataset validate` and `kt dataset convert` through the front door: each rule broken once, with the exit code."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from dataset_rows import TOOL, asked, called, good, pair, plain, said, write
from typer.testing import CliRunner, Result

from kt_lib.cli.app import app
from kt_lib.datafiles.layouts import read_dataset, write_rows
from kt_lib.errors import SourceError
from kt_lib.generator.dialogues import generate

Row = dict[str, Any]


def kt(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["dataset", *map(str, arguments)], env={"COLUMNS": "300"})


def findings(path: Path, *options: object) -> tuple[int, list[dict[str, Any]]]:
    told = kt("validate", path, "--json", *options)
    return told.exit_code, json.loads(told.stdout)["findings"]


# --- what is good ----------------------------------------------------------------------------------------------------


def test_sixty_good_rows_pass_with_nothing_found(tmp_path: Path) -> None:
    code, found = findings(write(tmp_path / "good.jsonl", good()))
    assert (code, found) == (0, [])


def test_what_is_measured_is_told(tmp_path: Path) -> None:
    told = kt("validate", write(tmp_path / "good.jsonl", good()))
    assert told.exit_code == 0
    assert "60 SFT rows, 0 preference pairs" in told.stdout
    assert "60 of 60 requests are different when masked (100%)" in told.stdout
    assert "by the tokenizer of embedded_base; 2,048 fit" in told.stdout
    assert told.stdout.endswith("0 error(s), 0 warning(s)\n")


def test_sixty_good_pairs_pass(tmp_path: Path) -> None:
    assert findings(write(tmp_path / "pairs.jsonl", [pair(at) for at in range(60)])) == (0, [])


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_what_kt_writes_itself_passes(tmp_path: Path, ending: str) -> None:
    source = write(tmp_path / "good.jsonl", good())
    assert kt("convert", source, tmp_path / f"out.{ending}", "--layout", "trl").exit_code == 0
    assert findings(tmp_path / f"out.{ending}") == (0, [])


# --- each rule broken once -------------------------------------------------------------------------------------------


def with_greeting(row: Row) -> Row:
    return {**row, "messages": [said("assistant", "hello"), *row["messages"]]}


def with_message(row: Row, at: int, **changed: Any) -> Row:
    messages = [dict(message) for message in row["messages"]]
    messages[at] |= changed
    return {**row, "messages": messages}


def without_message(row: Row, at: int) -> Row:
    return {**row, "messages": row["messages"][:at] + row["messages"][at + 1 :]}


def with_tools(row: Row, *tools: Any) -> Row:
    return {**row, "tools": list(tools)}


def no_schema() -> Row:
    return {"type": "function", "function": {"name": "uptime", "parameters": {"type": "dict"}}}


BROKEN: dict[str, tuple[Row, str, str]] = {
    "an unknown layout": ({"text": "hello"}, "format", "no layout kt knows: it has `text`"),
    "an unknown role": (with_message(plain(1), 0, role="bot"), "format", "`messages[0].role` is 'bot'"),
    "no messages": ({"messages": []}, "format", "`messages` is no list of messages"),
    "a content that is no text": (with_message(plain(1), 1, content=3), "format", "`messages[1].content` is no text"),
    "a missing content": (with_message(plain(1), 1, content=None), "format", "`messages[1].content` is missing"),
    "a picture": (
        with_message(plain(1), 0, content=[{"type": "image_url", "image_url": {"url": "x"}}]),
        "format",
        "parts that are no text",
    ),
    "arguments cut off": (called(1, '{"host": "we'), "format", "tool_calls[0].arguments` is no JSON"),
    "arguments written as JSON twice": (called(1, json.dumps('{"host": "web"}')), "format", "no object of arguments"),
    "a result of an unknown call": (with_message(called(1), 3, tool_call_id="c9"), "format", "is 'c9', and no call"),
    "a weight of two": (with_message(plain(1), 1, weight=2), "format", "`messages[1].weight` is 2"),
    "a weight on the user": (with_message(plain(1), 0, weight=1), "format", "only the assistant's messages take one"),
    "nothing learned": (with_message(plain(1), 1, weight=0), "format", "every weight is 0"),
    "a call by the user": (
        with_message(plain(1), 0, tool_calls=[{"function": {"name": "uptime"}}]),
        "format",
        "user makes none",
    ),
    "a pair without its other side": ({"prompt": "a", "chosen": "b"}, "format", "`rejected` is missing"),
    "the assistant first": (with_greeting(plain(1)), "order of roles", "begins with assistant"),
    "a system message late": (
        {"messages": [*plain(1)["messages"][:1], said("system", "x"), *plain(1)["messages"][1:]]},
        "order of roles",
        "a system message stands after the first message",
    ),
    "the user twice": (
        {"messages": [said("user", "hi"), *plain(1)["messages"]]},
        "order of roles",
        "user speaks twice",
    ),
    "no answer": ({"messages": [said("user", "hi")]}, "no answer", "the last message is the user's"),
    "a prompt that ends with an answer": (
        {**pair(1), "prompt": [said("user", "hi"), said("assistant", "ho")]},
        "order of roles",
        "the prompt ends with an answer",
    ),
    "a result without a call": (
        {"messages": [said("user", asked(1)), said("tool", "up"), said("assistant", "ok")]},
        "result without call",
        "message 2 is a tool's result",
    ),
    "a call without its result": (without_message(called(1), 3), "call without result", "1 call(s) before message 4"),
    "an empty question": (with_message(plain(1), 0, content=" "), "empty text", "message 1 (user) is empty"),
    "an empty answer": (with_message(plain(1), 1, content=""), "empty text", "message 2 (assistant) is empty"),
    "an empty side of a pair": (pair(1, chosen="\n"), "empty text", "an answer is empty"),
    "a tool that is not offered": (called(1, name="reboot"), "call and tool", "calls `reboot`, which is not offered"),
    "arguments against the schema": (called(1, '{"host": 3}'), "call and tool", "3 is not of type 'string'"),
    "a missing argument": (called(1, "{}"), "call and tool", "'host' is a required property"),
    "a tool offered twice": (with_tools(called(1), TOOL, TOOL), "tools", "the tool `uptime` is offered twice"),
    "a schema that is none": (with_tools(called(1), no_schema()), "tools", "'dict' is not valid"),
    "a key": (
        with_message(plain(1), 0, content="use sk-ant-api03-" + "a1B2c3" * 16),
        "secret",
        "what looks like a key",
    ),
    "chosen is rejected": (pair(1, "the  same", "the same"), "identical pair", "chosen and rejected are the same"),
}


@pytest.mark.parametrize(("row", "rule", "words"), BROKEN.values(), ids=BROKEN)
def test_a_row_that_breaks_a_rule_is_named_with_its_line_and_a_remedy(
    tmp_path: Path, row: Row, rule: str, words: str
) -> None:
    rows = good()
    rows[17] = row
    code, found = findings(write(tmp_path / "data.jsonl", rows))
    errors = [one for one in found if one["severity"] == "error"]
    assert code == 1
    assert [(one["rule"], one["place"]) for one in errors] == [(rule, "line 18")]
    assert words in errors[0]["what"]
    assert errors[0]["remedy"]


def written_call(text: str = '{"tool": "uptime", "params": {"host": "web"}}', tools: bool = True) -> Row:
    """A call as the JSON protocol's text, with its result."""
    messages = [said("user", asked(1)), said("assistant", text), said("tool", "up"), said("assistant", "It is up.")]
    return {"messages": messages, **({"tools": [TOOL]} if tools else {})}


def test_a_result_may_follow_a_call_that_is_written_as_text(tmp_path: Path) -> None:
    assert findings(write(tmp_path / "data.jsonl", [*good(59)[2:], written_call(), pair(59)]), "--fewest", 1) == (0, [])


def test_a_call_written_as_text_is_held_to_the_offered_tools_and_without_any_to_nothing(tmp_path: Path) -> None:
    wrong = '{"tool": "reboot", "params": {}}'
    _, found = findings(write(tmp_path / "data.jsonl", [*good(), written_call(wrong)]))
    assert [(one["rule"], one["severity"]) for one in found] == [("call and tool", "error")]
    assert findings(write(tmp_path / "data.jsonl", [*good(), written_call(wrong, tools=False)])) == (0, [])


def test_only_a_wanted_answer_is_held_to_the_tools(tmp_path: Path) -> None:
    wrong = '{"tool": "reboot", "params": {}}'
    judged = [{"prompt": asked(at), "completion": wrong, "label": at > 0, "tools": [TOOL]} for at in range(2)]
    _, found = findings(write(tmp_path / "data.jsonl", judged), "--fewest", 1)
    assert [(one["rule"], one["place"]) for one in found] == [("call and tool", "line 2")]
    sides = [{**pair(0, "ok", wrong), "tools": [TOOL]}, {**pair(1, wrong, "ok"), "tools": [TOOL]}]
    _, found = findings(write(tmp_path / "pairs.jsonl", sides), "--fewest", 1)
    assert [(one["rule"], one["place"]) for one in found] == [("call and tool", "line 2")]


def test_a_schema_that_points_elsewhere_is_not_fetched(tmp_path: Path) -> None:
    elsewhere = {"type": "function", "function": {"name": "uptime", "parameters": {"$ref": "http://127.0.0.1:9/x"}}}
    code, found = findings(write(tmp_path / "data.jsonl", [*good(), with_tools(called(1), elsewhere)]))
    assert code == 1
    assert "its schema points to" in found[0]["what"]


@pytest.mark.parametrize("number", [2**63, -(2**64), [1, {"x": 2**70}]])
def test_a_number_that_datasets_cannot_read_is_a_warning(tmp_path: Path, number: Any) -> None:
    anything = {"type": "function", "function": {"name": "uptime", "parameters": {}}}
    row = with_tools(called(1, json.dumps({"host": number})), anything)
    code, found = findings(write(tmp_path / "data.jsonl", [*good()[:1], row]), "--fewest", 1)
    assert (code, [(one["rule"], one["severity"]) for one in found]) == (0, [("large number", "warning")])


def test_a_line_that_is_no_row_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", good())
    lines = path.read_bytes().split(b"\n")
    lines[3], lines[5], lines[7], lines[9] = b'{"messages": [', b"[1, 2]", b'{"a": "\xff"}', b'{"a": NaN}'
    path.write_bytes(b"\n".join(lines))
    code, found = findings(path)
    assert code == 1
    assert [one["place"] for one in found] == ["line 4", "line 6", "line 8", "line 10"]
    assert [one["what"].split(":")[0] for one in found] == [
        "no JSON",
        "a JSON list where an object is due",
        "no UTF-8 at byte 8",
        "no JSON",
    ]


def test_a_row_of_parquet_is_named_by_its_number(tmp_path: Path) -> None:
    rows = good()
    rows[17] = without_message(called(17), 4)
    kt("convert", write(tmp_path / "data.jsonl", rows), tmp_path / "data.parquet", "--layout", "trl")
    code, found = findings(tmp_path / "data.parquet")
    assert (code, [(one["rule"], one["place"]) for one in found]) == (1, [("no answer", "row 18")])


# --- how many and how varied -----------------------------------------------------------------------------------------


def test_forty_nine_rows_are_too_few_and_fifty_are_not(tmp_path: Path) -> None:
    code, found = findings(write(tmp_path / "few.jsonl", good(49)))
    assert (code, found[0]["rule"]) == (1, "too few rows")
    assert found[0]["what"] == "49 usable rows, and at least 50 are asked for"
    assert findings(write(tmp_path / "enough.jsonl", good(50)))[0] == 0
    assert findings(tmp_path / "few.jsonl", "--fewest", 49)[0] == 0


def test_an_empty_file_fails(tmp_path: Path) -> None:
    assert findings(write(tmp_path / "empty.jsonl", []))[0] == 1


REQUESTS = [
    "Restart web-{0} now",
    "Restart `db {0}` now",
    'Restart "the box {0}" now',
    "Restart /srv/app{0} now",
    "Restart Berlin{0} now",
    "Restart Anna now",
    "Restart node{0}.example.com now",
    "Restart {0} now",
]


def test_requests_that_differ_only_in_names_and_digits_are_one_request(tmp_path: Path) -> None:
    rows = [
        {"messages": [said("user", REQUESTS[at % 8].format(at)), said("assistant", f"ok {at}")]} for at in range(60)
    ]
    code, found = findings(write(tmp_path / "same.jsonl", rows))
    errors = [one for one in found if one["severity"] == "error"]
    assert (code, [one["rule"] for one in errors]) == (1, ["little variety"])
    assert errors[0]["what"].startswith("1 of 60 requests (2%) are different")
    assert "at least 50% are asked for: 60 times 'restart _x_ now'" in errors[0]["what"]
    assert findings(tmp_path / "same.jsonl", "--distinct", 0.01)[0] == 0


# --- rows to one another ---------------------------------------------------------------------------------------------


def pairs_with(*more: Row) -> list[Row]:
    return [*(pair(at) for at in range(58)), *more]


def test_a_pair_that_another_turns_around_contradicts_it(tmp_path: Path) -> None:
    rows = pairs_with(pair(7, "a bad answer", "a good answer"))
    code, found = findings(write(tmp_path / "pairs.jsonl", rows))
    assert (code, [(one["rule"], one["place"]) for one in found]) == (1, [("contradiction", "line 59")])
    assert "wanted here is rejected in line 8" in found[0]["what"]


def test_an_answer_chosen_here_and_rejected_there_contradicts_itself(tmp_path: Path) -> None:
    rows = pairs_with(pair(7, "a third answer", "a good answer"))
    code, found = findings(write(tmp_path / "pairs.jsonl", rows))
    assert (code, [(one["rule"], one["place"]) for one in found]) == (1, [("contradiction", "line 59")])


def test_an_answer_judged_good_and_bad_contradicts_itself(tmp_path: Path) -> None:
    rows = [{"prompt": asked(at), "completion": "so", "label": True} for at in range(58)]
    rows.append({"prompt": asked(3), "completion": "so", "label": False})
    code, found = findings(write(tmp_path / "kto.jsonl", rows))
    assert (code, [(one["rule"], one["place"]) for one in found]) == (1, [("contradiction", "line 59")])


def test_an_identical_pair_contradicts_nothing_but_itself(tmp_path: Path) -> None:
    rows = [*(pair(at) for at in range(57)), pair(58, "a", "a"), pair(58, "a", "b")]
    _, found = findings(write(tmp_path / "pairs.jsonl", rows))
    assert [(one["rule"], one["place"]) for one in found] == [("identical pair", "line 58")]


def test_the_same_answer_to_other_prompts_or_tools_contradicts_nothing(tmp_path: Path) -> None:
    swapped = pair(7, "a bad answer", "a good answer")
    rows = pairs_with(pair(58, "a bad answer", "a good answer"), {**swapped, "tools": [TOOL]})
    assert findings(write(tmp_path / "pairs.jsonl", rows)) == (0, [])


def test_a_repeated_row_is_a_warning_for_it_may_be_meant(tmp_path: Path) -> None:
    code, found = findings(write(tmp_path / "twice.jsonl", [*good(), plain(1)]))
    assert (code, [(one["rule"], one["severity"], one["what"]) for one in found]) == (
        0,
        [("identical rows", "warning", "the same row as line 2")],
    )


def test_another_answer_to_the_same_prompt_is_a_warning(tmp_path: Path) -> None:
    other = with_message(plain(1), 1, content="something else")
    code, found = findings(write(tmp_path / "other.jsonl", [*good(), other]))
    assert (code, [(one["rule"], one["severity"]) for one in found]) == (0, [("other answer", "warning")])


def test_an_address_is_a_warning_and_a_wrong_call_that_is_only_read_too(tmp_path: Path) -> None:
    mail = with_message(plain(1), 0, content="write to anna.berg@firma.de")
    wrong = called(3, name="reboot")
    wrong["messages"][-1]["weight"], wrong["messages"][2]["weight"] = 1, 0
    code, found = findings(write(tmp_path / "data.jsonl", [*good(), mail, wrong]))
    assert (code, [(one["rule"], one["severity"]) for one in found]) == (
        0,
        [("secret", "warning"), ("call and tool", "warning")],
    )


# --- length ----------------------------------------------------------------------------------------------------------


def long_row(words: int) -> Row:
    return with_message(plain(1), 0, content="word " * words)


def test_a_row_longer_than_the_chosen_length_fails(tmp_path: Path) -> None:
    path = write(tmp_path / "long.jsonl", [*good(), long_row(200)])
    code, found = findings(path, "--max-length", 150)
    assert (code, [(one["rule"], one["place"]) for one in found]) == (1, [("too long", "line 61")])
    assert "and 150 fit: its end, the answer, would be cut off" in found[0]["what"]
    assert findings(path, "--max-length", 1500) == (0, [])


def test_longer_than_a_model_that_nobody_chose_is_a_warning(tmp_path: Path) -> None:
    from kt_lib.models.embedded import packaged_base

    path = write(tmp_path / "long.jsonl", [*good(), long_row(2000)])
    code, found = findings(path)
    assert (code, [(one["rule"], one["severity"]) for one in found]) == (0, [("too long", "warning")])
    assert findings(path, "--model", packaged_base())[0] == 1


def test_a_row_that_the_models_template_refuses_fails(tmp_path: Path) -> None:
    from shutil import copytree

    from kt_lib.models.embedded import packaged_base

    model = Path(copytree(packaged_base(), tmp_path / "model"))
    refuses = "{%- if tools -%}{{ raise_exception('no tools here') }}{%- endif -%}"
    template = model / "chat_template.jinja"
    template.write_text(refuses + template.read_text(encoding="utf-8"), encoding="utf-8")
    path = write(tmp_path / "data.jsonl", [plain(at) for at in range(58)] + [called(58)])
    code, found = findings(path, "--model", model)
    assert (code, [(one["rule"], one["place"]) for one in found]) == (1, [("chat template", "line 59")])
    assert "no tools here" in found[0]["what"]


# --- what is told ----------------------------------------------------------------------------------------------------


def test_of_many_findings_of_one_kind_some_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    rows = [with_message(row, -1, content="") for row in good()]
    told = kt("validate", write(tmp_path / "data.jsonl", rows), "--shown", 3)
    assert told.exit_code == 1
    assert told.stdout.count("(assistant) is empty") == 3
    assert "and 57 more" in told.stdout
    assert told.stdout.endswith("60 error(s), 0 warning(s)\n")


def test_what_a_row_says_cannot_steer_the_terminal(tmp_path: Path) -> None:
    rows = [*good(), called(1, name="\x1b[31mevil [bold]x")]
    told = kt("validate", write(tmp_path / "data.jsonl", rows))
    assert told.exit_code == 1
    assert "\x1b" not in told.stdout
    assert "evil [bold]x" in told.stdout


def test_what_is_not_kept_is_told_once_with_its_places(tmp_path: Path) -> None:
    rows = [{**row, "score": 3} for row in good()]
    code, found = findings(write(tmp_path / "data.jsonl", rows))
    assert (code, len(found)) == (0, 1)
    assert (found[0]["place"], found[0]["what"]) == ("line 1 and 59 more", "the column `score` is not kept")


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("none.jsonl", None, "is not there: give a .jsonl or .parquet file"),
        ("list.jsonl", b'[{"messages": []}]', "is one JSON list: write each object of it on a line of its own"),
        ("pretty.json", json.dumps(plain(1), indent=1).encode(), "write each on one line of its own"),
        ("x.parquet", b"PAR1", "is no whole Parquet file"),
        ("x.jsonl.gz", gzip.compress(b"{}"), "is a gzip file: unpack it"),
        ("x.zip", b"PK\x03\x04", "is a ZIP file: unpack it"),
        ("x.jsonl", '{"a": 1}'.encode("utf-16"), "is UTF-16 text: save it as UTF-8"),
        ("page.html", b"<html>", "is HTML or XML"),
        ("nothing.jsonl", b"\x00" * 9, "is no text"),
    ],
)
def test_a_file_that_cannot_be_read_at_all_is_an_error(tmp_path: Path, name: str, text: bytes | None, why: str) -> None:
    if text is not None:
        (tmp_path / name).write_bytes(text)
    told = kt("validate", tmp_path / name)
    assert told.exit_code == 1
    assert isinstance(told.exception, SourceError)
    assert why in str(told.exception)


CALLS_F = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [%s]}], "tools": [%s]}'
F = '{"function": {"name": "f", "arguments": "%s"}}'


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"prompt": "a", "completion": "b", "score": NaN}', "no JSON: NaN is no JSON number"),
        (b'{"prompt": "a", "completion": "b", "score": 1e999}', "the number 1e999 is larger than any that can be kept"),
        (b'{"prompt": "a", "score": ' + b"9" * 5000 + b"}", "no JSON: a whole number too long to be read"),
        (b'{"prompt": "a", "prompt": "b"}', "the key `prompt` stands twice in one object"),
        (b"[" * 90_000, "no JSON: nested too deeply to be read"),
        (b'{"prompt": "a"', "no JSON: Expecting ',' delimiter at character 15"),
        (b"[1]", "a JSON list where an object is due"),
        (b"null", "a JSON NoneType where an object is due"),
        (b"\xef\xbb\xbf{}", "no JSON: Unexpected UTF-8 BOM"),
        (b'{"prompt": "\xe9"}', "no UTF-8 at byte 13"),
        (b'{"prompt": "\\ud800", "completion": "b"}', "it holds half a character"),
        (b'{"prompt": null, "completion": "b"}', "`prompt` is missing"),
        (b'{"prompt": "a", "completion": "b", "label": "yes"}', "`label` is neither true nor false"),
        (b'{"prompt": "a", "chosen": "b"}', "`rejected` is missing"),
        (b'{"chosen": "b", "rejected": "c"}', "begin with nothing in common: put what both answer there"),
        (b'{"conversations": []}', "a ShareGPT conversation, not rows of a trainer: name the file in a mix"),
        (b'{"text": "x"}', "no layout kt knows: it has `text`; give `messages`"),
        ((CALLS_F % (F % '{\\"a\\": 1, \\"a\\": 2}', "")).encode(), "the key `a` stands twice in one object"),
        ((CALLS_F % (F % '{\\"a\\": -1e999}', "")).encode(), "the number -1e999 is larger than any"),
        ((CALLS_F % (F % ('{\\"a\\":' * 900 + "1" + "}" * 900), "")).encode(), "nested too deeply"),
    ],
)
def test_a_line_that_is_no_row_is_a_finding_with_its_place(tmp_path: Path, line: bytes, why: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(plain(1)).encode() + b"\r\n\r\n  \n" + line + b"\r\n")
    code, found = findings(path, "--fewest", 1)
    assert (code, [(one["rule"], one["place"]) for one in found]) == (1, [("format", "line 4")])
    assert why in found[0]["what"]
    assert found[0]["remedy"]


@pytest.mark.parametrize("key", ["\\ud800", "\\ud800 in a column"])
def test_half_a_character_in_the_name_of_a_column_can_be_told(tmp_path: Path, key: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"%s": 1, "prompt": "a", "completion": "b"}\n{"%s": 1}\n' % (key, key))  # noqa: UP031
    code, found = findings(path, "--fewest", 1)
    assert (code, [(one["rule"], one["place"]) for one in found]) == (1, [("format", "line 2"), ("not kept", "line 1")])
    assert kt("validate", path).exit_code == 1


def test_line_separators_within_a_text_end_no_row(tmp_path: Path) -> None:
    row = {"messages": [said("user", "a\u2028b\x85"), said("assistant", "c\u2029")]}
    assert findings(write(tmp_path / "data.jsonl", [row]), "--fewest", 1) == (0, [])


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_trls_columns_are_read_as_texts_and_as_messages(tmp_path: Path, ending: str) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    asks, good, bad = "why?", "so.", "no."
    lists = {"prompt": [said("user", "how?")]}
    sides = {"chosen": [said("assistant", good)], "rejected": [said("assistant", bad)]}
    shapes = {
        "completion": [{"prompt": asks, "completion": good}, {**lists, "completion": sides["chosen"]}],
        "pairs": [{"prompt": asks, "chosen": good, "rejected": bad}, {**lists, **sides}],
        "alone": [{"prompt": asks, "completion": good, "label": True}, {**lists, "completion": bad, "label": False}],
        "openai": [plain(1), called(2)],
    }
    for name, rows in shapes.items():
        for at, row in enumerate(rows):
            path = tmp_path / f"{name}{at}.{ending}"
            if ending == "jsonl":
                write(path, [row])
            else:
                parquet.write_table(pyarrow.Table.from_pylist([row]), path)
            assert findings(path, "--fewest", 1) == (0, [])


# --- whether it may be used ------------------------------------------------------------------------------------------


def terms(row: Row, **said: Any) -> Row:
    """The row with what kt's own column says of it."""
    about = {"kind": "chat", "task_id": "t", "basis": "b", "source": "own", "learn": "last", **said}
    return {**row, "kt": json.dumps(about)}


@pytest.mark.parametrize(
    "refused",
    [
        terms(plain(1), consent=False),
        {**plain(1), "consent": False},
        {**terms(plain(1), consent=None), "consent": False},
        {**plain(1), "task_id": "t", "kind": "k", "basis": "b", "consent": False},
    ],
)
def test_a_row_of_people_who_did_not_agree_fails(tmp_path: Path, refused: Row) -> None:
    code, found = findings(write(tmp_path / "data.jsonl", [*good()[2:], refused]), "--fewest", 1)
    assert (code, [(one["rule"], one["place"]) for one in found]) == (1, [("may not be learned", "line 59")])
    assert found[0]["what"] == "the people in it did not agree"
    assert "take the row out" in found[0]["remedy"]


def test_consent_refused_in_a_pair_and_in_an_answer_judged_alone_fails_too(tmp_path: Path) -> None:
    alone = {"prompt": "what now?", "completion": "wait", "label": True}
    rows = [{**pair(1), "consent": False}, {**alone, "consent": False}, {**alone, "consent": "no"}]
    code, found = findings(write(tmp_path / "data.jsonl", rows), "--fewest", 1)
    assert code == 1
    assert [(one["rule"], one["place"]) for one in found if one["severity"] == "error"] == [
        ("format", "line 3"),
        ("may not be learned", "line 1"),
        ("may not be learned", "line 2"),
    ]
    assert found[0]["what"] == "`consent` is 'no': true or false is due"


@pytest.mark.parametrize(
    ("licence", "why"),
    [
        ("CC-BY-NC-4.0", "CC-BY-NC-4.0 forbids commercial use"),
        ("CC-BY-ND-4.0", "CC-BY-ND-4.0 forbids what is derived from it"),
        ("ask us", "'ask us' is no licence by its SPDX name"),
    ],
)
@pytest.mark.parametrize("column", ["licence", "license"])
def test_a_licence_that_may_stand_in_the_way_is_a_warning_with_its_row(
    tmp_path: Path, column: str, licence: str, why: str
) -> None:
    path = write(tmp_path / "data.jsonl", [*good()[1:], {**plain(1) | plain(59), column: licence}])
    code, found = findings(path)
    there = [one for one in found if one["rule"] == "licence"]
    assert (code, [(one["severity"], one["place"], one["what"]) for one in there]) == (0, [("warning", "line 60", why)])
    assert kt("validate", path, "--strict").exit_code == 1


def test_a_licence_that_permits_everything_is_no_finding_and_goes_along(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", [{**row, "license": "mit", "consent": True} for row in good()])
    assert findings(path, "--strict") == (0, [])
    assert {(row.licence, row.consent) for row in read_dataset(path).rows} == {("mit", True)}


# --- another layout --------------------------------------------------------------------------------------------------


def test_converting_to_openai_and_back_keeps_what_is_learned(tmp_path: Path) -> None:
    first = write(tmp_path / "first.jsonl", good())
    assert kt("convert", first, tmp_path / "trl.parquet", "--layout", "trl").exit_code == 0
    told = kt("convert", tmp_path / "trl.parquet", tmp_path / "openai.jsonl", "--layout", "openai")
    assert told.stdout.endswith("openai.jsonl: 60 rows written, 0 left out\n")
    ends = [read_dataset(path).rows for path in (first, tmp_path / "openai.jsonl")]
    assert [(row.messages, row.tools, row.learn) for row in ends[0]] == [
        (row.messages, row.tools, row.learn) for row in ends[1]
    ]


def test_rows_of_the_json_protocol_with_results_go_to_openais_layout_and_it_is_said(tmp_path: Path) -> None:
    rows = [row for row in generate(40, 1, protocol="json") if any(one.role == "tool" for one in row.messages)]
    write_rows(tmp_path / "rows.jsonl", rows)
    told = kt("convert", tmp_path / "rows.jsonl", tmp_path / "openai.jsonl", "--layout", "openai")
    assert len(rows) > 5
    assert told.stdout.endswith(f"openai.jsonl: {len(rows)} rows written, 0 left out\n")
    assert f"not as it was: {len(rows)} of {len(rows)} rows: the calls written in the JSON protocol" in told.stderr
    assert f"{len(rows)} of {len(rows)} rows: licence, consent and whether people said it in confidence" in told.stderr
    back = read_dataset(tmp_path / "openai.jsonl").rows
    assert all(row.tools and any(one.tool_calls for one in row.messages) for row in back)
    code, found = findings(tmp_path / "openai.jsonl", "--fewest", 1, "--distinct", 0)
    assert (code, [one for one in found if one["severity"] == "error"]) == (0, [])


def test_what_cannot_be_converted_is_told_and_left_out(tmp_path: Path) -> None:
    result = {"messages": [said("user", "a"), said("assistant", '{"tool": "f", "params": {}}'), said("tool", "r"),
                           said("assistant", "b")]}  # fmt: skip
    path = write(tmp_path / "data.jsonl", [plain(1), result, {"text": "x"}])
    told = kt("convert", path, tmp_path / "out.jsonl", "--layout", "openai")
    assert told.exit_code == 0
    assert "left out, line 3: no layout kt knows" in told.stderr
    assert "left out, line 2: OpenAI's form has native calls alone, and its calls are written as text" in told.stderr
    assert told.stdout.endswith("1 rows written, 2 left out\n")


def test_a_file_of_conversations_and_pairs_asks_which(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", [plain(1), pair(2)])
    assert "choose with `--only`" in str(kt("convert", path, tmp_path / "out.jsonl", "--layout", "trl").exception)
    assert kt("convert", path, tmp_path / "out.jsonl", "--layout", "trl", "--only", "pairs").exit_code == 0
    assert len(read_dataset(tmp_path / "out.jsonl").pairs) == 1


def test_who_did_not_agree_is_in_no_file(tmp_path: Path) -> None:
    rows = [terms(plain(1), consent=False), terms(plain(2), consent=None)]
    told = kt("convert", write(tmp_path / "data.jsonl", rows), tmp_path / "out.jsonl", "--layout", "trl")
    assert "left out, line 1: the people in it did not agree" in told.stderr
    assert told.stdout.endswith("1 rows written, 1 left out\n")


def test_to_share_a_row_its_licence_must_permit_it(tmp_path: Path) -> None:
    rows = [terms(plain(1), source="a", licence="MIT"), terms(plain(2), source="b", licence="CC-BY-NC-4.0")]
    path = write(tmp_path / "data.jsonl", rows)
    told = kt("convert", path, tmp_path / "out.jsonl", "--layout", "trl", "--for", "share")
    assert "left out, line 2: CC-BY-NC-4.0 forbids commercial use" in told.stderr
    assert [row.source for row in read_dataset(tmp_path / "out.jsonl").rows] == ["a"]
    kt("convert", path, tmp_path / "out.jsonl", "--layout", "trl", "--for", "share", "--allow", "b")
    assert [row.source for row in read_dataset(tmp_path / "out.jsonl").rows] == ["a", "b"]
