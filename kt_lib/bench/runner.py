"""What the runner costs a step beside bare papermill on the same notebooks."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from kt_lib.params import ReportParams

STEPS = ("01_one", "02_two", "03_three")


class Silent:
    """Hears of a run and says nothing."""

    def step_started(self, name: str, number: int, of: int, why: str) -> None:
        """Nothing."""

    def cell_started(self, number: int, of: int) -> None:
        """Nothing."""

    def step_ended(self, name: str, number: int, of: int, status: str, note: str) -> None:
        """Nothing."""


def measure() -> dict[str, float]:
    """Seconds per step of `kt run` (plan, kernel, artifacts, page, ledger) and of bare papermill, and their ratio.

    `nothing_to_do_s` is a second run with nothing changed, planning included.
    """
    import papermill

    from kt_lib.running import run
    from kt_lib.workspace import Request, Workspace

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_workspace(root)
        workspace = Workspace(root, models=dict.fromkeys(STEPS, ReportParams), state=root / "outputs" / "state")
        papermill.execute_notebook(root / "notebooks" / f"{STEPS[0]}.ipynb", root / "warm.ipynb", progress_bar=False)
        began = time.perf_counter()
        for name in STEPS:
            papermill.execute_notebook(root / "notebooks" / f"{name}.ipynb", root / f"{name}.ipynb", progress_bar=False)
        bare = (time.perf_counter() - began) / len(STEPS)
        began = time.perf_counter()
        run(workspace, Request(), Silent())
        ours = (time.perf_counter() - began) / len(STEPS)
        began = time.perf_counter()
        run(workspace, Request(), Silent())
        nothing = time.perf_counter() - began
    return {
        "kt_s_per_step": ours,
        "papermill_s_per_step": bare,
        "overhead_s_per_step": ours - bare,
        "ratio_to_papermill": ours / bare,
        "nothing_to_do_s": nothing,
    }


def write_workspace(root: Path) -> None:
    """A workspace of three notebooks that do next to nothing."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    for name in ("notebooks", "params", "outputs"):
        (root / name).mkdir()
    (root / "runbook.yaml").write_text("name: bench\nsteps:\n" + "".join(f"  - notebook: {name}\n" for name in STEPS))
    for name in STEPS:
        (root / "params" / f"{name}.yaml").write_text("title: bench\n")
        parameters = new_code_cell('title = "bench"', metadata={"tags": ["parameters"]})
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        cells = [new_markdown_cell("# What does a step cost?"), parameters, new_code_cell("sum(range(1000))")]
        nbformat.write(new_notebook(cells=cells, metadata=kernel), root / "notebooks" / f"{name}.ipynb")
