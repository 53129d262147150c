"""`kt run`, `plan`, `status`, `report`, `doctor` and `clean`: the workspace and what it holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from kt_lib.workspace import Request, Workspace

Values = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", metavar="NAME=VALUE", help="A parameter; may be given more than once."),
]
RunbookFile = Annotated[Path | None, typer.Option("--runbook", help="Another runbook than runbook.yaml.")]
FromStep = Annotated[str | None, typer.Option("--from", metavar="STEP", help="Run this step and all after it again.")]
Force = Annotated[bool, typer.Option("--force", help="Run every step again.")]
Remote = Annotated[bool, typer.Option("--allow-remote", help="Consent to send requests to another machine.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def run(
    param: Values = None,
    runbook: RunbookFile = None,
    from_step: FromStep = None,
    force: Force = False,
    allow_remote: Remote = False,
) -> None:
    """Bring every step of the runbook up to date; what is finished and unchanged is reused."""
    from kt_lib.cli.progress import progress
    from kt_lib.running import run as run_runbook

    workspace = _workspace()
    result = run_runbook(workspace, _request(workspace, param, runbook, from_step, force, allow_remote), progress())
    if not result.changed:
        typer.echo(f"Nothing to do: run {result.run.id} is up to date. (`kt run --force` runs every step again.)")
    for line in verdict(workspace):
        typer.echo(line)


def plan(
    param: Values = None,
    runbook: RunbookFile = None,
    from_step: FromStep = None,
    force: Force = False,
    allow_remote: Remote = False,
    as_json: AsJson = False,
) -> None:
    """Say what `kt run` would run, and why."""
    workspace = _workspace()
    decisions = workspace.plan(_request(workspace, param, runbook, from_step, force, allow_remote))
    if as_json:
        steps = [{"notebook": one.notebook, "action": one.action, "why": list(one.why)} for one in decisions]
        typer.echo(json.dumps({"steps": steps}, ensure_ascii=False))
        return
    width = max(len(one.notebook) for one in decisions)
    for one in decisions:
        typer.echo(f"{one.notebook:<{width}}  {_DOES[one.action]:<8}  {'; '.join(one.why)}")
    if all(one.action in ("reuse", "skip") for one in decisions):
        typer.echo("Nothing would run.")


_DOES = {"run": "runs", "reuse": "reused", "skip": "skipped", "depends": "may run"}


def status(as_json: AsJson = False) -> None:
    """Say who holds the workspace, how the newest runs went, and which version people get."""
    from kt_lib.history import runs_in

    workspace = _workspace()
    holder, runs = workspace.holder(), runs_in(workspace.runs)
    champion = _champion(workspace)
    told = [(run, "interrupted" if run.status == "running" and not holder else run.status) for run in runs]
    if as_json:
        shown = [json.loads(run.model_dump_json()) | {"status": state} for run, state in told]
        held = json.loads(holder.model_dump_json()) if holder else None
        typer.echo(json.dumps({"holder": held, "champion": champion, "runs": shown}, ensure_ascii=False))
        return
    typer.echo(f"Held by {holder.describe()}." if holder else "Nobody holds the workspace.")
    typer.echo(f"Version people get: {champion or 'the base model'}.")
    if not told:
        typer.echo("No run yet: `kt run` makes the first.")
    for run, state in told[:5]:
        counts = {one: sum(place.status == one for place in run.steps) for one in ("finished", "reused", "skipped")}
        words = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "no step finished"
        typer.echo(f"{run.id}  {state:<11}  {words}")
        for place in run.steps:
            if place.status == "failed":
                typer.echo(f"    {place.notebook}: {place.why}")


def report(
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    audience: Annotated[str, typer.Option(help="Write it for public, team or private: whose words may be in it.")] = "",
    form: Annotated[str, typer.Option("--format", help="html, md or json.")] = "html",
    compare: Annotated[
        tuple[str, str] | None, typer.Option(metavar="RUN RUN", help="Hold two runs against each other instead.")
    ] = None,
    screenshot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Take a picture of its top (needs Chromium).")
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="In the picture, as dark themes show it.")] = False,
) -> None:
    """Say where the newest report is, and what it says; write it for others, or in another form."""
    from kt_lib.errors import ArtifactError, ParameterError

    workspace = _workspace()
    if compare:
        from kt_lib.report_compare import compared, compared_text

        typer.echo(compared_text(compared(workspace.outputs, *compare)))
        return
    if form not in ("html", "md", "json"):
        raise ParameterError(f"--format {form!r}: it is html, md or json")
    page = workspace.outputs / f"report.{form}"
    if audience:
        from kt_lib.report_again import report_for

        page = report_for(workspace.root, workspace.state, audience, form)
    if not page.is_file():
        raise ArtifactError("there is no report yet: `kt run` makes it")
    typer.echo(str(page))
    for line in verdict(workspace):
        typer.echo(line)
    if screenshot:
        from kt_lib.screenshots import picture_of

        typer.echo(str(picture_of(page, screenshot, dark=dark)))
    if open_:
        import webbrowser

        webbrowser.open(page.as_uri())


def doctor(as_json: AsJson = False) -> None:
    """Say what is installed, reachable, too old or missing, each with its remedy."""
    from kt_lib.doctor import examine

    found = examine(_workspace())
    if as_json:
        typer.echo(json.dumps({"checks": [json.loads(one.model_dump_json()) for one in found]}, ensure_ascii=False))
    else:
        width = max(len(one.name) for one in found)
        for one in found:
            remedy = f"  -> {one.remedy}" if one.remedy else ""
            typer.echo(f"{one.name:<{width}}  {one.status:<11}  {one.found}{remedy}")
    if any(one.needed and one.status != "ok" for one in found):
        raise typer.Exit(1)


def clean(
    keep: Annotated[int, typer.Option("--keep", min=0, help="Finished runs to keep, newest first.")] = 3,
) -> None:
    """Remove old runs; those whose steps a kept run reuses stay, and the ledger remembers all.

    What trainings left to go on from is removed where a run has finished since.
    """
    workspace = _workspace()
    left = workspace.clean_checkpoints()
    removed = workspace.clean(keep)
    typer.echo(
        f"Removed {len(removed)} run{'' if len(removed) == 1 else 's'}{': ' if removed else ''}{', '.join(removed)}"
    )
    if left:
        typer.echo(f"Removed what trainings left to go on from, older than the newest finished run: {', '.join(left)}")


def verdict(workspace: Workspace) -> list[str]:
    """The newest report's verdict in a few lines; empty when there is none."""
    path = workspace.outputs / "report.json"
    if not path.is_file():
        return []
    said: dict[str, Any] = json.loads(path.read_bytes())
    lines = [
        f"{label}: {_rate(said[name])}"
        for name, label in (
            ("chat_success", "Chat success"),
            ("agent_success_before", "Agent before"),
            ("agent_success_after", "Agent after "),
            ("malformed_after", "Malformed after"),
        )
        if isinstance(said.get(name), dict)
    ]
    if isinstance(said.get("gap_before"), dict) and isinstance(said.get("gap_after"), dict):
        lines.append(f"Gap: {_points(said['gap_before'])} -> {_points(said['gap_after'])} points")
    return [*lines, f"Report: {workspace.outputs / 'report.html'}"] if lines else []


def _rate(rate: dict[str, Any]) -> str:
    if rate.get("value") is None:
        return "not measured"
    return f"{rate['value']:.1%} ({rate['low']:.1%} to {rate['high']:.1%}, n = {rate['n']})"


def _points(gap: dict[str, Any]) -> str:
    return f"{100 * gap['value']:.1f}" if gap.get("value") is not None else "not measured"


def _workspace() -> Workspace:
    from kt_lib.runs import workspace_root
    from kt_lib.workspace import Workspace

    return Workspace(workspace_root())


def _request(
    workspace: Workspace,
    param: list[str] | None,
    runbook: Path | None,
    from_step: str | None,
    force: bool,
    allow_remote: bool,
) -> Request:
    from kt_lib.workspace import Request

    overrides = parsed(param or [], workspace.models, Path.cwd())
    if allow_remote:
        overrides["allow_remote"] = True
    return Request(
        runbook=str(runbook.absolute()) if runbook else "runbook.yaml",
        overrides=overrides,
        from_step=from_step.removesuffix(".ipynb") if from_step else None,
        force=force,
    )


def parsed(given: list[str], models: Any, here: Path) -> dict[str, Any]:
    """`NAME=VALUE` words as parameters; `[a, b]` is a list, paths are taken from `here` on.

    Raises `ParameterError` for a word without `=`, a name given twice, or a broken list.
    """
    import yaml

    from kt_lib.errors import ParameterError
    from kt_lib.params import InputPath, marked

    paths = {name for model in models.values() for name in marked(model, InputPath)}
    found: dict[str, Any] = {}
    for word in given:
        name, equals, text = word.partition("=")
        if not equals or not name.isidentifier():
            raise ParameterError(f"-p {word}: write it as NAME=VALUE")
        if name in found:
            raise ParameterError(f"-p {name} is given twice")
        value: Any = text
        if text.startswith(("[", "{")):
            try:
                value = yaml.safe_load(text)
            except yaml.YAMLError:
                raise ParameterError(f"-p {name}: {text} is no list") from None
        if name in paths:
            value = [_from_here(one, here) for one in value] if isinstance(value, list) else _from_here(value, here)
        found[name] = value
    return found


def _from_here(value: Any, here: Path) -> Any:
    return str(here / Path(value).expanduser()) if isinstance(value, str) and value else value


def _champion(workspace: Workspace) -> str | None:
    if not (workspace.state / "ledger.db").is_file():
        return None
    from kt_lib.ledger import open_ledger

    with open_ledger(workspace.state) as ledger:
        champion = ledger.champion()
    return champion.version if champion else None
