"""`kt dataset teach`: training conversations written by a teacher model, checked, within a budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from kt_lib.records import Task, ToolSpec
    from kt_lib.teaching.teacher import Teaching, TeachingReport

_TOKENS_A_CALL = 5_000
"""Enough for the prompt and the longest conversation."""
_CACHE = "teacher.jsonl"


def teach(
    model: Annotated[
        str, typer.Option("--model", help="The teacher: openai:NAME, ollama:NAME, a version or a folder.")
    ],
    count: Annotated[int, typer.Option("--count", min=1, help="Conversations that are wanted.")],
    out: Annotated[Path, typer.Option("--out", help="File to write, .jsonl or .parquet, in TRL's layout.")],
    max_calls: Annotated[int, typer.Option("--max-calls", min=1, help="Most requests to ask in this run.")],
    licence: Annotated[
        str | None, typer.Option("--licence", help="Terms of the teacher's outputs; rows without cannot be shared.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, help="Most tokens, read and written; 5,000 a call by default.")
    ] = None,
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="Consent to send to another machine.")] = False,
    tools: Annotated[Path | None, typer.Option("--tools", help="JSON file with the tools on offer.")] = None,
    protocol: Annotated[Literal["json", "native"], typer.Option("--protocol", help="How calls are written.")] = "json",
    constrained: Annotated[
        bool, typer.Option("--constrained", help="Ask the server to keep each answer inside the JSON form.")
    ] = False,
    multi_turn: Annotated[float, typer.Option("--multi-turn", min=0, max=1, help="Share with several turns.")] = 0.3,
    no_call: Annotated[float, typer.Option("--no-call", min=0, max=1, help="Share in which no tool is due.")] = 0.15,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of what is asked for.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Have a teacher model write training conversations.

    Each answer is checked before it becomes a row: its form, calls against the tools' schemas, names against what was
    listed, the voice of the assistant, secrets and markup, likeness to evaluation tasks of the newest run and to the
    other conversations. A bad one is set aside with its reason, in a file beside OUT, and asked for again at most
    twice. Answers are kept in the state folder: the same command again asks nothing twice, and goes on after a kill.
    """
    from kt_lib.cached_asking import Budget
    from kt_lib.cli.progress import answers_as_they_come
    from kt_lib.errors import ParameterError
    from kt_lib.release import open_version
    from kt_lib.runs import workspace_root
    from kt_lib.settings import Settings
    from kt_lib.teaching.teacher import taught_rows
    from kt_lib.teaching.wishes import drawn_wishes

    if out.suffix not in (".jsonl", ".parquet"):
        raise ParameterError(f"--out {out.name}: end it in .jsonl or .parquet")
    root = workspace_root()
    state = Settings().state_folder(root)
    opened = open_version(model, state, allow_remote=allow_remote, max_calls=max_calls)
    with answers_as_they_come(f"{model} writes") as progress:
        told = taught_rows(
            opened,
            drawn_wishes(count, seed, _offered(tools), multi_turn, no_call),
            cache=state / _CACHE,
            budget=Budget(max_calls=max_calls, max_tokens=max_tokens or max_calls * _TOKENS_A_CALL),
            licence=licence,
            protocol=protocol,
            seed=seed,
            held_out=_evaluation_tasks(root),
            constrained=constrained,
            progress=progress,
        )
    files = _write(told, out)
    if as_json:
        typer.echo(json.dumps(told.report.model_dump(mode="json") | {"files": files}, ensure_ascii=False))
    else:
        _show(told.report, files)
    if not told.rows:
        raise typer.Exit(1)


def _offered(tools: Path | None) -> list[ToolSpec]:
    from kt_lib.cli.terminal_chat import tools_in

    return tools_in(tools) if tools else []


def _evaluation_tasks(root: Path) -> list[Task]:
    """The dev and test tasks of the newest finished run; none where there is no run."""
    from kt_lib.cli.newest_run import rows_of_newest_run
    from kt_lib.records import Task

    return [task for task in rows_of_newest_run(root, "tasks", Task) if task.part != "train"]


def _write(told: Teaching, out: Path) -> dict[str, str]:
    """Writes the rows, and beside them what was set aside; returns the files by what they hold."""
    from kt_lib.artifacts import write_rows as write_records
    from kt_lib.datafiles.layouts import write_rows

    files = {}
    if told.rows:
        write_rows(out, told.rows)
        files["rows"] = str(out)
    name = f"{out.stem}.set_aside"
    aside = out.with_name(f"{name}.jsonl")
    if told.set_aside or aside.exists():
        write_records(out.parent, name, told.set_aside)
        files["set aside"] = str(aside)
    return files


def _show(report: TeachingReport, files: dict[str, str]) -> None:
    """What was asked, what came of it and what it cost, in a few lines."""
    spent = report.spent
    typer.echo(
        f"{report.kept:,} of {report.wishes:,} conversations, written by {report.model}\n"
        f"asked {spent.asked:,} times ({spent.failed:,} without an answer), {spent.cached:,} answers from the cache\n"
        f"{spent.prompt_tokens:,} tokens read and {spent.completion_tokens:,} written"
        + (f", {report.tokens_per_row:,.0f} for each row kept" if report.tokens_per_row is not None else "")
    )
    for reason, answers in report.set_aside.items():
        typer.echo(f"set aside: {answers:,} {reason}")
    if report.given_up:
        typer.echo(f"{report.given_up:,} were refused three times and given up")
    if report.left:
        typer.echo(f"{report.left:,} are left, for the budget was at its end: the same command again goes on")
    typer.echo(f"terms of the outputs: {report.licence or 'none stated, so these rows cannot be shared (--licence)'}")
    for what, file in files.items():
        typer.echo(f"{what}: {file}")
