"""Open a model by its name, and say what is reachable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kt_lib.errors import KtError, ModelNotFound
from kt_lib.models.apart import run_apart
from kt_lib.models.interface import Model
from kt_lib.models.served import CONCURRENCY, TIMEOUT, ServedModel
from kt_lib.records import Record

FORMS = "`embedded`, `embedded@1.0.0`, a folder with weights, `ollama:<model>` or `openai:<model>`"
OLDEST_OLLAMA = (0, 5, 0)
"""The first version that keeps an answer inside a JSON schema."""


def open_model(
    name: str,
    *,
    folder: Path | None = None,
    allow_remote: bool = False,
    max_calls: int | None = None,
    timeout: float = TIMEOUT,
    concurrency: int = CONCURRENCY,
) -> Model:
    """The model called `name`: `embedded`, `embedded@1.0.0`, a folder with weights, `ollama:<model>`, `openai:<model>`.

    folder: where the weights of a released version are. allow_remote: consent to send to a host that is not this
    machine; max_calls: most requests to send there. timeout: seconds for one try of one request. Nothing is contacted
    before the first `complete` or `digest`. Raises `ModelNotFound` for a name of no known form and missing weights.
    """
    bounds: dict[str, Any] = {
        "allow_remote": allow_remote,
        "max_calls": max_calls,
        "timeout": timeout,
        "concurrency": concurrency,
    }
    served = _served(name, bounds)
    if served is not None:
        return served
    kind, _, version = name.partition("@")
    if kind == "embedded":
        return _embedded(name, version, folder)
    if name and Path(name).is_dir():
        return _embedded(name, "", Path(name))
    raise ModelNotFound(f"no model is called {name!r}: use {FORMS}")


def _served(name: str, bounds: dict[str, Any]) -> ServedModel | None:
    kind, colon, model = name.partition(":")
    if not colon or kind not in ("ollama", "openai"):
        return None
    if not model.strip():
        raise ModelNotFound(f"{name!r} names no model: write it as {kind}:<model>")
    if kind == "ollama":
        from kt_lib.models.ollama import OllamaModel

        return OllamaModel(model, **bounds)
    from kt_lib.models.openai_compatible import OpenAiModel

    return OpenAiModel(model, **bounds)


def _embedded(name: str, version: str, folder: Path | None) -> Model:
    from kt_lib.models.embedded import EmbeddedModel

    if version and folder is None:
        raise ModelNotFound(f"{name!r} is not among the released versions: `kt versions` lists them")
    return EmbeddedModel(folder, name=name)


def remote_host(name: str) -> str | None:
    """The host that requests to model `name` would go to, None when they stay on this machine.

    Raises `ModelError` for an address that cannot be resolved, `ModelNotFound` for a name without a model.
    """
    served = _served(name, {})
    return None if served is None or served.local else served.host


class Finding(Record):
    """One thing that was looked at, for `kt doctor`."""

    subject: str
    """What was looked at, for example `ollama:qwen2.5:7b`."""
    ok: bool
    """Whether it can be used."""
    detail: str
    """What was found."""
    remedy: str = ""
    """What to do when it cannot."""


def reachable(name: str, *, allow_remote: bool = False) -> list[Finding]:
    """What can be said of model `name` without asking it anything: server, version, the models there, the model itself.

    A host that is not this machine is contacted only with `allow_remote`. Never raises a `KtError`.
    """
    try:
        served = _served(name, {"allow_remote": allow_remote, "timeout": 10.0})
        if served is None:
            return [Finding(subject=name, ok=True, detail=f"{open_model(name).digest}, in this process")]
        served.allowance.check()
        return run_apart(lambda _: _look(served))
    except KtError as error:
        what, _, remedy = str(error).rpartition(": ")
        return [Finding(subject=name, ok=False, detail=what or remedy, remedy=remedy if what else "")]


async def _look(served: ServedModel) -> list[Finding]:
    where = "on this machine" if served.local else "not this machine: needs --allow-remote"
    findings = []
    async with served.connect() as client:
        try:
            there = await served.models(client)
            version = await served.version(client)
        except (KtError, TimeoutError) as error:
            detail = f"{served.address} ({where}): {error or 'no answer within 10 s'}"
            return [Finding(subject=f"{served.prefix} server", ok=False, detail=detail, remedy=served.remedy)]
    old = served.prefix == "ollama" and _is_older(version)
    findings.append(
        Finding(
            subject=f"{served.prefix} server",
            ok=not old,
            detail=f"{served.address} ({where}){f', version {version}' if version else ''}, {len(there)} models",
            remedy="update Ollama: this version cannot keep an answer inside a JSON schema" if old else "",
        )
    )
    has = served.has(there)
    named = ", ".join(there[:20]) or "none"
    findings.append(
        Finding(
            subject=served.name,
            ok=has,
            detail="is there" if has else f"is not there; on the server: {named}",
            remedy="" if has else served.missing_remedy(),
        )
    )
    return findings


def _is_older(version: str) -> bool:
    numbers = tuple(int(part) for part in version.split("-")[0].split(".") if part.isdigit())
    return bool(numbers) and numbers != (0, 0, 0) and numbers < OLDEST_OLLAMA
