"""The checkpoints of a phase: its best weights, and its last state for resuming."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from sae.run.checkpoint_io import read_checkpoint


def phase_checkpoints(folder: Path, monitor: str | None) -> tuple[Callback, Callback]:
    """Return the callbacks that write ``best.ckpt`` (lowest ``monitor``) and ``last.ckpt``.

    Without a monitor ``best.ckpt`` is that of the last epoch.

    ``best.ckpt`` must be the first of all callbacks, and ``last.ckpt`` the last one, so that it
    saves the final state of all others. If a run is interrupted between the two, the epoch is
    trained again and writes ``best.ckpt`` again.
    """
    shared: dict[str, Any] = {"enable_version_counter": False, "save_on_train_epoch_end": True}
    best = PhaseCheckpoint(folder, filename="best", monitor=monitor, **shared)
    return best, PhaseCheckpoint(folder, filename="last", **shared)


class PhaseCheckpoint(ModelCheckpoint):
    """A ModelCheckpoint that still works if its folder was moved before a resume."""

    looks_at_epochs_only = True  # see sae.training.steps

    @property
    def state_key(self) -> str:
        """A key made from the file name, because both callbacks may have no monitor."""
        return self._generate_state_key(monitor=self.monitor, filename=self.filename)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state; its files are expected in the current folder."""

        def here(path: str) -> str:
            return os.path.join(str(self.dirpath), os.path.basename(path)) if path else path

        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {**state_dict, **{key: here(state_dict[key]) for key in paths}}
        moved["best_k_models"] = {here(k): v for k, v in state_dict["best_k_models"].items()}
        super().load_state_dict({**moved, "dirpath": self.dirpath})


class Snapshot(Callback):
    """Save in each checkpoint what the Trainer leaves out, and restore it.

    Args:
        make: Makes the entry ``sae`` of a checkpoint from the epochs and seconds trained so far;
            see :meth:`sae.run.journal.RunJournal.snapshot`.
    """

    looks_at_epochs_only = True  # see sae.training.steps

    def __init__(self, make: Callable[[int, float], dict[str, Any]]) -> None:
        self.make = make
        self._seconds, self._start, self._stop = 0.0, 0.0, False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Write the event files to disk, then save the entry, which holds their lengths."""
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.flush()
        epochs = trainer.current_epoch + 1  # this one is at its end
        seconds = self._seconds + time.perf_counter() - self._start
        best = bool(getattr(trainer.checkpoint_callback, "best_model_path", ""))
        stop = trainer.should_stop
        checkpoint["sae"] = {**self.make(epochs, seconds), "stop": stop, "best": best}

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore the time, and whether the training had ended."""
        _count_steps_alike(checkpoint)
        self._seconds, self._stop = checkpoint["sae"]["seconds"], checkpoint["sae"]["stop"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop if early stopping had ended the training; the Trainer would train another epoch."""
        trainer.should_stop = trainer.should_stop or self._stop


def _count_steps_alike(checkpoint: dict[str, Any]) -> None:
    """Set both step counters of the Trainer: its own steps, and the module's."""
    loops = checkpoint["loops"]["fit_loop"]
    ours = loops["epoch_loop.manual_optimization.optim_step_progress"]
    its = loops["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]
    steps = max(progress["total"]["completed"] for progress in (ours, its))
    for progress in (ours, its):
        progress["total"].update(ready=steps, completed=steps)


class BestWeights(Callback):
    """At the end of a phase, load its best weights, which the next phase starts from.

    It must come before the callbacks that draw, so that pictures show these weights. It runs at the
    end of ``fit``: a training that is resumed after its last epoch does not call ``on_train_end``.
    """

    looks_at_epochs_only = True  # see sae.training.steps
    loads_best_weights = True  # see sae.training.pretrain

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Load the best weights, if the Trainer writes checkpoints."""
        keeper = trainer.checkpoint_callback
        if isinstance(keeper, ModelCheckpoint) and keeper.best_model_path:
            checkpoint = read_checkpoint(Path(keeper.best_model_path))
            pl_module.load_state_dict(checkpoint["state_dict"])
