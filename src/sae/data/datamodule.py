"""The base of all datamodules: splits the samples and creates the loaders."""

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

# Validation uses larger batches, because each batch costs some time of its own: at least this many
# samples, unless they have more values than this together (some megabytes).
VAL_BATCH, VAL_VALUES = 1024, 2**20
# Number of chunks of data in files from which the fingerprint is computed.
MOST_CHUNKS = 64


@dataclass(frozen=True)
class Samples:
    """Samples and their labels.

    Attributes:
        x: A tensor, or rows in files: (n, features).
        y: Labels, int64, (n,), or None.
    """

    x: Tensor | Rows
    y: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Tensor) -> Samples:
        return Samples(take(self.x, index), None if self.y is None else self.y[index])

    def without(self, index: Tensor) -> Samples:
        """All samples except some, in their order.

        Args:
            index: Numbers of the samples to leave out.
        """
        stay = torch.ones(len(self), dtype=torch.bool)
        stay[index] = False
        y = None if self.y is None else self.y[stay]
        if isinstance(self.x, Rows):
            return Samples(WithoutRows(self.x, index.sort().values), y)
        return Samples(self.x[stay], y)


class SampleDataModule(LightningDataModule):
    """The base of all datamodules: samples, split into training, validation and test.

    Validation samples are drawn from the training samples with their own seed. Only
    ``test_dataloader`` and ``predict_dataloader`` return test samples.

    With ``labels`` or ``labels_per_class`` training uses all samples, but only some of the labels.
    The other labels are deleted in ``setup``, so nothing can use them, not even 5-NN. The
    validation samples keep their labels. These do not train the weights, but by default they choose
    the epoch with the lowest validation error. For an honest result with few labels, use
    ``finetune.keep: last`` (and ``head.keep: last``), which chooses no epoch. With a ``val_size``
    about as large as the number of labels, the choice is also honest, but noisy.

    Args:
        batch_size: Samples in a batch, summed over all processes; 1 or more.
        val_size: Number of training samples that are held out for validation; 1 or more.
        split_seed: Seed of the random choice of validation samples.
        labels: Number of training samples whose labels are used, the same number for each class;
            a remainder goes to random classes, one each. At least one per class; null for all.
        labels_per_class: Number of labels that are used per class; null for all.
        label_seed: Seed of the choice of these labels; null for ``split_seed``.

    Attributes:
        name: Name of the data that are really used, in one word.
        description: One line about these data.
        image_shape: Height and width in pixels, and 3 for colours.
        class_names: Names of the classes 0, 1, …; empty if they have only numbers.
        preparation: Converts samples in the user's units to inputs; set by ``setup``.

    Raises:
        InputError: A size is not an integer of 1 or more, or ``labels`` and ``labels_per_class``
            are both given.
    """

    # Whether training samples in memory keep their order, like those in files. False leaves them in
    # the random order in which the validation samples were drawn.
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
                check_integer(key, number, 1, "give a number of labels, or null for all")
        if labels is not None and labels_per_class is not None:
            raise InputError(
                "labels", "labels or labels_per_class", "both", "leave out one of them"
            )
        self.n_labels, self.n_labels_per_class = labels, labels_per_class
        self.label_seed = label_seed
        self.labelled: Samples | None = None
        if type(self) is SampleDataModule:
            remedy = "write, for example, class_path: MNISTDataModule"
            found = "SampleDataModule, the base of all"
            raise InputError("class_path", "a datamodule that loads samples", found, remedy)
        self.batch_size, self.val_size, self.split_seed = batch_size, val_size, split_seed
        self._ready = False

    @abstractmethod
    def load(self) -> tuple[Samples, Samples]:
        """Read the samples: those for training and validation, and those for the test."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        """Read and split the samples; later calls do nothing.

        Args:
            stage: Ignored; all samples are read.

        Raises:
            InputError: Files are missing or damaged, or an option does not fit the data.
        """
        if self._ready:
            return
        train, self.test = self.load()
        if self.val_size > len(train) - 2:  # a single training sample has no variance
            raise InputError(
                "val_size",
                f"at most {max(0, len(train) - 2)} of the {len(train)} training samples of "
                f"{self.name}",
                str(self.val_size),
                "make it smaller",
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
        """Return the preparation of the samples; called at the end of :meth:`setup`.

        By default it divides pixels. A subclass that needs more fits a preparation only on
        ``train``, and replaces ``train``, ``val``, ``test`` and ``labelled`` by prepared samples.
        """
        return Pixels(255 if are_pixels(self.train.x) else 1)

    def _forget_labels(self) -> None:
        """Choose the samples whose labels are used, and delete the labels of ``train``."""
        key = "labels" if self.n_labels_per_class is None else "labels_per_class"
        if self.train.y is None:
            raise InputError(
                key, "data with labels", "none", "add labels, or leave this option out"
            )
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
        """The class and options with which a later run finds the same data; after ``setup``.

        Args:
            class_path: The class of the datamodule that was asked for.
            init_args: Its options.

        Returns:
            The class and options of the data that are really used.
        """
        return class_path, init_args

    @property
    def n_features(self) -> int:
        """Number of features (pixels) of a sample."""
        return int(self.train.x.shape[1])

    @property
    def n_classes(self) -> int:
        """Number of classes; 0 without labels."""
        if self.class_names:
            return len(self.class_names)
        sets = (self.labelled or self.train, self.val)
        labels = [samples.y for samples in sets if samples.y is not None]
        return max((int(y.max()) + 1 for y in labels if len(y)), default=0)

    def check_labels(self) -> None:
        """Check that the labels can train and test a classifier.

        Raises:
            InputError: There are no labels, or some are not a class of the training samples.
        """
        sets = {"training": self.labelled or self.train, "validation": self.val, "test": self.test}
        for of, samples in sets.items():
            if samples.y is None and of != "test":  # a test without labels can be predicted
                remedy = "add labels, or choose another objective"
                raise InputError("data", f"labels of the {of} samples", "none", remedy)
            if samples.y is not None:
                check_labels(samples.y, self.n_classes, of)

    def remarks(self, seen: Survey) -> list[str]:
        """Lines to print before training: how samples are read, and warnings.

        Args:
            seen: Statistics of all training samples.
        """
        return list(remarks(seen, lambda x, before: f"{before}x = {x}"))

    def details(self) -> list[str]:
        """Further lines for ``sae inspect`` on the contents of the files."""
        return []

    def check_finite(self, seen: Survey) -> None:
        """Raise :class:`~sae.errors.InputError` if values are not finite and can be located.

        Args:
            seen: Statistics of the training, validation or test samples.
        """
        finite = math.isfinite(seen.low) and math.isfinite(seen.high)
        if not finite and (error := self.not_finite()) is not None:
            raise error

    def not_finite(self) -> InputError | None:
        """The error that locates values which are not finite; None if they cannot be located."""
        return None

    def summary(self) -> dict[str, Any]:
        """Name, sizes and fingerprint of the data, for the manifest of a run."""
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
        """SHA-256 of all samples and labels in their split: equal only for the same data.

        For data in files, which may take minutes to read, it uses chunks spread over the files.
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
        """Raise :class:`~sae.errors.InputError` if a file has changed since ``setup``."""
        for samples in (self.train, self.val, self.test):
            if isinstance(samples.x, Rows):
                samples.x.check_unchanged()

    def train_dataloader(self) -> TensorLoader:
        """A loader of the training samples, in a new order each epoch."""
        return self._loader(self.train, self.batch_size, shuffle=True)

    def labelled_dataloader(self) -> TensorLoader:
        """A loader of the training samples whose labels are used, in a new order each epoch.

        If there are fewer samples than ``batch_size``, an epoch is a single batch.
        """
        samples = self.labelled or self.train
        return self._loader(samples, self.batch_size, shuffle=True)

    def val_dataloader(self) -> TensorLoader:
        """A loader of the validation samples, in batches at least as large as for training."""
        few = min(VAL_BATCH, VAL_VALUES // self.n_features)
        return self._loader(self.val, max(self.batch_size, few))

    def test_dataloader(self) -> TensorLoader:
        """A loader of the test samples."""
        return self._loader(self.test, self.batch_size)

    def _loader(self, samples: Samples, batch_size: int, shuffle: bool = False) -> TensorLoader:
        loader = TensorLoader(samples.x, samples.y, batch_size, shuffle)
        loader.has_gaps = self.has_gaps
        return loader

    @property
    def has_gaps(self) -> bool:
        """Whether missing values of samples are marked as in :mod:`sae.nets.columns`."""
        return self.preparation.outputs is not None

    def predict_dataloader(self) -> TensorLoader:
        """A loader of the test samples, to encode them."""
        return self.test_dataloader()


def _chunks(x: Tensor | Rows) -> Iterator[Tensor]:
    """Yield the parts of ``x`` for its fingerprint: all, or chunks spread over the files."""
    if isinstance(x, Tensor):
        yield x
        return
    yield torch.tensor(x.shape)
    rows = chunk_rows(x.shape[1])
    for first in range(0, len(x), max(rows, len(x) // MOST_CHUNKS)):
        yield take(x, slice(first, min(first + rows, len(x))))
