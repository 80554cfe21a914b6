"""The checkpoints of a phase: its best weights, and its last state to go on from."""

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
    """``best.ckpt``, of the lowest ``monitor``, and ``last.ckpt``, after every epoch.

    Without a monitor ``best.ckpt`` is that of the last epoch: the one that goes on.

    The best comes first of all callbacks, the last after all others: it then says truly which is
    the best, and what state the others are in. If a run is broken off between the two, the epoch
    that is done again writes the best one again.
    """
    shared: dict[str, Any] = {"enable_version_counter": False, "save_on_train_epoch_end": True}
    best = PhaseCheckpoint(folder, filename="best", monitor=monitor, **shared)
    return best, PhaseCheckpoint(folder, filename="last", **shared)


class PhaseCheckpoint(ModelCheckpoint):
    """A ModelCheckpoint whose folder may be moved between a run and its going on."""

    looks_at_epochs_only = True  # see sae.training.steps

    @property
    def state_key(self) -> str:
        """Best and last are told apart by their files: both may be without a monitor."""
        return self._generate_state_key(monitor=self.monitor, filename=self.filename)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Read the state, with its files looked for where the folder lies now."""

        def here(path: str) -> str:
            return os.path.join(str(self.dirpath), os.path.basename(path)) if path else path

        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {**state_dict, **{key: here(state_dict[key]) for key in paths}}
        moved["best_k_models"] = {here(k): v for k, v in state_dict["best_k_models"].items()}
        super().load_state_dict({**moved, "dirpath": self.dirpath})


class Snapshot(Callback):
    """Put into each checkpoint what the Trainer leaves out, and take it up again.

    Args:
        make: Makes the entry ``sae`` of a checkpoint from epochs and seconds done; see
            :meth:`sae.run.journal.RunJournal.snapshot`.
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
        """Have the event files written out first: the entry says how long they are."""
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
        """Take up the time, and whether the training was at its end."""
        _count_steps_alike(checkpoint)
        self._seconds, self._stop = checkpoint["sae"]["seconds"], checkpoint["sae"]["stop"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop where an early stop had been decided: the Trainer would train one epoch more."""
        trainer.should_stop = trainer.should_stop or self._stop


def _count_steps_alike(checkpoint: dict[str, Any]) -> None:
    """The Trainer counts steps in two places, by who takes them; let both know."""
    loops = checkpoint["loops"]["fit_loop"]
    ours = loops["epoch_loop.manual_optimization.optim_step_progress"]
    its = loops["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]
    steps = max(progress["total"]["completed"] for progress in (ours, its))
    for progress in (ours, its):
        progress["total"].update(ready=steps, completed=steps)


class BestWeights(Callback):
    """At the end of a phase load its best weights: they go on, not the last ones.

    It stands before the callbacks that draw, so that they show the weights that go on. The end is
    that of ``fit``: a training that goes on after its last epoch has no ``on_train_end``.
    """

    looks_at_epochs_only = True  # see sae.training.steps
    loads_best_weights = True  # see sae.training.pretrain

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Load them, where the Trainer keeps checkpoints."""
        keeper = trainer.checkpoint_callback
        if isinstance(keeper, ModelCheckpoint) and keeper.best_model_path:
            checkpoint = read_checkpoint(Path(keeper.best_model_path))
            pl_module.load_state_dict(checkpoint["state_dict"])
