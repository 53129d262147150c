"""A whole run's records, made up and seeded, with a text of the test's choice in every field that a page may show."""

from __future__ import annotations

import random

from kt_lib.assistant import Comparison
from kt_lib.difference import pair
from kt_lib.history import StepRecord
from kt_lib.leakage import LeakageReport
from kt_lib.levers import improvement
from kt_lib.mixing import FunnelStep, SourceLine
from kt_lib.records import (
    AcceptedCall,
    Adapter,
    Attempt,
    ChatMessage,
    Check,
    ModelVersion,
    Outcome,
    Profile,
    Score,
    Task,
    ToolSpec,
    Verdict,
)
from kt_lib.report_data import After, ReportData
from kt_lib.statistics import paired_counts, wilson

FAILURES = ("wrong_key", "prose_around_json", "python_dict", "wrong_argument", "instructions_instead_of_action")
OUTCOMES: dict[str, Outcome] = {"wrong_argument": "wrong", "instructions_instead_of_action": "abstained"}
STEPS = ("01_ingest", "03_difference", "06_improve", "07_datasets", "08_train", "09_evaluate", "10_release")


def task(number: int, said: str = "", evidence: str = "answer_key") -> Task:
    """Task `number`."""
    return Task(
        id=f"t{number}",
        messages=(ChatMessage(role="user", content=f"restart service {number} on web01 {said}"),),
        tools=(ToolSpec(name=f"bash{said}", description=said),),
        check=Check.model_validate(
            {
                "rule": "exact",
                "accepted": (
                    AcceptedCall(name=f"bash{said}", arguments={f"command{said}": [f"restart {number}{said}"]}),
                ),
                "evidence": evidence,
            }
        ),
        role=("CODER", "READER", f"EXECUTOR{said}")[number % 3],
        category=("disk", "net", f"git{said}")[number % 3],
        difficulty=1 + number % 4,
        novelty=("frame", "phrase", "both")[number % 3],
        group=f"g{number}",
    )


def attempt(number: int, mode: str, right: bool, lever: str, failure: str, said: str = "") -> Attempt:
    """An attempt at task `number`."""
    outcome: Outcome = "correct" if right else OUTCOMES.get(failure, "malformed")
    return Attempt.model_validate(
        {
            "task_id": f"t{number}",
            "mode": mode,
            "model": f"embedded{said}",
            "lever": lever,
            "output": f"output {number} {said}",
            "outcome": outcome,
            "failure": None if right else failure,
            "detail": None if right else f"detail {said}",
        }
    )


def run_of(
    count: int = 120, said: str = "", *, status: str = "promoted", evidence: str = "answer_key", seed: int = 7
) -> ReportData:
    """A finished run over `count` held-out tasks; `said` stands in every text field."""
    rng = random.Random(seed)
    tasks = [task(number, said, evidence) for number in range(count)]
    kinds = (*FAILURES, f"new_failure{said}") if said else FAILURES
    chat = [attempt(number, "chat", rng.random() < 0.93, "none", "abstained", said) for number in range(count)]
    agent = [attempt(n, "agent", rng.random() < 0.42, "none", rng.choice(kinds), said) for n in range(count)]
    agent[1:2] = [attempt(1, "agent", False, "none", kinds[-1], said)] if count > 1 else []
    later = [attempt(n, "agent", rng.random() < 0.94, "sft", "wrong_argument", said) for n in range(count)]
    talk = [attempt(n, "chat", rng.random() < 0.93, "sft", "abstained", said) for n in range(count)]
    trained = status != "absent"
    adapter = Adapter(
        name="sft",
        base="sha256:base",
        folder="sft",
        digest="sha256:" + "a" * 64,
        rows=300,
        steps=40,
        seconds=31.5,
        tokens=90_000,
        losses=tuple((step, 2.0 / step) for step in range(1, 41)),
    )
    verdicts = tuple(verdict(suite, said) for suite in ("target", "plain_chat", "not_calling", "multi_turn"))
    version = ModelVersion(
        version="1.0.0",
        base=f"sha256:base {said}",
        adapter=adapter.digest,
        digest="sha256:" + "b" * 64,
        run=f"run {said}",
        data="sha256:" + "c" * 64,
        promoted=status == "promoted",
        reason=f"the first version {said}",
        created=1.79e9,
    )
    return ReportData.model_validate(
        {
            "title": f"From chat to agent {said}",
            "run": f"20260101-000000-000{said}",
            "created": 1.79e9,
            "tasks": tuple(tasks),
            "task_counts": {"test": {"main": count}, "train": {"main": 200}},
            "before": tuple(pair(chat, agent)) if evidence != "none" else tuple(pair(*unverified(chat, agent))),
            "after": After.model_validate(
                {
                    "status": status,
                    "reason": f"because {said}",
                    "variant": "sft" if trained else "",
                    "agent": tuple(later) if trained else (),
                    "chat": tuple(talk) if trained else (),
                }
            ),
            "improvements": levers(said),
            "profile": Profile(name=f"constrained{said}", model=f"embedded{said}", prompt="plain", constrained=True),
            "scores": scores(said) if trained else (),
            "verdicts": verdicts if trained else (),
            "versions": (version,) if trained else (),
            "history": (version,) if trained else (),
            "adapters": (adapter,) if trained else (),
            "mix": (
                SourceLine(name=f"calls{said}", asked=300, available=200, used=200, repeated=0, note=f"short{said}"),
            ),
            "funnel": (FunnelStep(step=f"read{said}", rows=200, left_out={f"twice{said}": 4}),),
            "comparisons": (
                Comparison(
                    metric=f"tool_format{said}",
                    mode="agent",
                    word="win",
                    table=paired_counts(200, 2, 70, 48),
                    margin=0.05,
                    needed=80,
                    reason=f"won {said}",
                ),
            ),
            "ablation": tuple(
                one.model_copy(update={"variant": f"{name}{said}"}) for name in ("sft", "alone") for one in verdicts
            ),
            "rows": {"agent_call": 180, f"chat_replay{said}": 120},
            "pairs": {"wrong_key": 40, f"new_failure{said}": 10},
            "examples": 190,
            "train_tasks": 200,
            "train_chat_right": 186,
            "leakage": LeakageReport(evaluation_tasks=count, training_texts=540, entities=90, threshold=0.95),
            "steps": tuple(step(name, said) for name in STEPS),
            "pages": {name: f"runs/r/{name}/page.html" for name in STEPS},
        }
    )


def unverified(chat: list[Attempt], agent: list[Attempt]) -> tuple[list[Attempt], list[Attempt]]:
    """The same attempts on tasks that nobody independent vouches for."""
    plain = {"outcome": "unverified", "failure": None, "detail": None}
    return [one.model_copy(update=plain) for one in chat], [one.model_copy(update=plain) for one in agent]


def verdict(suite: str, said: str) -> Verdict:
    """A passed guard."""
    return Verdict(
        variant="sft",
        suite=suite,
        table=paired_counts(280, 3, 5, 12),
        verdict="equivalent",
        passed=True,
        margin=0.05,
        discordance=0.027,
        power=0.99,
        needed=90,
        reason=f"equivalent {said}",
    )


def levers(said: str) -> tuple[object, ...]:
    """Two levers, one kept, each over all tasks and for one failure class."""
    silent = paired_counts(20, 0, 0, 0)
    return tuple(
        improvement(f"{name}{said}", failure, paired_counts(40, 2, gained, 58 - gained), p, 0.05, silent).model_copy(
            update={"reason": f"because {said}"}
        )
        for name, gained, p in (("constrained", 40, 0.001), ("prompt:steps", 3, 0.7))
        for failure in ("all", f"wrong_key{said}")
    )


def scores(said: str) -> tuple[Score, ...]:
    """Success and malformed of the base, a lever and the trained model."""
    return tuple(
        Score(variant=f"{name}{said}" if name != "sft" else name, mode="agent", suite="main", metric=metric, rate=rate)
        for name, right in (("base", 50), ("constrained", 90), ("sft", 114))
        for metric, rate in (("success", wilson(right, 120)), ("malformed", wilson((120 - right) // 2, 120)))
    )


def step(name: str, said: str) -> StepRecord:
    """A finished step."""
    return StepRecord(
        notebook=name,
        run=f"20260101-000000-000{said}",
        status="finished",
        reason=said,
        key="k",
        fingerprint=None,
        parameters={"model": f"embedded{said}", "prompts": [said, "strict"], "seed": 1},
        seconds=12.5,
        cpu_seconds=11.0,
        finished=1.79e9,
    )
