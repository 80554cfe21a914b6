"""Find files written by ``numpy.save``, map them into memory, and check them."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from tokenize import TokenError
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from sae.errors import InputError, show

DTYPES = ("uint8", "uint16", "bool", "float16", "float32", "float64")
# Types for tables, where each column is scaled by itself: integers of any size.
NUMBERS = (*DTYPES, *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
TABLES = (".csv", ".tsv", ".parquet", ".arrow", ".feather")
# The number by which each integer type is divided to get [0, 1].
DIVISORS = {"uint8": 255, "uint16": 65535}


def npy_files(path: Path) -> list[Path]:
    """The array files at a path: the file itself, or all files of a folder, sorted by name.

    Args:
        path: A file, or a folder of ``.npy`` and ``.npz`` files.

    Raises:
        InputError: There are none, or the file is a table of another format.
    """
    if path.suffix.lower() in TABLES:
        remedy = "read it with --data TableDataModule"
        raise InputError(str(path), "a .npy file", "a table", remedy)
    files = sorted(path.glob("*.np[yz]")) if path.is_dir() else [path] * path.is_file()
    if not files:
        found = "a folder without .npy files" if path.is_dir() else "none"
        remedy = "name a file that numpy.save wrote, or a folder of such files"
        raise InputError(str(path), "a .npy file, or a folder of them", found, remedy)
    return files


def map_npy(path: Path, key: str | None = None) -> NDArray:
    """Map the array of a file into memory, read-only.

    The array of an ``.npz`` file cannot be mapped: it is read into memory completely.

    Args:
        path: The file.
        key: Name of the array in an ``.npz`` file; None if the file holds a single array.

    Raises:
        InputError: The file is missing, damaged or of another format, holds several arrays and
            ``key`` is None, or holds Python objects.
    """
    try:
        loaded = np.load(path, mmap_mode="r")
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded as archive:
            if key is not None:
                if key not in archive.files:
                    names = ", ".join(map(show, archive.files)) or "none"
                    raise InputError(
                        "key", f"an array of {path}", show(key), f"name one of {names}"
                    )
                return archive[key]
            if len(archive.files) == 1:
                return archive[archive.files[0]]
            raise _several(path, archive)
    except OSError as error:
        remedy = "name a readable file that numpy.save wrote"
        if error.errno == errno.EMFILE:
            remedy = "put the samples into fewer files, or raise the limit with ulimit -n"
        raise InputError(str(path), "a file to read", str(error.strerror), remedy) from None
    except InputError:
        raise
    except (ValueError, EOFError, TypeError, SyntaxError, TokenError, BadZipFile) as error:
        raise _unreadable(path, " ".join(str(error).split())) from None


def _several(path: Path, archive: np.lib.npyio.NpzFile) -> InputError:
    """The error for an archive with several arrays, or none: lists them and how to choose one."""
    names = archive.files
    found = f"{len(names)} ({', '.join(map(show, names))})" if names else "none"
    if not names:
        return InputError(str(path), "one array", found, "name a file that numpy.save wrote")
    aside = path.with_name(f"{names[0]}.npy").name
    one = f"numpy.load({str(path)!r})[{names[0]!r}]"
    remedy = f"choose one with key, or save it alone: numpy.save({aside!r}, {one})"
    return InputError(str(path), "one array", found, remedy)


def _unreadable(path: Path, reason: str) -> InputError:
    """The error for a file that cannot be read. Python objects never are: loading runs code."""
    expected, found = "a whole .npy file of numbers", show(reason)
    remedy = "save it again with numpy.save"
    if "memory-mapped" in reason or "Object arrays" in reason:
        found = "Python objects, such as rows of different lengths, which are never read"
        remedy = "give all samples the same length and save numpy.array(list(x), dtype='float32')"
    elif "pickle" in reason:
        found, remedy = "no NumPy array", "save your samples x with numpy.save(FILE, x)"
    return InputError(str(path), expected, found, remedy)


def check_array(path: Path, array: NDArray, dtypes: Sequence[str] = DTYPES) -> None:
    """Raise InputError if an array cannot be read row by row.

    Args:
        path: Its file, for messages.
        array: The array, mapped or in memory.
        dtypes: The allowed types.

    Raises:
        InputError: The array is empty, has fewer than two dimensions or another type, or its rows
            are not stored one after another in this machine's byte order.
    """
    found = f"{array.dtype} of {array.shape}"
    if array.ndim < 2 or array.size == 0 or array.dtype.name not in dtypes:
        expected = f"an array (n, …) of {', '.join(dtypes)}, not empty"
        raise InputError(str(path), expected, found, _conversion(path, array))
    if not (array.flags.c_contiguous and array.dtype.isnative):
        expected = "rows one after another, in this machine's byte order"
        found = "columns one after another" if array.dtype.isnative else str(array.dtype.str)
        remedy = f"save numpy.ascontiguousarray(x, dtype={array.dtype.name!r})"
        raise InputError(str(path), expected, found, remedy)


def _conversion(path: Path, array: NDArray) -> str:
    """The remedy: NumPy code that converts the array to a readable one."""
    if array.ndim < 2 or array.size == 0 or array.dtype.kind not in "iu":
        return "save x.astype('float32') with such a shape"
    low, high = int(array.min()), int(array.max())
    shift = f" - {low}" if low > 0 else f" + {-low}" if low < 0 else ""
    x = f"(x.astype(float){shift}) / {max(1, high - low)}" if shift else f"x / {max(1, high)}"
    return f"the values go from {low} to {high}: scale them to [0, 1] with {scaling(path, x)}"


def scaling(path: Path, x: str, before: str = "", key: str | None = None) -> str:
    """NumPy code that loads the array x of a file and saves a converted copy in a new file.

    Args:
        path: The file.
        x: The expression that converts ``x``.
        before: Statements to run before it.
        key: Name of the array in an ``.npz`` file; None if the file holds a single array.
    """
    load = f"numpy.load({str(path)!r})"
    if path.suffix == ".npz":
        with np.load(path) as archive:
            load += f"[{key or archive.files[0]!r}]"
    other = str(path.with_name(f"{path.stem}_scaled.npy"))
    return f"x = {load}; {before}numpy.save({other!r}, ({x}).astype('float32'))"
