"""Data of large.py read into memory, to compare with: the same files, or the first of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from sae.data import SampleDataModule
from sae.data.datamodule import Samples


class ShardsInMemory(SampleDataModule):
    """The first samples of a folder of ``.npy`` files, read into one tensor.

    Validation and test are the last of them: a choice of others would take them all twice.

    Args:
        folder: Where the files are.
        samples: How many to take.
        batch_size: Samples in a batch.
        val_size: Samples to validate on, and to test.
    """

    name = "shards"
    image_shape = (28, 28)

    def __init__(
        self, folder: str, samples: int, batch_size: int = 256, val_size: int = 5000
    ) -> None:
        super().__init__(batch_size, val_size)
        self.folder, self.samples = Path(folder), samples
        self.description = f"{samples:,} samples in memory"

    def load(self) -> tuple[Samples, Samples]:
        x, filled = torch.empty(self.samples, 784), 0
        for path in sorted(self.folder.glob("*.npy")):
            rows = np.load(path, mmap_mode="r")[: len(x) - filled]
            x[filled : filled + len(rows)] = torch.from_numpy(rows)
            filled += len(rows)
        if filled < len(x):
            raise ValueError(f"{filled} samples instead of {len(x)}")
        return Samples(x[: -self.val_size]), Samples(x[-self.val_size :])

    def setup(self, stage: str | None = None) -> None:
        if self._ready:
            return
        train, self.test = self.load()
        self.val = Samples(train.x[-self.val_size :])
        self.train = Samples(train.x[: -self.val_size])
        self._ready = True
