"""Checkpoints of a training: where they lie, which one is whole, and that they are gone when it has ended well."""

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

from kt_lib.recipes import DpoRecipe, SftRecipe
from kt_lib.records import PreferencePair, SftRow, UnpairedRow, content_id

log = logging.getLogger(__name__)

IN_ALL = 10
"""Checkpoints written over a training: at most a tenth of it is done twice after a crash."""
_STATE = "trainer_state.json"


class Checkpoints:
    """The engine's output folder for one training: found again by base, recipe and rows, and removed at its end.

    Without a folder to keep them in nothing is saved, and the output folder is a temporary one.
    """

    def __init__(
        self,
        folder: Path | None,
        name: str,
        start: str,
        recipe: SftRecipe | DpoRecipe,
        rows: Sequence[SftRow | PreferencePair | UnpairedRow],
    ) -> None:
        self._kept = folder is not None
        if folder is None:
            self._place = Path(tempfile.mkdtemp(prefix="kt-training-"))
        else:
            processes = os.environ.get("WORLD_SIZE", "1")
            key = content_id(
                name, start, processes, recipe.model_dump(mode="json"), [row.model_dump(mode="json") for row in rows]
            )
            self._place = folder / key.rpartition(":")[2]

    def __enter__(self) -> Path:
        self._place.mkdir(parents=True, exist_ok=True)
        return self._place

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None or not self._kept:
            shutil.rmtree(self._place, ignore_errors=True)

    def options(self) -> dict[str, Any]:
        """What the engine is told of saving; it knows how many steps there are once rows are packed."""
        if not self._kept:
            return {"save_strategy": "no"}
        return {"save_strategy": "steps", "save_steps": 1 / IN_ALL, "save_total_limit": 2}

    def newest(self) -> Path | None:
        """The newest checkpoint that is whole; the state is the last file that the engine writes of one."""
        found = sorted(self._place.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
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
