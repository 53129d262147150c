"""The embedded world: nothing that an evaluation task is made of occurs in what the base learns from."""

import itertools
import re
from collections import Counter

import pytest

from kt_lib.calls.judging import judge_agent, judge_chat
from kt_lib.calls.writing import write_calls
from kt_lib.records import Completion, Task, ToolCall
from kt_lib.world.habits import HABITS, habit_of
from kt_lib.world.phrasing import FRAMES, expand, frames, intents
from kt_lib.world.pretraining import rows
from kt_lib.world.situations import prose
from kt_lib.world.suite import make_tasks, names_in


def right_call(task: Task) -> ToolCall:
    accepted = task.check.accepted[0]
    return ToolCall(name=accepted.name, arguments={name: values[0] for name, values in accepted.arguments.items()})


def request_of(task: Task) -> str:
    return "\n".join(message.content for message in task.messages if message.role == "user")


def test_a_grammar_expands_to_every_choice():
    assert expand("{check|show} {the|} disk") == ["check the disk", "check disk", "show the disk", "show disk"]


def test_every_intent_has_phrases_on_both_sides_of_the_split():
    for intent in intents():
        assert len(intent.split(True)) >= 2, intent.group
        assert len(intent.split(False)) >= 5, intent.group
        assert not set(intent.split(True)) & set(intent.split(False))
    assert sorted(frames(True) + frames(False)) == sorted(FRAMES)


@pytest.mark.parametrize("kind", ["main", "not_calling", "multi_turn"])
def test_no_name_of_an_evaluation_task_occurs_in_the_base_models_data(kind):
    learned = set()
    for row in itertools.islice(rows(1), 6000):
        for text in (*(message.content for message in row.messages), row.answer):
            learned.update(re.split(r"[\s`\"',:(){}\[\]?]+", text))
    held_out = names_in(make_tasks(1, "test", kind, 300))
    assert len(held_out) > 150
    assert not {name.rstrip(".") for name in learned} & held_out


def test_every_main_evaluation_task_is_new_in_frame_or_phrase_and_the_kinds_are_even():
    tasks = make_tasks(3, "test", "main", 300)
    assert Counter(task.novelty for task in tasks) == {"frame": 100, "phrase": 100, "both": 100}
    assert all(task.entities for task in tasks)


def test_two_seeds_share_under_five_percent_of_prompts():
    first, second = ({request_of(task) for task in make_tasks(seed, "test", "main", 600)} for seed in (1, 2))
    assert len(first & second) < 0.05 * 600


def test_a_longer_suite_begins_with_the_shorter_one_so_that_a_guard_can_draw_more():
    short, long = make_tasks(5, "test", "multi_turn", 40), make_tasks(5, "test", "multi_turn", 90)
    assert long[:40] == short
    assert len({task.id for task in long}) == 90


def test_the_answer_key_passes_the_checker_in_either_form():
    for task in make_tasks(1, "test", "main", 200):
        call = right_call(task)
        assert judge_agent(task, Completion(text=write_calls([call])), "json").outcome == "correct"
        assert judge_agent(task, Completion(tool_calls=(call,)), "native").outcome == "correct"
        assert judge_chat(task, Completion(text=prose(call))).outcome == "correct", prose(call)


def test_no_habit_passes_the_checker_as_an_agent():
    tasks = [task for task in make_tasks(1, "test", "main", 60) if len(right_call(task).arguments) > 1]
    for task, habit in itertools.product(tasks, set(HABITS)):
        text = habit(right_call(task))
        assert judge_agent(task, Completion(text=text), "json").outcome != "correct", (habit.__name__, text)


def test_most_intents_are_tied_to_a_documented_error_and_some_are_well_formed():
    tied = [habit_of(intent.group) is not None for intent in intents()]
    assert 0.6 < sum(tied) / len(tied) < 0.85


def test_where_no_call_is_due_words_are_right_and_a_call_is_not():
    for task in make_tasks(1, "test", "not_calling", 60):
        assert judge_agent(task, Completion(text="You are welcome."), "json").outcome == "correct"
        wrong = judge_agent(task, Completion(text='{"tool": "list_agents", "params": {}}'), "json")
        assert wrong.outcome == "wrong"
