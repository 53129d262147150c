"""What a notebook says before it runs: its parameters, what it reads and writes, and what it imports."""

from __future__ import annotations

import ast
import json
from pathlib import Path

from kt_lib.errors import RunbookError
from kt_lib.library import imported_modules
from kt_lib.records import Record, content_id

_READS = {"read", "read_all", "read_text", "path"}
_WRITES = {"write", "write_text", "keep"}
_SEES_ALL = {"steps", "pages"}
_LABELS = {"labels", "tied_labels", "agreeing_annotators", "interactions"}


class Notebook(Record):
    """The facts about a notebook that a plan is made from."""

    name: str
    """File name without its ending."""
    path: str
    """Absolute path."""
    cells: str
    """Digest of the code cells without the parameters cell: words between them may change freely."""
    parameters: tuple[str, ...]
    """Names assigned in the parameters cell."""
    reads: frozenset[str]
    """Artifacts it cannot do without."""
    optional: frozenset[str]
    """Artifacts it asks `step.has` about."""
    writes: frozenset[str]
    """Artifacts it writes."""
    asks: frozenset[str]
    """Steps whose metrics it reads."""
    sees_all: bool
    """Whether it looks at every earlier step."""
    labels: bool
    """Whether it looks at people's labels."""
    imports: frozenset[str]
    """`kt_lib` modules it imports."""


def read_notebook(path: Path) -> Notebook:
    """The facts of a notebook. Raises `RunbookError` when it is missing, broken or names artifacts by code."""
    cells = _cells(path)
    tagged = [cell for cell in cells if "parameters" in cell.tags]
    if len(tagged) != 1:
        raise RunbookError(f"{path.name} has {len(tagged)} cells tagged `parameters`, one is needed")
    others = [cell for cell in cells if cell is not tagged[0] and cell.kind == "code"]
    uses = [use for cell in others for use in _uses(cell, _step_name(others), path.name)]
    named = {verb: frozenset(name for one, name in uses if one == verb) for verb, _ in uses}

    def gather(verbs: set[str]) -> frozenset[str]:
        return frozenset().union(*(named.get(verb, frozenset()) for verb in verbs))

    optional = gather({"has"})
    return Notebook(
        name=path.stem,
        path=str(path.absolute()),
        cells=content_id(*(cell.source.strip() for cell in others)),
        parameters=tuple(_assigned(tagged[0].tree)),
        reads=gather(_READS) - optional,
        optional=optional,
        writes=gather(_WRITES),
        asks=gather({"metrics_of"}),
        sees_all=any(verb in _SEES_ALL for verb, _ in uses),
        labels=any(verb in _LABELS for verb, _ in uses),
        imports=frozenset().union(*(imported_modules(cell.source) for cell in others)),
    )


class _Cell:
    def __init__(self, number: int, kind: str, source: str, tags: list[str], where: str) -> None:
        self.number, self.kind, self.source, self.tags = number, kind, source, tags
        try:
            self.tree = ast.parse(source if kind == "code" else "")
        except SyntaxError as error:
            raise RunbookError(f"{where} cell {number} is no Python: {error.msg} (line {error.lineno})") from None


def _cells(path: Path) -> list[_Cell]:
    try:
        raw = json.loads(path.read_bytes())["cells"]
        return [
            _Cell(number, cell["cell_type"], "".join(cell["source"]), cell["metadata"].get("tags", []), path.name)
            for number, cell in enumerate(raw, start=1)
        ]
    except FileNotFoundError:
        raise RunbookError(f"there is no notebook {path}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, RunbookError):
            raise
        raise RunbookError(f"{path} is no notebook: {error}") from None


def _step_name(cells: list[_Cell]) -> str:
    for cell in cells:
        for node in ast.walk(cell.tree):
            if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
                continue
            called, target = node.value.func, node.targets[0]
            if isinstance(called, ast.Name) and called.id == "open_step" and isinstance(target, ast.Name):
                return target.id
    return "step"


def _uses(cell: _Cell, step: str, where: str) -> list[tuple[str, str]]:
    """(verb, artifact or step name) of every call on the step in a cell."""
    found: list[tuple[str, str]] = []
    for node in ast.walk(cell.tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner, verb = node.func.value, node.func.attr
        if not (isinstance(owner, ast.Name) and owner.id == step):
            continue
        if verb in _SEES_ALL | _LABELS:
            found.append((verb, ""))
        elif verb in _READS | _WRITES | {"has", "metrics_of"}:
            first = node.args[0] if node.args else None
            if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
                raise RunbookError(
                    f"{where} cell {cell.number}: give `{step}.{verb}` its name as text, the plan reads it"
                )
            found.append((verb, first.value))
    return found


def _assigned(tree: ast.Module) -> list[str]:
    names: list[str] = []
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        names += [target.id for target in targets if isinstance(target, ast.Name)]
    return names
