"""Originals, corrupted inputs and reconstructions, row by row."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor
from torchvision.utils import make_grid

from sae.callbacks.picture import PictureCallback
from sae.modules import ReconstructionModule


class ReconstructionPictures(PictureCallback):
    """A row of images, of what the stage makes of them and, under noise, of what it is given.

    Every row is in pixels: a stage above the first goes down through the decoders below it.

    Args:
        images: Clean images in [0, 1], (n, pixels); always the same ones.
        image_shape: Height and width.
        title: Of the picture: the phase and the data.
        folder: Where the PNG goes.
        every_n_epochs: Draw after every so many epochs; 0 at the end only.
    """

    def __init__(
        self,
        images: Tensor,
        image_shape: tuple[int, int],
        title: str,
        folder: Path,
        every_n_epochs: int = 5,
    ) -> None:
        super().__init__("reconstructions", folder, every_n_epochs)
        self.images, self.image_shape, self.title = images, image_shape, title

    def draw(self, module: ReconstructionModule) -> Figure:
        """The rows, with the squared error per image of each against the originals."""
        pixels = self.images.to(module.device)
        rows = {name: row.cpu() for name, row in module.reconstruct_pixels(pixels).items()}
        n = len(self.images)
        figure = Figure(figsize=(0.62 * n + 1.9, 0.62 * len(rows) + 0.5), layout="constrained")
        figure.suptitle(self.title, fontsize=11)
        axes = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
        for axis, (name, row) in zip(axes, rows.items(), strict=True):
            grid = make_grid(row.view(n, 1, *self.image_shape).clamp(0, 1), nrow=n, padding=1)
            axis.imshow(grid.permute(1, 2, 0).numpy(), interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            label = name
            if name != "original":
                sse = (row - self.images).square().sum(dim=1).mean()
                label = f"{name}\nSSE {sse:.2f}"
            axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
        return figure
