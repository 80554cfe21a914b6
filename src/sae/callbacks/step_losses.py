"""Logs the loss of single steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from sae.training.module import TrainingModule


class StepLosses(Callback):
    """Log ``<phase>/train/step_loss`` after every so many steps of the optimiser.

    It is the loss of one batch, per image; if a step uses several batches, that of the last one.

    With this callback the Trainer takes one step at a time, so small networks train more slowly.

    Args:
        every_n_steps: Number of steps from one figure to the next.
    """

    def __init__(self, every_n_steps: int) -> None:
        self.every_n_steps = every_n_steps
        self._logged = 0

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Log the loss immediately, if it is due."""
        step = trainer.global_step
        due = step % self.every_n_steps == 0 and step != self._logged
        if not due or not isinstance(outputs, Mapping):
            return
        assert isinstance(pl_module, TrainingModule)
        self._logged = step  # with accumulated gradients several batches share a step
        loss = outputs["loss"].detach() * trainer.accumulate_grad_batches  # the Trainer divided it
        loss = trainer.strategy.reduce(loss, reduce_op="mean")
        for logger in trainer.loggers:
            logger.log_metrics({f"{pl_module.phase}/train/step_loss": float(loss)}, step - 1)
