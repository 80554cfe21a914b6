"""What the command line of growing.py names: generated images, and a look at the memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import torch
from images import generated
from lightning import Callback

from sae.data import SampleDataModule
from sae.data.datamodule import Samples

PART = 10_000  # images generated together: their floats take more than all that stay


class GeneratedData(SampleDataModule):
    """So many soft blots to train on, and as many more to validate and to test as there must be.

    Args:
        samples: How many to train on.
        batch_size: Images in a batch.
        val_size: Images to validate on, and to test.
    """

    name = "generated"
    image_shape = (28, 28)

    def __init__(self, samples: int, batch_size: int = 256, val_size: int = 5000) -> None:
        super().__init__(batch_size, val_size)
        self.samples = samples
        self.description = f"{samples:,} generated images"

    def load(self) -> tuple[Samples, Samples]:
        x = torch.empty(self.samples + self.val_size, 784, dtype=torch.uint8)
        for k, part in enumerate(x.split(PART)):
            part.copy_(generated(len(part), k).x)
        return Samples(x), Samples(generated(self.val_size, len(x)).x)


class MemoryOfEpochs(Callback):
    """Notes how much memory this process holds at the end of each epoch, in kB."""

    kb: ClassVar[list[int]] = []

    def on_train_epoch_end(self, *_: Any) -> None:
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
        self.kb.append(pages * os.sysconf("SC_PAGE_SIZE") // 1024)
