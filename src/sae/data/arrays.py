"""Your own data in ``.npy`` files: one file, or a folder of files; also larger than memory."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from sae.data.datamodule import SampleDataModule, Samples
from sae.data.finite import not_finite
from sae.data.labels import numbered, read_labels
from sae.data.loader import Survey
from sae.data.npy import DIVISORS, npy_files, scaling
from sae.data.prepare import Pixels, Preparation
from sae.data.remarks import remarks
from sae.data.rows import FileRows
from sae.errors import InputError


class ArrayDataModule(SampleDataModule):
    """Samples in ``.npy`` files, mapped into memory and read batch by batch.

    A file holds an array (n, features), (n, height, width), or (n, height, width, 3) in colour.
    uint8 is divided by 255 and uint16 by 65,535, unless all values are 0 or 1. Floats are not
    changed; for a sigmoid output they must be in [0, 1]. The files of a folder are read in the
    order of their names. An array in an ``.npz`` file is read into memory completely.

    Args:
        train: File or folder for training and validation.
        test: File or folder for the test; null holds out samples of ``train``, as many as for
            validation.
        train_labels: ``.npy`` file with the class of each sample, an integer or a name, (n,) or
            (n, 1); null for no labels.
        test_labels: The same for ``test``.
        image_shape: Height and width, and 3 for colours, of the image that shows a sample; null
            takes the shape of the array, and for (n, features) a square or else a single row.
        key: Name of the array in ``.npz`` files; null if they hold a single array.
        batch_size: Samples in a batch, summed over all processes; 1 or more.
        val_size: Number of samples of ``train`` that are held out for validation.
        split_seed: Seed of the random choice of held-out samples.
        labels: Number of training samples whose labels are used; null for all. These samples are
            read into memory. See :class:`~sae.data.datamodule.SampleDataModule`.
        labels_per_class: Number of labels that are used per class; null for all.
        label_seed: Seed of the choice of these labels; null for ``split_seed``.

    Raises:
        InputError: A file is missing or damaged, or files or labels do not fit each other.
    """

    def __init__(
        self,
        train: str,
        test: str | None = None,
        train_labels: str | None = None,
        test_labels: str | None = None,
        image_shape: list[int] | None = None,
        key: str | None = None,
        batch_size: int = 256,
        val_size: int = 5000,
        split_seed: int = 0,
        labels: int | None = None,
        labels_per_class: int | None = None,
        label_seed: int | None = None,
    ) -> None:
        super().__init__(batch_size, val_size, split_seed, labels, labels_per_class, label_seed)
        self.paths = {"train": train, "test": test}
        self.labels = {"train": train_labels, "test": test_labels}
        if test is None and test_labels is not None:
            remedy = "add the test samples with test, or leave out test_labels"
            raise InputError("test_labels", "test samples for these labels", "none", remedy)
        self.key = key
        self._asked_shape = image_shape
        self.name = Path(os.path.expanduser(train)).stem or "arrays"

    def load(self) -> tuple[Samples, Samples]:
        """Map the files into memory."""
        rows = self._rows("train")
        labels = [self._read_labels("train", len(rows)), None]
        self._sample_shape, self.files = rows.sample_shape, [rows]
        if self.paths["test"] is not None:
            others = self._rows("test")
            labels[1] = self._read_labels("test", len(others))
            self.files.append(others)
            if others.shape[1] != rows.shape[1]:
                expected = f"{rows.shape[1]} features, as in train"
                raise InputError("test", expected, str(others.shape[1]), "choose another file")
            kinds = ["floats" if x.dtype.kind == "f" else str(x.dtype) for x in self.files]
            if kinds[0] != kinds[1]:
                expected, remedy = f"{kinds[0]}, as in train", "store both as the same type"
                raise InputError("test", expected, kinds[1], remedy)
        if rows.are_a_mask():
            for each in self.files:
                each.divisor = 1
        ys, self.class_names = numbered(labels, "test_labels")
        train = Samples(rows, ys[0])
        if len(self.files) > 1:
            test = Samples(self.files[1], ys[1])
        else:
            train, test = self._set_aside(train)
        self.description = f"{self.name} ({len(train):,} + {len(test):,} samples of "
        self.description += f"{'x'.join(map(str, self._sample_shape))})"
        self.image_shape = self._image_shape(int(train.x.shape[1]))
        return train, test

    def prepared(self) -> Preparation:
        """The preparation that divides integers."""
        return Pixels(self.files[0].divisor)

    def resolved(self, class_path: str, init_args: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The options with absolute paths, so that any later command finds the files."""
        named = {key: init_args.get(key) for key in ("train", "test", *_LABELS)}
        found = {key: str(_path(path).resolve()) for key, path in named.items() if path}
        return class_path, {**init_args, **found}

    def remarks(self, seen: Survey) -> list[str]:
        """How integers are scaled, then the remarks of all datamodules."""
        dtype = self.files[0].dtype.name
        if dtype not in DIVISORS:
            return list(remarks(seen, self._rescaling, dtype))
        if self.files[0].divisor == 1:
            return [f"data: {dtype} of only 0 and 1, not scaled"]
        line = f"data: {dtype}, divided by {DIVISORS[dtype]:,}"
        return [line, *remarks(seen, self._rescaling, dtype)]

    def _rescaling(self, x: str, before: str) -> str:
        paths = self.files[0].paths
        code = f"{before}x = {x} for all files"
        if len(paths) == 1:
            code = scaling(paths[0], x, before, self.key)
        same = " with the m and s of train" if before else ""
        return code + (f"; do the same for test{same}" if len(self.files) > 1 else "")

    def not_finite(self) -> InputError | None:
        """The error that names the file and the position of values that are not finite."""
        return next(filter(None, map(not_finite, self.files)), None)

    def _rows(self, part: str) -> FileRows:
        path = self.paths[part]
        assert path is not None
        return FileRows(npy_files(_path(path)), self.key)

    def _read_labels(self, part: str, n: int) -> NDArray[Any] | None:
        path = self.labels[part]
        return None if path is None else read_labels(_path(path), f"{part}_labels", n)

    def _set_aside(self, samples: Samples) -> tuple[Samples, Samples]:
        """Take the test samples out of the others."""
        n = self.val_size
        if 2 * n >= len(samples):
            expected = (
                f"less than half of the {len(samples)} samples: as many are set aside to test"
            )
            remedy = f"write --data.val_size {max(1, len(samples) // 10)}, or name others with test"
            raise InputError("val_size", expected, str(n), remedy)
        generator = torch.Generator().manual_seed(self.split_seed + 1)
        index = torch.randperm(len(samples), generator=generator)[:n]
        return samples.without(index), samples[index]

    def _image_shape(self, features: int) -> tuple[int, ...]:
        shape = list(self._asked_shape or self._shape_of_a_sample() or ()) or None
        if shape is None:
            side = math.isqrt(features)
            return (side, side) if side * side == features else (1, features)
        colours = len(shape) == 3 and shape[2] == 3
        if not (len(shape) == 2 or colours) or min(shape) < 1 or math.prod(shape) != features:
            expected = f"height and width, and 3 for colours, whose product is {features}"
            raise InputError("image_shape", expected, str(shape), "change it or leave it out")
        return tuple(shape)

    def _shape_of_a_sample(self) -> list[int] | None:
        """Height and width, and 3 for colours, from the shape of the arrays; None if flat."""
        shape = list(self._sample_shape)
        if len(shape) == 3 and 1 in (shape[0], shape[2]):  # a single channel of grey
            shape.remove(1)
        if len(shape) != 3 or shape[2] == 3:
            return shape if len(shape) > 1 else None
        if shape[0] == 3 and min(shape) == 3 < max(shape):
            self._refuse_colours_first()
        # Other channels are shown side by side.
        return [shape[0], shape[1] * shape[2]]

    def _refuse_colours_first(self) -> None:
        """Raise the error for images with colours first, with code that moves colours last."""
        paths = self.files[0].paths
        load, other = (
            f"numpy.load({str(paths[0])!r})",
            paths[0].with_name(f"{paths[0].stem}_last.npy"),
        )
        if self.key is not None:
            load += f"[{self.key!r}]"
        height, width = self._sample_shape[1:]
        raise InputError(
            str(paths[0]),
            f"colours last, (n, {height}, {width}, 3)",
            f"(n, 3, {height}, {width})",
            f"run numpy.save({str(other)!r}, {load}.transpose(0, 2, 3, 1)) and name that file"
            + (", and do the same for each file" if len(paths) > 1 else ""),
        )


_LABELS = ("train_labels", "test_labels")


def _path(path: str) -> Path:
    return Path(os.path.expanduser(path))
