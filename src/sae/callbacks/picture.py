"""What the pictures share: when they are drawn, and where they go."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from matplotlib import image as plt_image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sae.modules import ReconstructionModule

DPI = 100


class PictureCallback(Callback):
    """Draw a picture every few epochs and at the end: into TensorBoard, and the last as PNG.

    The module is in eval mode while it is drawn and gets its mode back.

    Args:
        name: Of the picture: its tag below the phase, and the PNG's name.
        folder: Where the PNG goes.
        every_n_epochs: Draw after every so many epochs; 0 at the end only.
    """

    def __init__(self, name: str, folder: Path, every_n_epochs: int = 5) -> None:
        self.name, self.folder, self.every_n_epochs = name, Path(folder), every_n_epochs

    @abstractmethod
    def draw(self, module: ReconstructionModule) -> Figure:
        """The picture of the module as it is now."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw into TensorBoard, when it is time."""
        epoch = trainer.current_epoch + 1
        due = self.every_n_epochs > 0 and epoch % self.every_n_epochs == 0
        if due and epoch != trainer.max_epochs:
            self._draw(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the last picture, also as PNG."""
        self._draw(trainer, pl_module, png=True)

    @rank_zero_only
    def _draw(self, trainer: Trainer, module: LightningModule, png: bool = False) -> None:
        if not isinstance(module, ReconstructionModule):
            return
        training = module.training
        module.eval()
        with torch.no_grad():
            pixels = render(self.draw(module))
        module.train(training)
        if png:
            self.folder.mkdir(parents=True, exist_ok=True)
            plt_image.imsave(self.folder / f"{self.name}.png", pixels)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(
                    f"{module.phase}/{self.name}", pixels, trainer.global_step, dataformats="HWC"
                )


def render(figure: Figure) -> NDArray[np.uint8]:
    """A figure as pixels, (height, width, 3). It belongs to no pyplot: nothing is left open."""
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(DPI)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
