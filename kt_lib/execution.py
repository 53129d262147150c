"""Running one notebook: papermill with truthful statuses, whole files, a time limit and a kernel on a local socket."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, NotebookExecutionManager, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook
from papermill.iorw import papermill_io
from traitlets import default

from kt_lib.artifacts import write_whole

ENGINE = "kt"
SCHEME = "kt:"
_SAVE_SECONDS = 3.0
_SOCKET_PATH_LIMIT = 90

OnCell = Callable[[int, int], None]
"""Called with a code cell's number and how many there are."""


class Ending:
    """How a notebook ended; the notebook file itself cannot be trusted to say."""

    def __init__(self) -> None:
        self.cell: int | None = None
        self.source = ""
        self.cause: str | None = None
        self.skipped: str | None = None
        self.seconds = 0.0
        self.cpu_seconds = 0.0

    def failed(self, cell: int | None, source: str, cause: str) -> None:
        """Note the first failure; later ones follow from it."""
        if self.cause is None:
            self.cell, self.source, self.cause = cell, source.strip().partition("\n")[0], cause


def run_notebook(
    notebook: Path,
    output: Path,
    parameters: Mapping[str, Any],
    *,
    environment: Mapping[str, str],
    seconds: float,
    on_cell: OnCell | None = None,
) -> Ending:
    """Execute `notebook` into `output` and say how it ended; the output file is whole at every moment.

    `parameters` are JSON values whose names the notebook declares. The kernel gets `environment` on top of ours, starts
    in the notebook's folder and is ended after `seconds`.
    """
    ending = Ending()
    started, cpu = time.monotonic(), _cpu_seconds()
    with _kernel_sockets() as sockets, _whole_files(notebook, output):
        try:
            execute_notebook(
                f"{SCHEME}notebooks/{notebook.name}",
                f"{SCHEME}{output.parent.name}/{output.name}",
                parameters=dict(parameters),
                engine_name=ENGINE,
                kernel_name="python3",
                language="python",
                progress_bar=False,
                ending=ending,
                manager=LocalKernelManager(sockets),
                environment={**os.environ, **environment},
                folder=str(notebook.parent),
                deadline=started + seconds,
                on_cell=on_cell,
            )
        except (PapermillExecutionError, CellExecutionError) as error:
            ending.failed(None, "", str(error).strip().splitlines()[-1])
        except (RuntimeError, TimeoutError) as error:
            # The kernel could not be started or died between two cells.
            ending.failed(None, "", str(error) or type(error).__name__)
    ending.seconds = time.monotonic() - started
    ending.cpu_seconds = _cpu_seconds() - cpu
    return ending


class TruthfulManager(NotebookExecutionManager):  # type: ignore[misc]
    """papermill's bookkeeping, without `completed` for cells that did not, and without a save at each cell."""

    def save(self, **kwargs: Any) -> None:
        """Save at the start, the end and a few seconds apart."""
        since = (self.now() - self.last_save_time).total_seconds()
        if self.start_time is None or self.end_time is not None or since >= _SAVE_SECONDS or kwargs.get("now"):
            super().save()

    def notebook_complete(self, **kwargs: Any) -> None:
        """As papermill, but a cell that was never reached stays `pending`."""
        statuses = [cell.metadata.papermill["status"] for cell in self.nb.cells]
        super().notebook_complete(**kwargs)
        for cell, status in zip(self.nb.cells, statuses, strict=True):
            cell.metadata.papermill["status"] = self.FAILED if status == self.RUNNING else status
        self.save(now=True)


class KtEngine(Engine):  # type: ignore[misc]
    """The papermill engine of kt."""

    @classmethod
    def execute_notebook(cls, nb: Any, kernel_name: str, output_path: str | None = None, **options: Any) -> Any:
        """Execute `nb`; how it ended is told to `options["ending"]`."""
        manager = TruthfulManager(nb, output_path=output_path, progress_bar=False, autosave_cell_every=30)
        manager.notebook_start()
        try:
            cls.execute_managed_notebook(manager, kernel_name, **options)
        finally:
            manager.notebook_complete()
        return manager.nb

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> None:
        """One kernel, every cell, then the kernel's end."""
        deadline = options["deadline"]
        client = KtClient(
            nb_man,
            km=options["manager"],
            timeout_func=lambda _cell: max(1, int(deadline - time.monotonic())),
            startup_timeout=options["start_timeout"],
            shutdown_kernel="immediate",
            record_timing=False,
            resources={"metadata": {"path": options["folder"]}},
        )
        client.ending, client.on_cell = options["ending"], options["on_cell"]
        client.execute(env=options["environment"], cleanup_kc=True)


class KtClient(PapermillNotebookClient):  # type: ignore[misc]
    """papermill's client, which notes what really happened to each cell."""

    ending: Ending
    on_cell: OnCell | None

    def papermill_execute_cells(self) -> None:
        """Execute the cells up to the first that fails or ends the notebook."""
        code = [index for index, cell in enumerate(self.nb.cells) if cell.cell_type == "code"]
        for index, cell in enumerate(self.nb.cells):
            if self.on_cell and index in code:
                self.on_cell(code.index(index) + 1, len(code))
            self.nb_man.cell_start(cell, index)
            try:
                self.execute_cell(cell, index)
            except CellExecutionError as error:
                if error.ename == "StepSkipped":
                    self._end_here(cell, error.evalue)
                else:
                    self._fail(cell, index, f"{error.ename}: {error.evalue}")
                break
            except CellTimeoutError:
                self._fail(cell, index, "the notebook's time limit passed")
                raise
            except DeadKernelError:
                self._fail(cell, index, "the kernel died (out of memory, or killed)")
                raise
            except KeyboardInterrupt:
                self._fail(cell, index, "interrupted")
                raise
            finally:
                self.nb_man.cell_complete(self.nb.cells[index], cell_index=index)

    def _fail(self, cell: Any, index: int, cause: str) -> None:
        self.nb_man.cell_exception(cell, cell_index=index)
        cell.metadata.papermill["cause"] = cause
        injected = any("injected-parameters" in one.metadata.get("tags", []) for one in self.nb.cells[:index])
        self.ending.failed(index + 1 - injected, cell.source, cause)

    def _end_here(self, cell: Any, reason: str) -> None:
        self.ending.skipped = reason
        cell.outputs = [one for one in cell.outputs if one.output_type != "error"]


class LocalKernelManager(AsyncKernelManager):
    """A kernel of this very Python, reached through sockets in a folder only this user can enter."""

    def __init__(self, sockets: Path) -> None:
        super().__init__(
            transport="ipc", ip=str(sockets / "k"), connection_file=str(sockets / "kernel.json"), kernel_name="python3"
        )

    @property
    def kernel_spec(self) -> KernelSpec:
        """Not the first `python3` on Jupyter's path, which may be another environment's."""
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="kt", language="python")

    @default("cache_ports")
    def _no_ports(self) -> bool:
        return False


class _WholeNotebooks:
    """papermill's reads and writes of `kt:<file name>`: whole files, and no path of this machine in the notebook."""

    def __init__(self) -> None:
        self.paths: dict[str, Path] = {}

    def read(self, path: str) -> str:
        return self.paths[path].read_text(encoding="utf-8")

    def write(self, buf: str, path: str) -> None:
        write_whole(self.paths[path], buf)

    def pretty_path(self, path: str) -> str:
        return path


_notebooks = _WholeNotebooks()
papermill_io.register(SCHEME, _notebooks)
papermill_engines.register(ENGINE, KtEngine)


@contextlib.contextmanager
def _whole_files(notebook: Path, output: Path) -> Iterator[None]:
    _notebooks.paths = {
        f"{SCHEME}notebooks/{notebook.name}": notebook,
        f"{SCHEME}{output.parent.name}/{output.name}": output,
    }
    try:
        yield
    finally:
        _notebooks.paths = {}


@contextlib.contextmanager
def _kernel_sockets() -> Iterator[Path]:
    """A private folder with a path short enough for a Unix socket; those that dead processes left are removed."""
    base = Path(tempfile.gettempdir())
    base = base if len(str(base)) < _SOCKET_PATH_LIMIT - 40 else Path("/tmp")
    for left in base.glob("kt-kernel-*"):
        pid = left.name.split("-")[2]
        if left.stat().st_uid == os.getuid() and pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"kt-kernel-{os.getpid()}-", dir=base))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _cpu_seconds() -> float:
    """CPU seconds of this process and of every child it has waited for (a kernel and its children, once ended)."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
