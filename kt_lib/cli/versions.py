"""`kt chat`, `versions`, `promote`, `rollback` and `export`: the better model, there to use."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from kt_lib.ledger import Ledger
    from kt_lib.models.interface import Model
    from kt_lib.records import ModelVersion, Rate, ToolSpec

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
VersionName = Annotated[str, typer.Argument(metavar="VERSION", help="A version as `kt versions` lists it: 1.0.0.")]


def chat(
    model: Annotated[
        str, typer.Option(help="A version (1.0.0), `embedded`, `ollama:...` or `openai:...`; else the champion.")
    ] = "",
    mode: Annotated[str, typer.Option(help="chat or agent.")] = "chat",
    tools: Annotated[Path | None, typer.Option(help="JSON file with the tools on offer.")] = None,
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="Consent to send to another machine.")] = False,
) -> None:
    """Talk with a model in the terminal; its tool calls are shown, never executed.

    Without --model it is the version people get, or the base model where none was promoted. Without --tools the
    embedded model is offered the tools it knows. Lines may also come from a pipe.
    """
    from kt_lib.cli.terminal_chat import TerminalChat, tools_in
    from kt_lib.errors import ParameterError

    if mode not in ("chat", "agent"):
        raise ParameterError(f"--mode {mode!r}: it is chat or agent")
    opened = _open(model, allow_remote)
    offered = tools_in(tools) if tools else _own_tools(opened.name)
    how: Literal["chat", "agent"] = "agent" if mode == "agent" else "chat"
    TerminalChat(opened, how, offered, _ask, _show).run()


def versions(
    version: Annotated[str | None, typer.Argument(metavar="[VERSION]", help="One version, in full.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the versions, the one people get marked; or say all about one."""
    with _ledger() as ledger:
        known, champion = ledger.versions(), ledger.champion()
        history = [json.loads(one.model_dump_json()) for one in ledger.championships()]
        chosen = ledger.version(version) if version else None
    name = champion.version if champion else None
    if as_json:
        shown = [json.loads(one.model_dump_json()) for one in ([chosen] if chosen else known)]
        typer.echo(json.dumps({"champion": name, "versions": shown, "history": history}, ensure_ascii=False))
    elif chosen:
        _show_version(chosen, known)
    elif not known:
        typer.echo("No version yet: `kt run` makes the first. People get the base model.")
    else:
        for one in known:
            mark, gate = "*" if one.version == name else " ", "passed" if one.promoted else "stopped"
            typer.echo(_line(f"{mark} {one.version:<8}  gate {gate:<7}  {_agent(one):<34}  {one.reason}"))
        typer.echo(f"People get {name or 'the base model'}.")


def promote(version: VersionName) -> None:
    """Give people a version that the gate let through."""
    from kt_lib.release import folder_of
    from kt_lib.release import promote as promote_version

    with _ledger() as ledger:
        chosen = ledger.version(version)
        folder_of(chosen, _state())
        changed = promote_version(ledger, chosen, f"by hand: {chosen.reason}")
    said = f"People get {version}" + (f" (before: {changed.previous or 'the base model'})." if changed else " already.")
    typer.echo(said)


def rollback(
    reason: Annotated[str, typer.Option(help="Why; it is kept in the ledger.")] = "asked for by hand",
) -> None:
    """Give people the version they had before."""
    with _ledger() as ledger:
        change = ledger.roll_back(reason)
    typer.echo(f"People get {change.version or 'the base model'} (before: {change.previous or 'the base model'}).")


def export(
    version: VersionName,
    to: Annotated[Path, typer.Option(help="Folder to make; nothing there is overwritten.")],
    gguf: Annotated[
        str, typer.Option(metavar="TYPE", help="Make a GGUF file too, by llama.cpp's converter: f16, q8_0, q4_k_m, ...")
    ] = "",
) -> None:
    """Copy a version's merged safetensors, tokenizer, chat template, Modelfile and card; make a GGUF file of them."""
    from kt_lib.release import export as export_version

    with _ledger() as ledger:
        chosen = ledger.version(version)
    folder = export_version(chosen, _state(), to, gguf, lambda line: typer.echo(_line(line), err=True))
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    typer.echo(f"{folder}: version {version}, {size:.1f} MB")


# --- within ----------------------------------------------------------------------------------------------------------


def _state() -> Path:
    """The state folder; one named by KT_STATE needs no workspace around."""
    from kt_lib.runs import workspace_root
    from kt_lib.settings import Settings

    settings = Settings()
    return settings.state_folder(Path.cwd() if settings.state else workspace_root())


def _ledger() -> Ledger:
    from kt_lib.ledger import open_ledger

    return open_ledger(_state())


def _open(name: str, allow_remote: bool) -> Model:
    """A model by name; a version number, alone or behind `embedded@`, is looked up in the ledger."""
    from kt_lib.release import open_version

    if name.partition(":")[0] not in ("ollama", "openai"):
        _without_bars()
    return open_version(name, _state(), allow_remote=allow_remote)


def _without_bars() -> None:
    """Loading a local model shows no progress bar in the middle of a chat."""
    import contextlib

    with contextlib.suppress(ImportError):
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()


def _own_tools(name: str) -> list[ToolSpec]:
    if name.partition("@")[0] != "embedded":
        return []
    from kt_lib.world.phrasing import tools

    return list(tools().values())


def _ask(prompt: str) -> str | None:
    """A line from the terminal, or from a pipe (then without a prompt); None at its end and on Ctrl-C."""
    try:
        if sys.stdin.isatty():
            return input(prompt)
    except (EOFError, KeyboardInterrupt):
        typer.echo()
        return None
    line = sys.stdin.readline()
    if line:
        typer.echo(f"{prompt}{line.rstrip()}")
    return line.rstrip("\r\n") if line else None


def _show(title: str, text: str, what: Literal["plain", "model", "call", "fault"]) -> None:
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    from kt_lib.cli.terminal_chat import printable

    console, shown = Console(highlight=False), Text(printable(text))
    if what == "plain":
        console.print(shown)
    elif what == "model":
        console.print(Text(f"{printable(title)}> ", style="bold") + shown)
    else:
        style = "green" if what == "call" else "red"
        console.print(Panel(shown, title=Text(printable(title)), title_align="left", border_style=style, expand=False))


def _show_version(one: ModelVersion, known: list[ModelVersion]) -> None:
    from kt_lib.versions import changes, lineage

    for what, which in lineage(one):
        typer.echo(_line(f"{what:<15} {which}"))
    before = known[known.index(one) - 1] if known.index(one) else None
    typer.echo(f"changed since {before.version if before else 'nothing'}:")
    for line in changes(before, one):
        typer.echo(_line(f"  {line}"))
    typer.echo("scores:")
    for score in one.scores:
        typer.echo(
            _line(f"  {score.variant:<14} {score.mode:<6} {score.suite:<14} {score.metric:<10} {_rate(score.rate)}")
        )
    typer.echo("gate:")
    for verdict in one.verdicts:
        passed = "passed" if verdict.passed else "NOT passed"
        typer.echo(_line(f"  {verdict.suite:<14} {verdict.verdict:<13} {passed:<10}  {verdict.reason}"))


def _agent(one: ModelVersion) -> str:
    """The agent's success on held-out tasks, of the variant that the gate judged."""
    judged = {verdict.variant for verdict in one.verdicts}
    for score in one.scores:
        if score.variant in judged and (score.mode, score.suite, score.metric) == ("agent", "main", "success"):
            return f"agent {_rate(score.rate)}"
    return "no score"


def _rate(rate: Rate) -> str:
    if rate.value is None or rate.low is None or rate.high is None:
        return "not measured"
    return f"{rate.value:.1%} ({rate.low:.1%} to {rate.high:.1%}, n {rate.n})"


def _line(text: str) -> str:
    from kt_lib.cli.terminal_chat import printable

    return printable(text).rstrip()
