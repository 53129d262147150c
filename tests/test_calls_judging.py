"""Judging: four outcomes kept apart, failure classes named, one verdict for a right call in whatever form."""

from __future__ import annotations

import json
from keyword import iskeyword
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kt_lib.calls import failures
from kt_lib.calls.checking import Judgement, check_calls
from kt_lib.calls.judging import judge_agent, judge_chat
from kt_lib.records import AcceptedCall, ChatMessage, Check, Completion, Task, ToolCall, ToolSpec

TEXT = {"type": "string"}


def tool(name: str, *parameters: str) -> ToolSpec:
    schema = {"type": "object", "properties": dict.fromkeys(parameters, TEXT), "required": list(parameters)}
    return ToolSpec(name=name, parameters=schema)


REMOTE, LOCAL, AGENTS = tool("remote_bash", "agent_id", "command"), tool("bash", "command"), tool("list_agents")
VISIT = tool("schedule_visit", "unit", "day")
TOOLS = (REMOTE, LOCAL, AGENTS, VISIT)
DISK = AcceptedCall(name="remote_bash", arguments={"agent_id": ["web01"], "command": ["df -h"]})


def task(
    *turns: str, accepted: tuple[AcceptedCall, ...] = (DISK,), rule: str = "exact", evidence: str = "answer_key"
) -> Task:
    said = turns or ("show the disks of web01",)
    roles = ["user", "assistant"] * len(said)
    messages = tuple(ChatMessage.model_validate({"role": r, "content": t}) for r, t in zip(roles, said, strict=False))
    check = Check.model_validate({"rule": rule, "accepted": accepted, "evidence": evidence})
    return Task(id="t", messages=messages, tools=TOOLS, check=check)


NEVER = task("thanks!", accepted=(), rule="never")


def call(name: str, **arguments: Any) -> str:
    return json.dumps({"tool": name, "params": arguments})


def agent(of: Task, text: str) -> tuple[str, str | None]:
    judged = judge_agent(of, Completion(text=text), "json")
    return judged.outcome, judged.failure


def chat(of: Task, text: str) -> tuple[str, str | None]:
    judged = judge_chat(of, Completion(text=text))
    return judged.outcome, judged.failure


def test_a_right_call_is_correct_in_every_form() -> None:
    right = call("remote_bash", agent_id="web01", command="df -h")
    native = Completion(tool_calls=(ToolCall(name="remote_bash", arguments={"agent_id": "web01", "command": "df -h"}),))
    assert agent(task(), right) == ("correct", None)
    assert judge_agent(task(), native, "native").outcome == "correct"
    assert chat(task(), "Run `df -h` on `web01`.") == ("correct", None)
    assert chat(task(), f"```json\n{right}\n```") == ("correct", None)  # in a chat a fence is fine


def is_name(text: str) -> bool:
    return text not in {"none", "null", "nothing"} and not iskeyword(text)


NAMES = st.from_regex(r"[a-z]{3,8}(_[a-z]{2,6})?", fullmatch=True).filter(is_name)
WORDS = st.from_regex(r"[A-Za-z][A-Za-z0-9 ]{0,12}[a-z0-9]", fullmatch=True)
VALUES = st.one_of(st.integers(-999, 999), st.booleans(), WORDS)


@given(NAMES, st.dictionaries(NAMES, VALUES, min_size=1, max_size=4), st.dictionaries(NAMES, VALUES, max_size=4))
def test_a_call_gets_the_same_verdict_in_either_form(name: str, right: dict[str, Any], made: dict[str, Any]) -> None:
    kinds = {bool: "boolean", int: "integer", str: "string"}
    properties = {key: {"type": kinds[type(value)]} for key, value in right.items()}
    spec = ToolSpec(name=name, parameters={"type": "object", "properties": properties, "required": list(right)})
    accepted = AcceptedCall(name=name, arguments={key: [value] for key, value in right.items()})
    check = Check(rule="exact", accepted=(accepted,), evidence="answer_key")
    asked = Task(id="t", messages=(ChatMessage(role="user", content="go"),), tools=(spec,), check=check)
    for arguments in (right, made):
        as_json = judge_agent(asked, Completion(text=call(name, **arguments)), "json")
        as_native = judge_agent(asked, Completion(tool_calls=(ToolCall(name=name, arguments=arguments),)), "native")
        assert as_json == as_native
        assert as_json.outcome == ("correct" if arguments == right else as_json.outcome)
    written = f"`{name}({', '.join(f'{key}={value!r}' for key, value in right.items())})`"
    assert judge_chat(asked, Completion(text=f"Use {written}.")).outcome == "correct"


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        (call("remote_bash", agent_id="web02", command="df -h"), failures.WRONG_ARGUMENT),
        (call("remote_bash", command="df -h"), failures.MISSING_ARGUMENT),
        (call("remote_bash", agent_id="web01", command="df -h", user="root"), failures.EXTRA_ARGUMENT),
        (call("remote_bash", agent_id=1, command="df -h"), failures.WRONG_ARGUMENT),
        (call("bash", command="df -h"), failures.WRONG_TOOL),
        (call("complete"), failures.UNKNOWN_TOOL),
        (f"[{call('bash', command='df')}, {call('bash', command='ls')}]", failures.WRONG_COUNT),
        (f"[{', '.join([call('bash', command='df')] * 3)}]", failures.LOOP),
        (call("bash", command="remote_bash --agent web01 'df -h'"), failures.INVENTED_COMMAND),
        (call("bash", command="agentctl remote-bash web01 df"), failures.INVENTED_COMMAND),
    ],
)
def test_a_readable_call_that_is_not_the_right_one_is_wrong_and_says_how(text: str, failure: str) -> None:
    assert agent(task(), text) == ("wrong", failure)


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("You can check the disks with `df -h` on the machine.", failures.INSTRUCTIONS_INSTEAD_OF_ACTION),
        ("```bash\ndf -h\n```", failures.INSTRUCTIONS_INSTEAD_OF_ACTION),
        ("I'm sorry, I cannot access servers.", failures.REFUSAL),
        ("The disks look fine.", failures.ABSTAINED),
    ],
)
def test_an_answer_without_the_call_abstains_and_says_how(text: str, failure: str) -> None:
    assert agent(task(), text) == ("abstained", failure)


def test_malformed_is_neither_wrong_nor_an_abstention_nor_repaired() -> None:
    right = call("remote_bash", agent_id="web01", command="df -h")
    assert agent(task(), f"```json\n{right}\n```") == ("malformed", failures.CODE_FENCE)
    assert agent(NEVER, '{"tool": "none", "params": {}}') == ("malformed", failures.TOOL_NONE)


def test_where_no_call_is_due_a_clean_answer_is_correct_and_a_call_is_not() -> None:
    assert agent(NEVER, "You're welcome!") == ("correct", None)
    assert chat(NEVER, "You're welcome!") == ("correct", None)
    assert agent(NEVER, call("list_agents")) == ("wrong", failures.UNNEEDED_CALL)
    assert agent(NEVER, call("complete")) == ("wrong", failures.UNNEEDED_CALL)


@pytest.mark.parametrize("of", [task(), NEVER])
def test_an_empty_or_circling_reply_is_wrong_whether_a_call_is_due_or_not(of: Task) -> None:
    assert agent(of, "") == ("wrong", failures.EMPTY_REPLY)
    assert chat(of, " ") == ("wrong", failures.EMPTY_REPLY)
    assert agent(of, "I will look at the machine now. " * 40) == ("wrong", failures.LOOP)
    assert agent(of, "checking the disk\n" * 9) == ("wrong", failures.LOOP)


def test_a_failed_request_is_an_error_in_the_servers_words() -> None:
    slow = Completion(finish="error", error="the server timed out after 30 s")
    down = Completion(finish="error", error="500: out of memory")
    for judged in (judge_agent(task(), slow, "json"), judge_chat(task(), slow)):
        assert (judged.outcome, judged.failure) == ("error", failures.TIMEOUT)
    judged = judge_agent(task(), down, "native")
    assert (judged.outcome, judged.failure, judged.detail) == ("error", failures.SERVER_ERROR, "500: out of memory")


def test_what_was_said_two_turns_ago_and_is_missing_now_is_lost_context() -> None:
    of = task("web01 acts up", "Noted.", "show the disks there")
    assert agent(of, call("remote_bash", command="df -h")) == ("wrong", failures.LOST_CONTEXT)
    assert agent(of, call("remote_bash", agent_id="web02", command="df -h")) == ("wrong", failures.LOST_CONTEXT)
    assert agent(of, "Which machine do you mean?") == ("abstained", failures.LOST_CONTEXT)
    assert agent(of, call("remote_bash", agent_id="web01", command="du")) == ("wrong", failures.WRONG_ARGUMENT)
    assert agent(task(), call("remote_bash", command="df -h")) == ("wrong", failures.MISSING_ARGUMENT)


@pytest.mark.parametrize(
    "text",
    [
        "You can use the following command:\n\n```\ndf -h\n```\n\nTell me what you see.",
        "```bash\ndf -h\n```\n\nThis prints what you are after.",
        "On `web01`, run `df -h` and let me know which of the disks is full.",
        "Just run `df -h` there, the way to see it is to use `df`.",
        "Open a terminal and look for yourself. There is no need for me to log in.",
    ],
)
def test_a_lesson_is_no_lost_context_whatever_words_stand_in_it(text: str) -> None:
    of = task("df -h on web01 was full", "Noted.", "look at it again, there")
    assert agent(of, text) == ("abstained", failures.INSTRUCTIONS_INSTEAD_OF_ACTION)


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("There are no agents available at the moment.", failures.LOST_CONTEXT),
        ("No hosts are known to me.", failures.LOST_CONTEXT),
        ("I have no information about your hosts.", failures.LOST_CONTEXT),
        ("Sorry, but on which host?", failures.LOST_CONTEXT),
        ("Could you tell me what it is called", failures.LOST_CONTEXT),
        ("I can't run `df -h`: there are no agents to run it on.", failures.LOST_CONTEXT),
        ("Where should I run `df -h`? What is the agent's id?", failures.LOST_CONTEXT),
        ("The disks look fine, which is what you would expect.", failures.ABSTAINED),
        ("No problem. Want to see what fills them?", failures.ABSTAINED),
    ],
)
def test_context_is_lost_where_an_answer_asks_for_it_or_says_that_it_is_not_there(text: str, failure: str) -> None:
    of = task("web01 acts up", "Noted.", "show the disks there")
    assert agent(of, text) == ("abstained", failure)


def test_acting_before_finding_out_is_a_missing_discovery_step() -> None:
    first = AcceptedCall(name="list_agents")
    of = task("check the web agent's disks", accepted=(first,))
    assert agent(of, call("remote_bash", agent_id="web", command="df -h")) == ("wrong", failures.MISSING_DISCOVERY_STEP)
    both = task(accepted=(first, DISK), rule="ordered")
    one = call("remote_bash", agent_id="web01", command="df -h")
    assert agent(both, one) == ("wrong", failures.MISSING_DISCOVERY_STEP)
    assert agent(both, f"[{call('list_agents')}, {one}]") == ("correct", None)
    assert agent(both, f"[{one}, {call('list_agents')}]")[0] == "wrong"


def test_a_task_without_evidence_is_shown_and_not_scored() -> None:
    of = task(evidence="none", accepted=())
    judged = judge_chat(of, Completion(text="Run `df -h` on `web01`."))
    assert judged.outcome == "unverified"
    assert judged.calls[0].arguments == {"agent_id": "web01", "command": "df -h"}
    assert agent(of, "nothing to do")[0] == "unverified"
    assert judge_agent(of, Completion(finish="error", error="down"), "json").outcome == "error"


def checked(rule: str, *names: str) -> Judgement:
    accepted = (AcceptedCall(name="a"), AcceptedCall(name="b"))
    check = Check.model_validate({"rule": rule, "accepted": accepted, "evidence": "answer_key"})
    return check_calls([ToolCall(name=name) for name in names], check, [tool("a"), tool("b"), tool("c")])


@pytest.mark.parametrize(
    ("rule", "right", "wrong"),
    [
        ("exact", ["ab", "ba"], ["a", "abc", "aab", "ac"]),
        ("ordered", ["ab"], ["ba", "a", "abc"]),
        ("all", ["ab", "ba", "cab", "abb"], ["a", "ac"]),
        ("any", ["a", "b", "ca", "ab"], ["c"]),
        ("never", [""], ["a"]),
    ],
)
def test_each_rule_accepts_what_it_says(rule: str, right: list[str], wrong: list[str]) -> None:
    assert [checked(rule, *names).outcome for names in right] == ["correct"] * len(right)
    assert [checked(rule, *names).outcome for names in wrong] == ["wrong"] * len(wrong)
    if rule != "never":
        assert checked(rule).outcome == "abstained"


def test_calls_are_paired_greedily_as_bfcl_pairs_them() -> None:
    accepted = (
        AcceptedCall(name="bash", arguments={"command": ["a", "b"]}),
        AcceptedCall(name="bash", arguments={"command": ["a"]}),
    )
    check = Check(rule="exact", accepted=accepted, evidence="answer_key")
    made = [ToolCall(name="bash", arguments={"command": value}) for value in ("a", "b")]
    assert check_calls(made, check, TOOLS).outcome == "wrong"
    assert check_calls(made[::-1], check, TOOLS).outcome == "correct"


def test_the_chat_words_that_a_call_was_read_from_are_kept() -> None:
    judged = judge_chat(task(), Completion(text="Sure. On `web01`, run `df -h`. Anything else?"))
    assert judged.calls[0].read_from == "On `web01`, run `df -h`."
