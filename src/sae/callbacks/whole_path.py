"""Logs the error in pixels, through all layers and back, on one axis for all phases."""

from __future__ import annotations

from lightning import Callback, LightningModule, Trainer

from sae.callbacks.phase_pictures import tensorboards
from sae.run.trackers import is_tracker
from sae.training.module import TrainingModule

TAG = "path/val/image_sse"


class WholePath(Callback):
    """Log the error in pixels under one tag for all phases, against the epoch of the whole run.

    TensorBoard shows each phase as a run, so the phases appear side by side in different colours.

    Args:
        epochs_before: Epochs of all earlier phases.
    """

    looks_at_epochs_only = True  # see sae.training.steps

    def __init__(self, epochs_before: int) -> None:
        self.epochs_before = epochs_before

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the error."""
        assert isinstance(pl_module, TrainingModule)
        value = trainer.callback_metrics.get(f"{pl_module.phase}/val/image_sse")
        if value is None or trainer.sanity_checking:
            return
        trackers = [logger for logger in trainer.loggers if is_tracker(logger)]
        for tracker in trackers:  # they count the steps of the whole run
            tracker.log_metrics({TAG: float(value)}, trainer.global_step - 1)
        for board in tensorboards(trainer.loggers):
            epoch = self.epochs_before + trainer.current_epoch + 1
            if board not in trackers:
                board.log_metrics({TAG: float(value)}, epoch)
