"""What a training leaves behind: checkpoints while it goes on, and at its end a note by which it is found again."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from kt_lib.artifacts import write_whole
from kt_lib.errors import NoLocalWeights
from kt_lib.recipes import DpoRecipe, SftRecipe
from kt_lib.records import Adapter, PreferencePair, Record, SftRow, UnpairedRow, content_id
from kt_lib.training.engines import engine
from kt_lib.weights import weights_digest

log = logging.getLogger(__name__)

IN_ALL = 10
"""Checkpoints written over a training: at most a tenth of it is done twice after a crash."""
_STATE = "trainer_state.json"
_NOTE = "training.json"
_FINISHED = ".finished"


class Finished(Record):
    """`training.json` in an adapter's folder: which training made it, and what came of it."""

    key: str
    """Key of the training."""
    adapter: Adapter | None = None
    """What it made; None where it was ended while it wrote that."""


def training_key(
    name: str,
    base: Path,
    adapter_in: Path | None,
    recipe: SftRecipe | DpoRecipe,
    rows: Sequence[SftRow | PreferencePair | UnpairedRow],
) -> str:
    """The same for two trainings that come to the same result; NoLocalWeights without a base."""
    way = engine(recipe)
    start = [weights_digest(base), weights_digest(adapter_in) if adapter_in else ""]
    # Another engine, or another machine, cannot go on from what this one saves of its optimiser.
    where = [way.name, way.device, way.compute, os.environ.get("WORLD_SIZE", "1")]
    said = recipe.model_dump(mode="json"), [row.model_dump(mode="json") for row in rows]
    return content_id(name, start, where, *said).rpartition(":")[2]


def finished(folder: Path, key: str) -> Adapter | None:
    """The adapter in this folder where the training of this key made it, whole."""
    try:
        note = Finished.model_validate_json((folder / _NOTE).read_bytes())
        digest = weights_digest(folder)
    except (OSError, ValueError, NoLocalWeights):
        return None
    if note.key != key or note.adapter is None or note.adapter.digest != digest:
        return None
    return note.adapter.model_copy(update={"folder": folder.name})


def maker_of(folder: Path) -> str:
    """Key of the training that wrote the adapter in this folder, whole or not; empty where that is not known."""
    try:
        return Finished.model_validate_json((folder / _NOTE).read_bytes()).key
    except (OSError, ValueError):
        return ""


def forget_finished(folder: Path) -> None:
    """Where finished adapters lie is forgotten: all that was to be trained after them has ended well."""
    for place in folder.glob(f"*{_FINISHED}"):
        place.unlink(missing_ok=True)


class Checkpoints:
    """The engine's output folder for the training of one key, removed at its end.

    Without a folder to keep them in nothing is saved, and the output folder is a temporary one.
    """

    def __init__(self, folder: Path | None, key: str) -> None:
        self._kept, self._key = folder, key
        self._place = folder / key if folder else None

    def __enter__(self) -> Path:
        if self._place is None:
            self._place = Path(tempfile.mkdtemp(prefix="kt-training-"))
        self._place.mkdir(parents=True, exist_ok=True)
        return self._place

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._place and (kind is None or not self._kept):
            shutil.rmtree(self._place, ignore_errors=True)

    def begin(self, out: Path) -> None:
        """Notes in the adapter's folder what makes it, before its weights are there."""
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / _NOTE, Finished(key=self._key).model_dump_json(indent=1))

    def finish(self, out: Path, adapter: Adapter) -> None:
        """Notes in the adapter's folder that it is whole, and beside the checkpoints where it lies."""
        write_whole(out / _NOTE, Finished(key=self._key, adapter=adapter).model_dump_json(indent=1))
        if self._kept:
            write_whole(self._kept / f"{self._key}{_FINISHED}", str(out.resolve()))

    def finished(self, out: Path) -> Adapter | None:
        """The adapter in `out` where this training made it before; one that it made elsewhere is copied there."""
        noted = self._kept / f"{self._key}{_FINISHED}" if self._kept else None
        # Of several processes none waits for the copy of another: they find only what lies in its place.
        if noted and noted.is_file() and os.environ.get("WORLD_SIZE", "1") == "1" and not finished(out, self._key):
            earlier = Path(noted.read_text(encoding="utf-8"))
            if finished(earlier, self._key):
                shutil.copytree(earlier, out, dirs_exist_ok=True)
        found = finished(out, self._key)
        if found and os.environ.get("RANK", "0") == "0":
            log.warning("%s: this very training has ended well before, and its adapter is taken", found.name)
        return found

    def options(self) -> dict[str, Any]:
        """What the engine is told of saving; it knows how many steps there are once rows are packed."""
        if not self._kept:
            return {"save_strategy": "no"}
        return {"save_strategy": "steps", "save_steps": 1 / IN_ALL, "save_total_limit": 2}

    def newest(self) -> Path | None:
        """The newest checkpoint that is whole; the state is the last file that the engine writes of one."""
        written = self._place.glob("checkpoint-*") if self._place else ()
        found = sorted(written, key=lambda path: int(path.name.rpartition("-")[2]))
        for path in reversed(found):
            try:
                step = json.loads((path / _STATE).read_bytes())["global_step"]
            except (OSError, ValueError, KeyError):
                log.warning("%s is not whole and is left out", path.name)
                shutil.rmtree(path, ignore_errors=True)
                continue
            log.info("going on from step %d", step)
            return path
        return None
