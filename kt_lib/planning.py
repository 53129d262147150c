"""What would run and why: each step's fingerprint against the finished steps of every earlier run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from kt_lib.artifacts import Artifact, folder_digest
from kt_lib.history import Fingerprint, Input, StepRecord, inputs_from, steps_in
from kt_lib.library import DigestMemory, library_digests, path_digests
from kt_lib.params import InputPath, Permission, marked
from kt_lib.records import Record, content_id
from kt_lib.runbook import PreparedStep
from kt_lib.runs import with_absolute_paths
from kt_lib.standing import Standing

ModelDigest = Callable[[str], str | None]
Labels = Callable[[], Standing]


class Decision(Record):
    """What to do with a step, and why."""

    notebook: str
    """Notebook."""
    action: Literal["run", "reuse", "skip", "depends"]
    """depends: known once the steps before it have run."""
    why: tuple[str, ...]
    """Reasons, in words."""
    fingerprint: Fingerprint | None = None
    """The step's fingerprint, for run and reuse."""
    folder: str | None = None
    """The finished step's folder, for reuse."""
    labels: Standing | None = None
    """The labels that the fingerprint counted, for a step that asks for them."""


class Progressed:
    """What the steps decided so far offer to the next ones."""

    def __init__(self) -> None:
        self.records: dict[str, StepRecord] = {}
        self.inputs: dict[str, Input] = {}
        self.open: set[str] = set()

    def add(self, record: StepRecord, folder: Path | None) -> None:
        """A step that is finished, reused or skipped."""
        self.records[record.notebook] = record
        if folder is not None:
            self.inputs |= inputs_from(folder, record)


class Finished:
    """Every finished step of every run, by notebook and key; made anew for each plan."""

    def __init__(self, runs: Path, memory: DigestMemory) -> None:
        self._memory = memory
        self._newest: dict[str, StepRecord] = {}
        self._by_key: dict[tuple[str, str], list[tuple[Path, StepRecord]]] = {}
        for folder, record in steps_in(runs):
            if record.fingerprint is not None:
                self._newest.setdefault(record.notebook, record)
                self._by_key.setdefault((record.notebook, record.key), []).append((folder, record))

    def find(self, notebook: str, key: str) -> tuple[tuple[Path, StepRecord] | None, str | None]:
        """The newest whole step with this key, or what is wrong with the one there is."""
        fault: str | None = None
        for folder, record in self._by_key.get((notebook, key), []):
            found = self._damage(folder, record)
            if found is None:
                return (folder, record), None
            fault = fault or found
        return None, fault

    def newest(self, notebook: str) -> StepRecord | None:
        """The newest finished step of a notebook."""
        return self._newest.get(notebook)

    def _damage(self, folder: Path, record: StepRecord) -> str | None:
        for name, artifact in record.writes.items():
            if not (folder / artifact.file).exists():
                return f"artifact {name} is missing"
            if self._digest(folder / artifact.file, artifact) != artifact.sha256:
                return f"artifact {name} is not what was written"
        return None

    def _digest(self, path: Path, artifact: Artifact) -> str:
        return folder_digest(path, self._memory.of) if artifact.kind == "folder" else self._memory.of(path)


class Planner:
    """Decides step by step; the same decisions serve `kt plan` and `kt run`."""

    def __init__(
        self,
        root: Path,
        memory: DigestMemory,
        finished: Finished,
        model_digest: ModelDigest,
        labels: Labels,
        *,
        force: bool = False,
        from_step: str | None = None,
    ) -> None:
        self._root, self._memory, self._finished, self._model_digest = root, memory, finished, model_digest
        self._force, self._from = force, from_step
        self._models: dict[str, str | None] = {}
        self._read_labels = labels
        self._labels: Standing | None = None

    def labels(self) -> Standing:
        """The labels that stand, read once: every step of a run sees the same ones."""
        if self._labels is None:
            self._labels = self._read_labels()
        return self._labels

    def plan(self, steps: Sequence[PreparedStep]) -> list[Decision]:
        """A decision for every step without running any."""
        so_far = Progressed()
        decisions: list[Decision] = []
        for step in steps:
            decision = self.decide(step, so_far)
            decisions.append(decision)
            settle(so_far, decision, self._finished)
        return decisions

    def decide(self, step: PreparedStep, so_far: Progressed) -> Decision:
        """What to do with `step`, given what the steps before it are or offer."""
        forced = self._forced(step)
        if step.when and step.when.notebook not in so_far.open:
            holds, why = step.when.holds(so_far.records.get(step.when.notebook))
            if not holds:
                return Decision(notebook=step.name, action="skip", why=(why,))
        waits = self._waits(step, so_far)
        missing = [name for name in sorted(step.notebook.reads) if name not in so_far.inputs]
        if missing and not waits:
            return Decision(notebook=step.name, action="skip", why=(_no_input(missing[0], step, so_far),))
        fingerprint = self.fingerprint(step, so_far)
        if waits:
            own = forced or self._changes(step.name, fingerprint, inputs_known=False)
            after = f"runs if the results of {', '.join(waits)} differ"
            return Decision(notebook=step.name, action="run" if own else "depends", why=tuple(own or [after]))
        found, damage = self._finished.find(step.name, fingerprint.key)
        if found and not forced:
            return Decision(
                notebook=step.name, action="reuse", why=("unchanged",), fingerprint=fingerprint, folder=str(found[0])
            )
        reasons = forced or ([damage] if damage else self._changes(step.name, fingerprint, inputs_known=True))
        labels = self.labels() if step.notebook.labels else None
        return Decision(notebook=step.name, action="run", why=tuple(reasons), fingerprint=fingerprint, labels=labels)

    def fingerprint(self, step: PreparedStep, so_far: Progressed) -> Fingerprint:
        """All that the step's result depends on."""
        facts, params = step.notebook, step.params
        permissions = marked(type(params), Permission)
        kept = {name: value for name, value in params.model_dump(mode="json").items() if name not in permissions}
        model = str(kept["model"]) if "model" in kept else None
        return Fingerprint(
            cells=facts.cells,
            parameters=kept,
            inputs=_input_digests(step, so_far),
            files=self._files(step),
            library=library_digests(facts.imports, self._memory),
            model=self._digest_of(model, step.name) if model else None,
            labels=self.labels().digest if facts.labels else None,
        )

    def _forced(self, step: PreparedStep) -> list[str]:
        if self._from == step.name:
            self._force = True
        return (
            [f"asked for with --from {self._from}" if self._from else "asked for with --force"] if self._force else []
        )

    def _waits(self, step: PreparedStep, so_far: Progressed) -> list[str]:
        return sorted(step.before & so_far.open)

    def _files(self, step: PreparedStep) -> dict[str, str]:
        absolute = with_absolute_paths(step.params, self._root)
        found: dict[str, str] = {}
        for name in marked(type(absolute), InputPath):
            value = getattr(absolute, name)
            paths = [path for path in ([value] if isinstance(value, str) else value) if path]
            digests = path_digests(paths, self._memory, f"{step.name}: parameter {name!r}")
            found |= {_label(path, self._root): digest for path, digest in digests.items()}
        return found

    def _digest_of(self, model: str, notebook: str) -> str | None:
        if model not in self._models:
            self._models[model] = self._model_digest(model)
        last = self._finished.newest(notebook)
        if self._models[model] is None and last and last.fingerprint and last.parameters.get("model") == model:
            return last.fingerprint.model
        return self._models[model]

    def _changes(self, notebook: str, new: Fingerprint, *, inputs_known: bool) -> list[str]:
        last = self._finished.newest(notebook)
        if last is None or last.fingerprint is None:
            return ["never ran"]
        return changes(last.fingerprint, new, inputs_known=inputs_known)


def settle(so_far: Progressed, decision: Decision, finished: Finished) -> None:
    """Take a decision's consequence as far as it is known without running."""
    if decision.action in ("run", "depends"):
        so_far.open.add(decision.notebook)
    elif decision.action == "skip":
        so_far.add(skipped_record("", decision), None)
    elif decision.fingerprint is not None:
        found, _ = finished.find(decision.notebook, decision.fingerprint.key)
        if found:
            so_far.add(found[1], found[0])


def skipped_record(run: str, decision: Decision) -> StepRecord:
    """The record of a step that was not started."""
    reason = "; ".join(decision.why)
    return StepRecord(notebook=decision.notebook, run=run, status="skipped", reason=reason, key="", fingerprint=None)


def changes(old: Fingerprint, new: Fingerprint, *, inputs_known: bool = True) -> list[str]:
    """What differs between two fingerprints, in words."""
    why = ["cells changed"] if old.cells != new.cells else []
    for name in sorted(old.parameters.keys() | new.parameters.keys()):
        before, after = old.parameters.get(name), new.parameters.get(name)
        if before != after:
            why.append(f"parameter {name} changed from {_short(before)} to {_short(after)}")
    why += [f"file {name} changed" for name in _different(old.files, new.files)]
    if inputs_known:
        why += [f"input {name} changed" for name in _different(old.inputs, new.inputs)]
    why += ["labels changed"] if old.labels != new.labels else []
    library = _different(old.library, new.library)
    if library:
        rest = f" and {len(library) - 3} more" if len(library) > 3 else ""
        why.append(f"library changed: {', '.join(library[:3])}{rest}")
    if old.model != new.model:
        why.append("model digest changed")
    return why


def _input_digests(step: PreparedStep, so_far: Progressed) -> dict[str, str]:
    facts = step.notebook
    found = {
        name: so_far.inputs[name].artifact.sha256
        for name in sorted(facts.reads | facts.optional)
        if name in so_far.inputs
    }
    for name in sorted(facts.asks & so_far.records.keys()):
        found[f"metrics of {name}"] = content_id(so_far.records[name].metrics)
    if facts.sees_all:
        for name, record in so_far.records.items():
            writes = {one: artifact.sha256 for one, artifact in record.writes.items()}
            found[f"step {name}"] = content_id(record.key, record.reason, writes, record.metrics)
    return found


def _no_input(name: str, step: PreparedStep, so_far: Progressed) -> str:
    writer = so_far.records.get(step.writers[name])
    why = f"skipped: {writer.reason}" if writer and writer.status == "skipped" else "finished without it"
    return f"there is no {name!r}: {step.writers[name]} {why}"


def _different(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    return [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]


def _label(path: str, root: Path) -> str:
    return Path(path).relative_to(root).as_posix() if Path(path).is_relative_to(root) else path


def _short(value: JsonValue) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
