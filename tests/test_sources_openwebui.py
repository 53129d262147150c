"""Open WebUI chats: every dialect of calls and reasoning, every way to break a tree, ratings and edits."""

from __future__ import annotations

import html
import json
from typing import Any

import pytest
from openwebui_chats import answer, chat, user

from kt_lib.records import Conversation, Message, MessagePart, Provenance
from kt_lib.sources.fields import seconds_of
from kt_lib.sources.found import Found, Unusable
from kt_lib.sources.ingesting import counted
from kt_lib.sources.openwebui import chat_from
from kt_lib.sources.openwebui_ratings import feedback_from

SOURCE = Provenance(file="chats.json", sha256="0" * 64, format="openwebui.export", place="item 1")
ARGUMENTS = {"agent_id": "web01", "command": "grep \"a & b\" <x>; echo '&amp;'"}
RESULT = 'line "1"\n<b> & more'


def read(record: dict[str, Any]) -> Conversation:
    return chat_from(record, SOURCE).conversations[0]


def parts(content: Any = "", **more: Any) -> tuple[MessagePart, ...]:
    return read(chat(user(), answer(content, **more))).messages[1].parts


def kinds(found: tuple[MessagePart, ...]) -> list[str]:
    return [part.kind for part in found]


def esc(value: Any) -> str:
    return html.escape(json.dumps(value))


def block(arguments: str, result: str | None = None, body: str = "", name: str = "remote_bash") -> str:
    given = f' result="{result}"' if result is not None else ""
    head = f'<details type="tool_calls" done="true" id="call_1" name="{name}" arguments="{arguments}"{given}>'
    return f"{head}\n<summary>Tool Executed</summary>\n{body}\n</details>"


# --- tool calls, five ways -------------------------------------------------------------------------------------------


def the_one_call(found: tuple[MessagePart, ...]) -> None:
    calls = [part for part in found if part.kind == "tool_call"]
    results = [part for part in found if part.kind == "tool_result"]
    assert [(part.call.name, part.call.arguments) for part in calls if part.call] == [("remote_bash", ARGUMENTS)]
    assert calls[0].well_formed
    assert calls[0].call_id == "call_1"
    assert [(part.call_id, part.text) for part in results] == [("call_1", RESULT)]


def test_a_call_of_version_05_is_read_from_its_list() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "remote_bash", "arguments": json.dumps(ARGUMENTS)}}
    second = {"id": "call_2", "function": {"name": "think", "arguments": "{}"}}
    results = [{"tool_call_id": "call_1", "content": RESULT}, {"tool_call_id": "call_2", "content": "ok"}]
    head = f'<details type="tool_calls" done="true" content="{esc([call, second])}" results="{esc(results)}">'
    found = parts(f"Let me look.\n{head}\n<summary>Tool Executed</summary>\n</details>\nAll is well.")
    assert kinds(found) == ["text", "tool_call", "tool_call", "tool_result", "tool_result", "text"]
    the_one_call(tuple(part for part in found if part.call_id != "call_2"))


@pytest.mark.parametrize("arguments", [ARGUMENTS, json.dumps(ARGUMENTS)])
def test_a_call_of_version_06_is_read_from_its_attributes(arguments: Any) -> None:
    found = parts(f"Let me look.\n{block(esc(arguments), esc(RESULT))}\nAll is well.")
    assert kinds(found) == ["text", "tool_call", "tool_result", "text"]
    the_one_call(found)


def test_a_call_of_version_09_has_its_result_in_the_body() -> None:
    found = parts(block(esc(json.dumps(ARGUMENTS)), body=esc(RESULT)) + "\nAll is well.")
    assert kinds(found) == ["tool_call", "tool_result", "text"]
    the_one_call(found)


def output(text: str = "All is well.") -> list[dict[str, Any]]:
    return [
        {"type": "reasoning", "id": "r1", "content": [{"type": "output_text", "text": "hmm"}]},
        {"type": "function_call", "call_id": "call_1", "name": "remote_bash", "arguments": json.dumps(ARGUMENTS)},
        {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": RESULT}]},
        {"type": "open_webui:code_interpreter", "id": "c1", "code": "print(1)", "output": {"stdout": "1"}},
        {"type": "message", "content": [{"type": "output_text", "text": text}]},
    ]


def test_a_call_of_version_010_is_read_from_output() -> None:
    found = parts("All is well.", output=output())
    assert kinds(found) == ["reasoning", "tool_call", "tool_result", "code", "attachment", "text"]
    the_one_call(found)


def test_a_call_of_version_08_that_stands_in_block_and_output_counts_once() -> None:
    content = f"{block(esc(json.dumps(ARGUMENTS)), esc(RESULT))}\nAll is well."
    the_one_call(parts(content, output=output()))


def test_a_call_listed_again_as_it_went_on_counts_once() -> None:
    begun = {
        "type": "function_call",
        "call_id": "call_1",
        "name": "remote_bash",
        "arguments": "",
        "status": "in_progress",
    }
    the_one_call(parts("All is well.", output=[begun, *output()]))


def test_words_edited_after_the_output_are_the_ones_that_hold() -> None:
    found = parts("All was well.", output=output(), originalContent="All is well.")
    assert [part.text for part in found if part.kind == "text"] == ["All was well."]
    the_one_call(found)


def test_entities_escaped_twice_are_read() -> None:
    the_one_call(parts(block(html.escape(esc(ARGUMENTS)), esc(RESULT))))


@pytest.mark.parametrize("written", ['{"command": "df', "command=df", "[1, 2]", '"df -h"', "\\"])
def test_malformed_arguments_are_kept_as_text(written: str) -> None:
    found = parts(block(html.escape(written), esc("x")))
    assert kinds(found) == ["tool_call", "tool_result"]
    assert not found[0].well_formed
    assert found[0].text == written
    assert found[0].call is not None
    assert found[0].call.arguments == {}


def test_arguments_nested_too_deeply_are_kept_as_text() -> None:
    deep = json.dumps({"a": json.loads("[" * 150 + "]" * 150)})
    found = parts("ok", output=[{"type": "function_call", "call_id": "c", "name": "f", "arguments": deep}])
    assert not found[0].well_formed
    assert found[0].text == deep


@pytest.mark.parametrize("nothing", ["", "{}", '""', "null"])
def test_a_call_without_arguments_is_well_formed_unless_it_says_null(nothing: str) -> None:
    found = parts(block(html.escape(nothing)))
    assert found[0].well_formed == (nothing != "null")


@pytest.mark.parametrize(
    "content",
    [
        "```html\n{}\n```",
        "~~~\n{}\n~~~",
        "````\n```\n{}\n```\n````",
        "as `{}` says",
        "an example: {}",
        "    {}",
    ],
)
def test_a_block_in_code_or_within_a_line_is_text(content: str) -> None:
    assert kinds(parts(content.format(block(esc(ARGUMENTS))))) == ["text"]


def test_a_block_after_a_closed_fence_is_read() -> None:
    found = parts(f"```\nls\n```\n{block(esc(ARGUMENTS), esc('x'))}")
    assert kinds(found) == ["text", "tool_call", "tool_result"]


def test_a_block_typed_by_a_user_is_text() -> None:
    typed = block(esc(ARGUMENTS))
    message = read(chat(user(typed))).messages[0]
    assert [(part.kind, part.text) for part in message.parts] == [("text", typed)]


def test_details_of_another_kind_are_text() -> None:
    assert kinds(parts("<details>\n<summary>More</summary>\nwords\n</details>")) == ["text"]


def test_a_block_that_never_closes_is_kept() -> None:
    found = parts(block(esc(ARGUMENTS)).removesuffix("\n</details>"))
    assert kinds(found)[0] == "tool_call"


# --- reasoning and code ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("escaped", [True, False])
def test_reasoning_is_unquoted_and_unescaped_where_it_was_escaped(escaped: bool) -> None:
    body = "> is a < b?\n> \n> yes & no"
    inner = html.escape(body) if escaped else body
    head = '<details type="reasoning" done="true" duration="12">\n<summary>Thought for 12 seconds</summary>'
    found = parts(f"{head}\n{inner}\n</details>\nYes.")
    assert [(part.kind, part.text) for part in found] == [("reasoning", "is a < b?\n\nyes & no"), ("text", "Yes.")]


def test_raw_think_tags_at_the_start_are_reasoning() -> None:
    assert [(part.kind, part.text) for part in parts("<think>\nhm\n</think>\nYes.")] == [
        ("reasoning", "hm"),
        ("text", "Yes."),
    ]


def test_code_that_was_run_is_code_and_its_output_no_tool_result() -> None:
    head = f'<details type="code_interpreter" done="true" output="{esc(json.dumps({"stdout": "2"}))}">'
    found = parts(f"{head}\n<summary>Analyzed</summary>\n```python\nprint(1+1)\n```\n</details>")
    assert [(part.kind, part.text) for part in found] == [("code", "print(1+1)"), ("attachment", '{"stdout": "2"}')]


def test_the_qwen_fork_puts_its_text_in_a_list() -> None:
    phases = [{"phase": "think", "content": "hm"}, {"phase": "answer", "content": "Yes."}, "?", {"phase": "x"}]
    assert [(part.kind, part.text) for part in parts("", content_list=phases)] == [
        ("reasoning", "hm"),
        ("text", "Yes."),
    ]


def test_content_as_a_list_of_parts_keeps_the_text_and_no_picture() -> None:
    content = [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": "data:..."}}]
    message = read(chat(user(content, files=[{"type": "image", "name": "a.png", "url": "data:x"}]))).messages[0]
    assert [(part.kind, part.text) for part in message.parts] == [("text", "what is this?"), ("attachment", "a.png")]


# --- the tree --------------------------------------------------------------------------------------------------------


def test_siblings_are_branches_and_the_open_one_is_active() -> None:
    found = read(
        chat(user(id="u"), answer("one", id="a", parentId="u"), answer("two", id="b", parentId="u"), current="a")
    )
    assert counted(found)["branches"] == 2
    assert [message.text for message in found.branch()] == ["hello", "one"]


def test_the_flat_list_is_not_trusted_where_there_is_a_history() -> None:
    record = chat(user(), answer())
    record["chat"]["messages"] = [user("stale")]
    assert [message.text for message in read(record).messages] == ["hello", "hi"]


def test_the_flat_list_is_read_where_the_history_is_empty() -> None:
    record = chat()
    record["chat"]["messages"] = [user("a"), answer("b"), user("c")]
    found = read(record)
    assert [message.text for message in found.branch()] == ["a", "b", "c"]


@pytest.mark.parametrize("wrapped", [True, False])
def test_the_oldest_files_hold_the_blob_or_messages_alone(wrapped: bool) -> None:
    blob = {"title": "old", "messages": [user("a"), answer("b")], "timestamp": 1_700_000_000_000}
    found = read({"id": "x", "chat": blob} if wrapped else blob)
    assert [message.text for message in found.branch()] == ["a", "b"]
    assert found.created == 1_700_000_000


def test_a_chat_without_an_id_gets_one_from_its_content() -> None:
    blob = {"id": "", "messages": [user("a"), answer("b")], "title": "t"}
    assert read(blob).id == read(dict(blob, title="other")).id
    assert read(blob).id != read({"messages": [user("b")], "title": "t"}).id


def test_a_parent_cycle_is_cut_and_noted() -> None:
    record = chat(user("a", id="a", parentId="c"), answer("b", id="b", parentId="a"), user("c", id="c", parentId="b"))
    found = read(record)
    assert [message.text for message in found.messages] == ["a", "b", "c"]
    assert found.messages[0].parent_id is None
    assert any("ancestor" in note for note in found.notes)


def test_a_message_that_is_its_own_parent_is_a_root() -> None:
    assert counted(read(chat(user(id="a", parentId="a"))))["branches"] == 1


def test_an_orphan_is_kept_as_a_root() -> None:
    found = read(chat(user(id="u"), answer(id="x", parentId="gone")))
    assert [message.parent_id for message in found.messages] == [None, None]
    assert any("parent is missing" in note for note in found.notes)


def test_stale_children_do_not_move_a_message() -> None:
    record = chat(user(id="u"), answer(id="a"), user("more", id="v"))
    record["chat"]["history"]["messages"]["u"]["childrenIds"] = ["v", "gone"]
    assert [message.text for message in read(record).branch()] == ["hello", "hi", "more"]


def test_children_place_a_message_that_names_no_parent() -> None:
    record = chat(user(id="u", childrenIds=["a"]), answer(id="a"))
    del record["chat"]["history"]["messages"]["a"]["parentId"]
    assert read(record).messages[1].parent_id == read(record).messages[0].id


@pytest.mark.parametrize("current", ["gone", 7, {"a": 1}])
def test_a_current_id_that_points_nowhere_gives_the_latest_leaf(current: Any) -> None:
    record = chat(user(id="u"), answer("one", id="a", parentId="u"), answer("two", id="b", parentId="u"))
    record["chat"]["history"]["currentId"] = current
    found = read(record)
    assert found.branch()[-1].text == "two"
    assert any("currentId" in note for note in found.notes)


def test_equal_siblings_have_different_ids_and_a_reordered_file_the_same() -> None:
    messages = [user(id="u"), answer("same", id="b", parentId="u"), answer("same", id="a", parentId="u")]
    first = read(chat(*messages, current="a"))
    assert len({message.id for message in first.messages}) == 3
    record = chat(*messages, current="a")
    history = record["chat"]["history"]
    history["messages"] = dict(reversed(history["messages"].items()))
    assert read(record) == first


def test_a_label_survives_a_rating_and_a_new_title() -> None:
    first, second = read(chat(user(), answer())), read(chat(user(), answer(annotation={"rating": 1}), title="N"))
    assert [message.id for message in first.messages] == [message.id for message in second.messages]


def test_a_duplicate_id_in_a_flat_list_loses_nothing() -> None:
    found = read({"title": "t", "messages": [user("a", id="x"), answer("b", id="x"), user("c", id="x")]})
    assert [message.text for message in found.branch()] == ["a", "b", "c"]
    assert any("used twice" in note for note in found.notes)


def test_a_chat_of_thousands_of_messages_needs_no_recursion() -> None:
    found = read(chat(*(user(str(n), id=f"m{n}") for n in range(20_000))))
    assert len(found.branch()) == 20_000


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (True, "failed", None),
        ({"content": "no such model"}, "failed", "no such model"),
        ("timeout", "failed", "timeout"),
        ({"detail": {"a": 1}}, "failed", '{"a":1}'),
        (False, "ok", None),
        (None, "ok", None),
    ],
)
def test_a_failed_turn_is_told_in_its_words(error: Any, status: str, words: str | None) -> None:
    message = read(chat(user(), answer("", error=error))).messages[1]
    assert (message.status, message.error) == (status, words)


def test_an_answer_that_did_not_end_is_unfinished() -> None:
    assert read(chat(user(), answer("so", done=False))).messages[1].status == "unfinished"


@pytest.mark.parametrize("wrong", [None, 5, "x", [], {}, [1], {"a": 1}, True, float("nan")])
@pytest.mark.parametrize(
    "field",
    ["title", "content", "annotation", "output", "error", "timestamp", "childrenIds", "parentId", "files", "model"],
)
def test_a_wrong_type_anywhere_is_borne(field: str, wrong: Any) -> None:
    record = chat(user(**{field: wrong}), answer(**{field: wrong}), **({"title": wrong} if field == "title" else {}))
    found = read(record)
    assert Conversation.model_validate_json(found.model_dump_json()).messages == found.messages


@pytest.mark.parametrize(
    "blob", [{}, {"history": {"messages": {}}}, {"messages": []}, {"messages": [1, "a"]}, None, "no"]
)
def test_a_chat_without_a_message_cannot_be_used(blob: Any) -> None:
    with pytest.raises(Unusable):
        chat_from({"id": "x", "chat": blob}, SOURCE)


# --- times, ratings, edits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1.75e9, 1.75e12, 1.75e15, 1.75e18, "1750000000", "2025-06-15T15:06:40Z"])
def test_a_time_is_seconds_in_every_unit(value: Any) -> None:
    assert seconds_of(value) == 1.75e9


@pytest.mark.parametrize("value", [None, "", "soon", -1, 0, True, float("nan"), float("inf"), 1e300, [], 10**400])
def test_what_is_no_time_is_none(value: Any) -> None:
    assert seconds_of(value) is None


def rating_in(found: Conversation) -> list[Message]:
    return [message for message in found.messages if message.rating is not None]


def test_a_rating_keeps_what_was_said() -> None:
    said = {"rating": -1, "reason": "wrong", "comment": "no", "tags": ["a", "b"], "details": {"rating": 3}}
    rating = rating_in(read(chat(user(), answer(annotation=said))))[0].rating
    assert rating is not None
    assert (rating.value, rating.score, rating.reason, rating.comment) == (-1, 3, "wrong", "no")
    assert rating.tags == ("a", "b")


@pytest.mark.parametrize("said", ["good", {"rating": 7}, {"rating": None}, {"comment": "x"}, {"rating": "maybe"}])
def test_what_is_no_rating_is_none(said: Any) -> None:
    assert rating_in(read(chat(user(), answer(annotation=said)))) == []


def test_a_rating_copied_to_a_sibling_counts_once() -> None:
    rated = {"annotation": {"rating": 1, "comment": "nice"}, "feedbackId": "f1"}
    record = chat(
        user(id="u"), answer("one", id="a", parentId="u", **rated), answer("1", id="b", parentId="u", **rated)
    )
    assert [message.text for message in rating_in(read(record))] == ["one"]


def test_two_regenerations_that_were_both_liked_count_twice() -> None:
    liked = {"annotation": {"rating": 1}}
    record = chat(
        user(id="u"), answer("one", id="a", parentId="u", **liked), answer("2", id="b", parentId="u", **liked)
    )
    assert len(rating_in(read(record))) == 2


def test_an_edit_keeps_draft_and_final_text() -> None:
    found = chat_from(chat(user(), answer("final", originalContent="draft")), SOURCE)
    assert [(edit.original, edit.final, edit.agent) for edit in found.edits] == [("draft", "final", "qwen")]
    assert found.conversations[0].messages[1].edited_from == "draft"


@pytest.mark.parametrize("original", ["same", "", None, 5])
def test_an_original_that_says_nothing_else_is_no_edit(original: Any) -> None:
    assert chat_from(chat(user(), answer("same", originalContent=original)), SOURCE).edits == ()


def feedback(**data: Any) -> Found:
    row = {"id": "f", "type": "rating", "data": {"rating": 1, **data}, "meta": {"chat_id": "c", "message_id": "m"}}
    return feedback_from(row, SOURCE)


@pytest.mark.parametrize("rating", [1, "1", 1.0, "good", "thumbs_up", True])
def test_a_feedback_row_is_read_in_number_and_word(rating: Any) -> None:
    assert feedback(rating=rating).feedback[0].rating.value == 1


@pytest.mark.parametrize("rating", [None, "", 7, "perhaps", [], float("nan")])
def test_a_feedback_row_without_a_rating_cannot_be_used(rating: Any) -> None:
    with pytest.raises(Unusable, match="no rating"):
        feedback(rating=rating)
