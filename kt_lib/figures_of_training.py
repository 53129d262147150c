"""Plots of learning: what is in a mix, the loss as it falls, and what each training gained and lost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kt_lib.figures import AFTER, BEFORE, CHAT, QUIET, against_margin, figure, in_words
from kt_lib.records import Adapter, Verdict

REDRAWN = 2.0
"""Seconds between two drawings of a curve that grows."""


def dataset_mix(counts: Mapping[str, int], title: str) -> Any:
    """Rows by kind: replayed chat, agent rows, preference pairs."""
    import plotly.graph_objects as go

    colours = [QUIET if name.startswith("pair") else CHAT if name == "chat_replay" else AFTER for name in counts]
    bars = go.Bar(
        y=[in_words(name) for name in counts],
        x=list(counts.values()),
        orientation="h",
        marker_color=colours,
        text=list(counts.values()),
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x} rows<extra></extra>",
    )
    axis = {"title": "rows", "rangemode": "tozero"}
    return figure(title, [bars], 100 + 28 * len(counts), xaxis=axis, yaxis={"autorange": "reversed", "showgrid": False})


def training_curve(adapters: Sequence[Adapter], title: str) -> Any:
    """Loss by optimiser step (log scale), a line for each training."""
    return _curves([(adapter.name, adapter.losses) for adapter in adapters], title)


def live_curve(what: str) -> Callable[[int, int, float], None]:
    """A bar and a curve of the loss that grows under the cell, to call after each optimiser step.

    The curve is drawn anew every `REDRAWN` seconds, and gives way at the end to what the notebook shows of all of them.
    """
    import IPython.display as shown
    from tqdm.auto import tqdm

    page: Any = shown

    bar, began, losses = tqdm(desc=what, unit="step", mininterval=0.5), time.monotonic(), list[tuple[int, float]]()
    place = page.display(page.HTML(""), display_id=True)
    drawn = began

    def on_step(done: int, of: int, loss: float) -> None:
        nonlocal drawn
        losses.append((done, loss))
        bar.total = of
        bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
        bar.update(done - bar.n)
        if done >= of:
            bar.close()
        if place and done >= of:
            place.update(page.HTML(""))
        elif place and time.monotonic() - drawn > REDRAWN:
            place.update(_as_data(_curves([(what, losses)], f"{what}: loss by step, {done} of {of}")), raw=True)
            drawn = time.monotonic()

    return on_step


def _as_data(drawn: Any) -> dict[str, Any]:
    """A figure by its MIME type: shown as itself, plotly would put a new one below instead of drawing this one anew."""
    return {"application/vnd.plotly.v1+json": json.loads(drawn.to_json())}


def ablation(judged: Mapping[str, Sequence[Verdict]], title: str) -> Any:
    """What each training changed on each suite, in points with its interval; `judged` holds their verdicts by name.

    Guards draw other tasks for one training than for another: only against the base on its own tasks is each measured.
    """
    suites = dict.fromkeys(one.suite for verdicts in judged.values() for one in verdicts)
    chosen = [
        (f"{in_words(suite)}, {name}", one)
        for suite in suites
        for name, verdicts in judged.items()
        for one in verdicts
        if one.suite == suite
    ]
    return against_margin([one for _, one in chosen], title, [name for name, _ in chosen])


def _curves(trainings: Sequence[tuple[str, Sequence[tuple[int, float]]]], title: str) -> Any:
    import plotly.graph_objects as go

    lines = [
        go.Scatter(
            x=[step for step, _ in losses],
            y=[loss for _, loss in losses],
            mode="lines",
            name=name,
            line={"color": (AFTER, CHAT, BEFORE, QUIET)[at % 4], "width": 2, "dash": ("solid", "dash", "dot")[at % 3]},
            hovertemplate=f"{name}, step %{{x}}: %{{y:.4f}}<extra></extra>",
        )
        for at, (name, losses) in enumerate(trainings)
    ]
    loss = {"title": "loss", "type": "log"}
    return figure(title, lines, 340, showlegend=True, xaxis={"title": "optimiser step"}, yaxis=loss, legend={"y": -0.2})
