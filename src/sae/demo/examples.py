"""Samples that a run did not train on, to compare new ones with: its validation samples."""

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
        codes: (n, units).
        labels: What each is called, (n,); None where nobody knows.
        classes: What the labels are called, in order; empty without labels.
    """

    x: Tensor
    codes: NDArray[np.float32]
    labels: NDArray[Any] | None
    classes: Sequence[str]

    def nearest(self, code: NDArray[np.float32], n: int) -> list[tuple[int, float]]:
        """The samples whose codes are nearest to one, nearest first, each with its distance.

        Args:
            code: (units,).
            n: How many.
        """
        distance = np.sqrt(np.square(self.codes - code).sum(axis=1))
        order = np.argsort(distance, kind="stable")[:n]
        return [(int(k), float(distance[k])) for k in order]

    def name(self, k: int) -> str | None:
        """What a sample is called."""
        return None if self.labels is None else str(self.labels[k])


@torch.no_grad()
def read_gallery(folder: Path, stack: Stack, sha256: str | None) -> Gallery:
    """The validation samples of a run, as many as a page can show.

    Args:
        folder: Of the run.
        stack: Its network.
        sha256: Fingerprint of its data; None where nobody has kept it.

    Raises:
        InputError: Its data are not there any more, or they are others.
    """
    config = read_mapping(folder, "config.yaml")
    if "class_path" not in (config.get("data") or {}):
        remedy = "name the folder of the run itself"
        raise InputError("data", "those that the run trained on", "none that are named", remedy)
    data = kinds.build(config.get("data"), "sae.data", SampleDataModule, "data")
    data.setup()  # and no prepare_data, which may download
    if data.fingerprint() != sha256:
        remedy = "put the run's own data back"
        raise InputError("data", "those that the run trained on", "others", remedy)
    some = data.val_dataloader().sample(MOST)
    x = torch.cat(list(some.whole()))
    names, labels = list(map(str, data.class_names)), None
    if some.y is not None:
        index = some.y.numpy()
        names = names or [str(k) for k in range(int(index.max()) + 1)]
        labels = np.array(names)[index]
    return Gallery(x, encode_rows(stack, x).numpy(), labels, names if labels is not None else ())
