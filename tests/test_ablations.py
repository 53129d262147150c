"""Ablations: rows of one source or kind learned alone, found again by their name."""

from pathlib import Path

import pytest
import tiny_base

from kt_lib.ablations import placed, train_alone
from kt_lib.errors import KtError
from kt_lib.recipes import SftRecipe

RECIPE = SftRecipe(num_train_epochs=1, learning_rate=1e-3, per_device_train_batch_size=4, seed=1)


def silent(what: str):
    return lambda done, of, loss: None


def test_each_source_or_kind_is_learned_alone_and_lies_where_its_name_says(tmp_path: Path) -> None:
    base = tiny_base.make_base(tmp_path / "base")
    rows = [tiny_base.sft_row(tiny_base.task(at)) for at in range(8)]
    rows = [row.model_copy(update={"source": "corrections" if at < 3 else "own"}) for at, row in enumerate(rows)]
    made = train_alone(base, rows, ["corrections", rows[0].kind], tmp_path / "ablations", RECIPE, silent)
    assert [(one.name, one.rows) for one in made] == [("sft:corrections", 3), (f"sft:{rows[0].kind}", 8)]
    assert made[0].digest != made[1].digest
    paths = placed(made, tmp_path / "sft", tmp_path / "ablations")
    assert all((path / "adapter_config.json").is_file() for path in paths.values())


def test_a_name_that_no_row_has_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    base = tiny_base.make_base(tmp_path / "base")
    rows = [tiny_base.sft_row(tiny_base.task(0))]
    with pytest.raises(KtError, match=f"'toucan'.*may name .*{rows[0].kind}"):
        train_alone(base, rows, ["toucan"], tmp_path, RECIPE, silent)
