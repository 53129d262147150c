"""Puts tasks to a model: in chat, as an agent, with a lever; judged by one checker."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kt_lib.calls.checking import Judgement
from kt_lib.calls.judging import judge_agent, judge_chat
from kt_lib.difference import attempt
from kt_lib.levers import Lever, Pick, request_with
from kt_lib.models.interface import Model
from kt_lib.prompts import agent_request, chat_request
from kt_lib.records import Attempt, Completion, Protocol, Request, Task


def in_chat(model: Model, tasks: Sequence[Task], lever: str = "none") -> list[Attempt]:
    """Every task once in chat; the call is read from the prose."""
    return attempt(tasks, shown(model, "chat"), chat_request, judge_chat, mode="chat", model=model.name, lever=lever)


def as_agent(model: Model, tasks: Sequence[Task], protocol: Protocol, lever: str = "none") -> list[Attempt]:
    """Every task once as an agent with the plain prompt, unconstrained."""

    def request(task: Task) -> Request:
        return agent_request(task, protocol)

    return _as_agent(model, tasks, protocol, request, lever)


def with_lever(model: Model, tasks: Sequence[Task], protocol: Protocol, lever: Lever, pick: Pick) -> list[Attempt]:
    """Every task once as an agent with a lever."""
    return _as_agent(model, tasks, protocol, request_with(lever, protocol, pick), lever.name)


def _as_agent(
    model: Model, tasks: Sequence[Task], protocol: Protocol, request: Callable[[Task], Request], lever: str
) -> list[Attempt]:
    def judge(task: Task, completion: Completion) -> Judgement:
        return judge_agent(task, completion, protocol)

    return attempt(
        tasks, shown(model, lever), request, judge, mode="agent", model=model.name, protocol=protocol, lever=lever
    )


def shown(model: Model, what: str) -> Callable[[list[Request]], list[Completion]]:
    """The model's `complete` with a progress bar."""

    def complete(requests: list[Request]) -> list[Completion]:
        from tqdm.auto import tqdm

        with tqdm(total=len(requests), desc=what, leave=False, mininterval=1.0) as bar:
            return model.complete(requests, progress=lambda done, _: bar.update(done - bar.n))

    return complete


def answers_rightly(task: Task, text: str, protocol: Protocol) -> bool:
    """Whether a text, given as an agent's whole answer to a task, passes the checker."""
    return judge_agent(task, Completion(text=text), protocol).outcome == "correct"
