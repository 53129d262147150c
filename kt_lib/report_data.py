"""What a report is made of: everything the steps of a run wrote, gathered into one value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import JsonValue

from kt_lib.assistant import Comparison
from kt_lib.difference import pair
from kt_lib.history import StepRecord
from kt_lib.leakage import LeakageReport
from kt_lib.mixing import FunnelStep, SourceLine
from kt_lib.records import (
    Adapter,
    Attempt,
    Difference,
    Example,
    Improvement,
    ModelVersion,
    PreferencePair,
    Profile,
    Record,
    Score,
    SftRow,
    Task,
    Verdict,
)
from kt_lib.runs import Step
from kt_lib.settings import Settings
from kt_lib.versions import refusal

ARTIFACTS = (
    "tasks",
    "attempts",
    "examples",
    "improvements",
    "profiles",
    "sft_rows",
    "preference_pairs",
    "leakage",
    "adapters",
    "attempts_after",
    "scores",
    "verdicts",
    "ablation_verdicts",
    "comparisons",
    "mix",
    "funnel",
    "versions",
)
"""What `gather` reads. The report's notebook asks `step.has` for each by name, for the plan reads names from there."""

WITHHELD = "withheld"
"""Tag of a task whose words an audience may not read."""

AfterStatus = Literal["promoted", "candidate", "absent"]


class After(Record):
    """The trained model's side of the comparison."""

    status: AfterStatus = "absent"
    """promoted: what people get; candidate: evaluated and not promoted; absent: nothing was trained or evaluated."""
    reason: str = "nothing was trained in this run"
    """Why not promoted, or why there is none, in words."""
    variant: str = ""
    """`sft`, `sft+dpo`, as in `Attempt.lever`."""
    agent: tuple[Attempt, ...] = ()
    """Its attempts as an agent on held-out tasks: same prompt, protocol and unconstrained decoding as before."""
    chat: tuple[Attempt, ...] = ()
    """Its attempts in chat on the same tasks."""


class ReportData(Record):
    """Everything a report shows; what was never written is empty."""

    title: str
    """Title of the page."""
    audience: Literal["public", "team", "private"] = "team"
    """Who it is for (`audience`)."""
    run: str = ""
    """Run id."""
    created: float | None = None
    """When the last step ended, in seconds since the epoch."""
    tasks: tuple[Task, ...] = ()
    """Held-out main tasks: the ones every headline figure is about."""
    task_counts: dict[str, dict[str, int]] = {}
    """Tasks by part and kind."""
    before: tuple[Difference, ...] = ()
    """Chat against agent on those tasks, before any change."""
    after: After = After()
    """The same tasks after training."""
    improvements: tuple[Improvement, ...] = ()
    """What each lever gave on dev tasks."""
    profile: Profile | None = None
    """What of the levers was kept."""
    scores: tuple[Score, ...] = ()
    """Rates of every variant on the held-out suites."""
    verdicts: tuple[Verdict, ...] = ()
    """The gate's verdicts."""
    ablation: tuple[Verdict, ...] = ()
    """The same of every training, the candidate's among them."""
    versions: tuple[ModelVersion, ...] = ()
    """Versions made in this run."""
    history: tuple[ModelVersion, ...] = ()
    """Every version there is, oldest first."""
    adapters: tuple[Adapter, ...] = ()
    """Trainings."""
    rows: dict[str, int] = {}
    """SFT rows by kind."""
    pairs: dict[str, int] = {}
    """Preference pairs by the failure they fix."""
    comparisons: tuple[Comparison, ...] = ()
    """The candidate against the base by the four figures of an assistant."""
    mix: tuple[SourceLine, ...] = ()
    """What the mix asked of each source, what was available, and what was used."""
    funnel: tuple[FunnelStep, ...] = ()
    """From the sources' rows to the dataset."""
    examples: int = 0
    """Verified examples."""
    train_chat_right: int | None = None
    """Training tasks that the base gets right in chat."""
    train_tasks: int = 0
    """Training tasks."""
    leakage: LeakageReport | None = None
    """What was held against what before training."""
    steps: tuple[StepRecord, ...] = ()
    """The run's steps with their parameters, metrics and times."""
    pages: dict[str, str] = {}
    """Page of each step, relative to the outputs folder."""

    def metric(self, notebook: str, name: str) -> JsonValue:
        """A metric of a step; None where there is none."""
        return next((step.metrics.get(name) for step in self.steps if step.notebook == notebook), None)


def gather(step: Step[Any]) -> ReportData:
    """What the steps before the report's wrote. A step that was skipped, or that a runbook leaves out, leaves its part
    empty; the reason is kept. ArtifactError where an artifact that should be whole is not.
    """
    tasks = _read(step, "tasks", Task)
    held_out = tuple(task for task in tasks if task.part == "test" and task.kind == "main")
    attempts = _read(step, "attempts", Attempt)
    steps = step.steps()
    versions = _read(step, "versions", ModelVersion)
    leakage = _read(step, "leakage", LeakageReport)
    profiles = _read(step, "profiles", Profile)
    train = {task.id for task in tasks if task.part == "train"}
    right = {one.task_id for one in attempts if one.mode == "chat" and one.outcome == "correct"}
    return ReportData(
        title=str(getattr(step.params, "title", "Report")),
        run=step.run_id,
        created=max((one.finished for one in steps), default=None),
        tasks=held_out,
        task_counts=_counted(tasks),
        before=_before(held_out, attempts),
        after=_after(step, held_out, steps, versions),
        improvements=_read(step, "improvements", Improvement),
        profile=profiles[-1] if profiles else None,
        scores=_read(step, "scores", Score),
        verdicts=_read(step, "verdicts", Verdict),
        ablation=_read(step, "ablation_verdicts", Verdict),
        versions=versions,
        history=_history(step),
        adapters=_read(step, "adapters", Adapter),
        rows=dict(Counter(row.kind for row in _read(step, "sft_rows", SftRow)).most_common()),
        pairs=dict(Counter(one.basis for one in _read(step, "preference_pairs", PreferencePair)).most_common()),
        comparisons=_read(step, "comparisons", Comparison),
        mix=_read(step, "mix", SourceLine),
        funnel=_read(step, "funnel", FunnelStep),
        examples=len(_read(step, "examples", Example)),
        train_chat_right=len(train & right) if attempts else None,
        train_tasks=len(train),
        leakage=leakage[-1] if leakage else None,
        steps=steps,
        pages=step.pages(),
    )


def _read(step: Step[Any], name: str, type_: type[Any]) -> tuple[Any, ...]:
    return tuple(step.read(name, type_)) if step.has(name) else ()


def _history(step: Step[Any]) -> tuple[ModelVersion, ...]:
    """The ledger's versions; only a release adds one, and its metrics are an input of this step already."""
    from kt_lib.ledger import FILE, open_ledger

    if Settings().ledger is None and not (step.state / FILE).exists():
        return ()
    with open_ledger(step.state) as ledger:
        return tuple(ledger.versions())


def _counted(tasks: tuple[Task, ...]) -> dict[str, dict[str, int]]:
    found = Counter((task.part, task.kind) for task in tasks)
    counts: dict[str, dict[str, int]] = {}
    for (part, kind), count in sorted(found.items()):
        counts.setdefault(part, {})[kind] = count
    return counts


def _before(held_out: tuple[Task, ...], attempts: tuple[Attempt, ...]) -> tuple[Difference, ...]:
    ids = {task.id for task in held_out}
    ours = [one for one in attempts if one.task_id in ids and one.lever == "none"]
    return tuple(pair((one for one in ours if one.mode == "chat"), (one for one in ours if one.mode == "agent")))


def _after(
    step: Step[Any], held_out: tuple[Task, ...], steps: tuple[StepRecord, ...], versions: tuple[ModelVersion, ...]
) -> After:
    attempts = _read(step, "attempts_after", Attempt)
    metrics: Mapping[str, Mapping[str, JsonValue]] = {one.notebook: one.metrics for one in steps}
    variant = str(metrics.get("09_evaluate", {}).get("candidate") or _variant(step, versions))
    ids = {task.id for task in held_out}
    ours = [one for one in attempts if one.lever == variant and one.task_id in ids]
    if not ours:
        skipped = [one for one in steps if one.status == "skipped"]
        return After(reason=skipped[0].reason or "the training step was skipped") if skipped else After()
    released = metrics.get("10_release", {})
    champion = released.get("champion", versions[-1].version if versions and versions[-1].promoted else None)
    promoted = bool(versions) and versions[-1].promoted and champion == versions[-1].version
    if promoted:
        reason = versions[-1].reason
    elif versions and versions[-1].promoted:
        reason = f"the gate lets {versions[-1].version} through, but the run was told not to promote it"
    else:
        reason = versions[-1].reason if versions else _no_version(_read(step, "verdicts", Verdict))
    return After(
        status="promoted" if promoted else "candidate",
        reason=reason,
        variant=variant,
        agent=tuple(one for one in ours if one.mode == "agent"),
        chat=tuple(one for one in ours if one.mode == "chat"),
    )


def _no_version(verdicts: Sequence[Verdict]) -> str:
    """Why there is no version of a candidate: none was made, and where the gate stops it, that too."""
    stopped = refusal(verdicts)
    return "no version was made of it" + (f", and the gate stops it: {stopped}" if stopped else "")


def _variant(step: Step[Any], versions: tuple[ModelVersion, ...]) -> str:
    """The newest version's training, by its adapter's digest."""
    names = {adapter.digest: adapter.name for adapter in _read(step, "adapters", Adapter)}
    return names.get(versions[-1].adapter, "") if versions else ""
