"""A workspace of three notebooks that run in a moment, made in a temporary folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from tiny_params import MODELS

from kt_lib.history import StepRecord, step_of
from kt_lib.running import Result, run
from kt_lib.workspace import Request, Workspace

RUNBOOK = """\
name: tiny
with:
  model: toy
  allow_remote: false
steps:
  - notebook: 01_first
  - notebook: 02_second
  - notebook: 03_third
"""

VALUES = {
    "01_first": "count: 3\nsource: []\npause: 0\n",
    "02_second": "factor: 2\n",
    "03_third": "title: Tiny\n",
}

FIRST = [
    "import time\nfrom kt_lib.records import Usage\n"
    "rows = (time.sleep(step.params.pause) or Usage(prompt_tokens=i) for i in range(step.params.count))\n"
    "step.write('numbers', rows)",
    "folder = step.folder_for('weights')\n"
    "(folder / 'a.bin').write_bytes(bytes(range(256)) * 40)\n"
    "time.sleep(step.params.pause)\n"
    "(folder / 'b.txt').write_text('b')\n"
    "step.keep('weights')",
    "step.metric('count', step.params.count)",
]
SECOND = [
    "from kt_lib.records import Usage\n"
    "numbers = step.read_all('numbers', Usage)\n"
    "times = int(step.params.factor)\n"
    "step.write('multiplied', [Usage(prompt_tokens=n.prompt_tokens * times) for n in numbers])",
    "assert (step.path('weights') / 'b.txt').read_text() == 'b'\n"
    "step.metric('total', sum(n.prompt_tokens for n in numbers) * times)",
]
THIRD = [
    "import json\n"
    "total = step.metrics_of('02_second')['total']\n"
    "step.write_text('report.json', json.dumps({'total': total, 'steps': [one.notebook for one in step.steps()]}))\n"
    "step.write_text('report.html', f'<h1>{step.params.title}: {total}</h1>')",
]


def notebook(cells: Sequence[str], parameters: str, params_class: str = "", module: str = "tiny_params") -> str:
    """A notebook's JSON: a title, the parameters cell, the set-up cell and `cells`."""
    setup = (
        f"from {module} import {params_class}\nfrom kt_lib.runs import open_step\n"
        f"step = open_step({params_class}, globals())"
    )
    sources = [*([setup] if params_class else []), *cells]
    code = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "execution_count": None, "outputs": [], "source": source}
        for n, source in enumerate(sources)
    ]
    tagged = {
        "cell_type": "code",
        "id": "p",
        "metadata": {"tags": ["parameters"]},
        "execution_count": None,
        "outputs": [],
        "source": parameters,
    }
    title = {"cell_type": "markdown", "id": "t", "metadata": {}, "source": "# Does it run?"}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": [title, tagged, *code]})


def write_first(root: Path, cells: Sequence[str] = FIRST) -> None:
    """Write 01_first."""
    made = notebook(cells, "count = 1\nsource = []\npause = 0.0", "FirstParams")
    (root / "notebooks" / "01_first.ipynb").write_text(made)


def write_second(root: Path, cells: Sequence[str] = SECOND) -> None:
    """Write 02_second."""
    made = notebook(cells, "factor = 1.0\nmodel = 'toy'\nallow_remote = False", "SecondParams")
    (root / "notebooks" / "02_second.ipynb").write_text(made)


def write_third(root: Path, cells: Sequence[str] = THIRD) -> None:
    """Write 03_third."""
    (root / "notebooks" / "03_third.ipynb").write_text(notebook(cells, "title = 'By hand'", "ThirdParams"))


def make(root: Path, runbook: str = RUNBOOK) -> Workspace:
    """The tiny workspace at `root`."""
    for folder in ("notebooks", "params", "outputs"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).with_name("tiny_params.py"), root / "notebooks")
    (root / "runbook.yaml").write_text(runbook)
    for name, text in VALUES.items():
        (root / "params" / f"{name}.yaml").write_text(text)
    write_first(root)
    write_second(root)
    write_third(root)
    return workspace(root)


def workspace(root: Path, digest: str = "d1") -> Workspace:
    """The workspace at `root` with a toy model of this digest."""
    return Workspace(root, models=MODELS, model_digest=lambda _: digest, state=root / "outputs" / "state")


class Told:
    """Remembers what it was told of a run."""

    def __init__(self) -> None:
        self.ended: dict[str, str] = {}
        self.cells: list[tuple[int, int]] = []

    def step_started(self, name: str, number: int, of: int, why: str) -> None:
        self.ended[name] = why

    def cell_started(self, number: int, of: int) -> None:
        self.cells.append((number, of))

    def step_ended(self, name: str, number: int, of: int, status: str, note: str) -> None:
        self.ended[name] = status


def plain_page(notebook_path: Path, page: Path) -> None:
    """A renderer for tests: the notebook's JSON is the page."""
    page.write_text(notebook_path.read_text())


def go(root: Path, *, digest: str = "d1", told: Told | None = None, **request: object) -> Result:
    """`kt run` in the workspace at `root`."""
    asked = Request.model_validate(request)
    return run(workspace(root, digest), asked, told or Told(), render=plain_page)


def statuses(result: Result) -> dict[str, str]:
    """What became of each step."""
    return {place.notebook: place.status for place in result.run.steps}


def steps(root: Path, result: Result) -> dict[str, StepRecord]:
    """The record of each step that has one."""
    found = {place.notebook: step_of(root / "outputs" / "runs", place) for place in result.run.steps}
    return {name: record for name, record in found.items() if record is not None}
