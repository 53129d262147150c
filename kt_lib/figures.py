"""Plots, alike in colours and form: the paired matrix, rates with intervals, failures, levers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from kt_lib.records import Improvement, PairedTable, Rate, Verdict

CHAT, BEFORE, AFTER, QUIET = "#0072b2", "#d55e00", "#009e73", "#8a8f98"
"""Okabe and Ito's colours, told apart by colour-blind readers: chat, agent before, agent after, all else."""
INK = "#808791"
"""Text that reads on white and on black alike (at least 3.6 to 1), for a plot cannot know its page."""


def figure(title: str, traces: Sequence[Any], height: int = 320, **layout: Any) -> Any:
    """A plotly Figure in the house's form: `height` in pixels, no background of its own, so that any page suits it."""
    import plotly.graph_objects as go

    _draw_offline()
    drawn = go.Figure(data=list(traces))
    drawn.update_layout(
        template="none",
        title={"text": title, "x": 0, "xref": "paper", "font": {"size": 15}},
        height=height,
        margin={"l": 8, "r": 24, "t": 48, "b": 40},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, -apple-system, 'Segoe UI', sans-serif", "color": INK, "size": 13},
        hoverlabel={"font": {"family": "system-ui, sans-serif"}},
        legend={"orientation": "h", "x": 0, "y": -0.12, "yanchor": "top"},
        showlegend=False,
        bargap=0.35,
    )
    lines = {"gridcolor": "rgba(128,128,128,0.2)", "zeroline": False, "automargin": True, "fixedrange": True}
    drawn.update_xaxes(**lines)
    drawn.update_yaxes(**lines)
    drawn.update_layout(**layout)
    return drawn


def paired_matrix(table: PairedTable, title: str, first: str = "chat", second: str = "agent") -> Any:
    """The 2x2 table of two sides on the same tasks: count and share in each cell."""
    import plotly.graph_objects as go

    counts = [[table.second_only, table.neither], [table.both, table.first_only]]
    said = [[f"<b>{count}</b><br>{count / table.n:.0%}" if table.n else "0" for count in row] for row in counts]
    heat = go.Heatmap(
        z=counts,
        zmin=0,
        zmax=max(1, table.n),
        x=[f"{second} right", f"{second} wrong"],
        y=[f"{first} wrong", f"{first} right"],
        text=said,
        texttemplate="%{text}",
        textfont={"size": 18},
        # Opaque, so that plotly's choice of dark or white figures is right on every page.
        colorscale=[[0, "#dfebf4"], [1, CHAT]],
        showscale=False,
        xgap=4,
        ygap=4,
        hovertemplate=f"%{{y}}, %{{x}}: %{{z}} of {table.n} tasks<extra></extra>",
    )
    quiet = {"showgrid": False}
    above = {"l": 8, "r": 24, "t": 76, "b": 8}
    xaxis = quiet | {"side": "top", "ticks": ""}
    return figure(
        f"{title} (n = {table.n})", [heat], height=290, margin=above, xaxis=xaxis, yaxis=quiet | {"ticks": ""}
    )


def rates_with_intervals(rates: Mapping[str, Rate], title: str, colours: Mapping[str, str] | None = None) -> Any:
    """Rates as points with their 95% intervals, in percent; a rate without tasks is left out."""
    known = {name: rate for name, rate in rates.items() if rate.value is not None}
    rows = [
        (
            f"{name} (n = {rate.n})",
            100 * float(rate.value or 0),
            100 * float(rate.low or 0),
            100 * float(rate.high or 0),
        )
        for name, rate in known.items()
    ]
    points = _with_intervals(rows, [(colours or {}).get(name, QUIET) for name in known], "%{x:.1f}%")
    axis = {"range": [-1, 101], "ticksuffix": "%"}
    return figure(title, [points], 110 + 34 * len(rows), xaxis=axis, yaxis={"autorange": "reversed"})


def failure_classes(changes: Mapping[str, tuple[int, int]], title: str) -> Any:
    """Attempts by failure class, before and (where there are any) after."""
    names = [in_words(name) for name in changes]
    before, after = [one for one, _ in changes.values()], [two for _, two in changes.values()]
    sides = [("before", before, BEFORE)] + ([("after", after, AFTER)] if any(after) else [])
    return _bars(names, sides, title, "attempts")


def seen_and_done_alone(counts: Mapping[str, tuple[int, int]], title: str) -> Any:
    """Tasks by name: those in which the chat showed how, and those that the agent did by itself."""
    seen, done = [one for one, _ in counts.values()], [two for _, two in counts.values()]
    sides = [("seen to work in chat", seen, CHAT), ("agent by itself", done, BEFORE)]
    return _bars([in_words(name) for name in counts], sides, title, "tasks")


def lever_ladder(improvements: Sequence[Improvement], title: str) -> Any:
    """What each lever gave, in points with 95% intervals; a kept one is coloured."""
    rows = [
        (
            row.lever if row.failure == "all" else f"{row.lever}, {in_words(row.failure)}",
            100 * (row.after - row.before),
            100 * row.low,
            100 * row.high,
        )
        for row in improvements
    ]
    points = _with_intervals(rows, [AFTER if row.kept else QUIET for row in improvements], "%{x:+.1f} points")
    axis = {"ticksuffix": " points", "zeroline": True, "zerolinecolor": QUIET, "zerolinewidth": 1}
    return figure(title, [points], 110 + 34 * len(rows), xaxis=axis, yaxis={"autorange": "reversed"})


def gap_by(tables: Mapping[str, PairedTable], title: str) -> Any:
    """Agent minus chat by group (tables with first = chat), in points with 95% intervals, the widest gap first."""
    known = sorted(((name, one) for name, one in tables.items() if one.n), key=lambda row: row[1].difference)
    rows = [
        (f"{in_words(name)} (n = {one.n})", 100 * one.difference, 100 * one.low, 100 * one.high) for name, one in known
    ]
    points = _with_intervals(rows, [BEFORE] * len(rows), "%{x:+.1f} points")
    axis = {"ticksuffix": " points", "zeroline": True, "zerolinecolor": QUIET, "zerolinewidth": 1}
    return figure(title, [points], 110 + 26 * len(rows), xaxis=axis, yaxis={"autorange": "reversed"})


def against_margin(verdicts: Sequence[Verdict], title: str, names: Sequence[str] = ()) -> Any:
    """Candidate minus base on each suite, in points with 95% intervals, beside what a guard may lose (dashed).

    Green passed, orange did not. Each stands by its suite, or by its one of `names`.
    """
    rows = [
        (f"{name} (n = {one.table.n})", 100 * one.table.difference, 100 * one.table.low, 100 * one.table.high)
        for name, one in zip(names or [in_words(one.suite) for one in verdicts], verdicts, strict=True)
    ]
    points = _with_intervals(rows, [AFTER if one.passed else BEFORE for one in verdicts], "%{x:+.1f} points")
    axis = {"ticksuffix": " points", "zeroline": True, "zerolinecolor": QUIET, "zerolinewidth": 1}
    drawn = figure(title, [points], 110 + 34 * len(rows), xaxis=axis, yaxis={"autorange": "reversed"})
    for margin in sorted({one.margin for one in verdicts}):
        drawn.add_vline(x=-100 * margin, line={"color": QUIET, "dash": "dash", "width": 1})
    return drawn


def in_words(name: str) -> str:
    """A machine's name as a reader sees it: `wrong_key` is `wrong key`."""
    return name.replace("_", " ")


def _bars(names: Sequence[str], sides: Sequence[tuple[str, Sequence[int], str]], title: str, unit: str) -> Any:
    """Bars from left to right, one for each side (name, counts, colour) under each name."""
    import plotly.graph_objects as go

    bars = [
        go.Bar(
            y=list(names),
            x=list(counts),
            orientation="h",
            name=side,
            marker_color=colour,
            text=list(counts),
            textposition="outside",
            cliponaxis=False,
            hovertemplate=f"%{{y}}, {side}: %{{x}}<extra></extra>",
        )
        for side, counts, colour in sides
    ]
    several = len(sides) > 1
    return figure(
        title,
        bars,
        100 + (24 + 18 * several) * max(1, len(names)) + 30 * several,
        barmode="group",
        showlegend=several,
        xaxis={"title": unit, "rangemode": "tozero"},
        yaxis={"autorange": "reversed", "showgrid": False},
    )


def _with_intervals(rows: Sequence[tuple[str, float, float, float]], colours: Sequence[str], said: str) -> Any:
    """Points with uneven bars from (name, value, low, high), in one unit."""
    import plotly.graph_objects as go

    return go.Scatter(
        x=[value for _, value, _, _ in rows],
        y=[name for name, _, _, _ in rows],
        mode="markers",
        marker={"size": 11, "color": list(colours)},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [high - value for _, value, _, high in rows],
            "arrayminus": [value - low for _, value, low, _ in rows],
            "color": QUIET,
            "thickness": 1.5,
        },
        customdata=[[low, high] for _, _, low, high in rows],
        hovertemplate=f"%{{y}}: {said} (%{{customdata[0]:.1f}} to %{{customdata[1]:.1f}})<extra></extra>",
    )


def _draw_offline() -> None:
    """Give notebooks the figure alone: JupyterLab draws it with the script that plotly installed there, and our pages
    bring theirs. plotly's other renderers ask a CDN for MathJax, or put 5 MB of script into each notebook."""
    import sys

    import plotly.io as pio

    if "ipykernel" in sys.modules and "PLOTLY_RENDERER" not in os.environ:
        pio.renderers.default = "plotly_mimetype"
