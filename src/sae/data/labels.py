"""Labels: read them from a file, number the classes, check them, and choose a balanced subset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae.data.npy import map_npy
from sae.errors import InputError


def read_labels(path: Path, option: str, n: int) -> NDArray:
    """Read labels from a file.

    Args:
        path: A file of integers (also stored as floats), booleans or texts, (n,) or (n, 1).
        option: The option that names the file, for messages.
        n: The expected number of labels.

    Returns:
        int64 or texts, (n,).

    Raises:
        InputError: The file has another type or shape.
    """
    stored = np.asarray(map_npy(path))
    labels = stored[:, 0] if stored.ndim == 2 and stored.shape[1] == 1 else stored
    expected = f"integers or texts of shape ({n},), one for each sample"
    found = f"{stored.dtype} of {stored.shape}"
    if labels.shape != (n,) or labels.dtype.kind not in "iubfUS":
        raise InputError(option, expected, found, "choose the file of these samples")
    if labels.dtype.kind == "f":
        odd = np.flatnonzero((labels != np.floor(labels)) | np.isinf(labels))  # NaN among them
        if len(odd):
            found, remedy = f"{labels[odd[0]]:g} in row {odd[0]}", "round them, or leave labels out"
            raise InputError(option, expected, found, remedy)
    if labels.dtype.kind == "S":
        try:
            return np.char.decode(labels, "utf-8")
        except UnicodeDecodeError:
            found = "bytes that are not UTF-8"
            raise InputError(option, expected, found, "save texts") from None
    return labels if labels.dtype.kind == "U" else labels.astype(np.int64)


def numbered(parts: list[NDArray | None], option: str) -> tuple[list[Tensor | None], list[str]]:
    """Convert labels to numbers.

    Args:
        parts: For each set of samples the labels of :func:`read_labels`, or None.
        option: The option that names the file of the second set, for messages.

    Returns:
        int64, (n,), or None for each set; and the names of the classes 0, 1, …, which are empty if
        the labels are numbers.

    Raises:
        InputError: Some sets have numbers and others texts.
    """
    given = [part for part in parts if part is not None]
    if len({part.dtype.kind for part in given}) > 1:
        kinds = ["texts" if part.dtype.kind == "U" else "numbers" for part in given]
        remedy = "store both as the same type"
        raise InputError(option, f"{kinds[0]}, as for train", kinds[1], remedy)
    if not given or given[0].dtype.kind != "U":
        return [None if part is None else torch.from_numpy(part) for part in parts], []
    names = np.unique(np.concatenate(given))
    ids = [None if part is None else np.searchsorted(names, part) for part in parts]
    return [None if part is None else torch.from_numpy(part) for part in ids], names.tolist()


def check_labels(y: Tensor, n_classes: int, of: str) -> None:
    """Check that labels can train or test a classifier.

    Args:
        y: Labels, (n,).
        n_classes: Number of classes 0, 1, ….
        of: The samples of the labels; ``training`` samples must have every class.

    Raises:
        InputError: A label is not in 0 to ``n_classes - 1``, or no training sample has a class.
    """
    if not len(y):
        return
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= n_classes:
        expected = f"labels from 0 to {n_classes - 1}, the classes of the training samples"
        found = f"{low if low < 0 else high} in the {of} samples"
        raise InputError("data", expected, found, "number the classes from 0 in all samples")
    if of != "training":
        return
    present = torch.unique(y)
    if missing := n_classes - len(present):
        gaps = (present != torch.arange(len(present))).nonzero()
        found = f"none of class {int(gaps[0]) if len(gaps) else len(present)}"
        found += f" (and of {missing - 1} more)" if missing > 1 else ""
        remedy = "number the classes without gaps, or add samples of each class"
        raise InputError("data", f"training samples of all {n_classes} classes", found, remedy)


def balanced(y: Tensor, wanted: Tensor, generator: torch.Generator, key: str) -> Tensor:
    """Choose a given number of samples of each class at random.

    Args:
        y: Labels, (n,).
        wanted: Number of samples of each class, (classes,).
        generator: The random generator.
        key: The option that asks for them, for messages.

    Returns:
        The indices of the samples in ascending order.

    Raises:
        InputError: A class has too few samples.
    """
    order = torch.randperm(len(y), generator=generator)
    found = []
    for k, n in enumerate(wanted.tolist()):
        its = order[y[order] == k]
        if len(its) < n:
            expected = f"at most {len(its)} labels of class {k}: there are no more training samples"
            raise InputError(key, expected, str(n), "give fewer, or null for all")
        found.append(its[:n])
    return torch.cat(found).sort().values
