"""Callbacks: checkpoints, a progress bar that names the stage, pictures, a CSV of the metrics."""

from __future__ import annotations

from pathlib import Path

import torch
from lightning import Callback
from torch import Tensor

from sae.callbacks.checkpoints import BestWeights, Snapshot, phase_checkpoints
from sae.callbacks.latent import LatentScatter
from sae.callbacks.metrics_csv import MetricsCSV
from sae.callbacks.progress import StageProgressBar
from sae.callbacks.reconstructions import ReconstructionPictures
from sae.data import ImageDataModule
from sae.data.loader import scale

__all__ = [
    "BestWeights",
    "LatentScatter",
    "MetricsCSV",
    "ReconstructionPictures",
    "Snapshot",
    "StageProgressBar",
    "phase_checkpoints",
    "pictures",
]

N_CODES = 2000


def pictures(
    title: str, data: ImageDataModule, folder: Path, every_n_epochs: int
) -> list[Callback]:
    """Fresh picture callbacks for one phase, on validation images that stay the same.

    Args:
        title: Of the phase.
        data: Where the images come from; its name is in every title.
        folder: Where the PNGs go.
        every_n_epochs: See :class:`~sae.callbacks.picture.PictureCallback`.
    """
    title = f"{title}\n{data.name}, validation images"
    images, labels = scale(data.val.x[:N_CODES]), data.val.y[:N_CODES]
    probe = images[first_of_each_class(labels)]
    return [
        ReconstructionPictures(probe, data.image_shape, title, folder, every_n_epochs),
        LatentScatter(images, labels, title, folder, every_n_epochs),
    ]


def first_of_each_class(labels: Tensor) -> Tensor:
    """Index of the first sample of each class, classes in order."""
    return torch.stack([(labels == c).nonzero()[0, 0] for c in labels.unique()])
