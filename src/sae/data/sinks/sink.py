"""The base of all output formats, and the function that writes a file completely or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from sae import kinds
from sae.errors import InputError, show
from sae.files import ASIDE

ROOM = "sae.data.sinks"
IMAGES, ROW = "images", "row"


@dataclass(frozen=True)
class Layout:
    """The shape and the names of the rows to write.

    Attributes:
        names: Names of the columns, in order.
        n: Number of rows.
        id_name: Name of the column that holds the id of each sample; empty if there is none.
        sample_shape: Shape of a sample, such as (28, 28) for an image; empty for a row of columns.
        white: The value that an image shows as white; black is 0.
        dtype: NumPy type of all values; empty if the columns have different types.
    """

    names: Sequence[str]
    n: int
    id_name: str = ROW
    sample_shape: tuple[int, ...] = ()
    white: float = 1.0
    dtype: str = "float32"

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(height, width), or (height, width, 3) for colour images; empty for other samples."""
        shape = self.sample_shape
        grey = len(shape) == 3 and shape[2] == 1
        is_image = len(shape) == 2 or grey or (len(shape) == 3 and shape[2] == 3)
        return shape[: 2 + (len(shape) == 3 and not grey)] if is_image else ()


class Sink(ABC):
    """The base of an output format. Rows arrive batch by batch, in order.

    Args:
        path: A new file, or an empty new folder if :attr:`is_folder` is true.
        layout: The shape and the names of the rows.

    Attributes:
        suffixes: Suffixes of the files of this format, in lower case.
        is_folder: Whether the output is a folder of files; its name has no suffix.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    is_folder: ClassVar[bool] = False

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path, self.layout = path, layout

    @classmethod  # noqa: B027  # most formats can hold all rows
    def check(cls, key: str, layout: Layout) -> None:
        """Raise :class:`InputError` if the format cannot hold rows of this layout.

        Args:
            key: The option that names the file, for the message.
            layout: The shape and the names of the rows.
        """

    @abstractmethod
    def write(self, ids: NDArray[Any], *parts: NDArray[Any]) -> None:
        """Append rows.

        Args:
            ids: The ids of the samples, (rows,).
            parts: Values of any type, (rows, k) each; together they have a column for each name.
                For tables also single pyarrow columns.
        """

    @abstractmethod
    def close(self) -> None:
        """Finish the file."""


def sink_for(path: Path, key: str = "output") -> type[Sink]:
    """Find the format for the suffix of a file.

    Args:
        path: The file, or a folder for images.
        key: The option that names it, for messages.

    Raises:
        InputError: No format has this suffix.
    """
    formats = [kinds.find(name, ROOM, Sink, key) for name in kinds.names(ROOM, Sink)]
    for each in formats:
        if path.suffix.lower() in each.suffixes or (each.is_folder and not path.suffix):
            return each
    known = ", ".join(suffix for each in formats for suffix in each.suffixes)
    expected = f"a file that ends in one of {known}, or a folder for images"
    raise InputError(key, expected, show(path.name), "choose another name")


def check_output(
    path: Path, overwrite: bool, inputs: Sequence[Path] = (), key: str = "output"
) -> None:
    """Check before a long computation that its result can be written.

    Args:
        path: The file or folder to write.
        overwrite: Whether an existing file may be replaced.
        inputs: The input files: these are never overwritten.
        key: The option that names ``path``, for messages.

    Raises:
        InputError: The folder of ``path`` is missing or read-only, ``path`` is one of the inputs,
            or it exists and must not be replaced.
    """
    if not path.parent.is_dir():
        found = f"none ({show(str(path.parent))} does not exist)"
        raise InputError(key, "a folder to write into", found, "create it, or choose another")
    if not os.access(path.parent, os.W_OK):
        found = f"{show(str(path.parent))}, which is read-only"
        raise InputError(key, "a folder to write into", found, "choose another")
    for each in inputs:
        if path.exists() and each.exists() and path.samefile(each):
            raise InputError(key, "another file than the input", show(str(path)), "choose another")
    if not path.exists():
        return
    if path.is_dir() and path.suffix:
        raise InputError(key, "a file", f"a folder at {show(str(path))}", "choose another name")
    if path.is_dir() and not any(path.iterdir()):
        return
    if not overwrite:
        remedy = "choose another name, or add --overwrite true to replace it"
        found = f"{show(str(path))}, which exists"
        raise InputError(key, "the name of a new file or folder", found, remedy)


@contextmanager
def open_sink(path: Path, layout: Layout, overwrite: bool = False) -> Iterator[Sink]:
    """Write to a temporary file; rename it to ``path`` only when it is complete.

    If ``path`` is an existing folder, the new files are moved into it one by one; other files in
    it stay.

    Args:
        path: The file or folder to write, as checked by :func:`check_output`.
        layout: The shape and the names of the rows.
        overwrite: Whether a file that was created at ``path`` in the meantime may be replaced.

    Yields:
        The sink to write rows to.

    Raises:
        InputError: ``path`` exists now, the disk is full, or the folder is read-only.
    """
    kind = sink_for(path)
    work = Path(_aside(path))
    aside = work / path.name
    try:
        if kind.is_folder:
            aside.mkdir()
        sink = kind(aside, layout)
        try:
            yield sink
        finally:
            sink.close()
        check_output(path, overwrite)
        if kind.is_folder and path.is_dir():
            for file in sorted(aside.iterdir()):
                os.replace(file, path / file.name)
        else:
            os.replace(aside, path)
    except OSError as error:
        remedy = "free some space, or choose another disk"
        raise InputError("output", "space to write", f"none ({error.strerror})", remedy) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _aside(path: Path) -> str:
    """Create a temporary folder next to a file: on the same disk, so that renaming is atomic."""
    try:
        return tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-", suffix=ASIDE)
    except OSError as error:
        found = f"none ({error.strerror})"
        raise InputError("output", "a folder to write into", found, "choose another") from None
