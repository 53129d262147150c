"""Plots, alike in colours and form: the paired matrix, rates with intervals, failures, levers, training, datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kt_lib.records import Adapter, Improvement, PairedTable, Rate

CHAT, BEFORE, AFTER, QUIET = "#0072b2", "#d55e00", "#009e73", "#8a8f98"
"""Okabe and Ito's colours, told apart by colour-blind readers: chat, agent before, agent after, all else."""


def figure(title: str, traces: Sequence[Any], height: int = 320, **layout: Any) -> Any:
    """A figure in the house's form: no background of its own, so that it reads in light and in dark."""
    import plotly.graph_objects as go

    drawn = go.Figure(data=list(traces))
    drawn.update_layout(
        title={"text": title, "x": 0, "font": {"size": 15}},
        height=height,
        margin={"l": 10, "r": 20, "t": 48, "b": 36},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "color": "#7a828c", "size": 13},
        showlegend=False,
    )
    grid = {"gridcolor": "rgba(128,128,128,0.22)", "zeroline": False, "automargin": True}
    drawn.update_xaxes(**grid)
    drawn.update_yaxes(**grid)
    drawn.update_layout(**layout)
    return drawn


def paired_matrix(table: PairedTable, title: str, first: str = "chat", second: str = "agent") -> Any:
    """The 2x2 table of two sides on the same tasks, with counts in the cells."""
    import plotly.graph_objects as go

    counts = [[table.second_only, table.neither], [table.both, table.first_only]]
    heat = go.Heatmap(
        z=counts,
        x=[f"{second} right", f"{second} wrong"],
        y=[f"{first} wrong", f"{first} right"],
        text=counts,
        texttemplate="%{text}",
        textfont={"size": 20},
        colorscale=[[0, "rgba(0,114,178,0.08)"], [1, "rgba(0,114,178,0.65)"]],
        showscale=False,
        xgap=3,
        ygap=3,
        hoverinfo="skip",
    )
    return figure(title, [heat], height=280)


def rates_with_intervals(rates: Mapping[str, Rate], title: str, colours: Mapping[str, str] | None = None) -> Any:
    """Rates as points with their 95% intervals, in percent."""
    import plotly.graph_objects as go

    known = {name: rate for name, rate in rates.items() if rate.value is not None}
    names = list(known)
    values = [100 * (known[name].value or 0) for name in names]
    points = go.Scatter(
        x=values,
        y=names,
        mode="markers",
        marker={"size": 11, "color": [(colours or {}).get(name, QUIET) for name in names]},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [100 * (known[name].high or 0) - value for name, value in zip(names, values, strict=True)],
            "arrayminus": [value - 100 * (known[name].low or 0) for name, value in zip(names, values, strict=True)],
            "color": QUIET,
        },
        hovertemplate="%{y}: %{x:.1f}%<extra></extra>",
    )
    axis = {"range": [0, 100], "ticksuffix": "%"}
    return figure(title, [points], height=110 + 34 * len(names), xaxis=axis, yaxis={"autorange": "reversed"})


def failure_classes(changes: Mapping[str, tuple[int, int]], title: str) -> Any:
    """Failures by class, before and after."""
    import plotly.graph_objects as go

    names = list(changes)
    bars = [go.Bar(y=names, x=[changes[name][0] for name in names], orientation="h", name="before", marker_color=BEFORE)]
    if any(after for _, after in changes.values()):
        after = [changes[name][1] for name in names]
        bars.append(go.Bar(y=names, x=after, orientation="h", name="after", marker_color=AFTER))
    return figure(
        title,
        bars,
        height=130 + 30 * len(names),
        barmode="group",
        showlegend=len(bars) > 1,
        yaxis={"autorange": "reversed"},
    )


def lever_ladder(improvements: Sequence[Improvement], title: str) -> Any:
    """What each lever gave, in points with 95% intervals; kept ones in colour."""
    import plotly.graph_objects as go

    gains = [100 * (row.after - row.before) for row in improvements]
    names = [row.lever if row.failure == "all" else f"{row.lever}, {row.failure}" for row in improvements]
    points = go.Scatter(
        x=gains,
        y=names,
        mode="markers",
        marker={"size": 11, "color": [AFTER if row.kept else QUIET for row in improvements]},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [100 * row.high - gain for row, gain in zip(improvements, gains, strict=True)],
            "arrayminus": [gain - 100 * row.low for row, gain in zip(improvements, gains, strict=True)],
            "color": QUIET,
        },
        hovertemplate="%{y}: %{x:+.1f} points<extra></extra>",
    )
    axis = {"ticksuffix": " points", "zeroline": True, "zerolinecolor": QUIET}
    return figure(title, [points], height=120 + 34 * len(names), xaxis=axis, yaxis={"autorange": "reversed"})


def training_curve(adapters: Sequence[Adapter], title: str) -> Any:
    """Loss by optimiser step, a line for each training."""
    import plotly.graph_objects as go

    colours = dict(zip((adapter.name for adapter in adapters), (AFTER, CHAT, BEFORE), strict=False))
    lines = [
        go.Scatter(
            x=[step for step, _ in adapter.losses],
            y=[loss for _, loss in adapter.losses],
            mode="lines",
            name=adapter.name,
            line={"color": colours.get(adapter.name, QUIET), "width": 2},
        )
        for adapter in adapters
    ]
    axis = {"title": "loss", "type": "log"}
    return figure(title, lines, showlegend=True, xaxis={"title": "optimiser step"}, yaxis=axis)


def dataset_mix(counts: Mapping[str, int], title: str) -> Any:
    """Rows by kind."""
    import plotly.graph_objects as go

    names = list(counts)
    colours = [QUIET if name.startswith("pair") else CHAT if name == "chat_replay" else AFTER for name in names]
    bars = go.Bar(y=names, x=[counts[name] for name in names], orientation="h", marker_color=colours)
    return figure(title, [bars], height=120 + 28 * len(names), yaxis={"autorange": "reversed"})


def gap_by(tables: Mapping[str, PairedTable], title: str) -> Any:
    """Agent minus chat by group, in points with 95% intervals, the widest gap first."""
    import plotly.graph_objects as go

    rows = sorted(((name, table) for name, table in tables.items() if table.n), key=lambda row: row[1].difference)
    points = go.Scatter(
        x=[100 * table.difference for _, table in rows],
        y=[f"{name} (n {table.n})" for name, table in rows],
        mode="markers",
        marker={"size": 10, "color": BEFORE},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [100 * (table.high - table.difference) for _, table in rows],
            "arrayminus": [100 * (table.difference - table.low) for _, table in rows],
            "color": QUIET,
        },
    )
    return figure(title, [points], height=110 + 26 * len(rows), xaxis={"ticksuffix": " points"})
