"""Images that are made, not read."""

from __future__ import annotations

import torch

from sae.data.datamodule import SampleDataModule, Samples


class Blobs(SampleDataModule):
    """A soft spot on a dark ground; its quarter of the image is its class.

    Args:
        n: Training images, validation among them.
        batch_size: Images in a batch.
        val_size: Images for validation.
        split_seed: Seed of that choice.
    """

    name = "blobs"
    description = "soft spots of 8x8 pixels"
    image_shape = (8, 8)
    class_names = ("top left", "top right", "bottom left", "bottom right")

    def __init__(
        self, n: int = 400, batch_size: int = 32, val_size: int = 80, split_seed: int = 0
    ) -> None:
        super().__init__(batch_size, val_size, split_seed)
        self.n = n

    def load(self) -> tuple[Samples, Samples]:
        generator = torch.Generator().manual_seed(7)
        where = 1 + 5 * torch.rand(self.n + 100, 2, generator=generator)
        grid = torch.arange(8.0)
        rows, columns = ((grid - each[:, None]).square() for each in where.t())
        light = torch.exp(-(rows[:, :, None] + columns[:, None, :]) / 3)
        y = 2 * (where[:, 0] > 3.5).long() + (where[:, 1] > 3.5).long()
        samples = Samples((255 * light).round().to(torch.uint8).flatten(1), y)
        return samples[torch.arange(self.n)], samples[torch.arange(self.n, len(y))]
