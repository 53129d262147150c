"""`kt base`: train the embedded base model anew, and measure it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The embedded base model: trained here, from generated data.", no_args_is_help=True)

Out = Annotated[Path, typer.Option("--out", help="Folder for weights, tokenizer, template and card.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of data, order and first weights.")]
Tokens = Annotated[int, typer.Option("--tokens", min=10_000, help="Tokens to see; 12 million take 20 to 30 minutes.")]
Beside = Annotated[Path | None, typer.Option("--beside", help="Another training's folder to show in the card.")]
Count = Annotated[int, typer.Option("--tasks", min=30, help="Held-out tasks to measure on.")]


@app.callback()
def base() -> None:
    """The embedded base model."""


@app.command()
def train(out: Out, seed: Seed = 1, tokens: Tokens = 12_000_000, tasks: Count = 600, beside: Beside = None) -> None:
    """Train a base model from nothing on one CPU thread, save it and write its card with measured scores."""
    from kt_lib.models.base_card import write_card
    from kt_lib.models.base_training import BaseRecipe, Progress, train_base

    recipe = BaseRecipe(seed=seed, tokens=tokens)
    told = 0

    def tell(progress: Progress, _model: object, _tokenizer: object) -> None:
        nonlocal told
        if progress.tokens - told >= 500_000:
            told = progress.tokens
            left = progress.seconds * (tokens - told) / told / 60
            typer.echo(
                f"{told / 1e6:.1f} of {tokens / 1e6:.1f} M tokens, loss {progress.loss:.3f}, {left:.0f} min left"
            )

    last = train_base(recipe, out, tell)
    card = write_card(out, recipe, last, tasks, beside)
    typer.echo(f"{out}: {last.tokens:,} tokens in {last.seconds / 60:.1f} minutes\n{card}")


@app.command()
def score(
    folder: Annotated[Path | None, typer.Argument(help="A base model's folder; the packaged one by default.")] = None,
    seed: Seed = 7,
    tasks: Count = 600,
) -> None:
    """Measure a base model on held-out tasks, in chat and as an agent, each rate with its interval."""
    from kt_lib.models.base_card import score_table
    from kt_lib.models.embedded import packaged_base

    typer.echo(score_table(folder or packaged_base(), seed, tasks))
