"""A progress bar that says which stage is at work and how far the whole run is."""

from __future__ import annotations

import sys
import time

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from lightning.pytorch.utilities import rank_zero_only

from sae.modules import ReconstructionModule


class StageProgressBar(TQDMProgressBar):
    """One bar a phase, and a line with its result.

    ``stage 2/3 256→128 · epoch 3/10 · overall 13/40``. Where the output is no terminal there is no
    bar, only the line at the end of each phase.

    Args:
        phase: Name of the phase in the metrics.
        title: Name of the phase for people.
        epochs_before: Epochs of the phases before this one.
        epochs_overall: Epochs of the whole run.
    """

    BAR_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"

    def __init__(self, phase: str, title: str, epochs_before: int, epochs_overall: int) -> None:
        terminal = sys.stdout.isatty()
        super().__init__(refresh_rate=10 if terminal else 0)
        self.phase, self.title = phase, title
        self.epochs_before, self.epochs_overall = epochs_before, epochs_overall
        self._start = 0.0

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

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the bar and the clock."""
        super().on_train_start(trainer, pl_module)
        self._start = time.perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Name the phase, the epoch and the overall count."""
        super().on_train_epoch_start(trainer, pl_module)
        self.train_progress_bar.set_description(
            self.describe(trainer.current_epoch, trainer.max_epochs)
        )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar and print the phase's result, that of the weights that go on."""
        super().on_train_end(trainer, pl_module)
        self._print_result(trainer, pl_module)

    @rank_zero_only
    def _print_result(self, trainer: Trainer, module: LightningModule) -> None:
        seconds = time.perf_counter() - self._start
        loss = getattr(trainer.checkpoint_callback, "best_model_score", None)
        if loss is None:
            loss = trainer.callback_metrics.get(f"{self.phase}/val/loss")
        result = "" if loss is None else f", validation loss {float(loss):.3f} {unit(module)}"
        overall = f"overall {self.epochs_before + trainer.current_epoch}/{self.epochs_overall}"
        print(
            f"{self.title}: {trainer.current_epoch} epochs in {seconds:.1f} s{result} ({overall})",
            flush=True,
        )


def unit(module: LightningModule) -> str:
    """What a loss is counted in: ``SSE per image``, or per code where codes are rebuilt."""
    assert isinstance(module, ReconstructionModule)
    error = "nats" if module.net.loss == "bce" else "SSE"
    penalty = "" if module.recipe.sparsity is None else " + penalty"
    return f"{error} per {'code' if len(module.below) else 'image'}{penalty}"
