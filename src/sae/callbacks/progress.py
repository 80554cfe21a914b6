"""A progress bar that says which stage is at work and how far the whole run is."""

from __future__ import annotations

import sys

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm


class StageProgressBar(TQDMProgressBar):
    """One bar a phase: ``stage 2/3 256→128 · epoch 3/10 · overall 13/40``.

    Where the output is no terminal there is none.

    Args:
        phase: Name of the phase in the metrics.
        title: Name of the phase for people.
        epochs_before: Epochs of the phases before this one.
        epochs_overall: Epochs of the whole run.
    """

    looks_at_epochs_only = True  # see sae.training.steps

    BAR_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"

    def __init__(self, phase: str, title: str, epochs_before: int, epochs_overall: int) -> None:
        terminal = sys.stdout.isatty()
        super().__init__(refresh_rate=10 if terminal else 0)
        self.phase, self.title = phase, title
        self.epochs_before, self.epochs_overall = epochs_before, epochs_overall

    def describe(self, epoch: int, epochs: int | None) -> str:
        """The words before the bar in epoch ``epoch``, from 0."""
        overall = f"overall {self.epochs_before + epoch + 1}/{self.epochs_overall}"
        return f"{self.title} · epoch {epoch + 1}/{epochs} · {overall}"

    def init_validation_tqdm(self) -> Tqdm:
        """No second bar for validation: it takes a blink."""
        return Tqdm(disable=True)

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """The latest losses, under their short names."""
        metrics = trainer.callback_metrics
        pairs = {"train": f"{self.phase}/train/loss", "val": f"{self.phase}/val/loss"}
        return {name: f"{float(metrics[key]):.3f}" for name, key in pairs.items() if key in metrics}

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Name the phase, the epoch and the overall count."""
        super().on_train_epoch_start(trainer, pl_module)
        self.train_progress_bar.set_description(
            self.describe(trainer.current_epoch, trainer.max_epochs)
        )
