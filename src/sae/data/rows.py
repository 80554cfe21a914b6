"""Rows that are not a tensor in memory: they are read from files, or computed when needed.

A loader takes a tensor or such rows: both have a length, and return rows for a slice or for a
tensor of indices.
"""

from __future__ import annotations

import mmap
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae.data.npy import DIVISORS, check_array, map_npy
from sae.devices import placed, send
from sae.errors import InputError
from sae.nets.layer import Autoencoder, Layer

# Size of a block of neighbouring rows that are read from disk together.
BLOCK_BYTES = 2**20
# Linux cuts longer hints down to its own read-ahead.
HINT_BYTES = 2**17
# A multiple of the tile sizes of matrix libraries.
TILE_ROWS = 256


class Rows(ABC):
    """The base of rows, (n, features), that are not a tensor in memory.

    Attributes:
        shape: (n, features).
        block: Number of neighbouring rows that are best read together; None if any order is fast.
    """

    shape: tuple[int, int]
    block: int | None = None

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def __getitem__(self, index: Tensor | slice) -> Tensor:
        """The rows of a slice (without step), or of indices in their order: (rows, features)."""

    def will_need(self, start: int, stop: int) -> None:  # noqa: B027  # a hint may be ignored
        """Announce that rows ``start`` to ``stop`` (exclusive) are needed soon."""

    def check_unchanged(self) -> None:  # noqa: B027  # computed rows do not change
        """Raise :class:`~sae.errors.InputError` if a file has changed since it was opened."""


def take(x: Tensor | Rows, index: Tensor | slice) -> Tensor:
    """Take rows of ``x`` with their stored type: (rows, features)."""
    if isinstance(x, Tensor) and isinstance(index, Tensor):
        return x.index_select(0, index)  # x[index] is several times slower
    return x[index]


def scale(x: Tensor) -> Tensor:
    """Scale uint8 to float32 in [0, 1]; other types are not changed.

    It multiplies by 1/255 on every device, because GPUs divide by multiplying: a division would
    give half of all pixel values another last bit there. 255 becomes exactly 1.
    """
    return x.float().mul_(1 / 255) if x.dtype == torch.uint8 else x


def are_pixels(x: Tensor | Rows) -> bool:
    """Whether rows are stored as uint8."""
    return take(x, slice(0, 1)).dtype == torch.uint8


class FileRows(Rows):
    """The rows of one or more ``.npy`` files, mapped into memory and read when needed.

    The operating system may drop cached parts of the files at any time, so they do not count as
    memory of this process. Rows are float32; uint16 is divided by 65,535, and uint8 stays uint8.

    Args:
        paths: Files of arrays (n, …) that have the same type and differ only in n.
        key: Name of the array in an ``.npz`` file; None if the file holds a single array.

    Attributes:
        divisor: The number by which integers are divided; 1 for other types. The loader divides
            uint8 batch by batch, unless this is 1.
        dtype: Type of the stored values.
        sample_shape: Shape of one stored row, before it is flattened.
        nbytes: Size of all rows in bytes.

    Raises:
        InputError: A file is missing or damaged, or differs from the others in shape or type.
    """

    def __init__(self, paths: Sequence[Path], key: str | None = None) -> None:
        self.paths, self.key = list(paths), key
        arrays = [map_npy(path, key) for path in self.paths]
        self.sample_shape, self.dtype = arrays[0].shape[1:], arrays[0].dtype
        dtype = self.dtype
        self.divisor = DIVISORS.get(dtype.name, 1)
        for path, array in zip(self.paths, arrays, strict=True):
            check_array(path, array)
            if (array.shape[1:], array.dtype) != (self.sample_shape, dtype):
                expected = f"{dtype} of {self.sample_shape}, as in {self.paths[0].name}"
                found = f"{array.dtype} of {array.shape[1:]}"
                raise InputError(str(path), expected, found, "save all files alike")
        self._stamps = [_stamp(path) for path in self.paths]
        self._arrays = [np.asarray(array).reshape(len(array), -1) for array in arrays]
        with warnings.catch_warnings(action="ignore"):  # about tensors that are read-only
            self._parts = [torch.from_numpy(array) for array in self._arrays]
        self._starts = np.cumsum([0, *(len(part) for part in self._parts)])
        # An array of an .npz file is in memory: it has no offset in a file to read ahead from.
        self._offsets = [int(a.offset) if isinstance(a, np.memmap) else None for a in arrays]
        for array in arrays:
            _only_what_is_asked_for(array)
        self.shape = (int(self._starts[-1]), self._parts[0].shape[1])
        self._row_bytes = self.shape[1] * dtype.itemsize
        self.nbytes = self.shape[0] * self._row_bytes
        self.block = max(1, BLOCK_BYTES // self._row_bytes)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        if isinstance(index, slice):
            start, stop, _ = index.indices(len(self))
            self.will_need(start, min(2 * stop - start, len(self)))  # probably the next ones, too
            rows = self._between(start, stop)
        else:
            rows = self._at(index)
        if rows.dtype == torch.uint8 and self.divisor != 1:
            return rows
        rows = rows.float()
        return rows if self.divisor == 1 else rows.mul_(1 / self.divisor)

    def are_a_mask(self) -> bool:
        """Whether all values are the integers 0 and 1; reads no further than another value."""
        if self.dtype.name not in DIVISORS:
            return False
        step = max(1, BLOCK_BYTES // self._row_bytes)
        parts = ((array, first) for array in self._arrays for first in range(0, len(array), step))
        return all(array[first : first + step].max() <= 1 for array, first in parts)

    def _at(self, index: Tensor) -> Tensor:
        if len(self._parts) == 1:
            return self._parts[0].index_select(0, index)
        # Read file by file in stored order, then reorder: writing each row directly to its final
        # place takes three times as long.
        wanted = index.numpy()
        order = wanted.argsort()
        ordered = wanted[order]
        cuts = ordered.searchsorted(self._starts).tolist()
        if (cuts[0], cuts[-1]) != (0, len(ordered)):
            raise IndexError(f"rows from 0 to {len(self) - 1} were expected")
        rows = torch.empty(len(ordered), self.shape[1], dtype=self._parts[0].dtype)
        for k, (first, last) in enumerate(pairwise(cuts)):
            if last > first:  # mode "clip", because numpy makes one more copy in mode "raise"
                local = ordered[first:last] - self._starts[k]
                self._arrays[k].take(local, axis=0, out=rows[first:last].numpy(), mode="clip")
        if (order[1:] > order[:-1]).all():  # already in order
            return rows
        return rows.index_select(0, torch.from_numpy(order.argsort()))

    def _between(self, start: int, stop: int) -> Tensor:
        parts = [
            self._parts[k][max(start - first, 0) : stop - first]
            for k, first, last in self._files_of(start, stop)
            if last > first
        ]
        return parts[0] if len(parts) == 1 else torch.cat([*parts, self._parts[0][:0]])

    def _files_of(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """The files that hold rows ``start`` to ``stop``: index, first row, row after the last."""
        bounds = zip(self._starts[:-1].tolist(), self._starts[1:].tolist(), strict=True)
        return [(k, a, b) for k, (a, b) in enumerate(bounds) if a < stop and b > start]

    def will_need(self, start: int, stop: int) -> None:
        """Ask the operating system to read these rows ahead, if it supports that."""
        if not hasattr(os, "posix_fadvise"):
            return
        for k, first, last in self._files_of(start, stop):
            offset = self._offsets[k]
            if offset is None:
                continue
            low, high = max(start, first) - first, min(stop, last) - first
            begin, end = (offset + row * self._row_bytes for row in (low, high))
            file = os.open(self.paths[k], os.O_RDONLY)
            try:
                for place in range(begin, end, HINT_BYTES):
                    length = min(HINT_BYTES, end - place)
                    os.posix_fadvise(file, place, length, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(file)

    def place(self, row: int) -> tuple[Path, int]:
        """The file that holds a row, and the number of the row in this file, from 0."""
        k = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self.paths[k], row - int(self._starts[k])

    def check_unchanged(self) -> None:
        """Raise :class:`~sae.errors.InputError` if a file has another size or time than before."""
        for path, stamp in zip(self.paths, self._stamps, strict=True):
            if _stamp(path) != stamp:
                expected = "the same file as when the run began"
                remedy = "do not change the data during a run, and start a new run"
                raise InputError(str(path), expected, "a changed file", remedy)


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _only_what_is_asked_for(array: NDArray) -> None:
    """Switch off the operating system's own read-ahead for a mapped file.

    Otherwise it reads some megabytes around each random row: 5,000 validation rows would read all
    of a file of 12 GB.
    """
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_RANDOM") and hasattr(os, "posix_fadvise"):
        mapped.madvise(mmap.MADV_RANDOM)


class WithoutRows(Rows):
    """All rows except some, in their order.

    Args:
        rows: The rows to choose from.
        left_out: Numbers of the rows to leave out, in ascending order, each once.
    """

    def __init__(self, rows: Rows, left_out: Tensor) -> None:
        self.rows, self.block = rows, rows.block
        self.shape = (len(rows) - len(left_out), rows.shape[1])
        # For each left-out row, the number of kept rows before it. Kept row k has as many left-out
        # rows before it as there are entries of at most k.
        self._stay_before = left_out - torch.arange(len(left_out))

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        if not isinstance(index, slice):
            return self.rows[self.places(index)]
        places = self.places(torch.arange(*index.indices(len(self))))
        if len(places) == 0:
            return self.rows[0:0]
        first, last = int(places[0]), int(places[-1])
        around = self.rows[first : last + 1]
        return around if len(around) == len(places) else around.index_select(0, places - first)

    def places(self, index: Tensor) -> Tensor:
        """The numbers of kept rows among all rows.

        Args:
            index: Numbers among the kept rows, (rows,).
        """
        return index + torch.searchsorted(self._stay_before, index, side="right")

    def will_need(self, start: int, stop: int) -> None:
        """See :class:`Rows`; passed on to the rows below."""
        if stop > start:
            first, last = self.places(torch.tensor([start, stop - 1])).tolist()
            self.rows.will_need(first, last + 1)

    def check_unchanged(self) -> None:
        """See :class:`Rows`; passed on to the rows below."""
        self.rows.check_unchanged()


class EncodedRows(Rows):
    """Codes that are computed each time they are needed, and not stored.

    Args:
        rows: The inputs, (n, features).
        net: The frozen layer that encodes them, in eval mode.
        device: The device that computes.
    """

    def __init__(self, rows: Tensor | Rows, net: Autoencoder, device: torch.device | str) -> None:
        self.rows, self.net, self.device = rows, net, torch.device(device)
        self.block = getattr(rows, "block", None)
        with torch.no_grad():
            self.shape = (len(rows), self[slice(0, 1)].shape[1])

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        x = send(take(self.rows, index), self.device)
        with placed(self.net, self.device):  # during training the Trainer has moved it already
            return encode_rows(self.net, scale(x))

    def will_need(self, start: int, stop: int) -> None:
        """See :class:`Rows`; passed on to the rows below."""
        if isinstance(self.rows, Rows):
            self.rows.will_need(start, stop)


@torch.no_grad()
def encode_rows(net: Autoencoder, x: Tensor) -> Tensor:
    """Encode rows so that the code of a row does not depend on the other rows.

    Matrix libraries use other algorithms, with other last bits, for an incomplete tile of rows and
    for few units. So rows are padded to whole tiles, and layers to enough units. On a GPU the
    algorithm also depends on the number of tiles, so tiles are encoded one at a time.

    Args:
        net: The layer, in eval mode.
        x: Inputs, (rows, features), scaled.

    Returns:
        Codes, (rows, units).
    """
    n = len(x)
    if missing := -n % TILE_ROWS:
        x = torch.cat([x, x.new_zeros(missing, x.shape[1])])
    if x.device.type != "cpu" and len(x) > TILE_ROWS:
        return torch.cat([_encode_tiles(net, tile) for tile in x.split(TILE_ROWS)])[:n]
    return _encode_tiles(net, x)[:n]


def _encode_tiles(net: Autoencoder, x: Tensor) -> Tensor:
    """Encode whole tiles of rows."""
    return net.encode_tiles(x) if isinstance(net, Layer) else net.encode(x)
