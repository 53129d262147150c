"""The cheap levers: constrained output, prompt, few-shot. Each is tried, and kept only where a paired test says so."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from kt_lib.prompts import agent_request
from kt_lib.records import Attempt, Example, Improvement, PairedTable, Profile, Protocol, Record, Request, Task
from kt_lib.statistics import holm, paired

Pick = Callable[[Task], Sequence[Example]]
LEAST_TASKS = 15
"""A failure class with fewer tasks than this is not tested by itself: nothing could be shown."""


class Lever(Record):
    """A change that costs no training."""

    name: str
    """As it stands in `Attempt.lever`."""
    prompt: str = "plain"
    """Prompt variant."""
    few_shot: bool = False
    """Whether examples are put before the request."""
    constrained: bool = False
    """Whether the output is kept inside the protocol's schema."""


def cheap_levers(prompts: Sequence[str], few_shot: int) -> list[Lever]:
    """The levers from cheap to dear."""
    names = ["constrained", *(f"prompt:{prompt}" for prompt in prompts)]
    names += [f"few_shot:{few_shot}"] if few_shot else []
    return [lever_named(name) for name in names]


def request_with(lever: Lever, protocol: Protocol, pick: Pick) -> Callable[[Task], Request]:
    """How a task is put with a lever; `pick` chooses the examples."""

    def request(task: Task) -> Request:
        examples = pick(task) if lever.few_shot else ()
        return agent_request(task, protocol, prompt=lever.prompt, examples=examples, constrained=lever.constrained)

    return request


def usual_failures(tasks: Iterable[Task], attempts: Iterable[Attempt]) -> dict[str, str]:
    """For each category the failure class that its tasks mostly showed; categories that mostly succeed are left out.

    Made from training tasks only, so that the outcomes a lever is tested on did not choose the classes.
    """
    categories = {task.id: task.category for task in tasks}
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for attempt in attempts:
        if attempt.task_id in categories and attempt.outcome not in ("error", "unverified"):
            seen[categories[attempt.task_id]][attempt.failure or "correct"] += 1
    usual = {category: counts.most_common(1)[0][0] for category, counts in seen.items()}
    return {category: failure for category, failure in usual.items() if failure != "correct"}


def judge_levers(
    tasks: Sequence[Task],
    before: Mapping[str, Attempt],
    after: Mapping[str, Mapping[str, Attempt]],
    usual: Mapping[str, str],
    alpha: float,
) -> list[Improvement]:
    """What each lever gave, over all tasks and for each failure class, with Holm over everything tried.

    `before` and `after[lever]` map task ids to attempts on the same tasks. A lever is kept where the paired test is
    significant at `alpha` after Holm and the difference is a gain; over all tasks it must also not lose no-call tasks.
    """
    sets: dict[str, list[Task]] = {"all": [task for task in tasks if task.kind == "main"]}
    for task in sets["all"]:
        if task.category in usual:
            sets.setdefault(usual[task.category], []).append(task)
    tried = [
        (lever, failure, compare(members, before, attempts))
        for lever, attempts in after.items()
        for failure, members in sets.items()
        if failure == "all" or len(members) >= LEAST_TASKS
    ]
    adjusted = holm([table.p_value for _, _, table in tried])
    silent = [task for task in tasks if task.kind == "not_calling"]
    return [
        improvement(lever, failure, table, p_holm, alpha, compare(silent, before, after[lever]))
        for (lever, failure, table), p_holm in zip(tried, adjusted, strict=True)
    ]


def compare(tasks: Sequence[Task], before: Mapping[str, Attempt], after: Mapping[str, Attempt]) -> PairedTable:
    """The paired table over tasks that ran on both sides."""
    ran = [
        (before[task.id].outcome == "correct", after[task.id].outcome == "correct")
        for task in tasks
        if all(side[task.id].outcome not in ("error", "unverified") for side in (before, after))
    ]
    return paired([first for first, _ in ran], [second for _, second in ran])


def improvement(
    lever: str, failure: str, table: PairedTable, p_holm: float, alpha: float, silent: PairedTable
) -> Improvement:
    """The row for one lever on one set, with the reason it is kept or not."""
    loses_silence = silent.n > 0 and silent.high < 0
    if table.n == 0:
        kept, reason = False, "no task ran on both sides"
    elif p_holm >= alpha or table.difference <= 0:
        kept, reason = False, f"no proven gain (p after Holm {p_holm:.3g})"
    elif loses_silence:
        kept, reason = False, f"calls where none is due: {100 * silent.difference:+.0f} points on {silent.n} such tasks"
    else:
        kept, reason = True, f"gain proven (p after Holm {p_holm:.3g})"
    return Improvement(
        lever=lever,
        failure=failure,
        before=table.first.value or 0.0,
        after=table.second.value or 0.0,
        low=table.low,
        high=table.high,
        p_value=table.p_value,
        p_holm=p_holm,
        n=table.n,
        kept=kept,
        reason=reason,
    )


def best_lever(improvements: Sequence[Improvement]) -> Improvement | None:
    """The kept lever that gained most over all tasks."""
    kept = [row for row in improvements if row.kept and row.failure == "all"]
    return max(kept, key=lambda row: row.after - row.before, default=None)


def by_task(attempts: Iterable[Attempt]) -> dict[str, Attempt]:
    """Attempts by the task they are at."""
    return {attempt.task_id: attempt for attempt in attempts}


def profile_of(model: str, best: Improvement | None, levers: Sequence[Lever], examples: Sequence[Example]) -> Profile:
    """What was kept for a model, loadable: the best lever, or nothing at all."""
    lever = next((each for each in levers if best and each.name == best.lever), Lever(name="none"))
    return Profile(
        name=lever.name,
        model=model,
        prompt=lever.prompt,
        examples=tuple(examples) if lever.few_shot else (),
        constrained=lever.constrained,
    )


def levers_to_show(improvements: Sequence[Improvement]) -> list[Lever]:
    """One lever of each sort, the best of its sort on dev tasks: what stands beside training on held-out tasks."""
    best: dict[str, Improvement] = {}
    for row in improvements:
        sort = row.lever.split(":")[0]
        if row.failure == "all" and (sort not in best or row.after > best[sort].after):
            best[sort] = row
    return [lever_named(row.lever) for row in best.values()]


def lever_named(name: str) -> Lever:
    """The lever that a name such as `prompt:strict` stands for."""
    sort, _, which = name.partition(":")
    prompt = which if sort == "prompt" else "plain"
    return Lever(name=name, prompt=prompt, few_shot=sort == "few_shot", constrained=sort == "constrained")
