"""What all datamodules of images share: uint8 once in memory, and an honest split."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor

from sae.data.loader import TensorLoader
from sae.errors import InputError, check_integer


@dataclass(frozen=True)
class Samples:
    """Images and their labels.

    Attributes:
        x: uint8, (n, pixels).
        y: int64, (n,).
    """

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Tensor) -> Samples:
        return Samples(self.x[index], self.y[index])


class ImageDataModule(LightningDataModule):
    """Images in memory, split into train, validation and test.

    Validation is carved out of the training images by a generator of its own; the test images are
    handed out by ``test_dataloader`` and ``predict_dataloader`` alone.

    Args:
        batch_size: Images in a batch, over all processes together; 1 or more.
        val_size: Images taken out of the training set for validation; 1 or more.
        split_seed: Seed of that choice.

    Attributes:
        name: The data really used, in a word.
        description: The same in a line.
        image_shape: Height and width, in pixels.
    """

    name: str
    description: str
    image_shape: tuple[int, int]
    train: Samples
    val: Samples
    test: Samples

    def __init__(self, batch_size: int = 256, val_size: int = 5000, split_seed: int = 0) -> None:
        super().__init__()
        check_integer("batch_size", batch_size, 1, "give the number of images in a batch")
        check_integer("val_size", val_size, 1, "give the number of images kept for validation")
        check_integer("split_seed", split_seed, 0, "give a smaller number")
        if type(self) is ImageDataModule:
            remedy = "write class_path: MNISTDataModule, or that of your own"
            raise InputError("class_path", "a datamodule with images of its own", "none", remedy)
        self.batch_size, self.val_size, self.split_seed = batch_size, val_size, split_seed
        self._ready = False

    @abstractmethod
    def load(self) -> tuple[Samples, Samples]:
        """Read the images: those to train on (validation among them), and the test images."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        """Read and split, once."""
        if self._ready:
            return
        train, self.test = self.load()
        if self.val_size >= len(train):
            raise InputError(
                "val_size",
                f"fewer than the {len(train)} training images of {self.name}",
                str(self.val_size),
                "leave some to train on",
            )
        generator = torch.Generator().manual_seed(self.split_seed)
        order = torch.randperm(len(train), generator=generator)
        self.val, self.train = train[order[: self.val_size]], train[order[self.val_size :]]
        self._ready = True

    def resolved(self, class_path: str, init_args: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The options under which these very data are found again, once they are set up.

        Args:
            class_path: The datamodule that was asked for.
            init_args: Its options.

        Returns:
            The same two for the data really used.
        """
        return class_path, init_args

    @property
    def n_features(self) -> int:
        """Pixels in an image."""
        return self.train.x.shape[1]

    def summary(self) -> dict[str, Any]:
        """What the data are, for the manifest of a run."""
        return {
            "name": self.name,
            "description": self.description,
            "sha256": self.fingerprint(),
            "train": len(self.train),
            "val": len(self.val),
            "test": len(self.test),
            "batch_size": self.batch_size,
        }

    def fingerprint(self) -> str:
        """SHA-256 of all images and labels with their split: equal only for the same data."""
        digest = hashlib.sha256()
        for samples in (self.train, self.val, self.test):
            digest.update(samples.x.contiguous().numpy().data)
            digest.update(samples.y.contiguous().numpy().data)
        return digest.hexdigest()

    def train_dataloader(self) -> TensorLoader:
        """Training images, in a new order each epoch."""
        return TensorLoader(self.train.x, self.train.y, self.batch_size, shuffle=True)

    def val_dataloader(self) -> TensorLoader:
        """Validation images."""
        return TensorLoader(self.val.x, self.val.y, self.batch_size)

    def test_dataloader(self) -> TensorLoader:
        """The official test images."""
        return TensorLoader(self.test.x, self.test.y, self.batch_size)

    def predict_dataloader(self) -> TensorLoader:
        """The test images, for their codes."""
        return self.test_dataloader()
