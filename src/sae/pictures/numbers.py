"""The numbers that a picture is made of, in a file beside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Names to arrays: numbers, booleans or texts, never objects.
Numbers = dict[str, NDArray[Any]]


def texts(words: Iterable[str]) -> NDArray[np.str_]:
    """Words as an array that needs no pickle."""
    return np.array(list(words), dtype=np.str_)


def save(path: Path, numbers: Numbers) -> None:
    """Write an ``.npz``: compressed, readable by ``numpy.load`` alone."""
    assert not any(array.dtype.hasobject for array in numbers.values())
    arrays: dict[str, Any] = dict(numbers)
    np.savez_compressed(path, **arrays)


def load(path: Path) -> Numbers:
    """Read what :func:`save` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
