"""Files that ``numpy.save`` wrote: found, mapped into memory, and checked before they are used."""

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
# Where each column is scaled by itself, whole numbers of any size are welcome.
NUMBERS = (*DTYPES, *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
TABLES = (".csv", ".tsv", ".parquet", ".arrow", ".feather")
# What whole numbers are divided by; 1 leaves the others as they are.
DIVISORS = {"uint8": 255, "uint16": 65535}


def npy_files(path: Path) -> list[Path]:
    """The files of arrays that a path names: itself, or all in that folder, by name.

    Raises:
        InputError: There are none.
    """
    if path.suffix.lower() in TABLES:
        remedy = "read it with --data TableDataModule"
        raise InputError(str(path), "a .npy file", "a table", remedy)
    files = sorted(path.glob("*.np[yz]")) if path.is_dir() else [path] * path.is_file()
    if not files:
        found = "a folder without any" if path.is_dir() else "none"
        remedy = "name a file that numpy.save wrote, or a folder of such files"
        raise InputError(str(path), "a .npy file, or a folder of them", found, remedy)
    return files


def map_npy(path: Path, key: str | None = None) -> NDArray:
    """The array in a file, read when it is looked at, and not to be written to.

    An ``.npz`` file cannot be mapped: its array is read into memory as a whole.

    Args:
        path: The file.
        key: Which array of an ``.npz`` file; None where it holds one.

    Raises:
        InputError: It is no such file, is cut short, holds several arrays, or Python objects.
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
        remedy = "name one that numpy.save wrote and that may be read"
        if error.errno == errno.EMFILE:
            remedy = "put the samples into fewer files, or raise the limit with ulimit -n"
        raise InputError(str(path), "a file to read", str(error.strerror), remedy) from None
    except InputError:
        raise
    except (ValueError, EOFError, TypeError, SyntaxError, TokenError, BadZipFile) as error:
        raise _unreadable(path, " ".join(str(error).split())) from None


def _several(path: Path, archive: np.lib.npyio.NpzFile) -> InputError:
    """Which arrays an archive holds, and how to take one of them out."""
    names = archive.files
    found = f"{len(names)} ({', '.join(map(show, names))})" if names else "none"
    if not names:
        return InputError(str(path), "one array", found, "name a file that numpy.save wrote")
    aside = path.with_name(f"{names[0]}.npy").name
    one = f"numpy.load({str(path)!r})[{names[0]!r}]"
    remedy = f"name it by key, or save the one you mean: numpy.save({aside!r}, {one})"
    return InputError(str(path), "one array", found, remedy)


def _unreadable(path: Path, reason: str) -> InputError:
    """What is wrong with a file. Python objects are not looked at: to read them would run code."""
    expected, found = "a whole .npy file of numbers", show(reason)
    remedy = "write it anew with numpy.save"
    if "memory-mapped" in reason or "Object arrays" in reason:
        found = "Python objects, such as rows of different lengths, which are never read"
        remedy = "bring all samples to one length and save numpy.array(list(x), dtype='float32')"
    elif "pickle" in reason:
        found, remedy = "no array of numpy's", "save your samples x with numpy.save(FILE, x)"
    return InputError(str(path), expected, found, remedy)


def check_array(path: Path, array: NDArray, dtypes: Sequence[str] = DTYPES) -> None:
    """Refuse what cannot be read row by row as it lies there.

    Args:
        path: Where it lies.
        array: What lies there.
        dtypes: Which types of values are taken.

    Raises:
        InputError: It is empty, no table of numbers, or lies in another order.
    """
    found = f"{array.dtype} of {array.shape}"
    if array.ndim < 2 or array.size == 0 or array.dtype.name not in dtypes:
        expected = f"an array (n, …) of {', '.join(dtypes)}, not empty"
        raise InputError(str(path), expected, found, _conversion(path, array))
    if not (array.flags.c_contiguous and array.dtype.isnative):
        expected = "rows one after another, in this machine's order of bytes"
        found = "columns one after another" if array.dtype.isnative else str(array.dtype.str)
        remedy = f"save numpy.ascontiguousarray(x, dtype={array.dtype.name!r})"
        raise InputError(str(path), expected, found, remedy)


def _conversion(path: Path, array: NDArray) -> str:
    """The line of numpy that makes an array readable."""
    if array.ndim < 2 or array.size == 0 or array.dtype.kind not in "iu":
        return "save x.astype('float32') of such a shape"
    low, high = int(array.min()), int(array.max())
    shift = f" - {low}" if low > 0 else f" + {-low}" if low < 0 else ""
    x = f"(x.astype(float){shift}) / {max(1, high - low)}" if shift else f"x / {max(1, high)}"
    return f"they go from {low} to {high}: scale them to [0, 1] with {scaling(path, x)}"


def scaling(path: Path, x: str, before: str = "", key: str | None = None) -> str:
    """Code that saves what is made of the array ``x`` of a file in another one, to name instead.

    Args:
        path: The file.
        x: What is made of ``x``.
        before: Statements ahead of it.
        key: Which array of an ``.npz`` file; None where it holds one.
    """
    load = f"numpy.load({str(path)!r})"
    if path.suffix == ".npz":
        with np.load(path) as archive:
            load += f"[{key or archive.files[0]!r}]"
    other = str(path.with_name(f"{path.stem}_scaled.npy"))
    return f"x = {load}; {before}numpy.save({other!r}, ({x}).astype('float32'))"
