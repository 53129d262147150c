"""The report in Markdown: the same figures as the page and the JSON, for a forge, a mail or a diff."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kt_lib.audience import IN_WORDS
from kt_lib.figures import in_words
from kt_lib.report import report_json
from kt_lib.report_data import ReportData
from kt_lib.report_page import p_value, percent, points, took, when
from kt_lib.showing import shown

_MARKS = re.compile(r"([\\`*_{}\[\]()#+!|<>~&$@:-])")


def report_markdown(data: ReportData) -> str:
    """`report.md`: tables in GitHub's form; every text from data stands as text, whatever marks it holds."""
    said = report_json(data)
    parts = [
        f"# {plain(said['title'])}",
        f"Run {plain(said['run'])}, {when(said['created'])}. {IN_WORDS[data.audience]}",
        plain(said["verdict"]),
        *_section("Figures", ("figure", "value", "95%", "n"), _figures(said)),
        *_section("The same tasks, twice", ("", "both", "chat only", "agent only", "neither"), _paired(said)),
        *_section("Failures", ("failure", "before", "after"), _failures(said)),
        *_section("Levers, on dev tasks", ("lever", "failure class", "gain", "95%", "n", "kept"), _levers(said)),
        *_section("What must not be lost", ("guard", "change", "95%", "n", "verdict"), _guards(said)),
        *_section("What each training gained and lost", _ablation_head(said), _ablation(said)),
        *_section("What the gate says of each training", ("training", "the gate"), _gate(said)),
        *_section("The mix", ("source", "asked", "available", "used", "note"), _mix(said)),
        *_section("Goals", ("figure", "to", "measured", "n", "state"), _goals(said)),
        *_section("Steps", ("step", "time", "status"), _steps(said)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def plain(value: Any) -> str:
    """A text on one line in which no mark means anything."""
    return _MARKS.sub(r"\\\1", " ".join(shown(str(value), 600).split()))


def _section(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return []
    return [f"## {title}", "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *lines])]


def _figures(said: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rates = (
        ("chat success", "chat_success"),
        ("agent success before", "agent_success_before"),
        ("agent success after", "agent_success_after"),
        ("malformed before", "malformed_before"),
        ("malformed after", "malformed_after"),
        ("chat success after", "chat_success_after"),
    )
    found: list[tuple[str, ...]] = [
        (label, percent(one["value"]), f"{percent(one['low'])} to {percent(one['high'])}", str(one["n"]))
        for label, name in rates
        if (one := said[name]) and one["value"] is not None
    ]
    gaps = (("gap before", "gap_before"), ("gap after", "gap_after"), ("gain", "gain"))
    return found + [
        (f"{label}, points", points(one["value"]), f"{points(one['low'])} to {points(one['high'])}", str(one["n"]))
        for label, name in gaps
        if (one := said[name]) and one["value"] is not None
    ]


def _paired(said: Mapping[str, Any]) -> list[tuple[str, ...]]:
    names = ("both", "chat_only", "agent_only", "neither")
    return [
        (when_, *(str(cells[name]) for name in names)) for when_, cells in said["paired"].items() if cells is not None
    ]


def _failures(said: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (plain(in_words(one["failure"])), str(one["before"]), "–" if one["after"] is None else str(one["after"]))
        for one in said["failures"]
    ]


def _levers(said: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            plain(in_words(one["lever"])),
            plain(in_words(one["failure"])),
            points(one["difference"], True),
            f"{points(one['low'], True)} to {points(one['high'], True)}, p {p_value(one['p_holm'])}",
            str(one["n"]),
            "kept" if one["kept"] else "not kept",
        )
        for one in said["levers"]
    ]


def _guards(said: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            plain(in_words(one["suite"])),
            points(one["difference"], True),
            f"{points(one['low'], True)} to {points(one['high'], True)}",
            str(one["n"]),
            f"{plain(one['words'])}, {'passed' if one['passed'] else 'not passed'}",
        )
        for one in said["guards"]
    ]


def _ablation_head(said: Mapping[str, Any]) -> tuple[str, ...]:
    names = [plain(one["variant"]) for row in said["ablation"][:1] for one in row["trainings"]]
    return ("suite", *names)


def _ablation(said: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    for row in said["ablation"]:
        cells = [
            f"{percent(one['value'])} from {percent(one['base'])}, n {one['n']}"
            + ("" if one["passed"] else ", not passed")
            for one in row["trainings"]
        ]
        yield (plain(in_words(row["suite"])), *cells)


def _gate(said: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    for one in said["gate"]:
        why = one["refusal"]
        yield (plain(one["variant"]), f"stops it: {plain(why)}" if why else "lets it through")


def _mix(said: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    for one in said["dataset"]["mix"]:
        counts = (str(one[name]) for name in ("asked", "available", "used"))
        yield (plain(one["name"]), *counts, plain(one["note"]))


def _goals(said: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (plain(one["figure"]), plain(one["target"]), _measured(one), str(one["n"] or "–"), plain(one["state"]))
        for one in said["goals"]
    ]


def _measured(goal: Mapping[str, Any]) -> str:
    if goal["value"] is None:
        return "–"
    write = points if goal["unit"] == "points" else percent
    return f"{write(goal['value'])} ({write(goal['low'])} to {write(goal['high'])})"


def _steps(said: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [(plain(name), took(step["seconds"]), plain(step["status"])) for name, step in said["steps"].items()]
