"""`kt difference`: what the chat does and the agent does not, from recorded results or from the newest run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from kt_lib.recorded.pairing import Join
    from kt_lib.recorded.reading import RecordedFile
    from kt_lib.recorded.sides import Side
    from kt_lib.records import PairedTable


_HARDNESS = {"easy": 0, "medium": 1, "hard": 2, "extra": 3}


def difference(
    chat_results: Annotated[Path | None, typer.Option(help="InterCode results that stand for the chat side.")] = None,
    agent_results: Annotated[Path | None, typer.Option(help="InterCode results of the agent side.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare chat and agent on the same tasks, paired.

    With two files of recorded InterCode results nothing is run: they are joined on the query. Without files the newest
    run's difference is shown.
    """
    from kt_lib.errors import ParameterError

    if (chat_results is None) != (agent_results is None):
        missing = "--agent-results" if agent_results is None else "--chat-results"
        raise ParameterError(f"recorded results are compared two by two: {missing} is missing")
    if chat_results is not None and agent_results is not None:
        _recorded(chat_results, agent_results, as_json)
    else:
        _newest_run(as_json)


def _recorded(chat_path: Path, agent_path: Path, as_json: bool) -> None:
    from kt_lib.recorded.pairing import join, table
    from kt_lib.recorded.reading import read_results
    from kt_lib.recorded.sides import describe
    from kt_lib.recorded.telling import fair_pairs, tell

    chat_file = read_results(_bytes(chat_path), chat_path.name)
    agent_file = read_results(_bytes(agent_path), agent_path.name)
    chat, agent = describe(chat_file, _folder(chat_path)), describe(agent_file, _folder(agent_path))
    joined = join(chat_file, agent_file)
    counts = table(joined)
    beside = [path.name for folder in {chat_path.parent, agent_path.parent} for path in folder.glob("*.json*")]
    words = tell(chat, agent, counts, fair_pairs(chat.file, agent.file, beside, _folder(chat_path)))
    if chat_file.sha256 == agent_file.sha256:
        words.append("Both sides are the same file.")
    if as_json:
        figures = _figures(counts) | _left_over(joined, chat_file, agent_file)
        sides = {"chat": chat.model_dump(), "agent": agent.model_dump()}
        typer.echo(json.dumps({**figures, "information": sides, "notes": words}, ensure_ascii=False))
        return
    _show_table(counts, "recorded results")
    _show_hardness(joined)
    _show_sides(chat, agent)
    typer.echo(_plain(" ".join(words)))
    _show_left_over(joined, chat_file, agent_file)


def _bytes(path: Path) -> bytes:
    from kt_lib.errors import SourceError

    try:
        return path.read_bytes()
    except OSError as problem:
        raise SourceError(f"{path} cannot be read: {problem.strerror or problem}") from problem


def _folder(path: Path) -> str:
    return path.absolute().parent.name


def _figures(table: PairedTable) -> dict[str, Any]:
    """The figures of the issue's list; without a single pair the shares are null, never zero."""
    none = table.n == 0
    return {
        "both": table.both,
        "chat_only": table.first_only,
        "agent_only": table.second_only,
        "neither": table.neither,
        "n": table.n,
        "chat_rate": table.first.value,
        "agent_rate": table.second.value,
        "difference": None if none else table.difference,
        "low": None if none else table.low,
        "high": None if none else table.high,
        "p_value": None if none else table.p_value,
        "chat_interval": [table.first.low, table.first.high],
        "agent_interval": [table.second.low, table.second.high],
    }


def _left_over(joined: Join, chat: RecordedFile, agent: RecordedFile) -> dict[str, Any]:
    return {
        "unmatched_chat": joined.unmatched_chat,
        "unmatched_agent": joined.unmatched_agent,
        "duplicates_chat": joined.duplicates_chat,
        "duplicates_agent": joined.duplicates_agent,
        "conflicting_duplicates": joined.conflicting,
        "records_in_chat": chat.records_in,
        "records_in_agent": agent.records_in,
        "set_aside_chat": [_aside(one) for one in chat.set_aside],
        "set_aside_agent": [_aside(one) for one in agent.set_aside],
    }


def _aside(one: Any) -> dict[str, str]:
    return {"place": one.source.place, "reason": one.reason}


def _show_table(table: PairedTable, title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    shown = Table("", "agent right", "agent not right", "all", title=f"Chat and agent on the same tasks: {title}")
    shown.add_row("chat right", str(table.both), str(table.first_only), _rate(table.first))
    shown.add_row("chat not right", str(table.second_only), str(table.neither), "")
    shown.add_row("all", _rate(table.second), "", f"n = {table.n}")
    console = Console()
    console.print(shown)
    if table.n:
        console.print(
            f"agent minus chat {100 * table.difference:+.1f} points "
            f"(95% Newcombe paired {100 * table.low:+.1f} to {100 * table.high:+.1f}), "
            f"McNemar mid-p {table.p_value:.2g}",
            highlight=False,
        )


def _rate(rate: Any) -> str:
    if rate.value is None:
        return "nothing counted"
    errors = f", {rate.errors} not run" if rate.errors else ""
    return f"{rate.value:.1%} ({100 * rate.low:.1f} to {100 * rate.high:.1f}{errors})"


def _show_hardness(joined: Join) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from kt_lib.recorded.pairing import by
    from kt_lib.statistics import holm

    groups = by(joined, lambda one: one.chat.hardness or "not stated")
    if len(groups) < 2:
        return
    shown = Table("hardness", "n", "chat", "agent", "agent minus chat", "mid-p (Holm)")
    adjusted = holm([table.p_value for table in groups.values()])
    rows = zip(groups.items(), adjusted, strict=True)
    for (name, table), p_value in sorted(rows, key=lambda row: _HARDNESS.get(row[0][0], 9)):
        gap = f"{100 * table.difference:+.1f} ({100 * table.low:+.1f} to {100 * table.high:+.1f})"
        shares = [f"{rate.value:.1%}" for rate in (table.first, table.second) if rate.value is not None]
        shown.add_row(escape(_plain(name)), str(table.n), *shares, gap, f"{p_value:.2g}")
    Console().print(shown)


def _show_sides(chat: Side, agent: Side) -> None:
    typer.echo("What each side had to go on")
    typer.echo(_plain(f"  chat   {chat.file}: {chat.information}"))
    typer.echo(_plain(f"  agent  {agent.file}: {agent.information}"))


def _plain(text: str) -> str:
    """What a file says may hold terminal control codes: they are shown as `?`, never sent to the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _show_left_over(joined: Join, chat: RecordedFile, agent: RecordedFile) -> None:
    typer.echo(
        f"Unmatched queries: {joined.unmatched_chat} only in the chat file, {joined.unmatched_agent} only in the agent "
        f"file. Repeated queries: {joined.duplicates_chat} and {joined.duplicates_agent} (the first result counts; "
        f"{joined.conflicting} say otherwise). Set aside: {len(chat.set_aside)} and {len(agent.set_aside)}."
    )
    for file in (chat, agent):
        for one in file.set_aside[:5]:
            typer.echo(_plain(f"  {file.file}, {one.source.place}: {one.reason}"))
        if len(file.set_aside) > 5:
            typer.echo(f"  {file.file}: {len(file.set_aside) - 5} more (all in --json)")


def _newest_run(as_json: bool) -> None:
    from kt_lib.difference import cells, failure_counts, table
    from kt_lib.runs import workspace_root

    runs = workspace_root() / "outputs" / "runs"
    path = max(runs.glob("*/*difference*/differences.jsonl"), default=None)
    if path is None:
        if as_json:
            from kt_lib.errors import ArtifactError

            raise ArtifactError("no run has compared chat and agent yet: `kt run` does, up to notebook 03_difference")
        typer.echo(
            "No run has compared chat and agent yet. `kt run` puts every task to the model in chat and as an agent "
            "(notebook 03_difference).\nTo compare recorded InterCode results without running anything: "
            "kt difference --chat-results FILE --agent-results FILE"
        )
        return
    differences = _differences(path)
    counts, found = table(differences), cells(differences)
    failures = failure_counts(one.agent for one in differences)
    if as_json:
        figures = _figures(counts) | {name: found[name] for name in ("unverified", "incomplete")}
        typer.echo(json.dumps({**figures, "run": path.parent.parent.name, "agent_failures": failures}))
        return
    _show_table(counts, f"run {path.parent.parent.name}")
    typer.echo(f"Not in any rate: {found['unverified']} unverified, {found['incomplete']} where a side did not run.")
    for name, count in failures.items():
        typer.echo(f"  agent failure {name}: {count}")
    typer.echo("`kt run` compares again where something changed; `kt report` shows the cases side by side.")


def _differences(path: Path) -> list[Any]:
    from pydantic import ValidationError

    from kt_lib.errors import ArtifactError
    from kt_lib.records import Difference

    rows = []
    for number, line in enumerate(_bytes(path).split(b"\n"), 1):
        if line.strip():
            try:
                rows.append(Difference.model_validate_json(line))
            except ValidationError as problem:
                raise ArtifactError(
                    f"{path}, line {number} is no Difference: {problem.errors()[0]['msg']}"
                ) from problem
    return rows
