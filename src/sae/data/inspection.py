"""What a datamodule reads, in lines for people."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from sae.data.datamodule import SampleDataModule
from sae.data.loader import Survey, TensorLoader

MOST_CLASSES = 12


def described(data: SampleDataModule) -> Iterator[str]:
    """Samples, inputs, ranges, classes, and whatever else its kind knows of its files.

    Args:
        data: Set up.
    """
    yield data.description
    yield (
        f"{len(data.train):,} samples to train on, {len(data.val):,} to validate, "
        f"{len(data.test):,} to test"
    )
    yield from data.details()
    low, high = ranges(data.train_dataloader())
    constant = int((low == high).sum())
    shape = tuple(data.image_shape)
    image = math.prod(shape) == data.n_features and min(shape[:2]) > 1
    of = f" (images of {'x'.join(map(str, shape))})" if image else ""
    varies = f", {constant:,} of which do not vary" if constant else ""
    least, most = low.min().item() + 0.0, high.max().item()  # -0 becomes 0
    yield (
        f"{data.n_features:,} inputs of the network{of}, from {least:.4g} to {most:.4g} among "
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
    """The least and the greatest value of each input, (features,) each.

    Args:
        loader: Of the samples.
    """
    low = torch.full((loader.x.shape[1],), math.inf)
    high = -low
    for x in loader.whole():
        least, most = x.aminmax(dim=0)
        low, high = torch.minimum(low, least), torch.maximum(high, most)
    return low, high


def surveys(data: SampleDataModule) -> list[Survey]:
    """What is known of the samples to train on, to validate and to test.

    Args:
        data: Set up.

    Raises:
        InputError: Some are not finite.
    """
    loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    found = [loader.survey() for loader in loaders]
    for seen in found:
        data.check_finite(seen)
    return found
