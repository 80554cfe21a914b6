from __future__ import annotations

import pytest
from helpers import loader, tiny_stack
from lightning import Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sae.callbacks.metrics_csv import MetricsCSV, read_metrics
from sae.callbacks.whole_path import TAG, WholePath
from sae.training.recipe import Recipe
from sae.training.stage import Stage


def test_the_error_in_pixels_stands_at_the_epoch_of_the_whole_run(tmp_path):
    stage, data = Stage(tiny_stack(), 0, Recipe(lr=0.01)), loader()
    table = tmp_path / "metrics.csv"
    trainer = Trainer(
        max_epochs=3,
        callbacks=[WholePath(10), MetricsCSV(table)],
        logger=[TensorBoardLogger(tmp_path, name="", version="board"), CSVLogger(tmp_path / "csv")],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(stage, data, data)
    events = EventAccumulator(str(tmp_path / "board")).Reload().Scalars(TAG)
    assert [event.step for event in events] == [11, 12, 13], "none of the sanity check"
    expected = [row["val/image_sse"] for row in read_metrics(table).values()]
    assert [event.value for event in events] == pytest.approx(expected)
    assert not [path for path in (tmp_path / "csv").rglob("*.csv") if TAG in path.read_text()]
