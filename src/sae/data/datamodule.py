"""What all datamodules share: an honest split, and loaders that read in whole batches."""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from lightning import LightningDataModule
from torch import Tensor

from sae.data.labels import balanced, check_labels
from sae.data.loader import Survey, TensorLoader, chunk_rows
from sae.data.prepare import Pixels, Preparation
from sae.data.remarks import remarks
from sae.data.rows import Rows, WithoutRows, are_pixels, take
from sae.errors import InputError, check_integer

# What is only looked at comes in larger batches: each costs a little beside its arithmetic. But not
# so large that they take more than some megabytes.
VAL_BATCH, VAL_VALUES = 1024, 2**20
# Chunks of data in files that go into their fingerprint.
MOST_CHUNKS = 64


@dataclass(frozen=True)
class Samples:
    """Images and their labels.

    Attributes:
        x: uint8 in memory, or rows in files: (n, pixels).
        y: int64, (n,), or None.
    """

    x: Tensor | Rows
    y: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Tensor) -> Samples:
        return Samples(take(self.x, index), None if self.y is None else self.y[index])

    def without(self, index: Tensor) -> Samples:
        """The others: as they lie in files, or in memory.

        Args:
            index: Which are left out.
        """
        stay = torch.ones(len(self), dtype=torch.bool)
        stay[index] = False
        y = None if self.y is None else self.y[stay]
        if isinstance(self.x, Rows):
            return Samples(WithoutRows(self.x, index.sort().values), y)
        return Samples(self.x[stay], y)


class SampleDataModule(LightningDataModule):
    """Images in memory, split into train, validation and test.

    Validation is carved out of the training images by a generator of its own; the test images are
    handed out by ``test_dataloader`` and ``predict_dataloader`` alone.

    With ``labels`` or ``labels_per_class`` all images are still trained on, but few labels: those
    left out are forgotten once the choice is made, and nothing sees them, 5-NN included. The labels
    of the validation images stay. They teach nothing, but by default the epoch with the lowest
    validation error is the one that goes on: they choose. ``finetune.keep: last`` (and
    ``head.keep: last``) chooses none, and is the honest way with few labels. A ``val_size`` about
    as large as the labels are many is another, but chooses by chance.

    Args:
        batch_size: Images in a batch, over all processes together; 1 or more.
        val_size: Images taken out of the training set for validation; 1 or more.
        split_seed: Seed of that choice.
        labels: How many labels of training images are known, the same number of each class (but for
            one more of some classes, drawn by chance, where they do not go into it); at least one
            of each. null for all.
        labels_per_class: The same, for each class. null for all.
        label_seed: Seed of which labels are known; null takes split_seed.

    Attributes:
        name: The data really used, in a word.
        description: The same in a line.
        image_shape: Height and width, in pixels; and 3 where the samples have colours.
        class_names: What the labels 0, 1, … are called; empty where they are called so.
        preparation: What lies between samples in the user's units and what is trained on; known
            once it is set up.
    """

    # Whether training samples in memory stay as they were, as those in files do; else the draw of
    # the validation samples has put them into another order.
    in_order: ClassVar[bool] = False
    name: str
    description: str
    image_shape: tuple[int, ...]
    class_names: Sequence[str] = ()
    train: Samples
    val: Samples
    test: Samples
    preparation: Preparation

    def __init__(
        self,
        batch_size: int = 256,
        val_size: int = 5000,
        split_seed: int = 0,
        labels: int | None = None,
        labels_per_class: int | None = None,
        label_seed: int | None = None,
    ) -> None:
        super().__init__()
        check_integer("batch_size", batch_size, 1, "give the number of images in a batch")
        check_integer("val_size", val_size, 1, "give the number of images kept for validation")
        check_integer("split_seed", split_seed, 0, "give a smaller number")
        if label_seed is not None:
            check_integer("label_seed", label_seed, 0, "give a number, or null for split_seed")
            if labels is None and labels_per_class is None:
                remedy = "give labels too, or leave it out"
                raise InputError("label_seed", "labels or labels_per_class", "neither", remedy)
        for key, number in (("labels", labels), ("labels_per_class", labels_per_class)):
            if number is not None:
                check_integer(key, number, 1, "give how many labels are known, or null for all")
        if labels is not None and labels_per_class is not None:
            raise InputError("labels", "labels or labels_per_class", "both", "leave out either")
        self.n_labels, self.n_labels_per_class = labels, labels_per_class
        self.label_seed = label_seed
        self.labelled: Samples | None = None
        if type(self) is SampleDataModule:
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
        if self.val_size > len(train) - 2:  # one has no variance
            raise InputError(
                "val_size",
                f"fewer than the {len(train)} training images of {self.name}, but for one",
                str(self.val_size),
                "leave some to train on",
            )
        generator = torch.Generator().manual_seed(self.split_seed)
        order = torch.randperm(len(train), generator=generator)
        self.val = train[order[: self.val_size]]
        if isinstance(train.x, Rows) or self.in_order:
            self.train = train.without(order[: self.val_size])
        else:
            self.train = train[order[self.val_size :]]
        if self.n_labels is not None or self.n_labels_per_class is not None:
            self._forget_labels()
        self.preparation = self.prepared()
        self._ready = True

    def prepared(self) -> Preparation:
        """Prepare the samples once they are split: called last of all in :meth:`setup`.

        Whoever has more to do than to divide pixels fits it on ``train`` alone, and puts prepared
        samples in the place of all others.
        """
        return Pixels(255 if are_pixels(self.train.x) else 1)

    def _forget_labels(self) -> None:
        """Keep the labels that are known, with their images; forget the others."""
        key = "labels" if self.n_labels_per_class is None else "labels_per_class"
        if self.train.y is None:
            raise InputError(key, "data with labels", "none", "name their labels, or leave it out")
        n_classes = self.n_classes
        check_labels(self.train.y, n_classes, "training")
        seed = self.split_seed if self.label_seed is None else self.label_seed
        generator = torch.Generator().manual_seed(seed)
        wanted = torch.full((n_classes,), self.n_labels_per_class or 0)
        if self.n_labels is not None:
            if self.n_labels < n_classes:
                expected = f"at least one label of each of the {n_classes} classes"
                raise InputError(key, expected, str(self.n_labels), f"give {n_classes} or more")
            wanted += self.n_labels // n_classes
            lucky = torch.randperm(n_classes, generator=generator)[: self.n_labels % n_classes]
            wanted[lucky] += 1
        index = balanced(self.train.y, wanted, generator, key)
        self.labelled = self.train[index]
        self.train = Samples(self.train.x)

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
        return int(self.train.x.shape[1])

    @property
    def n_classes(self) -> int:
        """Classes among the labels; 0 where there are none."""
        if self.class_names:
            return len(self.class_names)
        sets = (self.labelled or self.train, self.val)
        labels = [samples.y for samples in sets if samples.y is not None]
        return max((int(y.max()) + 1 for y in labels if len(y)), default=0)

    def check_labels(self) -> None:
        """Refuse labels that a classifier cannot learn from, or be tested on.

        Raises:
            InputError: There are none, or some are no class that training samples are of.
        """
        sets = {"training": self.labelled or self.train, "validation": self.val, "test": self.test}
        for of, samples in sets.items():
            if samples.y is None and of != "test":  # which may be there to be predicted
                remedy = "give labels, or another objective"
                raise InputError("data", f"labels of the {of} samples", "none", remedy)
            if samples.y is not None:
                check_labels(samples.y, self.n_classes, of)

    def remarks(self, seen: Survey) -> list[str]:
        """What is to be said of the training samples before they are trained on.

        Args:
            seen: What is known of all of them.
        """
        return list(remarks(seen, lambda x, before: f"{before}x = {x}"))

    def details(self) -> list[str]:
        """What its files hold beside what all datamodules know of themselves: see ``inspect``."""
        return []

    def check_finite(self, seen: Survey) -> None:
        """Raise :class:`~sae.errors.InputError` where values are not finite and it is known where.

        Args:
            seen: What is known of some of the samples.
        """
        finite = math.isfinite(seen.low) and math.isfinite(seen.high)
        if not finite and (error := self.not_finite()) is not None:
            raise error

    def not_finite(self) -> InputError | None:
        """Where such values lie; None where the datamodule does not know."""
        return None

    def summary(self) -> dict[str, Any]:
        """What the data are, for the manifest of a run."""
        known: dict[str, Any] = {}
        if self.labelled is not None:
            known["labels"] = len(self.labelled)
        if len(self.class_names):
            known["class_names"] = [str(name) for name in self.class_names]
        return {
            **known,
            "name": self.name,
            "description": self.description,
            "image_shape": list(self.image_shape),
            "sha256": self.fingerprint(),
            "train": len(self.train),
            "val": len(self.val),
            "test": len(self.test),
            "batch_size": self.batch_size,
        }

    def fingerprint(self) -> str:
        """SHA-256 of all images and labels with their split: equal only for the same data.

        Of data in files, which may take minutes to read, it is that of chunks all over them.
        """
        digest = hashlib.sha256()
        for samples in (self.train, self.val, self.test):
            for chunk in _chunks(samples.x):
                digest.update(chunk.contiguous().numpy().data)
            if samples.y is not None:
                digest.update(samples.y.contiguous().numpy().data)
        if self.labelled is not None and self.labelled.y is not None:
            for chunk in _chunks(self.labelled.x):
                digest.update(chunk.contiguous().numpy().data)
            digest.update(self.labelled.y.contiguous().numpy().data)
        return digest.hexdigest()

    def check_unchanged(self) -> None:
        """Raise :class:`~sae.errors.InputError` where files that are read have been replaced."""
        for samples in (self.train, self.val, self.test):
            if isinstance(samples.x, Rows):
                samples.x.check_unchanged()

    def train_dataloader(self) -> TensorLoader:
        """Training images, in a new order each epoch."""
        return self._loader(self.train, self.batch_size, shuffle=True)

    def labelled_dataloader(self) -> TensorLoader:
        """The training images whose labels are known, in a new order each epoch.

        With fewer of them than a batch has images, an epoch is one batch of all.
        """
        samples = self.labelled or self.train
        return self._loader(samples, self.batch_size, shuffle=True)

    def val_dataloader(self) -> TensorLoader:
        """Validation images, in batches no smaller than those of the training."""
        few = min(VAL_BATCH, VAL_VALUES // self.n_features)
        return self._loader(self.val, max(self.batch_size, few))

    def test_dataloader(self) -> TensorLoader:
        """The official test images."""
        return self._loader(self.test, self.batch_size)

    def _loader(self, samples: Samples, batch_size: int, shuffle: bool = False) -> TensorLoader:
        loader = TensorLoader(samples.x, samples.y, batch_size, shuffle)
        loader.has_gaps = self.has_gaps
        return loader

    @property
    def has_gaps(self) -> bool:
        """Whether what is missing of a sample is marked, as :mod:`sae.nets.columns` has it."""
        return self.preparation.outputs is not None

    def predict_dataloader(self) -> TensorLoader:
        """The test images, for their codes."""
        return self.test_dataloader()


def _chunks(x: Tensor | Rows) -> Iterator[Tensor]:
    """What of ``x`` goes into its fingerprint: all, or chunks all over the files."""
    if isinstance(x, Tensor):
        yield x
        return
    yield torch.tensor(x.shape)
    rows = chunk_rows(x.shape[1])
    for first in range(0, len(x), max(rows, len(x) // MOST_CHUNKS)):
        yield take(x, slice(first, min(first + rows, len(x))))
