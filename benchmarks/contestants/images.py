"""The images of the job: MNIST as sae splits it, or generated ones of the same shape."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F

from sae import MNISTDataModule
from sae.data import SampleDataModule
from sae.data.datamodule import Samples


class JobData(SampleDataModule):
    """The first images of the training split.

    Args:
        root: Folder of MNIST; None for generated images.
        samples: How many to train on. The validation set shrinks in proportion.
        batch_size: Images in a batch.
    """

    image_shape = (28, 28)

    def __init__(
        self, root: str | None = None, samples: int = 55_000, batch_size: int = 256
    ) -> None:
        super().__init__(batch_size)
        self.root, self.samples = root, samples
        self.name = "MNIST" if root else "generated"
        self.description = "MNIST" if root else "generated images (no MNIST found)"

    def load(self) -> tuple[Samples, Samples]:
        if self.root is None:
            return generated(60_000, 0), generated(10_000, 1)
        return MNISTDataModule(self.root).load()

    def setup(self, stage: str | None = None) -> None:
        if self._ready:
            return
        super().setup(stage)
        share = min(1.0, self.samples / len(self.train))
        self.train = self.train[torch.arange(round(share * len(self.train)))]
        self.val = self.val[torch.arange(max(1, round(share * len(self.val))))]


def generated(n: int, seed: int) -> Samples:
    """Soft blots on black, uint8, (n, 784), in no classes."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 1, 5, 5, generator=generator).square_()
    x = F.interpolate(coarse, size=(28, 28), mode="bilinear").square_().mul_(255)
    return Samples(x.flatten(1).to(torch.uint8), torch.arange(n) % 10)


def found(root: str) -> str | None:
    """``root``, where MNIST is there to be read; else None."""
    from sae.data.idx import find_folder

    return str(Path(root).resolve()) if find_folder(Path(root)) is not None else None
