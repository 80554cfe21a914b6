"""All metrics of a run in one table, a row an epoch."""

from __future__ import annotations

import csv
from pathlib import Path

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from sae.training.module import TrainingModule

COLUMNS = [
    "phase",
    "epoch",
    "step",
    "train/loss",
    "train/reconstruction",
    "train/sparsity",
    "train/activity",
    "val/loss",
    "val/sse",
    "val/image_sse",
]


class MetricsCSV(Callback):
    """Append a row to ``metrics.csv`` after each epoch; metrics a phase does not have stay empty.

    Losses are per image (see :mod:`sae.nets.losses`), counted on the input of the phase: pixels for
    stage 1 and the fine-tuning, codes of the stage below for the others (images, where these are
    its target); ``val/image_sse`` is in pixels throughout, through all layers and back. Where a
    phase trains with noise, ``val/loss`` is that of restoring corrupted inputs, and the squared
    errors are those of clean ones.

    Args:
        path: The file; it gets its header with its first row.
    """

    looks_at_epochs_only = True  # see sae.training.steps

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that this epoch has validation metrics of its own."""
        self._validated = True

    @rank_zero_only
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Append this epoch's row."""
        assert isinstance(pl_module, TrainingModule)
        metrics = trainer.callback_metrics
        row: dict[str, str | int] = {
            "phase": pl_module.phase,
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
        }
        for column in COLUMNS[3:]:
            stale = column.startswith("val/") and not self._validated
            value = None if stale else metrics.get(f"{pl_module.phase}/{column}")
            row[column] = "" if value is None else f"{float(value):.9g}"
        self._validated = False
        new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)
