"""Puts the same held-out tasks to the base and to each variant, and draws more tasks where a guard needs them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from kt_lib.assistant import SUITE, VOICE, Comparison, assistant_scores, compared
from kt_lib.attempts import as_agent, in_chat
from kt_lib.errors import ArtifactError
from kt_lib.gate import Draw, guard, paired_table, score, target
from kt_lib.models.embedded import EmbeddedModel
from kt_lib.models.interface import Model
from kt_lib.prompt_formats import format_of, in_other_formats
from kt_lib.records import Attempt, Mode, ModelVersion, PairedTable, Protocol, Score, Task, Verdict
from kt_lib.release import folder_of
from kt_lib.versions import AgainstChampion
from kt_lib.world.suite import Kind, make_tasks

log = logging.getLogger(__name__)

CHAT = "plain_chat"
"""The guard of chat itself."""
PROMPT_FORMATS = "prompt_formats"
"""The guard of tasks put in another form of prompt (`prompt_formats`)."""
SAME_SCORE = 0.03
"""How far the rate of merged weights may lie from that of their adapter, in 0..1."""
LENT = 320
"""Tasks of the embedded world with which a guard begins that one's own data has none for."""
FORMAT_TASKS = 320
"""Tasks that this guard begins with, the forms taking turns."""
Ask = Callable[[Model, Sequence[Task]], list[Attempt]]
More = Callable[[int], list[Task]]


class Suite:
    """Tasks of one guard, put to base and candidates; attempts already made are kept and never made again."""

    def __init__(
        self, name: str, ask: Ask, more: More, base: Model, known: Sequence[Attempt], start: int | None = None
    ) -> None:
        self.name, self.ask, self.more, self.base = name, ask, more, base
        self.start = len(known) if start is None else start
        self.tasks: dict[str, Task] = {}
        self.by_model: dict[str, dict[str, Attempt]] = {base.name: {row.task_id: row for row in known}}

    def attempts(self, model: Model, count: int) -> list[Attempt]:
        """The model's attempts at the first `count` tasks."""
        tasks = self.more(count)
        self.tasks |= {task.id: task for task in tasks}
        held = self.by_model.setdefault(model.name, {})
        missing = [task for task in tasks if task.id not in held]
        held |= {row.task_id: row for row in (self.ask(model, missing) if missing else [])}
        return [held[task.id] for task in tasks]

    def know(self, model: str, attempts: Sequence[Attempt]) -> None:
        """Takes over attempts that were made elsewhere."""
        self.by_model.setdefault(model, {}).update({row.task_id: row for row in attempts})

    def of(self, model: str) -> list[Attempt]:
        """Every attempt of a model, marked as its own variant."""
        return [row.model_copy(update={"lever": model}) for row in self.by_model.get(model, {}).values()]

    def draw(self, candidate: Model) -> Draw:
        """The paired table of base and candidate on the first n tasks."""

        def table(count: int) -> PairedTable:
            return paired_table(self.attempts(self.base, count), self.attempts(candidate, count))

        return table


def guard_suites(
    base: Model, tasks: Sequence[Task], known: Sequence[Attempt], protocol: Protocol, seed: int, bound: int, world: bool
) -> dict[str, Suite]:
    """The guards by name. With the embedded world (`world`) they can draw tasks beyond those given, up to `bound`.

    Where one's own data has no task of a kind, the guard is that of the embedded world: what nobody looks at is lost.
    """

    def agent(model: Model, chosen: Sequence[Task]) -> list[Attempt]:
        return as_agent(model, chosen, protocol)

    kinds: dict[str, tuple[Kind, Ask]] = {
        CHAT: ("main", in_chat),
        "not_calling": ("not_calling", agent),
        "multi_turn": ("multi_turn", agent),
    }
    suites = {}
    for name, (kind, ask) in kinds.items():
        own = [task for task in tasks if task.part == "test" and task.kind == kind]
        mode = "chat" if name == CHAT else "agent"
        ids = {task.id for task in own}
        before = [row for row in known if row.mode == mode and row.task_id in ids]
        lent = make_tasks(seed, "test", kind, min(LENT, bound)) if not own and kind != "main" else own
        more = drawer(lent, kind, seed, bound if world or not own else len(own))
        suites[name] = Suite(name, ask, more, base, before, len(lent) if not own else None)
    main = [task for task in tasks if task.part == "test" and task.kind == "main"]
    more = drawer(main, "main", seed, bound if world else len(main))
    start = min(FORMAT_TASKS, len(main))
    suites[PROMPT_FORMATS] = Suite(PROMPT_FORMATS, agent, lambda count: in_other_formats(more(count)), base, (), start)
    return suites


def drawer(own: Sequence[Task], kind: Kind, seed: int, bound: int) -> More:
    """The first n tasks of a suite: those there are, then fresh ones of the same kind."""

    def more(count: int) -> list[Task]:
        if count <= len(own) or bound <= len(own):
            return list(own[:count])
        return make_tasks(seed, "test", kind, min(count, bound))

    return more


def judge_guards(candidate: Model, suites: dict[str, Suite], bound: int, margin: float) -> list[Verdict]:
    """One verdict for each guard that has tasks."""
    found = []
    for name, suite in suites.items():
        if suite.start:
            draw = suite.draw(candidate)
            found.append(guard(candidate.name, name, draw, suite.start, max(bound, suite.start), margin))
    return found


def judge_all(
    trained: Mapping[str, Model],
    suites: dict[str, Suite],
    before: Sequence[Attempt],
    after: Sequence[Attempt],
    held_out: Sequence[Task],
    bound: int,
    margin: float,
) -> dict[str, list[Verdict]]:
    """For each training the verdict on the target, then one for each guard; `after` holds its held-out attempts."""
    ids = {task.id for task in held_out}
    base = [row for row in before if row.mode == "agent" and row.task_id in ids]
    found = {}
    for name, model in trained.items():
        own = [row for row in after if row.lever == name]
        suites[CHAT].know(name, [row for row in own if row.mode == "chat"])
        table = paired_table(base, [row for row in own if row.mode == "agent"])
        found[name] = [target(name, table, margin), *judge_guards(model, suites, bound, margin)]
    return found


def guard_attempts(suites: Mapping[str, Suite], trained: Iterable[str]) -> list[Attempt]:
    """Every attempt that a training made at a guard's own tasks; those in chat were made on the held-out tasks."""
    return [row for name in trained for suite in suites.values() if suite.name != CHAT for row in suite.of(name)]


def against_champion(
    champion: ModelVersion | None, digest: str, candidate: Sequence[Attempt], tasks: Sequence[Task], state: Path
) -> AgainstChampion | None:
    """What people get beside the candidate, on the target and on every guard whose tasks are among `tasks`.

    A version that the gate stopped is no measure for a new one. `digest` is the candidate's merged weights, and
    `candidate` its attempts. None where people get the base; where the version's weights are gone the result says so.
    """
    if champion is None:
        return None
    if champion.digest == digest:
        return AgainstChampion(version=champion.version, same=True)
    try:
        model = EmbeddedModel(folder_of(champion, state), name=f"embedded@{champion.version}")
    except ArtifactError as error:
        log.warning("not compared with %s: %s", champion.version, error)
        return AgainstChampion(version=champion.version, missing=str(error))
    protocol: Protocol = next((row.protocol for row in candidate if row.protocol), "json")
    tables = {}
    for name, mode, chosen in _measured(candidate, tasks):
        own = [row for row in candidate if row.mode == mode]
        theirs = in_chat(model, chosen) if mode == "chat" else as_agent(model, chosen, protocol)
        tables[name] = paired_table(theirs, own)
    return AgainstChampion(version=champion.version, tables={name: one for name, one in tables.items() if one.n})


def _measured(candidate: Sequence[Attempt], tasks: Sequence[Task]) -> Iterator[tuple[str, Mode, list[Task]]]:
    """Target and guards with the test tasks that the candidate was put to: (suite, mode, tasks)."""
    asked = {(row.mode, row.task_id) for row in candidate}
    test = [task for task in tasks if task.part == "test"]
    main = [task for task in test if task.kind == "main"]
    suites: dict[str, tuple[Mode, list[Task]]] = {"target": ("agent", main), CHAT: ("chat", main)}
    for kind in ("not_calling", "multi_turn"):
        suites[kind] = ("agent", [task for task in test if task.kind == kind])
    suites[PROMPT_FORMATS] = ("agent", in_other_formats(main))
    for name, (mode, of) in suites.items():
        if chosen := [task for task in of if (mode, task.id) in asked]:
            yield name, mode, chosen


def scored_again(merged: Path, attempts: Sequence[Attempt], tasks: Iterable[Task]) -> PairedTable:
    """The adapter's attempts as an agent (first) and those of its merged, saved and reloaded weights (second).

    ArtifactError where the two rates lie more than `SAME_SCORE` apart: such weights are not what was measured; also
    where nothing was attempted.
    """
    if not attempts:
        raise ArtifactError("no held-out task was put to the adapter: there is nothing to hold the merged weights to")
    asked = {row.task_id for row in attempts}
    model = EmbeddedModel(merged, name="merged")
    again = as_agent(model, [task for task in tasks if task.id in asked], attempts[0].protocol or "json")
    table = paired_table(attempts, again)
    if abs(table.difference) > SAME_SCORE:
        raise ArtifactError(
            f"the merged model in {merged} scores {table.in_points} beside the adapter it was made of, on {table.n}"
            " tasks: it is not what was measured; merge it again, and train again if that does not help"
        )
    return table


class Tried:
    """Everything that was tried on held-out tasks, those that guards drew among them."""

    def __init__(
        self,
        base: str,
        before: Sequence[Attempt],
        after: Sequence[Attempt],
        suites: Mapping[str, Suite],
        tasks: Iterable[Task],
    ) -> None:
        known = {task.id: task for task in tasks}
        known |= {id_: task for suite in suites.values() if suite.name != CHAT for id_, task in suite.tasks.items()}
        self.tasks = [task for task in known.values() if task.part == "test"]
        rows = [*guard_attempts(suites, [base]), *before]
        asked = {(row.mode, row.task_id) for row in after}
        # What no variant was put to would make the base another sum, and not a worse or better one.
        self.base = list({(row.mode, row.task_id): row for row in rows if (row.mode, row.task_id) in asked}.values())
        self.after = after

    def of(self, variant: str) -> list[Attempt]:
        """Every attempt of a training or lever."""
        return [row for row in self.after if row.lever == variant]

    def scores(self) -> list[Score]:
        """The scores of the base and of every variant: by suite, and the figures of an assistant over all tasks.

        The voice also stands by category: a persona each, for the conversations that were made up to hear it.
        """
        of = {"base": self.base} | {name: self.of(name) for name in dict.fromkeys(row.lever for row in self.after)}
        alike = like_for_like(of, self.tasks)
        found = [score for name, rows in alike.items() for score in scores_of(name, rows, self.tasks)]
        figures = (score for name, rows in of.items() for score in assistant_scores(name, rows, self.tasks))
        return [*found, *(score for score in figures if score.suite == SUITE or score.metric == VOICE)]

    def as_assistant(self, variant: str, margin: float) -> list[Comparison]:
        """A variant (new) against the base (current) by the four figures of an assistant, on the same tasks."""
        return compared(self.base, self.of(variant), self.tasks, margin)


def like_for_like(of: Mapping[str, Sequence[Attempt]], tasks: Iterable[Task]) -> dict[str, list[Attempt]]:
    """By variant the attempts at those tasks of a suite that each variant with attempts at the suite was put to.

    A guard draws more tasks for one training than for another; their rates stand side by side.
    """
    suite = {task.id: suites_of(task)[0] for task in tasks if task.check.evidence != "none"}
    put: dict[tuple[Mode, str], dict[str, set[str]]] = {}
    for name, rows in of.items():
        for row in rows:
            if row.task_id in suite:
                put.setdefault((row.mode, suite[row.task_id]), {}).setdefault(name, set()).add(row.task_id)
    shared = {(mode, task) for (mode, _), by in put.items() for task in set.intersection(*by.values())}
    return {name: [row for row in rows if (row.mode, row.task_id) in shared] for name, rows in of.items()}


def suites_of(task: Task) -> list[str]:
    """The suites whose rates a task counts in: its kind or form of prompt, and what is new in it."""
    form = format_of(task)
    if form:
        return [PROMPT_FORMATS, f"{PROMPT_FORMATS}/{form}"]
    return [task.kind, f"main/{task.novelty}"] if task.kind == "main" and task.novelty else [task.kind]


def scores_of(variant: str, attempts: Sequence[Attempt], tasks: Sequence[Task]) -> list[Score]:
    """Success and malformed rates of one variant: over the main tasks, by novelty, and for each guard and form.

    Tasks without evidence of what is right have no such rate.
    """
    kinds = {task.id: task for task in tasks if task.check.evidence != "none"}
    found = []
    for mode in ("chat", "agent"):
        rows = [row for row in attempts if row.mode == mode and row.task_id in kinds]
        sets: dict[str, list[Attempt]] = {}
        for row in rows:
            for name in suites_of(kinds[row.task_id]):
                sets.setdefault(name, []).append(row)
        for name, members in sets.items():
            if members:
                found += [score(members, variant, name), score(members, variant, name, "malformed")]
    return found
