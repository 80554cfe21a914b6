"""Sources: samples of one file or folder, in the user's units.

A format is one file in :mod:`sae.data.sources`, found by the suffix that it names.
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
    """Samples of one file or folder. A kind takes the path first; the rest are its options.

    Attributes:
        suffixes: Ends of the names of the files that it reads, in small letters.
        path: The file or folder.
        n: Samples.
        columns: Names of the columns; None where they have none.
        sample_shape: Shape of one sample as it is stored.
        dtype: Type of the values as they are stored, such as ``uint8``; ``table`` where columns
            have types of their own.
        ids: What each sample is called, (n,); None where it is its number.
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
        """Whether this kind reads what lies at a path.

        Args:
            path: A file or folder that is there.
        """
        return path.is_file() and path.suffix.lower() in cls.suffixes

    @abstractmethod
    def chunks(self, rows: int) -> Iterator[NDArray]:
        """All samples in order, so many at a time: (rows, columns), as they are stored.

        Where columns hold texts they are objects, and None where a value is missing.

        Args:
            rows: How many; the last chunk may have fewer.
        """

    def whole(self) -> NDArray:
        """All samples at once: (n, columns)."""
        parts = list(self.chunks(max(1, self.n)))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def kinds_of_source() -> list[type[Source]]:
    """Every kind of ours, by the name of its file."""
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
    """The samples at a path; its suffix decides how they are read.

    Args:
        path: A file or folder.
        key: Which array of an ``.npz`` file; null where it holds one.
        options: Those of the kind; null ones are left out.

    Raises:
        InputError: Nothing lies there, no kind reads it, or it is damaged.
    """
    path = Path(os.path.expanduser(path))
    if not path.exists():
        beside = path.parent.iterdir() if path.parent.is_dir() else ()
        near = difflib.get_close_matches(path.name, [each.name for each in beside], n=1)
        remedy = f"perhaps {near[0]} is meant" if near else "mend the path"
        raise InputError(str(path), "a file or folder", "none", remedy)
    ours = kinds_of_source()
    kind = next((each for each in ours if each.fits(path)), None)
    if kind is None:
        known = ", ".join(dict.fromkeys(suffix for each in ours for suffix in each.suffixes))
        found = "a folder of something else" if path.is_dir() else show(path.suffix or path.name)
        expected = f"a file of a known kind ({known}), or a folder of such"
        raise InputError(str(path), expected, found, "save it as one of these")
    given = {name: value for name, value in {"key": key, **options}.items() if value is not None}
    takes = inspect.signature(kind).parameters
    for name in given:
        if name not in takes:
            remedy = f"leave {name} out"
            raise InputError(name, f"no such option for {path.suffix or path.name}", "one", remedy)
    return kind(path, **given)
