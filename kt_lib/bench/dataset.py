"""How fast a dataset is built: conversations made, cleaned of copies and of what is near the evaluation, written."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

ROWS = 10_000


def measure(rows: int = ROWS) -> dict[str, float]:
    """Seconds of building a mix of so many rows from what kt makes itself (corrections, conversations), by stage.

    `held_against` is the number of evaluation tasks; `check_s` is `kt dataset validate` on the file that was written.
    """
    from kt_lib.datafiles.checks import validate
    from kt_lib.datafiles.layouts import read_dataset
    from kt_lib.datafiles.lengths import estimate
    from kt_lib.dataset_building import build
    from kt_lib.dataset_sources import Workplace
    from kt_lib.mixes import Mix
    from kt_lib.world.suite import make_tasks

    tasks = [*make_tasks(1, "test", "main", 660), *make_tasks(1, "test", "multi_turn", 320)]
    sources = {"corrections": 80, "conversational": rows - 80}
    mix = Mix.model_validate({"name": "bench", "rows": rows, "sources": sources})
    reached: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        began = time.perf_counter()
        built = build(
            mix,
            Workplace(tasks=tasks),
            out,
            protocol="json",
            ruler=estimate(),
            threshold=0.95,
            on_source=lambda name: reached.update({name: time.perf_counter() - began}),
        )
        ended = time.perf_counter() - began
        start = time.perf_counter()
        found = validate(read_dataset(out / "rows.jsonl"), ruler=estimate(), max_length=None)
        checked = time.perf_counter() - start
    return {
        "rows": float(built.rows),
        "pairs": float(built.pairs),
        "held_against": float(len(tasks)),
        "make_s": reached["cleaning"],
        "clean_s": reached["writing"] - reached["cleaning"],
        "write_s": ended - reached["writing"],
        "all_s": ended,
        "rows_per_s": built.rows / ended,
        "check_s": checked,
        "errors_found": float(found.errors),
    }
