"""What is installed, reachable, too old or missing, each with its remedy."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Iterator
from typing import Literal

import httpx
from packaging.requirements import Requirement

from kt_lib.errors import KtError
from kt_lib.records import Record
from kt_lib.settings import Settings
from kt_lib.workspace import Workspace

_FREE_GIGABYTES = 3
_PROBE_SECONDS = 2.0


class Check(Record):
    """One thing looked at."""

    name: str
    """What."""
    status: Literal["ok", "missing", "too_old", "unreachable", "wrong"]
    """How it is."""
    found: str
    """What was found, in words."""
    needed: bool = True
    """Whether the main job needs it."""
    remedy: str = ""
    """What to do about it."""


def examine(workspace: Workspace) -> list[Check]:
    """Every check, in the order in which a person would want them. Talks only to servers the environment names."""
    return [
        _python(),
        *_packages(),
        _disk(workspace),
        _state(workspace),
        _runbook(workspace),
        _embedded(),
        _ollama(),
        _openai(),
        _training(),
    ]


def _python() -> Check:
    found = sys.version.split()[0]
    wanted = importlib.metadata.metadata("kt")["Requires-Python"]
    if Requirement(f"python{wanted}").specifier.contains(found):
        return Check(name="python", status="ok", found=found)
    remedy = f"install Python {wanted} and make a new virtual environment with it"
    return Check(name="python", status="too_old", found=found, remedy=remedy)


def _packages() -> Iterator[Check]:
    """Each package kt declares, of the core and of `train`; others' extras are for other work."""
    for line in importlib.metadata.requires("kt") or []:
        wanted = Requirement(line)
        extra = "train" if wanted.marker and wanted.marker.evaluate({"extra": "train"}) else ""
        if wanted.marker and not wanted.marker.evaluate({"extra": extra}):
            continue
        remedy = f"pip install -e '.[{extra}]'" if extra else "pip install -e ."
        try:
            found = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            yield Check(
                name=wanted.name, status="missing", found=f"not installed, needs {wanted.specifier}", remedy=remedy
            )
            continue
        good = wanted.specifier.contains(found, prereleases=True)
        yield Check(
            name=wanted.name,
            status="ok" if good else "too_old",
            found=found if good else f"{found}, needs {wanted.specifier}",
            remedy="" if good else remedy,
        )


def _disk(workspace: Workspace) -> Check:
    free = shutil.disk_usage(workspace.root).free / 1e9
    enough = free >= _FREE_GIGABYTES
    remedy = "" if enough else f"free {_FREE_GIGABYTES} GB, for example with `kt clean`"
    return Check(name="disk", status="ok" if enough else "wrong", found=f"{free:.1f} GB free", remedy=remedy)


def _state(workspace: Workspace) -> Check:
    from kt_lib.ledger import open_ledger

    try:
        with open_ledger(workspace.state) as ledger:
            versions = len(ledger.versions())
    except (KtError, OSError, ImportError, _database_errors()) as error:
        words = " ".join(str(error).split())[:200]
        remedy = "set KT_STATE to a folder you may write, or KT_LEDGER to a database that answers"
        return Check(name="state", status="wrong", found=words, remedy=remedy)
    return Check(name="state", status="ok", found=f"{workspace.state}, {versions} versions")


def _database_errors() -> type[Exception]:
    from sqlalchemy.exc import SQLAlchemyError

    return SQLAlchemyError


def _runbook(workspace: Workspace) -> Check:
    from kt_lib.workspace import Request

    try:
        runbook, steps = workspace.load(Request())
    except KtError as error:
        return Check(name="runbook", status="wrong", found=str(error), remedy="mend the file it names")
    return Check(name="runbook", status="ok", found=f"{runbook.name}: {len(steps)} steps")


def _embedded() -> Check:
    from kt_lib.models.embedded import EmbeddedModel

    try:
        digest = EmbeddedModel().digest
    except KtError as error:
        return Check(name="embedded model", status="missing", found=str(error), remedy="kt base train")
    return Check(name="embedded model", status="ok", found=digest)


def _ollama() -> Check:
    asked = Settings().ollama_host
    address = asked or "http://127.0.0.1:11434"
    address = address if "://" in address else f"http://{address}"
    return _server(
        "ollama", f"{address.rstrip('/')}/api/version", bool(asked), "start `ollama serve`, or set OLLAMA_HOST"
    )


def _openai() -> Check:
    settings = Settings()
    remedy = "set OPENAI_BASE_URL (and OPENAI_API_KEY) to your server"
    if not settings.openai_base_url:
        return Check(
            name="openai server", status="missing", found="OPENAI_BASE_URL is not set", needed=False, remedy=remedy
        )
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else ""
    return _server("openai server", f"{settings.openai_base_url.rstrip('/')}/models", True, remedy, key)


def _server(name: str, url: str, needed: bool, remedy: str, key: str = "") -> Check:
    try:
        answer = httpx.get(url, timeout=_PROBE_SECONDS, headers={"Authorization": f"Bearer {key}"} if key else {})
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        words = f"{_without_secrets(url)}: {str(error) or type(error).__name__}"
        return Check(name=name, status="unreachable", found=words, needed=needed, remedy=remedy)
    if answer.status_code >= 400:
        words = f"{_without_secrets(url)} answers {answer.status_code}"
        return Check(name=name, status="wrong", found=words, needed=needed, remedy=remedy)
    version = re.search(r'"version":\s*"([^"]+)"', answer.text[:1000])
    return Check(name=name, status="ok", found=version[1] if version else "answers", needed=needed)


def _without_secrets(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)


def _training() -> Check:
    """Which engine would train here, and why."""
    from kt_lib.recipes import recipe
    from kt_lib.training.engines import engine, ground

    try:
        there = ground()
        way = engine(recipe("embedded").sft, there)
    except KtError as error:
        return Check(
            name="training", status="missing", found=str(error), needed=False, remedy="pip install -e '.[train]'"
        )
    if not there.gpu and shutil.which("nvidia-smi") and os.path.exists("/dev/nvidiactl"):
        return Check(
            name="training",
            status="wrong",
            found=f"an NVIDIA GPU is there, and torch {importlib.metadata.version('torch')} does not see it",
            needed=False,
            remedy="install torch's build for CUDA and a driver that fits it: python -m torch.utils.collect_env",
        )
    return Check(name="training", status="ok", found=way.reason, needed=False)
