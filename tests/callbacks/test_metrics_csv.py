from __future__ import annotations

import csv

import pytest
from helpers import loader, tiny_stack
from lightning import Trainer

from sae.callbacks.metrics_csv import COLUMNS, MetricsCSV, read_metrics
from sae.callbacks.progress import StageProgressBar
from sae.terms.sparsity import Sparsity
from sae.training.recipe import Recipe
from sae.training.stage import Stage

PLAIN = Recipe(lr=0.01)


def fit(*callbacks, recipe=PLAIN, index=0, epochs=3, **options):
    stage = Stage(tiny_stack(), index, recipe)
    data = loader(features=stage.net.n_in)
    trainer = Trainer(
        max_epochs=epochs,
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(stage, data, data)
    return trainer


def rows(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_row_an_epoch_with_the_metrics_of_that_epoch(tmp_path):
    path = tmp_path / "metrics.csv"
    trainer = fit(MetricsCSV(path), StageProgressBar("stage1", "t", 0, 3))
    table, figures = rows(path), read_metrics(path)
    assert tuple(table[0]) == COLUMNS
    names = {"train/loss", "val/loss", "val/sse", "val/image_sse"}
    assert {(row["phase"], row["epoch"], row["step"], row["name"]) for row in table} == {
        ("stage1", str(k), str(3 * (k + 1)), name) for k in range(3) for name in names
    }
    assert len(table) == 3 * len(names)
    for name in names:
        last = float(trainer.callback_metrics[f"stage1/{name}"])
        assert figures["stage1", 2][name] == pytest.approx(last)
    losses = [figures["stage1", epoch]["train/loss"] for epoch in range(3)]
    assert losses == sorted(losses, reverse=True)


def test_phases_follow_each_other_in_one_file(tmp_path):
    path = tmp_path / "metrics.csv"
    sparse = Recipe(lr=0.01, sparsity=Sparsity(0.1))
    fit(MetricsCSV(path), StageProgressBar("stage1", "t", 0, 3))
    fit(MetricsCSV(path), StageProgressBar("stage2", "t", 0, 3), recipe=sparse, index=1, epochs=1)
    figures = read_metrics(path)
    assert list(figures) == [("stage1", 0), ("stage1", 1), ("stage1", 2), ("stage2", 0)]
    last = figures["stage2", 0]
    total = last["train/reconstruction"] + last["train/sparsity"]
    assert last["train/loss"] == pytest.approx(total)
    assert 0 < last["train/activity"] < 1


def test_an_epoch_without_a_validation_has_no_figures_of_the_one_before(tmp_path):
    path = tmp_path / "metrics.csv"
    fit(MetricsCSV(path), StageProgressBar("stage1", "t", 0, 3), check_val_every_n_epoch=2)
    figures = read_metrics(path)
    assert ["val/loss" in figures["stage1", epoch] for epoch in range(3)] == [False, True, True]


def test_nor_has_any_later_one(tmp_path):
    path = tmp_path / "metrics.csv"
    fit(MetricsCSV(path), check_val_every_n_epoch=2, epochs=5)
    figures = read_metrics(path)
    validated = ["val/loss" in figures["stage1", epoch] for epoch in range(5)]
    assert validated == [False, True, False, True, True], "the last one always is"
