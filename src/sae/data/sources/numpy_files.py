"""Arrays in ``.npy`` and ``.npz`` files: one file, or a folder of files."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sae.data.npy import NUMBERS, check_array, map_npy, npy_files
from sae.data.source import Source
from sae.errors import InputError

SUFFIXES = (".npy", ".npz")


class NpySource(Source):
    """Arrays (n, …), mapped into memory and read when needed.

    Args:
        path: A file, or a folder of files, which are read in the order of their names.
        key: Name of the array in an ``.npz`` file; None if the file holds a single array.

    Raises:
        InputError: A file is damaged, or differs from the others in shape or type.
    """

    suffixes = SUFFIXES

    def __init__(self, path: Path, key: str | None = None) -> None:
        self.path = path
        paths = npy_files(path)
        self._arrays = [map_npy(each, key) for each in paths]
        first = self._arrays[0]
        for each, array in zip(paths, self._arrays, strict=True):
            check_array(each, array, NUMBERS)
            if (array.shape[1:], array.dtype) != (first.shape[1:], first.dtype):
                expected = f"{first.dtype} of {first.shape[1:]}, as in {paths[0].name}"
                found = f"{array.dtype} of {array.shape[1:]}"
                raise InputError(str(each), expected, found, "save all files alike")
        self.n = sum(map(len, self._arrays))
        self.sample_shape, self.dtype = first.shape[1:], first.dtype.name

    @classmethod
    def fits(cls, path: Path) -> bool:
        """Whether the path is an array file, or a folder with array files."""
        return super().fits(path) or (path.is_dir() and any(path.glob("*.np[yz]")))

    def chunks(self, rows: int) -> Iterator[NDArray]:
        """See :class:`~sae.data.source.Source`."""
        waiting: list[NDArray] = []
        for array in self._arrays:
            flat, first = array.reshape(len(array), -1), 0
            while first < len(flat):
                room = rows - sum(map(len, waiting))
                waiting.append(np.asarray(flat[first : first + room]))
                first += room
                if sum(map(len, waiting)) == rows:
                    yield waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
                    waiting = []
                    _let_go(array)
        if waiting:
            yield waiting[0] if len(waiting) == 1 else np.concatenate(waiting)


def _let_go(array: NDArray) -> None:
    """Release the pages of a mapped file from this process; the system may keep them cached.

    A later access reads them again. Without this, a file that was read once would count
    completely as memory of this process.
    """
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
