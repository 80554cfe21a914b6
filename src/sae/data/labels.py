"""Labels in a file: whole numbers, or the names of classes."""

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
