"""What is it that helps? A source or a kind of rows learned alone, by the same recipe, to be put to the same tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from kt_lib.errors import KtError
from kt_lib.recipes import SftRecipe
from kt_lib.records import Adapter, SftRow
from kt_lib.training.steps import OnStep
from kt_lib.training.trainers import train_sft

FOLDER = "ablations"


def train_alone(
    base: Path,
    rows: Sequence[SftRow],
    names: Sequence[str],
    folder: Path,
    recipe: SftRecipe,
    shown: Callable[[str], OnStep],
    checkpoints: Path | None = None,
) -> list[Adapter]:
    """An adapter for each name, trained on the rows of the source or kind of that name alone.

    Each is called and kept by its name: `sft:corrections` in `folder/corrections`. KtError for a name no row has.
    """
    found = []
    for name in names:
        own = [row for row in rows if name in (row.source, row.kind)]
        if not own:
            known = sorted({row.source for row in rows} | {row.kind for row in rows})
            raise KtError(f"no row is of the source or kind {name!r}: `ablations` may name {', '.join(known)}")
        adapter = train_sft(base, own, folder / name, recipe, shown(f"SFT on {name} alone"), checkpoints)
        found.append(adapter.model_copy(update={"name": f"sft:{name}", "folder": f"{FOLDER}/{name}"}))
    return found


def placed(adapters: Iterable[Adapter], *folders: Path) -> dict[str, Path]:
    """Where each adapter lies, by its name; `folders` are those of the artifacts, whichever runs they are of."""
    artifacts = {folder.name: folder for folder in folders}
    found = {}
    for adapter in adapters:
        artifact, *below = Path(adapter.folder).parts
        found[adapter.name] = artifacts[artifact].joinpath(*below)
    return found
