"""Digests of what a step's result depends on: the modules a notebook reaches, and files outside the workspace."""

from __future__ import annotations

import ast
import hashlib
import json
import logging
import time
from collections.abc import Iterable
from pathlib import Path

from kt_lib.artifacts import file_digest, files_below, write_whole
from kt_lib.errors import ParameterError

log = logging.getLogger(__name__)

PACKAGE = "kt_lib"
_RACY_SECONDS = 2.0


class DigestMemory:
    """Digests remembered by path, size and time of change, so that a plan reads only what changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = False
        try:
            self._known: dict[str, list[str | int]] = json.loads(path.read_bytes())
        except (FileNotFoundError, ValueError):
            self._known = {}

    def of(self, path: Path, kind: str = "bytes") -> str:
        """The digest of a file's bytes, or of a module's meaning and imports with `kind="module"`."""
        stat = path.stat()
        mark = f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ino}"
        entry = self._known.get(f"{kind}:{path}")
        if entry is not None and entry[0] == mark:
            return str(entry[1])
        digest = file_digest(path) if kind == "bytes" else _module_digest(path)
        # A file changed within the clock's grain could change again under the same mark.
        if time.time() - stat.st_mtime > _RACY_SECONDS:
            self._known[f"{kind}:{path}"] = [mark, digest]
            self._changed = True
        return digest

    def save(self) -> None:
        """Write what was learned."""
        if self._changed:
            write_whole(self._path, json.dumps(self._known))
            self._changed = False


def library_digests(imports: Iterable[str], memory: DigestMemory, package: Path | None = None) -> dict[str, str]:
    """Digest by module of everything below `kt_lib` that `imports` reach, data files beside them included.

    Comments and docstrings do not count. A module's data files are all in its package's folder; at the top of the
    package, where unlike things lie together, only those whose file or folder name its source names.
    """
    package = package or Path(__file__).parent
    found: dict[str, str] = {}
    waiting = sorted(set(imports))
    while waiting:
        name = waiting.pop()
        path = _file_of(name, package)
        if name in found or path is None:
            continue
        digest, *further = memory.of(path, "module").split(" ")
        found[name] = digest
        waiting += [one for one in further if one.startswith(PACKAGE)]
        if "." in name:
            waiting.append(name.rpartition(".")[0])
        for file in _data_files(path, package, further):
            found[file.relative_to(package.parent).as_posix()] = memory.of(file)
    return dict(sorted(found.items()))


def path_digests(paths: Iterable[str], memory: DigestMemory, where: str) -> dict[str, str]:
    """Digest by path of files and of every file in folders; `ParameterError` for a path that is not there."""
    found: dict[str, str] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise ParameterError(f"{where}: there is no file or folder {path}")
        for file in [path] if path.is_file() else files_below(path):
            found[str(file)] = memory.of(file)
    return found


def imported_modules(source: str) -> set[str]:
    """Dotted names of `kt_lib` modules (and of names in them, which may be modules) that `source` imports."""
    return _imports(ast.parse(source), PACKAGE)


def _module_digest(path: Path) -> str:
    """A module's digest, the names it imports and the texts that could name data files, in one string."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [one for one in body if not _is_bare_text(one)]
            node.body = kept  # type: ignore[attr-defined]
    digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    names = {part for text in texts if len(text) < 200 for part in text.split("/") if part and " " not in part}
    package = _package_of(path)
    return " ".join(
        [digest, *sorted(_imports(tree, package)), *sorted(f"={name}" for name in names if "\n" not in name)]
    )


def _is_bare_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _imports(tree: ast.AST, package: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return {name for name in found if name == PACKAGE or name.startswith(f"{PACKAGE}.")}


def _package_of(path: Path) -> str:
    parts = list(path.parent.parts)
    return ".".join(parts[len(parts) - 1 - parts[::-1].index(PACKAGE) :]) if PACKAGE in parts else PACKAGE


def _file_of(name: str, package: Path) -> Path | None:
    below = package.joinpath(*name.split(".")[1:])
    for path in (below / "__init__.py", below.with_suffix(".py")):
        if path.is_file() and below != package.with_suffix(".py"):
            return path
    return None


def _data_files(module: Path, package: Path, texts: list[str]) -> list[Path]:
    named = {text[1:] for text in texts if text.startswith("=")}
    folder = module.parent
    files: list[Path] = []
    for file in files_below(folder):
        inside = file.relative_to(folder).parts
        nested_package = any(
            (folder.joinpath(*inside[:depth]) / "__init__.py").exists() for depth in range(1, len(inside))
        )
        if file.suffix in (".py", ".pyi", ".typed") or nested_package:
            continue
        if folder != package or named & set(inside):
            files.append(file)
    return files
