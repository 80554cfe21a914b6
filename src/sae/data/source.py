"""Sources: the samples of one file or folder, in the user's units.

Each format is a file in :mod:`sae.data.sources`, found by the suffix of the input file.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sae.errors import InputError, show

ROOM = "sae.data.sources"


class Source(ABC):
    """The base of all sources. A subclass takes the path first, then its own options.

    Attributes:
        suffixes: Suffixes of the files that it reads, in lower case.
        path: The file or folder.
        n: Number of samples.
        columns: Names of the columns; None if they have no names.
        sample_shape: Shape of one stored sample.
        dtype: Type of the stored values, such as ``uint8``; ``table`` if columns have different
            types.
        ids: The id of each sample, (n,); None if samples have only numbers.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    path: Path
    n: int
    columns: list[str] | None = None
    sample_shape: tuple[int, ...]
    dtype: str
    ids: Sequence[Any] | None = None

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path

    @classmethod
    def fits(cls, path: Path) -> bool:
        """Whether this class reads the file or folder at a path.

        Args:
            path: An existing file or folder.
        """
        return path.is_file() and path.suffix.lower() in cls.suffixes

    @abstractmethod
    def chunks(self, rows: int) -> Iterator[NDArray]:
        """Yield all samples in order in chunks (rows, columns), with the stored type.

        If there are texts, chunks hold objects, and None for a missing value.

        Args:
            rows: Rows in a chunk; the last chunk may have fewer.
        """

    def whole(self) -> NDArray:
        """Read all samples: (n, columns)."""
        parts = list(self.chunks(max(1, self.n)))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def kinds_of_source() -> list[type[Source]]:
    """All built-in classes of sources, sorted by file name."""
    package = importlib.import_module(ROOM)
    found = []
    for name in sorted(module.name for module in pkgutil.iter_modules(package.__path__)):
        module = importlib.import_module(f"{ROOM}.{name}")
        found += [
            kind
            for kind in vars(module).values()
            if inspect.isclass(kind)
            and issubclass(kind, Source)
            and kind.__module__ == module.__name__
            and not inspect.isabstract(kind)
        ]
    return found


def open_source(path: str | Path, key: str | None = None, **options: Any) -> Source:
    """Open the samples at a path; the suffix decides the format.

    Args:
        path: A file or folder.
        key: Name of the array in an ``.npz`` file; None if the file holds a single array.
        options: Options of the format; those that are None are ignored.

    Raises:
        InputError: The path does not exist, its format is unknown, or the file is damaged.
    """
    path = Path(os.path.expanduser(path))
    if not path.exists():
        beside = path.parent.iterdir() if path.parent.is_dir() else ()
        near = difflib.get_close_matches(path.name, [each.name for each in beside], n=1)
        remedy = f"perhaps you meant {near[0]}" if near else "check the path"
        raise InputError(str(path), "a file or folder", "none", remedy)
    ours = kinds_of_source()
    kind = next((each for each in ours if each.fits(path)), None)
    if kind is None:
        known = ", ".join(dict.fromkeys(suffix for each in ours for suffix in each.suffixes))
        found = "a folder of something else" if path.is_dir() else show(path.suffix or path.name)
        expected = f"a file of a known format ({known}), or a folder of such files"
        raise InputError(str(path), expected, found, "save it as one of these")
    given = {name: value for name, value in {"key": key, **options}.items() if value is not None}
    takes = inspect.signature(kind).parameters
    for name in given:
        if name not in takes:
            remedy = f"leave {name} out"
            expected = f"no such option for {path.suffix or path.name}"
            raise InputError(name, expected, show(given[name]), remedy)
    return kind(path, **given)
