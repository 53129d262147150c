"""Headless Chromium and a real JupyterLab for tests: a browser that reaches this machine only, and says what it asked.

A test module takes the fixtures by import: `from browser import chromium, lab, workspace`. Where there is no Chromium
the tests are skipped with the reason; where `KT_BROWSER=needed` (as in CI) they fail instead.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright

ROOT = Path(__file__).parents[1]
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()
_SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}


class Asked(list[str]):
    """Addresses beyond this machine that pages tried to reach; every one was refused."""


def watched(browser: Browser, **options: Any) -> tuple[BrowserContext, Asked]:
    """A context that answers nothing from beyond this machine and remembers what was asked; options as playwright's."""
    asked = Asked()
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 1000}, **options})

    def only_here(route: Route) -> None:
        address = route.request.url
        if address.startswith(("http://127.0.0.1", "http://localhost", "file:", "data:", "blob:")):
            route.continue_()
        else:
            asked.append(address)
            route.abort()

    context.route("**/*", only_here)
    return context, asked


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, one for a test module (playwright's event loop must not outlive it)."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        reason = "there is no Chromium: `apt-get install chromium`"
        if os.environ.get("KT_BROWSER") == "needed":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh workspace: the notebooks, their parameters and the runbook, and no run yet."""
    return fresh_workspace(tmp_path_factory.mktemp("workspace"))


def fresh_workspace(root: Path) -> Path:
    """The project's notebooks, parameters and runbook copied to `root`."""
    for folder in ("notebooks", "params"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    shutil.copy(ROOT / "runbook.yaml", root)
    (root / "outputs").mkdir()
    return root


def set_parameters(notebook: Path, **values: Any) -> None:
    """Write other values into a notebook's parameters cell, as a person does by hand."""
    told = json.loads(notebook.read_text())
    (cell,) = [one for one in told["cells"] if "parameters" in one["metadata"].get("tags", [])]
    lines = "".join(cell["source"]).splitlines()
    for name, value in values.items():
        at = next(at for at, line in enumerate(lines) if line.split("=")[0].strip() == name)
        lines[at] = f"{name} = {value!r}"
    cell["source"] = "\n".join(lines)
    notebook.write_text(json.dumps(told))


class Lab:
    """A running JupyterLab on a workspace, seen through one browser context."""

    def __init__(self, root: Path, address: str, context: BrowserContext, asked: Asked) -> None:
        self.root, self.address, self.context, self.asked = root, address, context, asked

    def open(self, notebook: str, fresh: bool = True) -> OpenNotebook:
        """Open `notebooks/<notebook>.ipynb` in a new browser tab; `fresh` forgets the layout of earlier tabs."""
        page = self.context.new_page()
        started = time.monotonic()
        page.goto(f"{self.address}/lab/tree/notebooks/{notebook}.ipynb{'?reset' if fresh else ''}")
        opened = OpenNotebook(page, started)
        opened.wait_ready()
        return opened


class OpenNotebook:
    """A notebook open in JupyterLab."""

    def __init__(self, page: Page, started: float) -> None:
        self.page = page
        self.started = started
        """`time.monotonic()` when its address was asked for."""

    def wait_ready(self, seconds: float = 60) -> None:
        """Wait until the notebook is shown and its kernel answers."""
        self.page.wait_for_function(
            "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
            timeout=seconds * 1000,
        )
        # The run command does nothing while the notebook is still being put together.
        self.page.wait_for_timeout(1000)

    def menu(self, *words: str) -> None:
        """Choose an entry of the menu bar: `menu("Run", "Run All Cells")`."""
        self.page.locator(f'.lm-MenuBar-item:has-text("{words[0]}")').first.click()
        for word in words[1:]:
            exact = self.page.locator(".lm-Menu-itemLabel").get_by_text(word, exact=True)
            exact.first.click()

    def run_all(self, seconds: float = 180) -> None:
        """Run every cell by the menu and wait for the end: all cells done, or one failed."""
        self.menu("Run", "Run All Cells")
        self.wait_done(seconds)

    def restart_and_run_all(self, seconds: float = 180) -> None:
        """Restart the kernel by the menu, confirm, and run every cell."""
        self.menu("Kernel", "Restart Kernel and Run All Cells…")
        self.page.locator(".jp-Dialog button.jp-mod-accept").click()
        self.page.wait_for_timeout(1500)
        self.wait_done(seconds)

    def wait_done(self, seconds: float = 180) -> None:
        """Wait until no cell is running or waiting to run."""
        self.page.wait_for_function(
            """() => {
              const panel = window.jupyterapp.shell.currentWidget;
              if (panel.sessionContext.session?.kernel?.status !== 'idle') return false;
              const code = panel.content.widgets.filter(w => w.model.type === 'code' && w.model.sharedModel.source);
              const failed = w => w.model.outputs.toJSON().some(o => o.output_type === 'error');
              return code.some(failed) || code.every(w => w.model.executionCount !== null);
            }""",
            timeout=seconds * 1000,
            polling=200,
        )

    def errors(self) -> list[str]:
        """What went wrong in any cell."""
        found: list[str] = self.page.evaluate(
            """() => window.jupyterapp.shell.currentWidget.content.widgets
              .filter(w => w.model.type === 'code')
              .flatMap(w => w.model.outputs.toJSON())
              .filter(o => o.output_type === 'error')
              .map(o => `${o.ename}: ${o.evalue}`)"""
        )
        return found

    def save(self) -> None:
        """Save the notebook."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.save()")

    def theme(self, name: str) -> None:
        """Show JupyterLab in its `light` or `dark` theme."""
        wanted = f"JupyterLab {name.capitalize()}"
        self.page.evaluate("name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})", wanted)
        self.page.wait_for_function(
            "dark => document.body.dataset.jpThemeLight === (dark ? 'false' : 'true')", arg=name == "dark"
        )


@pytest.fixture(scope="module")
def lab(chromium: Browser, workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab on the module's workspace."""
    home = tmp_path_factory.mktemp("jupyter")
    settings = home / "settings"
    settings.mkdir()
    (settings / "overrides.json").write_text(json.dumps(_SETTINGS))
    port = _free_port()
    options = {
        "LabServerApp.app_settings_dir": str(settings),
        "LabApp.app_settings_dir": str(settings),
        "LabApp.expose_app_in_browser": "True",
        "LabApp.workspaces_dir": str(home / "workspaces"),
        "LabApp.user_settings_dir": str(home / "user"),
        "ServerApp.root_dir": str(workspace),
        "ServerApp.port": str(port),
        "ServerApp.port_retries": "0",
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.open_browser": "False",
        "IdentityProvider.token": "",
        "PasswordIdentityProvider.hashed_password": "",
    }
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyterlab",
                "--allow-root",
                *(f"--{name}={value}" for name, value in options.items()),
            ],
            cwd=workspace,
            env=_environment(home),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/api", process, home / "log")
        context, asked = watched(chromium)
        yield Lab(workspace, address, context, asked)
        context.close()
    finally:
        process.terminate()
        process.wait(timeout=20)


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KT_", "JUPYTER", "JPY_"))}
    own = {
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    return kept | own


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if process.poll() is not None:
            pytest.fail(f"JupyterLab ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not answer within {seconds:.0f} s:\n{log.read_text()[-2000:]}")
