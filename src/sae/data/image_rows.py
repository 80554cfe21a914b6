"""Images in files as rows, decoded by several threads, all at the start or when needed."""

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
# Files that are handed to the threads at once; their results wait in memory.
AHEAD = 256


class ImageRows(Rows):
    """Images in files, (n, pixels), decoded each time they are needed.

    Rows are uint8 for images of 8 bits, and otherwise float32, divided by the value of white.

    Args:
        paths: The files, already checked.
        look: The size and format of all images.
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
        """Raise :class:`~sae.errors.InputError` if a file has another size or time than before."""
        for path, stamp in zip(self.paths, self._stamps, strict=True):
            if _stamp(path) != stamp:
                expected = "the same file as when the run began"
                remedy = "do not change the data during a run, and start a new run"
                raise InputError(str(path), expected, "a changed file, or none", remedy)


def as_rows(pixels: NDArray, look: Look) -> Tensor:
    """Convert pixels, (n, pixels), for a loader: uint8 stays, others become floats in [0, 1]."""
    if look.as_bytes:
        return torch.from_numpy(pixels)
    return torch.from_numpy(pixels.astype(np.float32)).mul_(1 / look.divisor)


def damaged(files: Sequence[tuple[Path, str]], remedy: str = "repair or remove it") -> InputError:
    """The error for damaged files; it names the first one.

    Args:
        files: Each file with the reason.
        remedy: The remedy in the message.
    """
    path, reason = files[0]
    others = f", and {len(files) - 1:,} more damaged files" if len(files) > 1 else ""
    return InputError(str(path), "a whole image", f"{reason}{others}", remedy)


def in_threads(work: Callable[[T], U], items: Sequence[T], title: str = "") -> Iterator[U]:
    """Apply ``work`` to items in several threads; show a progress bar after two seconds.

    Args:
        work: A function that can run in several threads at once.
        items: Its arguments.
        title: Title of the progress bar; empty for no bar.

    Yields:
        The results, in the order of the items.
    """
    waiting = iter(items)
    with (
        warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),
        warnings.catch_warnings(action="ignore", category=UserWarning),  # about invalid EXIF
        tqdm(total=len(items), desc=title, delay=2, disable=not title, leave=False) as bar,
    ):
        while some := list(islice(waiting, AHEAD)):
            for made in _threads().map(work, some):
                bar.update()
                yield made


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1), "image")


if hasattr(os, "register_at_fork"):  # a forked process does not have the threads
    os.register_at_fork(after_in_child=_threads.cache_clear)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns
