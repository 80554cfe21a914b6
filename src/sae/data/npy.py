"""Files that ``numpy.save`` wrote: found, mapped into memory, and checked before they are used."""

from __future__ import annotations

import errno
from pathlib import Path
from tokenize import TokenError
from zipfile import BadZipFile

import numpy as np

from sae.errors import InputError, show

DTYPES = ("uint8", "float16", "float32", "float64")


def npy_files(path: Path) -> list[Path]:
    """The ``.npy`` files that a path names: itself, or all in that folder, by name.

    Raises:
        InputError: There are none.
    """
    files = sorted(path.glob("*.npy")) if path.is_dir() else [path] * path.is_file()
    if not files:
        found = "a folder without any" if path.is_dir() else "none"
        remedy = "name a file that numpy.save wrote, or a folder of such files"
        raise InputError(str(path), "a .npy file, or a folder of them", found, remedy)
    return files


def map_npy(path: Path) -> np.memmap:
    """An ``.npy`` file as an array that is read when it is looked at, and cannot be written to.

    Raises:
        InputError: It is no such file, is cut short, or holds Python objects.
    """
    try:
        array = np.load(path, mmap_mode="r")
        if not isinstance(array, np.memmap):
            raise ValueError("an archive of several")
        return array
    except OSError as error:
        remedy = "name one that numpy.save wrote and that may be read"
        if error.errno == errno.EMFILE:
            remedy = "put the samples into fewer files, or raise the limit with ulimit -n"
        raise InputError(str(path), "a file to read", str(error.strerror), remedy) from None
    except (ValueError, EOFError, TypeError, SyntaxError, TokenError, BadZipFile) as error:
        found = show(" ".join(str(error).split()))
        remedy = "write it anew with numpy.save"
        raise InputError(str(path), "a whole .npy file of numbers", found, remedy) from None


def check_array(path: Path, array: np.memmap) -> None:
    """Refuse what cannot be read row by row as it lies there.

    Raises:
        InputError: It is empty, no table of numbers, or lies in another order.
    """
    found, remedy = f"{array.dtype} of {array.shape}", "save x.astype('float32') of such a shape"
    if array.ndim < 2 or array.size == 0 or array.dtype.name not in DTYPES:
        expected = f"an array (n, …) of {', '.join(DTYPES)}, not empty"
        raise InputError(str(path), expected, found, remedy)
    if not (array.flags.c_contiguous and array.dtype.isnative):
        expected = "rows one after another, in this machine's order of bytes"
        found = "columns one after another" if array.dtype.isnative else str(array.dtype.str)
        remedy = f"save numpy.ascontiguousarray(x, dtype={array.dtype.name!r})"
        raise InputError(str(path), expected, found, remedy)
