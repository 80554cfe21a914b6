"""Write files completely, or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from torch import Tensor

# Suffix of a file that is being written. A file that still has it was never finished.
ASIDE = ".part"


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a temporary file, then rename it: readers see the old file or the complete new one."""
    data = content.encode() if isinstance(content, str) else content
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=ASIDE)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        with suppress(FileNotFoundError):  # a signal may come after the renaming
            os.unlink(aside)
        raise


def write_npy(path: Path, shape: tuple[int, int], parts: Iterator[Tensor]) -> None:
    """Write rows of single precision as ``.npy``, part by part; disk space is reserved first.

    Args:
        path: The file.
        shape: Rows and columns of the whole array.
        parts: The rows, (some rows, columns) each.

    Raises:
        OSError: There is not enough disk space; no file is left.
    """
    aside = path.with_suffix(f".{os.getpid()}{ASIDE}")
    try:
        with aside.open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            file.flush()
            if hasattr(os, "posix_fallocate") and shape[0]:
                try:
                    os.posix_fallocate(file.fileno(), file.tell(), 4 * shape[0] * shape[1])
                except OSError as error:
                    if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                        raise OSError(error.errno, error.strerror, str(path)) from None
            for part in parts:
                file.write(part.numpy().data)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
