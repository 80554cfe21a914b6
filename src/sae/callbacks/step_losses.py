"""The loss of single steps, for who wants to look inside an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from sae.training.module import TrainingModule


class StepLosses(Callback):
    """Log ``<phase>/train/step_loss`` after every so many steps of the optimiser.

    It is the loss of one batch, per image: the last one, where a step sums up several.

    It looks at single steps, so that the Trainer takes one at a time: small networks train more
    slowly than without.

    Args:
        every_n_steps: Steps from one figure to the next.
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
        """Log it, to the loggers at once."""
        step = trainer.global_step
        due = step % self.every_n_steps == 0 and step != self._logged
        if not due or not isinstance(outputs, Mapping):
            return
        assert isinstance(pl_module, TrainingModule)
        self._logged = step  # batches whose gradients are summed up have a step in common
        loss = outputs["loss"].detach() * trainer.accumulate_grad_batches  # the Trainer divided it
        loss = trainer.strategy.reduce(loss, reduce_op="mean")
        for logger in trainer.loggers:
            logger.log_metrics({f"{pl_module.phase}/train/step_loss": float(loss)}, step - 1)
