from __future__ import annotations

import csv

import pytest
from helpers import loader, tiny_stack
from lightning import Trainer

from sae.callbacks import MetricsCSV, StageProgressBar
from sae.callbacks.metrics_csv import COLUMNS
from sae.terms.sparsity import Sparsity
from sae.training.recipe import Recipe
from sae.training.stage import Stage

PLAIN = Recipe(lr=0.01)


def fit(*callbacks, recipe=PLAIN, index=0, epochs=3):
    stage = Stage(tiny_stack(), index, recipe)
    data = loader(features=stage.net.n_in)
    trainer = Trainer(
        max_epochs=epochs,
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(stage, data, data)
    return trainer


def rows(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_bar_names_the_stage_the_epoch_and_the_overall_count():
    bar = StageProgressBar("stage2", "stage 2/3 256→128", 10, 40)
    assert bar.describe(2, 10) == "stage 2/3 256→128 · epoch 3/10 · overall 13/40"


def test_the_bar_shows_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    fit(StageProgressBar("stage1", "stage 1/2 12→6", 0, 9))
    out = capsys.readouterr().out
    assert "stage 1/2 12→6 · epoch 3/3 · overall 3/9" in out
    assert "val=" in out


def test_elsewhere_there_is_none(capsys):
    fit(StageProgressBar("stage1", "stage 1/2 12→6", 4, 9))
    assert capsys.readouterr().out == ""


def test_a_row_an_epoch_with_the_metrics_of_that_epoch(tmp_path):
    path = tmp_path / "metrics.csv"
    trainer = fit(MetricsCSV(path), StageProgressBar("stage1", "t", 0, 3))
    table = rows(path)
    assert list(table[0]) == COLUMNS
    assert [(row["phase"], row["epoch"], row["step"]) for row in table] == [
        ("stage1", str(k), str(3 * (k + 1))) for k in range(3)
    ]
    for column in ("train/loss", "val/loss", "val/sse"):
        last = float(trainer.callback_metrics[f"stage1/{column}"])
        assert float(table[-1][column]) == pytest.approx(last)
        assert all(row[column] for row in table)
    assert not any(row["train/sparsity"] for row in table)
    losses = [float(row["train/loss"]) for row in table]
    assert losses == sorted(losses, reverse=True)


def test_phases_follow_each_other_in_one_file(tmp_path):
    path = tmp_path / "metrics.csv"
    sparse = Recipe(lr=0.01, sparsity=Sparsity(0.1))
    fit(MetricsCSV(path), StageProgressBar("stage1", "t", 0, 3))
    fit(MetricsCSV(path), StageProgressBar("stage2", "t", 0, 3), recipe=sparse, index=1, epochs=1)
    table = rows(path)
    assert [row["phase"] for row in table] == ["stage1"] * 3 + ["stage2"]
    total = float(table[-1]["train/reconstruction"]) + float(table[-1]["train/sparsity"])
    assert float(table[-1]["train/loss"]) == pytest.approx(total)
    assert 0 < float(table[-1]["train/activity"]) < 1
