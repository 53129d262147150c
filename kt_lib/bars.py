"""A bar that shows in a notebook how far a training is."""

from __future__ import annotations

from collections.abc import Callable


def step_bar(what: str) -> Callable[[int, int, float], None]:
    """Something to call after each optimiser step with (steps done, steps in all, loss)."""
    from tqdm.auto import tqdm

    bar = tqdm(desc=what, unit="step", mininterval=0.5)

    def on_step(done: int, of: int, loss: float) -> None:
        bar.total = of
        bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
        bar.update(done - bar.n)
        if done >= of:
            bar.close()

    return on_step
