"""BFCL's rules: the same verdicts as the public checker, and the outputs that it cannot read told apart."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from bfcl_mutations import as_text, mutate, right_output
from bfcl_reference import is_valid, reference

from kt_lib.calls.bfcl import AnswerKey, category_of, task_from_bfcl
from kt_lib.calls.checking import check_calls
from kt_lib.errors import SourceError
from kt_lib.records import ToolCall

DATA = Path(__file__).parents[2] / "shared" / "data" / "bfcl"
CATEGORIES = ("simple_python", "multiple", "parallel", "parallel_multiple")
FIXTURE = Path(__file__).parent / "data" / "bfcl_eval_verdicts.jsonl"

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data/bfcl is not beside the checkout")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line.strip()]


def keyed(category: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    answers = {row["id"]: row for row in lines(DATA / "possible_answer" / f"BFCL_v4_{category}.json")}
    return [(row, answers[row["id"]]) for row in lines(DATA / f"BFCL_v4_{category}.json")]


def question(identity: str = "simple_python_1", **parameters: str) -> dict[str, Any]:
    described = {name: {"type": kind} for name, kind in (parameters or {"x": "integer"}).items()}
    function = {"name": "math.double", "parameters": {"type": "dict", "properties": described, "required": []}}
    return {"id": identity, "question": [[{"role": "user", "content": "Double 4."}]], "function": [function]}


def test_made_up_tasks_get_the_verdicts_that_bfcl_eval_gave_them() -> None:
    compared = Counter[bool]()
    for row in lines(FIXTURE):
        key = AnswerKey(row["question"], row)
        for output, valid in row["cases"]:
            scored = key.score(output)
            assert (scored.verdict == "correct") == valid, (row["question"]["id"], output, scored)
            compared[valid] += 1
    assert compared[True] >= 200
    assert compared[False] >= 400


@needs_data
@pytest.mark.parametrize("category", CATEGORIES)
def test_ground_truths_and_mutated_calls_get_the_verdict_of_bfcl_eval(category: str) -> None:
    try:
        checker, decode = reference()
    except ImportError as missing:
        pytest.skip(f"bfcl-eval is not installed here ({missing}); the recorded verdicts were compared")
    compared = Counter[bool]()
    for asked, answer in keyed(category):
        rng = random.Random(asked["id"])
        key = AnswerKey(asked, answer)
        for turn in range(12):
            output = right_output(answer["ground_truth"], asked, rng)
            if turn:
                output, _ = mutate(output, asked, rng)
            for given in (output, as_text(output)):
                try:
                    decoded = decode(given) if isinstance(given, str) else copy.deepcopy(given)
                except Exception:
                    assert key.score(given).verdict == "malformed"
                    continue
                valid = is_valid(checker, asked, decoded, answer["ground_truth"], category)
                if valid is not None:
                    assert (key.score(given).verdict == "correct") == valid, (asked["id"], given)
                    compared[valid] += 1
    assert min(compared[True], compared[False]) > 1000


@needs_data
@pytest.mark.parametrize("category", CATEGORIES)
def test_nearly_every_ground_truth_is_correct_in_every_form(category: str) -> None:
    rng = random.Random(1)
    missed = []
    for asked, answer in keyed(category):
        key = AnswerKey(asked, answer)
        output = right_output(answer["ground_truth"], asked, rng)
        verdicts = {key.score(form).verdict for form in every_form(output)}
        assert len(verdicts) == 1, asked["id"]
        if verdicts != {"correct"}:
            missed.append(asked["id"])
    assert len(missed) <= 2, missed  # answer keys that contradict their own schema


def every_form(output: list[dict[str, Any]]) -> list[Any]:
    pairs = [next(iter(entry.items())) for entry in output]
    openai = [{"id": "c", "type": "function", "function": {"name": n, "arguments": json.dumps(a)}} for n, a in pairs]
    protocol = [{"tool": name, "params": arguments} for name, arguments in pairs]
    underscored = [{name.replace(".", "_"): arguments} for name, arguments in pairs]
    structured = [output, underscored, openai, protocol, {"role": "assistant", "content": None, "tool_calls": openai}]
    as_strings = [[{name: json.dumps(arguments)} for name, arguments in pairs]]
    flat = [[{"name": name, "arguments": arguments} for name, arguments in pairs]]
    return [*structured, *as_strings, *flat, *(json.dumps(form) for form in structured), as_text(output)]


@needs_data
@pytest.mark.parametrize("category", CATEGORIES)
def test_a_task_made_of_a_bfcl_row_is_judged_as_the_row_itself(category: str) -> None:
    rng = random.Random(2)
    for asked, answer in keyed(category):
        key, task = AnswerKey(asked, answer), task_from_bfcl(asked, answer)
        for _ in range(3):
            output, _ = mutate(right_output(answer["ground_truth"], asked, rng), asked, rng)
            try:
                same = json.loads(json.dumps(output)) == output and output != []
            except (TypeError, ValueError):
                continue
            if same and "inf" not in json.dumps(output):
                calls = [ToolCall(name=name, arguments=held) for entry in output for name, held in entry.items()]
                judged = check_calls(calls, task.check, task.tools)
                assert judged.outcome == key.score(output).verdict, (asked["id"], output)


@needs_data
def test_an_irrelevance_row_becomes_a_task_where_no_call_is_due() -> None:
    tasks = [task_from_bfcl(row) for row in lines(DATA / "BFCL_v4_irrelevance.json")]
    assert len(tasks) == 240
    assert {task.check.rule for task in tasks} == {"never"}
    assert {task.kind for task in tasks} == {"not_calling"}


@pytest.mark.parametrize(
    ("output", "verdict"),
    [
        ("[math.double(x=4)]", "correct"),
        ("math.double(x=4)", "correct"),
        ("'[math_double(x=4)]'", "correct"),
        ('{"tool": "math.double", "params": {"x": 4}}', "correct"),
        ('{"tool": "math.double", "params": {"x": 4}, "reasoning": "as asked"}', "correct"),
        ("<think>double it</think>\n[math.double(x=4)]", "correct"),
        ("[math.double(x=2+2)]", "correct"),
        ("[math.double(x=+4)]", "correct"),
        ("[math.double(x=5)]", "wrong"),
        ("[math.double(x='4')]", "wrong"),
        ("[math.double(4)]", "wrong"),
        ("[math.double(x=4), math.double(x=4)]", "wrong"),
        ("[other(x=4)]", "wrong"),
        ("The double of 4 is 8.", "abstained"),
        ("", "abstained"),
        ("[]", "abstained"),
        ([], "abstained"),
        ([{}], "abstained"),
        ('{"answer": 8}', "abstained"),
        ({"role": "assistant", "content": "It is 8.", "tool_calls": None}, "abstained"),
        ("[math.double(x=4", "malformed"),
        ("[math.double(x=4)", "malformed"),
        ("[math.double(x=)]", "malformed"),
        ("[math.double(x=open('f').read() + 1)]", "malformed"),
        ("[math.double(x=9**9**9**9)]", "malformed"),
        ("[math.double(x=4), 5]", "malformed"),
        ("Sure! [math.double(x=4)]", "malformed"),
        ("Here you go:\n[math.double(x=4)]", "malformed"),
        ("```python\n[math.double(x=4)]\n```", "malformed"),
        ('```json\n{"tool": "math.double", "params": {"x": 4}}\n```', "malformed"),
        ('{"action": "math.double", "params": {"x": 4}}', "malformed"),
        ('{"tool": "none", "params": {}}', "malformed"),
        ("{'tool': 'math.double', 'params': {'x': 4}}", "malformed"),
        ("[{'math.double': {'x': 4}}]", "malformed"),
        ('{"tool": "math.double", "params": {"x": 4}', "malformed"),
        ('I will call it: {"tool": "math.double", "params": {"x": 4}}', "malformed"),
        ("<tool_call>math.double</tool_call>", "malformed"),
        ([{"math.double": "{broken"}], "malformed"),
        ([{"math.double": [4]}], "malformed"),
        ([{"math.double": {"x": 4}, "also": {"x": 4}}], "malformed"),
        (["math.double"], "malformed"),
        ([{"name": "math.double", "arguments": '{"x": 4'}], "malformed"),
    ],
)
def test_an_output_is_read_as_it_is_and_never_repaired(output: Any, verdict: str) -> None:
    key = AnswerKey(question(), {"ground_truth": [{"math.double": {"x": [4]}}]})
    assert key.score(output).verdict == verdict


@pytest.mark.parametrize(
    ("output", "verdict"),
    [
        ("None of the functions can tell the time.", "correct"),
        ("math.double only takes a number, which is not what you need.", "correct"),
        ("The function math.double(x) cannot do that.", "correct"),
        ("", "correct"),
        ([], "correct"),
        ("[math.double(x=4)]", "wrong"),
        ("[unknown_tool(x=4)]", "wrong"),
        ([{"math.double": {"x": 4}}], "wrong"),
        ("[math.double(x=4", "malformed"),
        ('{"tool": "none", "params": {}}', "malformed"),
        ('{"tool": "math.double", "params": {"x": 4}', "malformed"),
    ],
)
def test_where_no_call_is_due_only_a_clean_answer_is_correct_and_nothing_is_an_abstention(
    output: Any, verdict: str
) -> None:
    assert AnswerKey(question("irrelevance_7")).score(output).verdict == verdict


def test_code_in_an_output_is_never_run() -> None:
    key = AnswerKey(question(x="string"), {"ground_truth": [{"math.double": {"x": ["ran"]}}]})
    scored = key.score("[math.double(x=__import__('os').getcwd())]")
    assert scored.verdict == "wrong"
    assert "__import__" in str(scored.error)


@pytest.mark.parametrize(
    ("identity", "category"),
    [
        ("simple_python_12", "simple_python"),
        ("simple_3", "simple"),
        ("live_simple_3-2-0", "live_simple"),
        ("parallel_multiple_0", "parallel_multiple"),
        ("live_irrelevance_10-0-1", "live_irrelevance"),
    ],
)
def test_the_category_comes_from_the_id(identity: str, category: str) -> None:
    assert category_of(identity) == category


@pytest.mark.parametrize(
    "identity", ["simple_java_1", "multi_turn_base_3", "task-1", "simple_python", "memory_kv_1-a-2"]
)
def test_an_id_whose_rules_are_not_offered_is_refused_by_name(identity: str) -> None:
    with pytest.raises(SourceError, match=identity):
        category_of(identity)


def test_where_any_call_is_right_a_call_is_correct_and_prose_abstains() -> None:
    key = AnswerKey(question("live_relevance_1-0-0"))
    assert key.score("[math.double(x=1)]").verdict == "correct"
    assert key.score("I would double it.").verdict == "abstained"


def test_the_description_of_a_task_is_json_schema_all_the_way_down() -> None:
    asked = question(x="float", y="tuple", z="dict", w="any")
    nested = asked["function"][0]["parameters"]["properties"]
    nested["z"]["properties"] = {"inner": {"type": "float"}}
    nested["y"]["items"] = {"type": "dict"}
    properties = task_from_bfcl(asked).tools[0].parameters["properties"]
    assert properties == {
        "x": {"type": "number"},
        "y": {"type": "array", "items": {"type": "object"}},
        "z": {"type": "object", "properties": {"inner": {"type": "number"}}},
        "w": {},
    }


def test_a_question_without_an_answer_is_a_task_without_evidence() -> None:
    assert task_from_bfcl(question()).check.evidence == "none"
    assert AnswerKey(question()).score("[math.double(x=4)]").verdict == "error"


@pytest.mark.parametrize(
    "spoiled", [{"function": []}, {"function": [{"name": "f"}]}, {"question": []}, {"question": [[], []]}, {"id": ""}]
)
def test_a_row_that_is_not_bfcls_is_refused(spoiled: dict[str, Any]) -> None:
    with pytest.raises(SourceError):
        task_from_bfcl({**question(), **spoiled})
