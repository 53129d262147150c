"""The eight documented errors as data: both sides of each are checked, and no two of them ask the same."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from kt_lib.calls.judging import judge_agent
from kt_lib.corrections.correction import Correction, checked, failure_of
from kt_lib.corrections.made import correction_pairs, correction_rows, corrections, diversity, masked_request
from kt_lib.corrections.wordings import matters, numbers, wordings
from kt_lib.errors import KtError
from kt_lib.leakage import measure_leakage, request
from kt_lib.records import ChatMessage, Completion, SftRow, Task, ToolCall
from kt_lib.splits import near_duplicates, normalised
from kt_lib.world.names import is_held_out
from kt_lib.world.phrasing import SLOT, intents
from kt_lib.world.suite import make_tasks

FAILURES = {
    "invented_loop": "wrong_key",
    "tool_none": "tool_none",
    "forgotten_agents": "lost_context",
    "invented_cli": "invented_command",
    "miscount": "miscounted",
    "instructions": "instructions_instead_of_action",
    "no_discovery": "missing_discovery_step",
    "plan_as_dicts": "python_dict",
}
PATTERNS = pytest.mark.parametrize("pattern", FAILURES)


@pytest.fixture(scope="module")
def ten() -> list[Correction]:
    return corrections(10, seed=1)


@pytest.fixture(scope="module")
def forty() -> list[Correction]:
    return corrections(40, seed=2)


def of_pattern(made: list[Correction], pattern: str) -> list[Correction]:
    return [each for each in made if each.pattern == pattern]


def earlier_turns(made: Correction) -> int:
    return sum(turn.role == "user" for turn in made.task.messages) - 1


def test_there_are_ten_of_each_of_the_eight_errors_and_they_take_turns(ten: list[Correction]) -> None:
    assert Counter(each.pattern for each in ten) == dict.fromkeys(FAILURES, 10)
    assert [each.pattern for each in ten[:8]] == list(FAILURES)
    assert len({each.task.id for each in ten}) == len({each.task.group for each in ten}) == 80
    assert {each.task.part for each in ten} == {"train"}


@PATTERNS
def test_the_right_answer_passes_and_the_wrong_one_fails_with_its_class(forty: list[Correction], pattern: str) -> None:
    for each in of_pattern(forty, pattern):
        right = judge_agent(each.task, Completion(text=each.right), "json")
        wrong = judge_agent(each.task, Completion(text=each.wrong), "json")
        assert right.outcome == "correct", each.task.group
        # of a miscount the evaluation's checker sees only that rightly no call was made
        assert wrong.failure == (None if pattern == "miscount" else FAILURES[pattern]), (each.task.group, each.wrong)
        assert (failure_of(each, each.right), failure_of(each, each.wrong)) == (None, FAILURES[pattern])


@pytest.mark.parametrize("seed", [223, 236, 248, 356, 366, 379, *range(3, 15)])
def test_another_seed_gives_corrections_that_hold(seed: int) -> None:
    assert len(corrections(10, seed)) == 80


@pytest.mark.parametrize("seed", [5, 35])
def test_a_hundred_variations_hold_as_well(seed: int) -> None:
    assert len(corrections(100, seed)) == 800


@PATTERNS
def test_ten_variations_differ_in_what_is_asked_in_context_in_tools_and_in_the_error(
    ten: list[Correction], pattern: str
) -> None:
    made = of_pattern(ten, pattern)
    assert diversity(made) == 1.0
    assert not alike(made, 0.5)
    assert len({each.task.category for each in made}) == 10
    assert len({frozenset(tool.name for tool in each.task.tools) for each in made}) >= 8
    assert len({earlier_turns(each) for each in made}) >= 3
    assert len({each.wrong for each in made}) >= 8


@PATTERNS
def test_forty_variations_still_ask_for_different_things(forty: list[Correction], pattern: str) -> None:
    made = of_pattern(forty, pattern)
    assert diversity(made) >= 0.95
    assert len({each.task.category for each in made}) >= 12
    assert {earlier_turns(each) for each in made} <= {0, 1, 2, 3}


def alike(made: list[Correction], threshold: float) -> list[tuple[str, str]]:
    asked = [masked_request(each) for each in made]
    return [
        (text, asked[near.against])
        for at, text in enumerate(asked[1:], 1)
        for near in near_duplicates([text], asked[:at], threshold)
    ]


def test_masking_leaves_only_what_makes_a_request_another(ten: list[Correction]) -> None:
    first, second = of_pattern(ten, "forgotten_agents")[:2]
    renamed = with_request(first, f'see how full {first.task.entities[0]} is, 10 minutes, "now"')
    other_name = with_request(second, f'see how full {second.task.entities[0]} is, 25 minutes, "later"')
    assert masked_request(renamed) == masked_request(other_name)
    assert diversity([renamed, other_name]) == 0.5
    assert diversity([]) == 1.0


def with_request(made: Correction, text: str) -> Correction:
    last = made.task.messages[-1].model_copy(update={"content": text})
    return changed(made, messages=(*made.task.messages[:-1], last))


def changed(made: Correction, **of_task: object) -> Correction:
    return made.model_copy(update={"task": made.task.model_copy(update=of_task)})


def test_the_same_seed_gives_the_same_list_and_another_seed_another(ten: list[Correction]) -> None:
    assert corrections(10, seed=1) == ten
    assert not {each.task.id for each in corrections(10, seed=2)} & {each.task.id for each in ten}
    assert corrections(0, seed=1) == []


def test_a_row_is_the_request_as_an_evaluation_puts_it_with_the_right_answer(ten: list[Correction]) -> None:
    rows = correction_rows(ten, "json")
    assert len(rows) == 80
    for row, each in zip(rows, ten, strict=True):
        assert row.messages[0].role == "system"
        assert row.messages[0].content.startswith("To act, answer with one JSON object")
        assert row.messages[-1].content == each.right
        assert request(row.messages) == request(each.task.messages)
        assert (row.kind, row.source, row.licence, row.task_id) == ("correction", "corrections", "MIT", each.task.id)
        assert each.pattern in row.basis
        assert not any(turn.tool_calls for turn in row.messages), (
            "earlier calls are written as the protocol writes them"
        )


def test_a_pair_prefers_the_right_answer_to_the_documented_error_and_names_both(ten: list[Correction]) -> None:
    pairs = correction_pairs(ten, "json")
    assert [(pair.chosen, pair.rejected, pair.basis) for pair in pairs] == [
        (each.right, each.wrong, FAILURES[each.pattern]) for each in ten
    ]
    assert pairs[0].evidence == "correction: invented_loop, both sides checked"
    assert pairs[0].prompt[-1].role == "user"


def test_by_native_calling_a_right_call_is_a_call_and_only_plain_answers_give_pairs(ten: list[Correction]) -> None:
    rows = correction_rows(ten, "native")
    by_task = {row.task_id: row for row in rows}
    first = by_task[ten[0].task.id]
    assert first.messages[-1].content == ""
    assert first.messages[-1].tool_calls == (
        ToolCall(name="remote_bash_all", arguments={"command": ten[0].task.check.accepted[0].arguments["command"][0]}),
    )
    assert first.tools == ten[0].task.tools
    assert Counter(pair.basis for pair in correction_pairs(ten, "native")) == {
        "tool_none": 10,
        "miscounted": 10,
        "python_dict": 10,
    }


def test_nothing_of_an_evaluation_task_is_in_them(forty: list[Correction]) -> None:
    rows, pairs = correction_rows(forty, "json"), correction_pairs(forty, "json")
    for seed in (1, 2, 3):
        tasks = [
            task
            for part in ("dev", "test")
            for kind in ("main", "not_calling", "multi_turn")
            for task in make_tasks(seed, part, kind, 150)
        ]
        assert measure_leakage(tasks, rows, pairs, [], threshold=0.95).leaks == ()


def test_no_made_up_name_and_no_phrase_is_of_those_held_out(forty: list[Correction]) -> None:
    names = {name for each in forty for name in each.task.entities}
    assert names
    assert not [name for name in names if is_held_out(name)]
    held_out = {
        normalised(SLOT.sub("_name_", phrase)) for intent in intents() for phrase in intent.split(held_out=True)
    }
    asked = {f" {masked_request(each)} " for each in forty}
    assert not [(phrase, text) for text in asked for phrase in held_out if f" {phrase} " in text]


def test_the_tools_on_offer_hold_the_right_one_and_every_one_used_before(forty: list[Correction]) -> None:
    for each in forty:
        offered = {tool.name for tool in each.task.tools}
        used = {call.name for turn in each.task.messages for call in turn.tool_calls}
        due = {call.name for call in each.task.check.accepted}
        assert used | due <= offered, each.task.group


def test_what_the_user_says_of_a_listed_machine_is_true_of_that_one_only(forty: list[Correction]) -> None:
    for each in of_pattern(forty, "forgotten_agents"):
        asked = each.task.messages[-1].content
        listed = next(turn.content for turn in each.task.messages if turn.name == "list_agents")
        meant = str(each.task.check.accepted[0].arguments["agent_id"][0])
        assert meant in listed
        assert meant not in asked
        others = [name for name in each.task.entities if name in listed and name != meant]
        for name in (meant, *others):
            listed = listed.replace(name, "")
        for said in (*wordings().jobs, *wordings().systems, *wordings().sites):
            if re.search(rf"(?:the|our) {said} (?:one|agent|machine)|(?:for|runs|in) {said}\b", asked):
                assert listed.count(said) == 1, each.task.group
                assert not [name for name in others if said in name], each.task.group


LIST = "- brova: web, online\n- clunk: mail, offline\n- dorn: web, offline\n- flisk: cache, online"


def test_the_right_number_is_the_one_that_counting_the_list_gives(ten: list[Correction]) -> None:
    turns = (
        ChatMessage(role="user", content="how many are offline?"),
        ChatMessage(role="assistant", tool_calls=(ToolCall(name="list_agents"),)),
        ChatMessage(role="tool", name="list_agents", content=LIST),
    )
    made = changed(of_pattern(ten, "miscount")[0], messages=turns).model_copy(
        update={"counts": "offline", "different": False}
    )
    for right in ("2.", "Two.", "There are 2 offline agents.", "I count two: `clunk` and `dorn`."):
        assert failure_of(made, right) is None, right
    for wrong in ("3.", "One.", "Some of them.", "I count two: `clunk`, `dorn` and `flisk`.", "There are 22."):
        assert failure_of(made, wrong) == "miscounted", wrong
    assert failure_of(made, '{"tool": "list_agents", "params": {}}') == "unneeded_call"
    roles = made.model_copy(update={"counts": "web|mail|cache", "different": True})
    assert (failure_of(roles, "Three roles."), failure_of(roles, "Four roles.")) == (None, "miscounted")


def broken_right(made: Correction) -> Correction:
    return made.model_copy(update={"right": made.wrong})


def broken_wrong(made: Correction) -> Correction:
    return made.model_copy(update={"wrong": made.right})


def other_class(made: Correction) -> Correction:
    return made.model_copy(update={"wrong": "{'tool': 'none', 'params': {}}"})


def unscored(made: Correction) -> Correction:
    return changed(made, check=made.task.check.model_copy(update={"evidence": "none"}))


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (broken_right, "its right answer fails (wrong_key)"),
        (broken_wrong, "its wrong answer is right and not wrong_key"),
        (other_class, "and not wrong_key"),
        (unscored, "its right answer fails (unverified)"),
    ],
)
def test_a_correction_that_does_not_hold_is_refused_by_name(ten: list[Correction], broken: object, words: str) -> None:
    assert callable(broken)
    with pytest.raises(KtError, match=re.escape(words)) as refused:
        checked([*ten[1:], broken(ten[0])])
    assert str(refused.value).startswith("the correction invented_loop 0 is not sound")


def test_a_plain_answer_that_does_not_say_the_fact_is_refused(ten: list[Correction]) -> None:
    told = next(each for each in of_pattern(ten, "tool_none") if each.says)
    checked([told])
    with pytest.raises(KtError, match="must stand in the conversation and in the right answer"):
        checked([told.model_copy(update={"right": "It says so above."})])


def test_a_plan_that_is_no_list_of_bullets_is_refused(ten: list[Correction]) -> None:
    plan = of_pattern(ten, "plan_as_dicts")[0]
    with pytest.raises(KtError, match="is no list of"):
        checked([plan.model_copy(update={"right": plan.right.replace("- ", "1) ")})])


def test_a_checksum_is_as_long_as_a_checksum_and_a_container_id_as_a_container_id() -> None:
    filled = {name: re.sub(r"<(many|some)>", lambda slot: str(numbers()[slot[1]][1]), one.out)
              for name, one in matters().items()}  # fmt: skip
    assert re.findall(r"(?m)^[0-9a-f]{64}(?= )", filled["config_drift"])
    assert len(re.findall(r"(?m)^[0-9a-f]{12}(?= )", filled["containers"])) == 2
    for name, one in matters().items():
        assert ("sha256" in one.command) == (name == "config_drift"), name


def test_every_matter_is_worded_so_that_a_place_can_follow_and_a_name_is_never_changed() -> None:
    assert len(matters()) >= 12
    for name, matter in matters().items():
        for text in (*matter.do, *matter.why, *(ask for question in matter.asks for ask in question.ask)):
            assert not text.startswith("<"), (name, text)
            assert not text.endswith(("?", ".", "please")), (name, text)
        assert all(", " not in do for do in matter.do), name
        assert all(step.count("`") == 2 for step in matter.plan), name


def test_rows_are_rows_of_the_mix(ten: list[Correction]) -> None:
    rows = correction_rows(ten, "json")
    assert all(SftRow.model_validate_json(row.model_dump_json()) == row for row in rows)
    assert all(Task.model_validate_json(each.task.model_dump_json()) == each.task for each in ten)
