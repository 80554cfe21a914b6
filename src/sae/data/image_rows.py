"""Images in files as rows: decoded by several threads, at once or whenever they are asked for."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from sae.data.image_files import DamagedError, Look, read_image
from sae.data.rows import Rows
from sae.errors import InputError

T = TypeVar("T")
U = TypeVar("U")
MOST_THREADS = 8
# So many files are handed to the threads at once: what they give waits in memory.
AHEAD = 256


class ImageRows(Rows):
    """Images in files, (n, pixels), each decoded whenever it is asked for.

    Pixels of 8 bits are given as uint8; of 16 bits in single precision, divided by 65,535; or by
    the white of ``look``.

    Args:
        paths: The files, each known to be whole.
        look: How they are read.
    """

    def __init__(self, paths: Sequence[Path], look: Look) -> None:
        self.paths, self.look = list(paths), look
        self.shape = (len(self.paths), int(np.prod(look.shape)))
        self._stamps = [_stamp(path) for path in self.paths]

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        if isinstance(index, slice):
            paths = self.paths[index]
        else:
            paths = [self.paths[k] for k in index.tolist()]
        rows = np.empty((len(paths), self.shape[1]), np.uint8 if self.look.bits == 8 else np.uint16)
        for k, array in enumerate(in_threads(self._read, paths)):
            rows[k] = array.reshape(-1)
        return as_rows(rows, self.look)

    def _read(self, path: Path) -> NDArray:
        try:
            return read_image(path, self.look)
        except DamagedError as error:
            raise damaged([(path, str(error))]) from None

    def check_unchanged(self) -> None:
        """Compare size and time of each file with those it had."""
        for path, stamp in zip(self.paths, self._stamps, strict=True):
            if _stamp(path) != stamp:
                expected = "the file that it was when the run began"
                remedy = "leave the data alone while they are trained on, and start a new run"
                raise InputError(str(path), expected, "another one, or none", remedy)


def as_rows(pixels: NDArray, look: Look) -> Tensor:
    """Pixels (n, pixels) as loaders take them: uint8 as it is, all else as floats in [0, 1]."""
    if look.as_bytes:
        return torch.from_numpy(pixels)
    return torch.from_numpy(pixels.astype(np.float32)).mul_(1 / look.divisor)


def damaged(files: Sequence[tuple[Path, str]], remedy: str = "mend or remove it") -> InputError:
    """What to say of files that are no images, the first of them by name.

    Args:
        files: Each, with what is wrong.
        remedy: What to do.
    """
    path, reason = files[0]
    others = f", and {len(files) - 1:,} more damaged files" if len(files) > 1 else ""
    return InputError(str(path), "a whole image", f"{reason}{others}", remedy)


def in_threads(work: Callable[[T], U], items: Sequence[T], title: str = "") -> Iterator[U]:
    """What ``work`` makes of each, in order, several at a time; a bar where it takes a while.

    Args:
        work: A function that may run in several threads at once.
        items: What it is given.
        title: Of the bar; none without one.
    """
    waiting = iter(items)
    with (
        warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),
        warnings.catch_warnings(action="ignore", category=UserWarning),  # of odd EXIF and the like
        tqdm(total=len(items), desc=title, delay=2, disable=not title, leave=False) as bar,
    ):
        while some := list(islice(waiting, AHEAD)):
            for made in _threads().map(work, some):
                bar.update()
                yield made


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1), "image")


if hasattr(os, "register_at_fork"):  # threads are not in a process that was forked
    os.register_at_fork(after_in_child=_threads.cache_clear)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns
