"""All metrics of a run in one table: a row for each figure of each epoch."""

from __future__ import annotations

import csv
from pathlib import Path

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from sae.training.module import TrainingModule

COLUMNS = ("phase", "epoch", "step", "name", "value")


class MetricsCSV(Callback):
    """Append to ``metrics.csv`` after each epoch: a row for each figure that the phase logged.

    Losses are per image (see :mod:`sae.nets.reconstruction_loss`), measured on the input of the
    phase: pixels for stage 1 and the fine-tuning, codes for the other stages (or images, with
    target pixels). ``val/image_sse`` is always in pixels, through all layers and back. If a phase
    trains with noise, ``val/loss`` is that of restoring corrupted inputs; squared errors are those
    of clean inputs.

    Args:
        path: The file; the header is written with the first row.
    """

    looks_at_epochs_only = True  # see sae.training.steps

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember that this epoch was validated."""
        self._validated = True

    @rank_zero_only
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Append this epoch's rows."""
        assert isinstance(pl_module, TrainingModule)
        start = f"{pl_module.phase}/"
        kinds = ("train/", "val/") if self._validated else ("train/",)
        self._validated = False
        at = (pl_module.phase, trainer.current_epoch, trainer.global_step)
        rows = [
            (*at, name.removeprefix(start), f"{float(value):.9g}")
            for name, value in trainer.callback_metrics.items()
            if name.startswith(start) and name.removeprefix(start).startswith(kinds)
        ]
        new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            if new:
                writer.writerow(COLUMNS)
            writer.writerows(rows)


def read_metrics(path: Path) -> dict[tuple[str, int], dict[str, float]]:
    """Return what :class:`MetricsCSV` wrote: figures by name, for each (phase, epoch) in order."""
    found: dict[tuple[str, int], dict[str, float]] = {}
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            figures = found.setdefault((row["phase"], int(row["epoch"])), {})
            figures[row["name"]] = float(row["value"])
    return found
