"""A progress bar, or lines in a log: which phase is at work, and how far the whole run is."""

from __future__ import annotations

import sys
from time import perf_counter

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm


class StageProgressBar(TQDMProgressBar):
    """A bar for each phase: ``stage 2/3 256→128 · epoch 3/10 · overall 13/40``.

    Where the output is not a terminal, such as a log file, a line takes its place: after an epoch,
    but no more often than every 10 seconds. The first process alone prints.

    Args:
        phase: Name of the phase in the metrics.
        title: Name of the phase for people.
        epochs_before: Epochs of the phases before this one.
        epochs_overall: Epochs of the whole run.
    """

    looks_at_epochs_only = True  # see sae.training.steps

    BAR_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
    INTERVAL = 10.0  # seconds between two lines, at least

    def __init__(self, phase: str, title: str, epochs_before: int, epochs_overall: int) -> None:
        # Without a console (pythonw) there is no standard output at all.
        self.on_terminal = bool(getattr(sys.stdout, "isatty", bool)())
        super().__init__(refresh_rate=10 if self.on_terminal else 0)
        self.phase, self.title = phase, title
        self.epochs_before, self.epochs_overall = epochs_before, epochs_overall
        self._started = self._last_line = 0.0
        self._validated = -1  # the last epoch after which there was a validation

    def describe(self, epoch: int, epochs: int | None) -> str:
        """The words before the bar in epoch ``epoch``, from 0."""
        overall = f"overall {self._overall(epoch)}"
        return f"{self.title} · epoch {epoch + 1}/{epochs} · {overall}"

    def line(self, epoch: int, epochs: int | None, loss: float | None, seconds: float) -> str:
        """What stands in a log after epoch ``epoch``, from 0.

        Args:
            epoch: That has ended.
            epochs: Of the phase.
            loss: On the validation samples; None where it was not measured.
            seconds: Since the phase began.
        """
        measured = "" if loss is None else f", validation loss {loss:.3f}"
        overall = f"overall {self._overall(epoch)}"
        return f"{self.title}: epoch {epoch + 1}/{epochs}{measured}, {seconds:.0f} s ({overall})"

    def _overall(self, epoch: int) -> str:
        return f"{self.epochs_before + epoch + 1}/{self.epochs_overall}"

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        super().on_train_start(trainer, pl_module)
        self._started = self._last_line = perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the epoch that the losses are of."""
        super().on_validation_end(trainer, pl_module)
        if not trainer.sanity_checking:
            self._validated = trainer.current_epoch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print a line where one is due. The last epoch has none: the phase has a line itself."""
        super().on_train_epoch_end(trainer, pl_module)
        now, epoch = perf_counter(), trainer.current_epoch
        last = trainer.max_epochs is not None and epoch + 1 >= trainer.max_epochs
        due = now - self._last_line >= self.INTERVAL
        if self.on_terminal or last or not due or not trainer.is_global_zero:
            return
        self._last_line = now
        loss = None  # that of an earlier epoch would be taken for this one's
        if self._validated == epoch:
            loss = trainer.callback_metrics.get(f"{self.phase}/val/loss")
        shown = None if loss is None else float(loss)
        print(self.line(epoch, trainer.max_epochs, shown, now - self._started), flush=True)

    def init_validation_tqdm(self) -> Tqdm:
        """No second bar for validation, which is short."""
        return Tqdm(disable=True)

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """The latest losses, under short names."""
        metrics = trainer.callback_metrics
        pairs = {"train": f"{self.phase}/train/loss", "val": f"{self.phase}/val/loss"}
        return {name: f"{float(metrics[key]):.3f}" for name, key in pairs.items() if key in metrics}

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Name the phase, the epoch and the overall count."""
        super().on_train_epoch_start(trainer, pl_module)
        self.train_progress_bar.set_description(
            self.describe(trainer.current_epoch, trainer.max_epochs)
        )
