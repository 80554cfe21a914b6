"""The code as a map: a scatter coloured by label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from matplotlib import colormaps
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from sae.callbacks.picture import PictureCallback
from sae.modules import ReconstructionModule


class LatentScatter(PictureCallback):
    """Codes in the plane: 2-D codes as they are, larger ones through PCA, 1-D ones over a label.

    The points of the last picture are written beside it, as ``codes_2d.csv``.

    Args:
        images: Images to encode, (n, pixels); always the same ones.
        labels: Their classes, (n,).
        title: Of the picture: the phase and the data.
        folder: Where the PNG and the CSV go.
        every_n_epochs: Draw after every so many epochs; 0 at the end only.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        title: str,
        folder: Path,
        every_n_epochs: int = 5,
    ) -> None:
        super().__init__("codes", folder, every_n_epochs)
        self.images, self.labels, self.title = images, labels.numpy(), title

    def points(self, module: ReconstructionModule) -> tuple[NDArray[np.float32], list[str]]:
        """Where the samples lie in the picture, (n, 2), and the names of the axes."""
        from sklearn.decomposition import PCA

        codes = module.pixels_to_code(self.images.to(module.device)).cpu().numpy()
        if codes.shape[1] == 1:
            return np.column_stack([codes[:, 0], self.labels]), ["h[0]", "label"]
        if codes.shape[1] == 2 or len(codes) < 2:
            return codes[:, :2], ["h[0]", "h[1]"]
        with np.errstate(invalid="ignore"):  # a collapsed code has no variance to share
            pca = PCA(2, svd_solver="covariance_eigh").fit(codes)
        share = 100 * np.nan_to_num(pca.explained_variance_ratio_)
        names = [f"PC{k + 1} of the code ({share[k]:.0f} % of its variance)" for k in range(2)]
        return pca.transform(codes), names

    def draw(self, module: ReconstructionModule) -> Figure:
        """The scatter with its colour bar."""
        points, names = self.points(module)
        classes = np.unique(self.labels)
        colours = colormaps["tab10" if len(classes) <= 10 else "turbo"].resampled(len(classes))
        edges = np.append(classes - 0.5, classes[-1] + 0.5)
        figure = Figure(figsize=(6.4, 5.2), layout="constrained")
        axis = figure.subplots()
        dots = axis.scatter(
            points[:, 0],
            points[:, 1],
            c=self.labels,
            s=min(20, max(5, 8000 / len(points))),
            cmap=colours,
            norm=BoundaryNorm(edges, len(classes)),
            linewidths=0,
        )
        bar = figure.colorbar(dots, ax=axis, ticks=classes)
        bar.set_label("label")
        axis.set(xlabel=names[0], ylabel=names[1], title=self.title)
        return figure

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the last picture and write its points."""
        super().on_fit_end(trainer, pl_module)
        if isinstance(pl_module, ReconstructionModule):
            self._write_points(pl_module)

    @rank_zero_only
    def _write_points(self, module: ReconstructionModule) -> None:
        points, names = self.points(module)
        table = np.column_stack([points, self.labels])
        header = ",".join([*(name.split(" ")[0] for name in names), "label"])
        path = self.folder / f"{self.name}_2d.csv"
        np.savetxt(
            path, table, fmt=["%.6g", "%.6g", "%d"], delimiter=",", header=header, comments=""
        )
