"""Rows of data that are no tensor in memory: they lie in files, or are computed when asked for.

A loader takes either: both have a length and give rows for a slice or for a tensor of indices.
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

# What is read from a disk together: rows of one block lie side by side.
BLOCK_BYTES = 2**20
# Of a longer hint Linux takes no more than it would read ahead by itself.
HINT_BYTES = 2**17
# A multiple of what libraries multiply at once.
TILE_ROWS = 256


class Rows(ABC):
    """Rows, (n, features).

    Attributes:
        shape: n and features.
        block: How many neighbouring rows are best read together; None where it does not matter.
    """

    shape: tuple[int, int]
    block: int | None = None

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def __getitem__(self, index: Tensor | slice) -> Tensor:
        """Rows of a slice (without step) or in the order of indices, (rows, features)."""

    def will_need(self, start: int, stop: int) -> None:  # noqa: B027  # a hint may go unheard
        """Hint that rows ``start`` to ``stop`` are asked for soon."""

    def check_unchanged(self) -> None:  # noqa: B027  # what is computed does not change
        """Raise :class:`~sae.errors.InputError` where a file is no longer the one it was."""


def take(x: Tensor | Rows, index: Tensor | slice) -> Tensor:
    """Rows of ``x``, stored in memory or not: (rows, features), as they are stored."""
    if isinstance(x, Tensor) and isinstance(index, Tensor):
        return x.index_select(0, index)  # x[index] is several times slower
    return x[index]


def scale(x: Tensor) -> Tensor:
    """Pixels in [0, 1] from uint8; other types as they are.

    Multiplied, not divided: GPUs divide by multiplying, and half of all pixel values would get
    another last bit there. 255 becomes 1 exactly.
    """
    return x.float().mul_(1 / 255) if x.dtype == torch.uint8 else x


def are_pixels(x: Tensor | Rows) -> bool:
    """Whether they are stored as uint8."""
    return take(x, slice(0, 1)).dtype == torch.uint8


class FileRows(Rows):
    """Rows of ``.npy`` files, one after another, mapped into memory: read where they are needed.

    What the system keeps of them in memory it can drop at any time; nothing counts as the
    process's own. Floats are given in single precision, and uint16 as such, divided by 65,535.

    Args:
        paths: The files: (n, …) each, of the same shape but for n, and of the same type.
        key: Which array of an ``.npz`` file; None where it holds one.

    Attributes:
        divisor: What whole numbers are divided by; 1 of others. Bytes are left to the loader,
            which divides them by 255 batch by batch, unless this is 1.
        dtype: Type of the values as they are stored.
        sample_shape: Shape of one row as it is stored, before it is made flat.
        nbytes: Size of all rows.

    Raises:
        InputError: A file is missing, damaged, or does not fit the others.
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
                raise InputError(str(path), expected, found, "make all files of one kind")
        self._stamps = [_stamp(path) for path in self.paths]
        self._arrays = [np.asarray(array).reshape(len(array), -1) for array in arrays]
        with warnings.catch_warnings(action="ignore"):  # of tensors that must not be written to
            self._parts = [torch.from_numpy(array) for array in self._arrays]
        self._starts = np.cumsum([0, *(len(part) for part in self._parts)])
        # What was read into memory lies nowhere in a file: there is nothing to hint at.
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
            self.will_need(start, min(2 * stop - start, len(self)))  # and, likely, the next ones
            rows = self._between(start, stop)
        else:
            rows = self._at(index)
        if rows.dtype == torch.uint8 and self.divisor != 1:
            return rows
        rows = rows.float()
        return rows if self.divisor == 1 else rows.mul_(1 / self.divisor)

    def are_a_mask(self) -> bool:
        """Whether they are whole numbers, and none but 0 and 1: read until there is another."""
        if self.dtype.name not in DIVISORS:
            return False
        step = max(1, BLOCK_BYTES // self._row_bytes)
        parts = ((array, first) for array in self._arrays for first in range(0, len(array), step))
        return all(array[first : first + step].max() <= 1 for array, first in parts)

    def _at(self, index: Tensor) -> Tensor:
        if len(self._parts) == 1:
            return self._parts[0].index_select(0, index)
        # File by file into neighbouring rows, then into the order asked for: rows that are put
        # each in its place take three times as long.
        wanted = index.numpy()
        order = wanted.argsort()
        ordered = wanted[order]
        cuts = ordered.searchsorted(self._starts).tolist()
        if (cuts[0], cuts[-1]) != (0, len(ordered)):
            raise IndexError(f"rows from 0 to {len(self) - 1} were expected")
        rows = torch.empty(len(ordered), self.shape[1], dtype=self._parts[0].dtype)
        for k, (first, last) in enumerate(pairwise(cuts)):
            if last > first:  # clip, for numpy copies once more where it may have to raise
                local = ordered[first:last] - self._starts[k]
                self._arrays[k].take(local, axis=0, out=rows[first:last].numpy(), mode="clip")
        if (order[1:] > order[:-1]).all():  # they are in that order already
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
        """The files that hold rows ``start`` to ``stop``: number, first row, row after the last."""
        bounds = zip(self._starts[:-1].tolist(), self._starts[1:].tolist(), strict=True)
        return [(k, a, b) for k, (a, b) in enumerate(bounds) if a < stop and b > start]

    def will_need(self, start: int, stop: int) -> None:
        """Have the system read them ahead, where it takes such hints."""
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
        """The file in which a row lies, and which of its rows it is."""
        k = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self.paths[k], row - int(self._starts[k])

    def check_unchanged(self) -> None:
        """Compare size and time of each file with those it had."""
        for path, stamp in zip(self.paths, self._stamps, strict=True):
            if _stamp(path) != stamp:
                expected = "the file that it was when the run began"
                remedy = "leave the data alone while they are trained on, and start a new run"
                raise InputError(str(path), expected, "another one", remedy)


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _only_what_is_asked_for(array: NDArray) -> None:
    """Have the system read no more of a mapped file than what is looked at or hinted at.

    Otherwise it reads some megabytes around each row from anywhere: 5000 of them for validation
    would be all of 12 GB.
    """
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_RANDOM") and hasattr(os, "posix_fadvise"):
        mapped.madvise(mmap.MADV_RANDOM)


class WithoutRows(Rows):
    """All rows but some, in their order.

    Args:
        rows: Where they come from.
        left_out: Which are left out, each once, in ascending order.
    """

    def __init__(self, rows: Rows, left_out: Tensor) -> None:
        self.rows, self.block = rows, rows.block
        self.shape = (len(rows) - len(left_out), rows.shape[1])
        # Before row k of those that stay there are as many left out as have at most k before them.
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
        """Where they lie among all rows."""
        return index + torch.searchsorted(self._stay_before, index, side="right")

    def will_need(self, start: int, stop: int) -> None:
        """Pass it on."""
        if stop > start:
            first, last = self.places(torch.tensor([start, stop - 1])).tolist()
            self.rows.will_need(first, last + 1)

    def check_unchanged(self) -> None:
        """Pass it on."""
        self.rows.check_unchanged()


class EncodedRows(Rows):
    """Codes that are computed when they are asked for, and not kept.

    Args:
        rows: The inputs.
        net: The frozen layer that encodes them, in eval mode.
        device: Where to compute.
    """

    def __init__(self, rows: Tensor | Rows, net: Autoencoder, device: torch.device | str) -> None:
        self.rows, self.net, self.device = rows, net, torch.device(device)
        self.block = getattr(rows, "block", None)
        with torch.no_grad():
            self.shape = (len(rows), self[slice(0, 1)].shape[1])

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        x = send(take(self.rows, index), self.device)
        with placed(self.net, self.device):  # the Trainer has put it there, while it trains
            return encode_rows(self.net, scale(x))

    def will_need(self, start: int, stop: int) -> None:
        """Pass it on."""
        if isinstance(self.rows, Rows):
            self.rows.will_need(start, stop)


@torch.no_grad()
def encode_rows(net: Autoencoder, x: Tensor) -> Tensor:
    """The codes of some rows, (rows, units), the same whichever rows are encoded together.

    For what is left over of whole tiles, and for a few units, libraries take other ways to
    multiply, with other last bits: so there are always whole tiles, and enough units. On a GPU the
    way depends on the number of tiles, too: there it is one at a time.
    """
    n = len(x)
    if missing := -n % TILE_ROWS:
        x = torch.cat([x, x.new_zeros(missing, x.shape[1])])
    if x.device.type != "cpu" and len(x) > TILE_ROWS:
        return torch.cat([_encode_tiles(net, tile) for tile in x.split(TILE_ROWS)])[:n]
    return _encode_tiles(net, x)[:n]


def _encode_tiles(net: Autoencoder, x: Tensor) -> Tensor:
    """The codes of whole tiles."""
    return net.encode_tiles(x) if isinstance(net, Layer) else net.encode(x)
