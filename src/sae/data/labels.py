"""Labels: in a file, as whole numbers or the names of classes; and a few of them, balanced."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae.data.npy import map_npy
from sae.errors import InputError


def read_labels(path: Path, option: str, n: int) -> NDArray:
    """Labels as they are meant: int64 or texts, (n,).

    Args:
        path: A file of whole numbers, in floats too, of truth values, or of texts: (n,) or (n, 1).
        option: That names the file.
        n: How many there must be.

    Raises:
        InputError: The file holds something else.
    """
    stored = np.asarray(map_npy(path))
    labels = stored[:, 0] if stored.ndim == 2 and stored.shape[1] == 1 else stored
    expected = f"whole numbers or texts of shape ({n},), one for each sample"
    found = f"{stored.dtype} of {stored.shape}"
    if labels.shape != (n,) or labels.dtype.kind not in "iubfUS":
        raise InputError(option, expected, found, "name the file that fits")
    if labels.dtype.kind == "f":
        odd = np.flatnonzero((labels != np.floor(labels)) | np.isinf(labels))  # NaN among them
        if len(odd):
            found, remedy = f"{labels[odd[0]]:g} in row {odd[0]}", "round them, or leave labels out"
            raise InputError(option, expected, found, remedy)
    if labels.dtype.kind == "S":
        try:
            return np.char.decode(labels, "utf-8")
        except UnicodeDecodeError:
            raise InputError(option, expected, "bytes that are no UTF-8", "save texts") from None
    return labels if labels.dtype.kind == "U" else labels.astype(np.int64)


def numbered(parts: list[NDArray | None], option: str) -> tuple[list[Tensor | None], list[str]]:
    """Labels as numbers, and the names of the classes where they are texts.

    Args:
        parts: What :func:`read_labels` gave, or None, for each set of samples.
        option: That names the file of a later set.

    Returns:
        int64 (n,) for each set, and the names that 0, 1, … stand for; none for labels that are
        numbers themselves.
    """
    given = [part for part in parts if part is not None]
    if len({part.dtype.kind for part in given}) > 1:
        kinds = ["texts" if part.dtype.kind == "U" else "numbers" for part in given]
        raise InputError(option, f"{kinds[0]}, as for train", kinds[1], "store both alike")
    if not given or given[0].dtype.kind != "U":
        return [None if part is None else torch.from_numpy(part) for part in parts], []
    names = np.unique(np.concatenate(given))
    ids = [None if part is None else np.searchsorted(names, part) for part in parts]
    return [None if part is None else torch.from_numpy(part) for part in ids], names.tolist()


def check_labels(y: Tensor, n_classes: int, of: str) -> None:
    """Refuse labels that a classifier cannot learn from, or be measured by.

    Args:
        y: Labels, (n,).
        n_classes: How many classes there are, 0, 1, ….
        of: Which samples they are of: training ones must have each class.

    Raises:
        InputError: Some are no number from 0 to the last class, or no training sample is of one.
    """
    if not len(y):
        return
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= n_classes:
        expected = f"labels from 0 to {n_classes - 1}, the classes that are trained on"
        found = f"{low if low < 0 else high} among those of the {of} samples"
        raise InputError("data", expected, found, "number the classes from 0 on, in all samples")
    if of != "training":
        return
    present = torch.unique(y)
    if missing := n_classes - len(present):
        gaps = (present != torch.arange(len(present))).nonzero()
        found = f"none of class {int(gaps[0]) if len(gaps) else len(present)}"
        found += f" (and of {missing - 1} more)" if missing > 1 else ""
        remedy = "number the classes without gaps, or give samples of each"
        raise InputError("data", f"training samples of all {n_classes} classes", found, remedy)


def balanced(y: Tensor, wanted: Tensor, generator: torch.Generator, key: str) -> Tensor:
    """So many samples of each class, drawn at random.

    Args:
        y: Labels, (n,).
        wanted: How many of each class, (classes,).
        generator: To draw by.
        key: The option that asks for them.

    Returns:
        Their numbers in ascending order.

    Raises:
        InputError: A class has fewer.
    """
    order = torch.randperm(len(y), generator=generator)
    found = []
    for k, n in enumerate(wanted.tolist()):
        its = order[y[order] == k]
        if len(its) < n:
            expected = f"no more labels than there are: {len(its)} training samples of class {k}"
            raise InputError(key, expected, f"{n} of it", "give fewer, or null for all")
        found.append(its[:n])
    return torch.cat(found).sort().values
