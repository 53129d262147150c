"""The report as a page: one file, drawn with HTML, CSS and SVG, for light, dark and paper; a script only sorts."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from kt_lib.audience import IN_WORDS
from kt_lib.calls.failures import DESCRIPTIONS
from kt_lib.figures import in_words
from kt_lib.pages import policy, sorting, stylesheet
from kt_lib.records import Adapter, Record
from kt_lib.report import report_json
from kt_lib.report_cases import cases, cell_cases
from kt_lib.report_data import ReportData
from kt_lib.showing import shown

UP = "../../../"
"""From a report in its step's folder to the outputs folder, where pages are counted from."""
_OUTCOMES = {
    "correct": "right",
    "wrong": "wrong",
    "abstained": "no call",
    "malformed": "malformed",
    "error": "did not run",
    "unverified": "not scored",
}


def report_html(data: ReportData) -> str:
    """The report as one self-contained page that asks nothing of any network; its one script sorts tables.

    Every text that came from data is redacted, made visible and escaped; `report_json` computes every figure.
    """
    said = report_json(data)
    return str(
        environment()
        .get_template("report.html.j2")
        .render(
            said=said,
            css=stylesheet() + stylesheet("report.css"),
            policy=policy(sorting()),
            sorting=sorting(),
            audience=IN_WORDS[data.audience],
            cases=cases(data),
            cell_cases=cell_cases(data),
            curves=[curve(one) for one in data.adapters if one.losses],
            reach={
                "all": _reach([one for one in said["levers"] if one["failure"] == "all"]),
                "classes": _reach([one for one in said["levers"] if one["failure"] != "all"]),
                "guards": _reach(said["guards"]),
            },
            up=UP,
            funnel=_funnel(said["dataset"]),
            profile=data.profile,
            descriptions=DESCRIPTIONS,
        )
    )


def published(html: bytes) -> bytes:
    """A report as it stands at the top of the outputs: its links start there. No text in it can look like a link."""
    return html.replace(f'href="{UP}'.encode(), b'href="')


@functools.cache
def environment() -> Any:
    """The templates, with every text escaped and figures written in one way."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("kt_lib", "templates"),
        autoescape=True,
        finalize=_fit,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "pct": percent,
        "pts": points,
        "words": in_words,
        "when": when,
        "took": took,
        "brief": brief,
        "p": p_value,
        "outcome": lambda name: _OUTCOMES.get(name, name),
    }
    return environment


def _fit(value: Any) -> Any:
    """Nothing gets into a page unless it is fit to be shown; only the templates' own markup is left as it is."""
    return shown(value) if type(value) is str else value


# --- numbers in words ------------------------------------------------------------------------------------------------


def percent(value: float | None, digits: int = 1) -> str:
    """A share as `92.3%`; a dash where nothing was measured."""
    return "\u2013" if value is None else f"{100 * value:.{digits}f}%"


def points(value: float | None, sign: bool = False) -> str:
    """A difference of shares in points, with a true minus sign."""
    if value is None:
        return "\u2013"
    text = f"{100 * value:+.1f}" if sign else f"{100 * value:.1f}"
    return "0.0" if text in ("-0.0", "+0.0") else text.replace("-", "\u2212")


def p_value(value: float | None) -> str:
    """A p-value with two digits, never as zero."""
    if value is None:
        return "\u2013"
    return "< 0.0001" if value < 0.0001 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def when(seconds: float | None) -> str:
    """A moment, in UTC."""
    if seconds is None:
        return ""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%d %B %Y, %H:%M UTC").lstrip("0")


def took(seconds: float) -> str:
    """A duration."""
    return f"{seconds:.1f} s" if seconds < 90 else f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def brief(digest: str) -> str:
    """A digest short enough to compare by eye."""
    name, colon, digits = digest.rpartition(":")
    return f"{name}{colon}{digits[:12]}" if len(digits) > 16 else digest


# --- what the figures alone do not say -------------------------------------------------------------------------------


class Curve(Record):
    """A training's loss as a line in a box of 100 by 100."""

    name: str
    """The adapter."""
    line: str
    """Points of the line."""
    top: float
    """Loss at the upper edge; the lower edge is 0."""
    steps: int
    """Step at the right edge."""
    first: float
    """First loss."""
    last: float
    """Last loss."""


def curve(adapter: Adapter) -> Curve:
    """The loss of a training, from 0 to its highest."""
    losses = list(adapter.losses)
    start, end = losses[0][0], losses[-1][0]
    top = max((loss for _, loss in losses), default=1.0) or 1.0
    line = " ".join(
        f"{100 * (step - start) / max(1, end - start):.2f},{100 - 100 * max(0.0, loss) / top:.2f}"
        for step, loss in losses
    )
    return Curve(name=shown(adapter.name, 100), line=line, top=top, steps=end, first=losses[0][1], last=losses[-1][1])


def _reach(rows: Sequence[Mapping[str, Any]]) -> float:
    """How far a plot of differences goes to either side, in shares of 1: all of it, in steps of 10 points."""
    furthest = max((max(abs(one["low"]), abs(one["high"])) for one in rows), default=0.1)
    return float(max(0.1, -(-round(100 * furthest, 6) // 10) / 10))


def _funnel(dataset: Mapping[str, Any]) -> list[tuple[str, int]]:
    """From training tasks to rows, each with its count."""
    steps = [
        ("training tasks", dataset["train_tasks"]),
        ("right in chat before", dataset["train_chat_right"]),
        ("verified examples", dataset["examples"]),
        ("SFT rows", sum(dataset["rows"].values())),
        ("preference pairs", sum(dataset["pairs"].values())),
    ]
    return [(name, count) for name, count in steps if count]
