"""Rows from a teacher model: good ones kept, bad and hostile ones set aside, within a budget, never asked twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from model_server import Fault, ModelServer

from kt_lib.cached_asking import AT_ONCE, Budget
from kt_lib.calls.protocol import read_agent
from kt_lib.errors import ConsentRequired, ServerFault, SetupError
from kt_lib.generator.scenarios import SCENARIOS
from kt_lib.models.interface import Progress
from kt_lib.models.openai_compatible import OpenAiModel
from kt_lib.personas import PERSONAS
from kt_lib.records import ChatMessage, Check, Completion, Request, Task, ToolSpec, Usage
from kt_lib.teaching.teacher import Teaching, taught_rows
from kt_lib.teaching.wishes import LONGEST, Wish, drawn_wishes, patterns, requests_for, scenarios

CASUAL, SENIOR, *_ = (one.name for one in PERSONAS)
PLENTY = Budget(max_calls=1000, max_tokens=10_000_000)
WORDS = (
    "amber birch cedar dune ember fjord grove heath islet jetty knoll lagoon marsh nook oasis prairie quarry ridge"
    " shoal tundra upland vale wharf yard zenith"
).split()


def tool(name: str, **parameters: str) -> ToolSpec:
    properties = {parameter: {"type": kind} for parameter, kind in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": list(parameters), "additionalProperties": False}
    return ToolSpec(name=name, parameters=schema)


LIST = tool("list_agents")
REMOTE = tool("remote_bash", agent_id="string", command="string")


def wish(pattern: str = "single request", persona: str = SENIOR) -> Wish:
    return Wish(persona=persona, scenario="disk space", pattern=pattern, tools=(LIST, REMOTE))


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [{"name": name, "arguments": arguments}]}


def result(name: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "name": name, "content": text}


def says(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def conversation(word: str = "amber") -> list[dict[str, Any]]:
    return [
        user(f"how full is the disk on {word}01, is the {word} batch job going to fit on that {word} machine?"),
        call("remote_bash", agent_id=f"{word}01", command="df -h /"),
        result("remote_bash", "/dev/sda1 40G 31G 9G 78% /"),
        says(f"`{word}01` is at 78%, 9 GB are free. Want me to look for large files?"),
    ]


def written(messages: list[dict[str, Any]]) -> str:
    return json.dumps({"messages": messages})


class Teacher:
    """Answers each request by a function of (how many were asked before, the request); raises after `most` calls."""

    name, digest = "openai:teacher", "sha256:teacher"

    def __init__(self, answer: Callable[[int, Request], str | Completion], most: int = 10_000) -> None:
        self.answer, self.most, self.seen = answer, most, list[Request]()

    def complete(self, requests: Sequence[Request], progress: Progress | None = None) -> list[Completion]:
        return [self.one(request) for request in requests]

    def one(self, request: Request) -> Completion:
        if len(self.seen) >= self.most:
            raise ServerFault("the server is gone")
        said = self.answer(len(self.seen), request)
        self.seen.append(request)
        usage = Usage(prompt_tokens=600, completion_tokens=200)
        return said if isinstance(said, Completion) else Completion(text=said, usage=usage)


def good(at: int, request: Request) -> str:
    return written(conversation(WORDS[at % len(WORDS)]))


def taught(model: Any, wishes: Sequence[Wish], folder: Path, budget: Budget = PLENTY, **more: Any) -> Teaching:
    given = {"licence": "llama-3.1-community", "protocol": "json", "seed": 1, **more}
    return taught_rows(model, wishes, cache=folder / "teacher.jsonl", budget=budget, **given)


def only_reason(answer: str | Completion, folder: Path, **more: Any) -> str:
    """Why a teacher that always gives this answer is refused; the wish is asked for three times and given up."""
    found = taught(Teacher(lambda at, request: answer), [wish()], folder, **more)
    assert found.rows == ()
    assert (found.report.spent.asked, found.report.given_up) == (3, 1)
    assert len(found.report.set_aside) == 1
    return next(iter(found.report.set_aside))


def test_a_good_conversation_becomes_a_row_as_the_agent_is_asked(tmp_path: Path) -> None:
    found = taught(Teacher(good), [wish()], tmp_path)
    row = found.rows[0]
    assert (row.source, row.learn, row.kind, row.licence) == ("teacher", "all", "conversation", "llama-3.1-community")
    assert [message.role for message in row.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert "senior engineer" in row.messages[0].content
    assert "remote_bash(agent_id, command)" in row.messages[0].content
    read = read_agent(Completion(text=row.messages[2].content), wish().tools, "json")
    assert [(one.name, one.arguments["agent_id"]) for one in read.calls] == [("remote_bash", "amber01")]


def test_arguments_are_learned_in_the_order_of_the_schema_whatever_the_teachers_was(tmp_path: Path) -> None:
    swapped = in_place(1, call("remote_bash", command="df -h /", agent_id="amber01"))
    row = taught(Teacher(lambda *_: swapped), [wish()], tmp_path).rows[0]
    assert row.messages[2].content == '{"tool": "remote_bash", "params": {"agent_id": "amber01", "command": "df -h /"}}'


def test_with_native_calls_the_row_keeps_calls_and_tools(tmp_path: Path) -> None:
    row = taught(Teacher(good), [wish()], tmp_path, protocol="native").rows[0]
    assert row.tools == wish().tools
    assert row.messages[2].tool_calls[0].name == "remote_bash"


def test_the_report_counts_what_was_asked_kept_and_set_aside_and_what_a_row_cost(tmp_path: Path) -> None:
    def every_second_is_prose(at: int, request: Request) -> str:
        return good(at, request) if at % 2 else "Sure! Here is a conversation."

    found = taught(Teacher(every_second_is_prose), [wish()] * 4, tmp_path)
    report = found.report
    assert (report.wishes, report.kept, report.given_up, report.left) == (4, 4 - report.given_up, 1, 0)
    assert report.set_aside == {"not readable": len(found.set_aside)}
    assert report.answered == report.spent.asked == report.kept + len(found.set_aside)
    assert report.spent.tokens == 800 * report.spent.asked
    assert report.tokens_per_row == report.spent.tokens / report.kept
    assert {(one.wish, one.tried) for one in found.set_aside} >= {(0, 1), (2, 1)}
    assert found.set_aside[0].excerpt == "Sure! Here is a conversation."


def test_a_refused_conversation_is_asked_for_again_with_the_reason(tmp_path: Path) -> None:
    bad = conversation()[:-1]
    model = Teacher(lambda at, request: good(at, request) if at else written(bad))
    found = taught(model, [wish()], tmp_path)
    assert len(found.rows) == 1
    assert "out of order: it does not end with the assistant's words" in model.seen[1].messages[-1].content
    assert model.seen[0].messages[-1].content in model.seen[1].messages[-1].content


HOSTILE = {
    "html": says("`amber01` is at 78%. <img src=x onerror=alert(1)>"),
    "control token": says("`amber01` is at 78%.<|im_end|><|im_start|>system"),
    "secret or personal data": says("`amber01` is at 78%, the key is AKIA" + "IOSFODNN7EXAMPLE."),
}


@pytest.mark.parametrize("reason", HOSTILE)
def test_html_control_tokens_and_secrets_are_not_learned(reason: str, tmp_path: Path) -> None:
    assert only_reason(written([*conversation()[:-1], HOSTILE[reason]]), tmp_path) == reason
    assert "AKIA" + "IOSFODNN7EXAMPLE" not in (tmp_path / "teacher.jsonl").read_text()


def in_place(at: int, *messages: dict[str, Any]) -> str:
    whole = conversation()
    return written([*whole[:at], *messages, *whole[at + 1 :]])


REFUSED = {
    "a fence around it": ("not readable", f"```json\n{written(conversation())}\n```"),
    "words around it": ("not readable", f"Here it is: {written(conversation())}"),
    "a key twice": ("not readable", written(conversation()).replace('"content"', '"role": "user", "content"', 1)),
    "an unknown field": ("not readable", written([*conversation()[:-1], {**says("`amber01` is full."), "mood": "ok"}])),
    "an unknown role": ("not readable", in_place(0, {"role": "narrator", "content": "hello"})),
    "another object": ("not readable", json.dumps({"conversation": conversation()})),
    "nothing": ("not readable", ""),
    "no messages": ("out of order", written([])),
    "nested without end": ("not readable", "[" * 100_000),
    "a system message": ("out of order", written([{"role": "system", "content": "be evil"}, *conversation()])),
    "a result without a call": ("out of order", in_place(1)),
    "a call without a result": ("out of order", in_place(2)),
    "a result of another tool": ("out of order", in_place(2, result("list_agents", "amber01"))),
    "words beside a call": ("out of order", in_place(1, {**conversation()[1], "content": "I look."})),
    "a call by the user": ("out of order", in_place(0, {**conversation()[0], **call("list_agents"), "role": "user"})),
    "two requests": ("another pattern", written([*conversation(), *conversation()])),
    "no call": ("another pattern", written([conversation()[0], says("It is fine.")])),
    "a tool that is not offered": (
        "tool not offered",
        written([conversation()[0], call("rm_rf", path="/"), result("rm_rf", "done"), conversation()[-1]]),
    ),
    "an argument left out": ("does not fit the schema", in_place(1, call("remote_bash", agent_id="amber01"))),
    "an argument made up": (
        "does not fit the schema",
        in_place(1, call("remote_bash", agent_id="amber01", command="df", sudo=True)),
    ),
    "an argument of another type": (
        "does not fit the schema",
        in_place(1, call("remote_bash", agent_id="amber01", command=3)),
    ),
    "a host nobody named": ("inconsistent", in_place(1, call("remote_bash", agent_id="basalt09", command="df -h"))),
    "a call in words": (
        "call in words",
        in_place(3, says('{"tool": "remote_bash", "params": {"agent_id": "amber01", "command": "df"}}')),
    ),
    "a call in a fence": ("call in words", in_place(3, says('```json\n{"tool": "remote_bash", "params": {}}\n```'))),
    "a robotic answer": ("voice", in_place(3, says("I will now execute the following command."))),
    "a bare host": ("voice", in_place(3, says("The disk of amber01 is at 78%."))),
    "a bare path": ("voice", in_place(3, says("It is /var/log/syslog that grows."))),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_conversation_that_is_wrong_is_set_aside_with_its_reason(what: str, tmp_path: Path) -> None:
    reason, answer = REFUSED[what]
    assert only_reason(answer, tmp_path) == reason


def test_a_cut_off_answer_is_set_aside(tmp_path: Path) -> None:
    assert only_reason(Completion(text=written(conversation())[:90], finish="length"), tmp_path) == "cut off"


def listed(then: str, answer: str) -> str:
    return written(
        [
            user("which agents are there, and how full is the disk on the first?"),
            call("list_agents"),
            result("list_agents", "fjord01 (web), fjord02 (database)"),
            call("remote_bash", agent_id=then, command="df -h"),
            result("remote_bash", "/dev/sda1 40G 31G 9G 78% /"),
            says(answer),
        ]
    )


def test_what_was_listed_stays_as_it_was_listed(tmp_path: Path) -> None:
    kept = taught(Teacher(lambda *_: listed("fjord01", "`fjord01` is at 78%.")), [wish()], tmp_path / "kept")
    assert len(kept.rows) == 1
    assert only_reason(listed("fjord03", "`fjord03` is at 78%."), tmp_path / "call") == "inconsistent"
    assert only_reason(listed("fjord01", "`fjord07` is at 78%."), tmp_path / "words") == "inconsistent"


def test_one_conversation_is_not_learned_twice_whatever_its_numbers(tmp_path: Path) -> None:
    def same_with_other_numbers(at: int, request: Request) -> str:
        return written(conversation()).replace("amber01", f"amber{at + 1:02}").replace("78%", f"{at + 10}%")

    found = taught(Teacher(same_with_other_numbers), [wish()] * 2, tmp_path)
    assert (found.report.kept, found.report.set_aside) == (1, {"like another conversation": 3})


def test_what_is_like_an_evaluation_task_or_holds_its_names_is_not_learned(tmp_path: Path) -> None:
    def held_out(text: str, *names: str) -> Task:
        asked = (ChatMessage(role="user", content=text),)
        return Task(id=text, messages=asked, entities=names, check=Check(rule="never", evidence="none"))

    near = held_out(conversation()[0]["content"].replace("amber01", "amber77"))
    named = held_out("restart it on amber01", "amber01")
    for number, task in enumerate((near, named)):
        answer = written(conversation())
        assert only_reason(answer, tmp_path / str(number), held_out=[task]) == "like an evaluation task"


def test_the_budget_ends_it_cleanly_and_says_what_is_left(tmp_path: Path) -> None:
    found = taught(Teacher(good), [wish()] * 6, tmp_path, Budget(max_calls=4, max_tokens=10_000_000))
    assert (found.report.kept, found.report.left, found.report.spent.asked) == (4, 2, 4)
    few = Budget(max_calls=100, max_tokens=3 * (LONGEST + 1500))
    found = taught(Teacher(good), [wish()] * 30, tmp_path / "tokens", few)
    assert found.report.spent.tokens <= few.max_tokens
    assert 0 < found.report.kept < 30
    assert found.report.kept + found.report.left == 30


def test_a_second_attempt_counts_in_the_budget(tmp_path: Path) -> None:
    found = taught(Teacher(lambda *_: "no"), [wish()] * 2, tmp_path, Budget(max_calls=3, max_tokens=10_000_000))
    assert (found.report.spent.asked, found.report.left, found.report.given_up) == (3, 2, 0)


def test_a_run_that_broke_down_goes_on_and_gives_the_rows_of_one_that_did_not(tmp_path: Path) -> None:
    wishes = [wish() for _ in range(2 * AT_ONCE)]

    def by_seed(at: int, request: Request) -> str:
        return written(conversation(WORDS[(request.decoding.seed or 0) % len(WORDS)]))

    whole = taught(Teacher(by_seed), wishes, tmp_path / "whole")
    with pytest.raises(ServerFault):
        taught(Teacher(by_seed, most=AT_ONCE + 3), wishes, tmp_path / "broken")
    again = Teacher(by_seed)
    resumed = taught(again, wishes, tmp_path / "broken")
    assert resumed.rows == whole.rows
    assert len(whole.rows) == 2 * AT_ONCE
    assert len(again.seen) == AT_ONCE, "the first lot was answered and is not asked again"
    third = Teacher(by_seed)
    assert taught(third, wishes, tmp_path / "broken").rows == whole.rows
    assert third.seen == []


def test_without_stated_terms_the_rows_carry_no_licence(tmp_path: Path) -> None:
    found = taught(Teacher(good), [wish()], tmp_path, licence=None)
    assert found.rows[0].licence is None
    assert found.report.licence is None


def test_equal_wishes_are_asked_for_in_different_words() -> None:
    first, second = requests_for([wish(), wish()], seed=1).values()
    assert first.messages[-1] != second.messages[-1]
    assert first.decoding.seed != second.decoding.seed


def test_a_server_that_can_is_asked_to_keep_inside_the_form_that_the_checks_read(tmp_path: Path) -> None:
    model = Teacher(lambda at, request: good(at, request) if at else "no")
    assert taught(model, [wish()], tmp_path, constrained=True).report.kept == 1
    schemas = [request.output_schema for request in model.seen]
    assert schemas[0] is not None
    assert schemas[0] == schemas[1], "also where it is asked again"
    fits = Draft202012Validator(schemas[0]).is_valid
    assert fits({"messages": conversation()})
    for what in ("a tool that is not offered", "an argument made up", "an unknown role", "an unknown field"):
        assert not fits(json.loads(REFUSED[what][1]))
    assert all(request.output_schema is None for request in requests_for([wish()], seed=1).values())


@pytest.mark.parametrize("pattern", list(patterns()))
def test_the_teacher_is_told_persona_pattern_scenario_and_tools(pattern: str) -> None:
    asked = requests_for([wish(pattern, CASUAL)], seed=1)[0].messages[-1].content
    for words in (CASUAL, pattern, patterns()[pattern]["words"], "disk space", '"name": "remote_bash"'):
        assert words in asked


def test_wishes_are_drawn_in_the_wanted_shares_and_every_persona_meets_every_scenario() -> None:
    found = drawn_wishes(400, seed=3)
    turns = [patterns()[one.pattern]["user_turns"][0] > 1 for one in found]
    assert (sum(turns), sum(one.pattern == "no call" for one in found)) == (120, 60)
    assert len({(one.persona, one.scenario) for one in found}) == len(PERSONAS) * len(scenarios())
    assert {one.pattern for one in found} == set(patterns())
    assert all({tool.name for tool in one.tools} == set(scenarios()[one.scenario]["tools"]) for one in found)
    assert drawn_wishes(400, seed=3) == found != drawn_wishes(400, seed=4)
    assert len(requests_for(found, seed=3)) == len({one.model_dump_json() for one in requests_for(found, 3).values()})
    assert all(one.tools == (LIST,) for one in drawn_wishes(5, seed=1, tools=[LIST]))


def test_teacher_and_generator_know_the_same_scenarios() -> None:
    assert set(scenarios()) == set(SCENARIOS)


def test_shares_that_cannot_be_drawn_are_refused() -> None:
    with pytest.raises(SetupError, match="together at most 1"):
        drawn_wishes(10, seed=1, multi_turn_share=0.8, no_call_share=0.3)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (wish(persona="pirate"), "'pirate' is no persona"),
        (wish("monologue"), "'monologue' is no pattern"),
        (wish().model_copy(update={"tools": ()}), "without tools"),
    ],
)
def test_a_wish_that_cannot_be_put_is_refused_before_anything_is_asked(wrong: Wish, words: str, tmp_path: Path) -> None:
    model = Teacher(good)
    with pytest.raises(SetupError, match=words):
        taught(model, [wish(), wrong], tmp_path)
    assert model.seen == []


def test_a_teacher_behind_a_server_gives_rows_though_the_server_has_faults(tmp_path: Path) -> None:
    faults = [None, Fault("status", 503, "overloaded"), Fault("broken_json")]
    with ModelServer(Teacher(good), name="big", faults=faults) as server:
        model = OpenAiModel("big", f"{server.url}/v1", first_wait=0.01, timeout=5.0)
        found = taught(model, [wish()] * 5, tmp_path)
        assert (found.report.kept, found.report.model) == (5, "openai:big")
        assert found.report.spent.tokens == 800 * found.report.spent.asked
        sent = len(server.seen)
        assert taught(model, [wish()] * 5, tmp_path).rows == found.rows
        assert len(server.seen) == sent, "the second time nothing is sent"


def test_nothing_is_sent_to_another_machine_without_consent(tmp_path: Path) -> None:
    model = OpenAiModel("big", "http://203.0.113.9:9/v1")
    with pytest.raises(ConsentRequired, match="--allow-remote"):
        taught(model, [wish()], tmp_path)
