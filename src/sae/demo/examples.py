"""The validation samples of a run, to which the demo compares new samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae import kinds
from sae.data import SampleDataModule
from sae.data.rows import encode_rows
from sae.errors import InputError
from sae.nets.stack import Stack
from sae.run.model import read_mapping

MOST = 2000


@dataclass(frozen=True)
class Gallery:
    """Samples with their codes.

    Attributes:
        x: Inputs of the network, (n, features).
        codes: Their codes, (n, units).
        labels: The class name of each sample, (n,); None without labels.
        classes: The names of the classes, in order; empty without labels.
    """

    x: Tensor
    codes: NDArray[np.float32]
    labels: NDArray[Any] | None
    classes: Sequence[str]

    def nearest(self, code: NDArray[np.float32], n: int) -> list[tuple[int, float]]:
        """Find the samples with the nearest codes.

        Args:
            code: A code, (units,).
            n: Number of samples.

        Returns:
            Pairs of sample number and distance, nearest first.
        """
        distance = np.sqrt(np.square(self.codes - code).sum(axis=1))
        order = np.argsort(distance, kind="stable")[:n]
        return [(int(k), float(distance[k])) for k in order]

    def name(self, k: int) -> str | None:
        """The class name of sample ``k``; None without labels."""
        return None if self.labels is None else str(self.labels[k])


@torch.no_grad()
def read_gallery(folder: Path, stack: Stack, sha256: str | None) -> Gallery:
    """Read and encode validation samples of a run, at most ``MOST``.

    Args:
        folder: The folder of the run.
        stack: Its network.
        sha256: The fingerprint of its data; None if it is unknown.

    Raises:
        InputError: The data of the run are missing, or have changed.
    """
    config = read_mapping(folder, "config.yaml")
    if "class_path" not in (config.get("data") or {}):
        remedy = "give the folder of the run itself"
        raise InputError("data", "the data of the run", "none in its config", remedy)
    data = kinds.build(config.get("data"), "sae.data", SampleDataModule, "data")
    data.setup()  # not prepare_data, which may download
    if data.fingerprint() != sha256:
        remedy = "restore the data of the run"
        raise InputError("data", "the data of the run", "other data", remedy)
    some = data.val_dataloader().sample(MOST)
    x = torch.cat(list(some.whole()))
    names, labels = list(map(str, data.class_names)), None
    if some.y is not None:
        index = some.y.numpy()
        names = names or [str(k) for k in range(int(index.max()) + 1)]
        labels = np.array(names)[index]
    return Gallery(x, encode_rows(stack, x).numpy(), labels, names if labels is not None else ())
