"""Describe the samples that a datamodule reads, for ``sae inspect``."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from sae.data.datamodule import SampleDataModule
from sae.data.loader import Survey, TensorLoader

MOST_CLASSES = 12


def described(data: SampleDataModule) -> Iterator[str]:
    """Yield lines on samples, inputs, ranges, classes, and details of the files.

    Args:
        data: A datamodule after ``setup``.
    """
    yield data.description
    yield (
        f"{len(data.train):,} samples for training, {len(data.val):,} for validation, "
        f"{len(data.test):,} for the test"
    )
    yield from data.details()
    low, high = ranges(data.train_dataloader())
    constant = int((low == high).sum())
    shape = tuple(data.image_shape)
    image = math.prod(shape) == data.n_features and min(shape[:2]) > 1
    of = f" (images of {'x'.join(map(str, shape))})" if image else ""
    varies = f", {constant:,} of them constant" if constant else ""
    least, most = low.min().item() + 0.0, high.max().item()  # -0 becomes 0
    yield (
        f"{data.n_features:,} inputs of the network{of}, from {least:.4g} to {most:.4g} in the "
        f"training samples{varies}"
    )
    y = None if data.train.y is None else torch.bincount(data.train.y, minlength=data.n_classes)
    if y is None:
        yield "no labels" if data.labelled is None else f"{len(data.labelled):,} labels are known"
        return
    names = data.class_names or [str(k) for k in range(len(y))]
    counts = [f"{name} ({n:,})" for name, n in zip(names, y.tolist(), strict=False)]
    more = f", and {len(counts) - MOST_CLASSES:,} more" if len(counts) > MOST_CLASSES else ""
    yield f"{len(counts):,} classes: {', '.join(counts[:MOST_CLASSES])}{more}"


def ranges(loader: TensorLoader) -> tuple[Tensor, Tensor]:
    """The smallest and the largest value of each input, (features,) each.

    Args:
        loader: The samples.
    """
    low = torch.full((loader.x.shape[1],), math.inf)
    high = -low
    for x in loader.whole():
        least, most = x.aminmax(dim=0)
        low, high = torch.minimum(low, least), torch.maximum(high, most)
    return low, high


def surveys(data: SampleDataModule) -> list[Survey]:
    """The statistics of the samples for training, validation and test.

    Args:
        data: A datamodule after ``setup``.

    Raises:
        InputError: Some values are not finite.
    """
    loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    found = [loader.survey() for loader in loaders]
    for seen in found:
        data.check_finite(seen)
    return found
