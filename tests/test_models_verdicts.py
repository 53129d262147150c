"""The same model gives the same answers and verdicts in this process and behind a server, in both dialects."""

from __future__ import annotations

from functools import cache

import pytest
from model_server import ModelServer

from kt_lib.models.interface import Model
from kt_lib.models.opening import open_model
from kt_lib.prompts import agent_request, chat_request
from kt_lib.records import Completion, Request, Task

pytest.importorskip("torch", reason="the embedded model needs the `train` extra")
pytest.importorskip("transformers", reason="the embedded model needs the `train` extra")

# torch warns about itself while it is imported
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

TASKS = {"main": 10, "not_calling": 3, "multi_turn": 3}


@cache
def embedded() -> Model:
    from kt_lib.models.embedded import packaged_base

    if not (packaged_base() / "model.safetensors").is_file():
        pytest.skip("the embedded model's weights have not been trained yet: kt base train")
    return open_model("embedded")


@cache
def cases() -> list[tuple[str, Task, Request]]:
    """The tasks in chat, with the JSON protocol, with native tools and inside a schema."""
    from kt_lib.world.suite import make_tasks

    tasks = [task for kind, count in TASKS.items() for task in make_tasks(7, "test", kind, count)]  # type: ignore[arg-type]
    return [
        case
        for task in tasks
        for case in (
            ("chat", task, chat_request(task)),
            ("json", task, agent_request(task, "json")),
            ("native", task, agent_request(task, "native")),
        )
    ] + [("json", task, agent_request(task, "json", constrained=True)) for task in tasks[:4]]


@cache
def in_process() -> list[Completion]:
    return embedded().complete([request for _, _, request in cases()])


def verdict(mode: str, task: Task, completion: Completion) -> tuple[str, str | None]:
    from kt_lib.calls.judging import judge_agent, judge_chat

    if mode == "chat":
        judged = judge_chat(task, completion)
    else:
        judged = judge_agent(task, completion, "native" if mode == "native" else "json")
    return judged.outcome, judged.failure


@pytest.mark.parametrize("dialect", ["ollama", "openai"])
def test_a_served_embedded_model_answers_as_it_does_in_process(dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = in_process()
    with ModelServer(embedded(), name="tiny") as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        served = open_model(f"{dialect}:tiny").complete([request for _, _, request in cases()])
    assert len(cases()) >= 50
    assert {mode for mode, _, _ in cases()} == {"chat", "json", "native"}
    # a batch and a single request may round differently: a rare different word is no different model
    differ = [
        f"{mode} {task.id}: {here.text!r} {here.tool_calls} / {there.text!r} {there.tool_calls}"
        for (mode, task, _), here, there in zip(cases(), expected, served, strict=True)
        if said(here) != said(there)
    ]
    assert len(differ) <= len(cases()) // 50, differ
    assert sum(bool(one.tool_calls) for one in served) >= 3
    verdicts = [
        (verdict(mode, task, here), verdict(mode, task, there))
        for (mode, task, _), here, there in zip(cases(), expected, served, strict=True)
    ]
    assert sum(here != there for here, there in verdicts) <= len(differ)
    assert [one.usage for one in served] == [one.usage for one in expected] or differ


def said(completion: Completion) -> tuple[object, ...]:
    """What counts of an answer: ids and seconds do not."""
    calls = [(call.name, call.arguments) for call in completion.tool_calls]
    return completion.text, calls, completion.unreadable_calls, completion.finish
