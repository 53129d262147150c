"""Recorded InterCode results: read in every form, described by the information they had, joined on the query."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kt_lib.errors import SourceError
from kt_lib.recorded.pairing import by, join, table
from kt_lib.recorded.reading import RecordedFile, intercode_results, read_results
from kt_lib.recorded.sides import NameClues, describe, read_name
from kt_lib.recorded.telling import fair_pairs, is_fair, tell

INTERCODE = Path(__file__).resolve().parents[2] / "shared" / "data" / "intercode"
supplied = pytest.mark.skipif(not INTERCODE.is_dir(), reason="the supplied InterCode files are not beside the checkout")


def an_item(query: str, reward: Any = 1.0, **more: Any) -> dict[str, Any]:
    history = {"actions": ["SELECT 1"], "observations": ["[(1,)]"], "rewards": [reward], "valid_action": [True]}
    summary = {"max_reward": reward, "max_reward_idx": 0, "turns_taken": 1, "turns_max": 1}
    return {"environment": "ic_sql", "query": query, "turn_history": history, "summary": summary} | more


def a_file(*items: Any, name: str = "ic_sql_multiturn_gpt-4_1_turns.json") -> RecordedFile:
    return intercode_results({str(number): item for number, item in enumerate(items)}, name)


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap",
    [
        lambda items: {"7": items[0], "3": items[1]},
        lambda items: {"meta": {"env": "sql"}, "logs": {"7": items[0], "3": items[1]}},
        lambda items: list(items),
    ],
)
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_every_form_of_the_file_gives_the_same_results(wrap: Any, bom: bytes) -> None:
    raw = bom + json.dumps(wrap([an_item("a"), an_item("b", 0.0)]), indent=1).encode()
    assert [(one.query, one.success) for one in read_results(raw, "f.json").results] == [("a", True), ("b", False)]


def test_json_lines_are_read_and_a_broken_line_is_set_aside() -> None:
    raw = b"\n".join([json.dumps(an_item("a\u2028x"), ensure_ascii=False).encode(), b'{"query": "cut', b""])
    file = read_results(raw, "f.jsonl")
    assert [one.query for one in file.results] == ["a\u2028x"]
    assert [(one.source.place, one.excerpt) for one in file.set_aside] == [("item 2", '{"query": "cut')]


def test_one_item_alone_is_a_file_of_one() -> None:
    assert len(intercode_results(an_item("a"), "f.json").results) == 1


@pytest.mark.parametrize(
    ("item", "reward"),
    [
        (an_item("q", summary=None), 1.0),
        ({key: value for key, value in an_item("q").items() if key != "summary"}, 1.0),
        (an_item("q", summary={"max_reward": None}, turn_history={"rewards": [0, None, 0.67]}), 0.67),
        (an_item("q", summary={"max_reward": float("nan")}, turn_history={"rewards": [0.5]}), 0.5),
        (an_item("q", summary={"max_reward": 1}, turn_history=None), 1.0),
        ({"query": "q", "reward": 1.0, "trajectory": [{"action": "show tables;", "observation": "x"}]}, 1.0),
    ],
)
def test_the_reward_comes_from_the_summary_else_from_the_turns_else_from_the_item(item: Any, reward: float) -> None:
    assert intercode_results([item], "f.json").results[0].reward == reward


def test_only_the_full_reward_is_success() -> None:
    """0.67 is given for doing nothing."""
    file = a_file(an_item("a", 0.67), an_item("b", 0.999), an_item("c", 1))
    assert [one.success for one in file.results] == [False, False, True]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("text", "not an object"),
        (None, "not an object"),
        ([1], "not an object"),
        ({}, "no query"),
        (an_item("  "), "no query"),
        (an_item("q") | {"query": 5}, "no query"),
        (an_item("q", None), "no reward"),
        (an_item("q", "1.0"), "no reward"),
        (an_item("q", summary={}, turn_history={"rewards": "none"}), "no reward"),
        (an_item("q", summary={}, turn_history={"rewards": []}), "no reward"),
    ],
)
def test_an_item_that_cannot_be_read_is_set_aside_with_reason_and_place(item: Any, reason: str) -> None:
    file = a_file(an_item("good"), item)
    assert file.records_in == len(file.results) + len(file.set_aside) == 2
    assert file.set_aside[0].source.place == "item 1"
    assert reason in file.set_aside[0].reason


def test_a_repeated_number_does_not_swallow_an_item() -> None:
    raw = f'{{"1": {json.dumps(an_item("a"))}, "1": {json.dumps(an_item("b"))}}}'.encode()
    assert [(one.place, one.query) for one in read_results(raw, "f.json").results] == [
        ("item 1", "a"),
        ("item 1 (2)", "b"),
    ]


def test_a_summary_that_contradicts_its_turns_is_believed_and_marked() -> None:
    (one,) = a_file(an_item("q", summary={"max_reward": 1.0}, turn_history={"rewards": [0.2]})).results
    assert (one.reward, one.contradicts) == (1.0, True)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "is not JSON"),
        (b"{\n", "cut off"),
        (b'{"1": {"query": "a", "summ', "cut off"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"12", "single int"),
        (b"{}", "no InterCode result"),
        (b"[]", "no InterCode result"),
        (b'[{"messages": []}]', "item 1: no query"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" + b"9" * 5000 + b"]", "number that cannot be read"),
    ],
)
def test_a_file_without_results_is_one_clear_error(raw: bytes, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        read_results(raw, "f.json")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(["query", "summary", "turn_history", "max_reward", "rewards", "actions", "logs", "x"]),
                x,
            )
        ),
    )
)
@settings(deadline=None)  # fmt: skip
def test_whatever_json_holds_it_is_read_set_aside_or_refused(data: Any) -> None:
    try:
        file = intercode_results(data, "f.json")
    except SourceError:
        return
    assert file.records_in == len(file.results) + len(file.set_aside)
    file.model_dump_json()


def test_lone_surrogates_can_be_written_again() -> None:
    file = read_results(json.dumps([an_item("a \ud83d b"), "\ud83d"]).encode(), "f.json")
    assert file.model_dump_json()


# --- names and sides -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "clues"),
    [
        ("ic_sql_multiturn_gpt-3.5-1_turns.subset.json", ("sql", "multiturn", "gpt-3.5", 1, False, None)),
        ("ic_sql_multiturn_gpt-3.5_10_turns_handicap.json", ("sql", "multiturn", "gpt-3.5", 10, True, None)),
        ("ic_sql_multiturn_chat-bison-001_10_turns.json", ("sql", "multiturn", "chat-bison-001", 10, False, None)),
        ("ic_bash_multiturn_gpt-4_10_turns_fs_4.json", ("bash", "multiturn", "gpt-4", 10, False, "fs_4")),
        ("ic_bash_react_10_turns_fs_1.json", ("bash", "react", None, 10, False, "fs_1")),
        ("ic_sql_plan_solve_refine_3_turns.json", ("sql", "plan_solve_refine", None, 3, False, None)),
        ("ic_bash_plan_solve_fs_1.json", ("bash", "plan_solve", None, None, False, "fs_1")),
        ("ic_ctf_gpt-4_25_turns.json", ("ctf", None, "gpt-4", 25, False, None)),
        ("results.json", (None, None, None, None, False, None)),
    ],
)
def test_a_file_name_is_read_by_intercodes_rule(name: str, clues: tuple[Any, ...]) -> None:
    assert read_name(name) == NameClues(**dict(zip(NameClues.model_fields, clues, strict=True)))


def test_the_folder_names_the_model_where_the_file_does_not() -> None:
    assert read_name("ic_sql_react_10_turns.json", "gpt-3.5").model == "gpt-3.5"
    assert read_name("ic_sql_react_10_turns.json", "sql").model is None


def blind(rows: int, share: float) -> list[dict[str, Any]]:
    missed = {"actions": ["SELECT x FROM y"], "observations": ["Error: Table 'd.y' doesn't exist"], "rewards": [0]}
    found = {"actions": ["SELECT x FROM y ORDER BY x DESC"], "observations": ["[(1,)]"], "rewards": [0]}
    return [an_item(f"q{n}", 0, turn_history=missed if n < rows * share else found) for n in range(rows)]


def test_handicap_means_that_the_schema_was_given() -> None:
    given_side = describe(a_file(*blind(40, 0.0), name="ic_sql_multiturn_m_1_turns_handicap.json"))
    other = describe(a_file(*blind(40, 0.9), name="ic_sql_multiturn_m_1_turns.json"))
    assert (given_side.schema_given, other.schema_given) == ("given", "not_given")
    assert "'handicap' in the file name means just that" in given_side.information
    assert other.blind_starts == 0.9


def test_a_renamed_file_is_judged_by_what_it_did_and_a_short_one_not_at_all() -> None:
    assert describe(a_file(*blind(40, 0.9), name="chat.json")).schema_given == "not_given"
    assert describe(a_file(*blind(40, 0.0), name="chat.json")).schema_given == "given"
    assert describe(a_file(*blind(40, 0.3), name="chat.json")).schema_given == "unknown"
    assert describe(a_file(*blind(10, 0.9), name="chat.json")).schema_given == "unknown"


def test_a_shell_has_no_schema() -> None:
    bash = describe(a_file(an_item("q", environment="ic_bash"), name="ic_bash_multiturn_m_10_turns_fs_1.json"))
    assert (bash.schema_given, bash.blind_starts) == ("not_applicable", None)


def tries(rewards: list[float], turns_max: int = 10) -> dict[str, Any]:
    history = {"actions": ["a"] * len(rewards), "observations": ["o"] * len(rewards), "rewards": rewards}
    return an_item(f"{rewards}", max(rewards), turn_history=history, summary={"turns_max": turns_max})


def test_runs_that_end_only_when_right_or_used_up_tell_the_agent_that_it_was_wrong() -> None:
    ended = [tries([0.0] * turns + [1.0]) for turns in range(9)] * 3
    assert describe(a_file(*ended, tries([0.0] * 10))).stops_when_right
    assert not describe(a_file(*ended, tries([0.0] * 4))).stops_when_right
    assert not describe(a_file(*ended, tries([1.0, 0.0]))).stops_when_right


# --- joining ---------------------------------------------------------------------------------------------------------


def test_the_join_is_on_the_query_and_counts_what_is_left_over() -> None:
    chat = a_file(an_item("a", 1), an_item("b  c", 0), an_item("only chat", 1))
    agent = a_file(an_item("only agent"), an_item(" b c", 1), an_item("a", 0), an_item("another"))
    joined = join(chat, agent)
    assert [one.query for one in joined.pairs] == ["a", "b c"]
    assert (joined.unmatched_chat, joined.unmatched_agent) == (1, 2)
    counted = table(joined)
    assert (counted.both, counted.first_only, counted.second_only, counted.neither) == (0, 1, 1, 0)


def test_the_first_result_of_a_repeated_query_counts() -> None:
    chat = a_file(an_item("a", 1), an_item("a", 0), an_item("a", 1))
    joined = join(chat, a_file(an_item("a", 0), an_item("a", 0)))
    assert (joined.duplicates_chat, joined.duplicates_agent, joined.conflicting) == (2, 1, 1)
    assert (table(joined).n, table(joined).first_only) == (1, 1)


def test_swapping_the_files_mirrors_the_table() -> None:
    one = a_file(*[an_item(f"q{n}", n % 2) for n in range(30)])
    other = a_file(*[an_item(f"q{n}", n % 3 == 0) for n in range(5, 35)])
    there, back = table(join(one, other)), table(join(other, one))
    assert back.difference == -there.difference
    assert back.p_value == there.p_value


# --- telling ---------------------------------------------------------------------------------------------------------

NAMES = [
    "ic_sql_multiturn_gpt-3.5-1_turns.json",
    "ic_sql_multiturn_gpt-3.5-1_turns_handicap.json",
    "ic_sql_multiturn_gpt-3.5_10_turns.json",
    "ic_sql_multiturn_gpt-3.5_10_turns_handicap.json",
    "ic_sql_multiturn_gpt-4_10_turns.json",
    "ic_bash_multiturn_gpt-3.5_10_turns_fs_4.json",
    "notes.json",
]


def test_the_fair_pairs_keep_how_the_sides_worked_and_share_model_and_schema() -> None:
    assert fair_pairs(NAMES[1], NAMES[2], NAMES) == [(NAMES[0], NAMES[2]), (NAMES[1], NAMES[3])]
    assert fair_pairs("notes.json", "other.json", NAMES) == []


def sides(chat: str, agent: str) -> list[str]:
    items = [an_item(f"q{n}", n % 2) for n in range(30)]
    one, other = a_file(*items, name=chat), a_file(*items[::-1], name=agent)
    return tell(describe(one), describe(other), table(join(one, other)), fair_pairs(chat, agent, NAMES))


def test_unequal_information_is_said_plainly_with_the_side_that_had_the_schema() -> None:
    words = " ".join(sides(NAMES[1], NAMES[2]))
    assert "sounds like less, but it means that the schema WAS given. The chat side had the schema" in words
    assert "mixes mode and information" in words
    assert f"{NAMES[0]} against {NAMES[2]}" in words
    assert "The agent side had the schema and the chat side had to guess it" in " ".join(sides(NAMES[0], NAMES[3]))


def test_equal_information_is_called_fair_and_different_models_are_not() -> None:
    assert "this pair is fair" in " ".join(sides(NAMES[0], NAMES[2]))
    assert "this pair is fair" in " ".join(sides(NAMES[1], NAMES[3]))
    mixed = " ".join(sides(NAMES[0], NAMES[4]))
    assert "The models differ too: gpt-3.5 in chat, gpt-4 as an agent." in mixed
    assert "this pair is fair" not in mixed


def test_an_unknown_schema_is_never_called_fair() -> None:
    unknown = describe(a_file(an_item("q"), name="x.json"))
    assert not is_fair(unknown, unknown)
    counted = table(join(a_file(an_item("q")), a_file(an_item("q"))))
    assert any("cannot be told from x.json" in sentence for sentence in tell(unknown, unknown, counted, []))


# --- the supplied files ----------------------------------------------------------------------------------------------

SQL = "ic_sql_multiturn_gpt-3.5"


def supplied_file(name: str) -> RecordedFile:
    path = INTERCODE / "sql" / name
    return read_results(path.read_bytes(), path.name)


@supplied
@pytest.mark.parametrize(
    ("chat", "agent", "counts"),
    [
        (f"{SQL}-1_turns.subset.json", f"{SQL}_10_turns.subset.json", (21, 4, 124, 169)),
        (f"{SQL}-1_turns_handicap.subset.json", f"{SQL}_10_turns_handicap.subset.json", (211, 16, 20, 71)),
        (f"{SQL}-1_turns_handicap.subset.json", f"{SQL}_10_turns.subset.json", (130, 97, 15, 76)),
        (f"{SQL}-1_turns.subset.json", "ic_sql_react_10_turns.subset.json", (21, 4, 159, 134)),
        ("ic_sql_multiturn_gpt-4_1_turns.subset.json", "ic_sql_multiturn_gpt-4_10_turns.subset.json", (19, 1, 220, 78)),
    ],
)
def test_the_supplied_files_give_their_tables(chat: str, agent: str, counts: tuple[int, ...]) -> None:
    joined = join(supplied_file(chat), supplied_file(agent))
    counted = table(joined)
    assert (counted.both, counted.first_only, counted.second_only, counted.neither) == counts
    assert (joined.unmatched_chat, joined.unmatched_agent, joined.duplicates_chat) == (0, 0, 0)
    assert sum(one.n for one in by(joined, lambda pair: pair.chat.hardness).values()) == 318


@supplied
def test_what_was_done_in_the_supplied_files_agrees_with_their_names() -> None:
    for path in sorted((INTERCODE / "sql").glob("*.json")):
        blind_starts = describe(supplied_file(path.name)).blind_starts
        assert blind_starts is not None
        assert (blind_starts < 0.1) == ("handicap" in path.name), path.name
