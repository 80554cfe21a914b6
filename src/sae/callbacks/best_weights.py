"""Go on with the best weights, not with the last."""

from __future__ import annotations

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


class BestWeights(Callback):
    """At the end of a phase load the checkpoint of the lowest validation loss.

    It stands before the callbacks that draw and print, so that they show the weights that go on.
    """

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Load them, where the Trainer keeps checkpoints."""
        keeper = trainer.checkpoint_callback
        if isinstance(keeper, ModelCheckpoint) and keeper.best_model_path:
            path = keeper.best_model_path
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
            pl_module.load_state_dict(checkpoint["state_dict"])
