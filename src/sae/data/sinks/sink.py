"""The base of every format that results are written in, and how a file comes to its place."""

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
    """What is going to be written.

    Attributes:
        names: Of the columns, in order.
        n: Number of rows.
        id_name: Of the column that says which sample a row is of; empty where there is none.
        sample_shape: Shape of a row where it has one of its own, such as (28, 28) of an image;
            empty where it is a row of columns.
        white: Of images, the value that is shown as white; that of black is 0.
        dtype: Of the values of an array; empty where rows are none of one type.
    """

    names: Sequence[str]
    n: int
    id_name: str = ROW
    sample_shape: tuple[int, ...] = ()
    white: float = 1.0
    dtype: str = "float32"

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height and width, and 3 where the samples are images in colour; empty of others."""
        shape = self.sample_shape
        grey = len(shape) == 3 and shape[2] == 1
        is_image = len(shape) == 2 or grey or (len(shape) == 3 and shape[2] == 3)
        return shape[: 2 + (len(shape) == 3 and not grey)] if is_image else ()


class Sink(ABC):
    """A format. What is written comes batch by batch, in order; no more than a batch is held.

    Args:
        path: A new file, or a new folder where :attr:`is_folder` says so.
        layout: What is going to be written.

    Attributes:
        suffixes: Ends of the names of its files.
        is_folder: Whether a result is a folder of files, whose name has no end.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    is_folder: ClassVar[bool] = False

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path, self.layout = path, layout

    @classmethod  # noqa: B027  # most formats hold all
    def check(cls, key: str, layout: Layout) -> None:
        """Raise :class:`InputError` where the format cannot hold such rows.

        Args:
            key: The option that names the file, for the message.
            layout: What is going to be written.
        """

    @abstractmethod
    def write(self, ids: NDArray[Any], *parts: NDArray[Any]) -> None:
        """Append rows.

        Args:
            ids: What each sample is called, (rows,).
            parts: Values, (rows, k) each, of any type; together they have a column for each name.
                For tables also single columns as pyarrow has them.
        """

    @abstractmethod
    def close(self) -> None:
        """Finish the file."""


def sink_for(path: Path, key: str = "output") -> type[Sink]:
    """The format that the name of a file asks for.

    Args:
        path: The file, or the folder of images.
        key: The option that names it, for messages.

    Raises:
        InputError: There is no such format.
    """
    formats = [kinds.find(name, ROOM, Sink, key) for name in kinds.names(ROOM, Sink)]
    for each in formats:
        if path.suffix.lower() in each.suffixes or (each.is_folder and not path.suffix):
            return each
    known = ", ".join(suffix for each in formats for suffix in each.suffixes)
    expected = f"a file that ends in one of {known}, or a folder for images"
    raise InputError(key, expected, show(path.name), "name another")


def check_output(
    path: Path, overwrite: bool, inputs: Sequence[Path] = (), key: str = "output"
) -> None:
    """See that a result may be written, before it is computed.

    Args:
        path: Where it is to go.
        overwrite: Whether it may take the place of what is there.
        inputs: What it is computed from: that is never overwritten.
        key: The option that names it, for messages.

    Raises:
        InputError: It may not.
    """
    if not path.parent.is_dir():
        found = f"none ({show(str(path.parent))} is not there)"
        raise InputError(key, "a folder to write into", found, "make it, or name another")
    if not os.access(path.parent, os.W_OK):
        found = f"{show(str(path.parent))}, which may not be written to"
        raise InputError(key, "a folder to write into", found, "name another")
    for each in inputs:
        if path.exists() and each.exists() and path.samefile(each):
            raise InputError(key, "another file than the input", show(str(path)), "name another")
    if not path.exists():
        return
    if path.is_dir() and path.suffix:
        raise InputError(key, "a file", f"a folder at {show(str(path))}", "name another")
    if path.is_dir() and not any(path.iterdir()):
        return
    if not overwrite:
        remedy = "name another, or add --overwrite to replace what is there"
        raise InputError(key, "a name that is not taken", show(str(path)), remedy)


@contextmanager
def open_sink(path: Path, layout: Layout, overwrite: bool = False) -> Iterator[Sink]:
    """Write a result aside; it comes to its place when all of it is there, or not at all.

    Into a folder that is there already its files are moved one by one; others stay.

    Args:
        path: Where it is to go, as :func:`check_output` has seen.
        layout: What is going to be written.
        overwrite: Whether it may take the place of what has come there in the meantime.

    Raises:
        InputError: Something lies there now, or there is no room, or no right to write.
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
        remedy = "make room or name another"
        raise InputError("output", "room to write", f"none ({error.strerror})", remedy) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _aside(path: Path) -> str:
    """A new folder beside a file: what lies in it is renamed to its place at once."""
    try:
        return tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-", suffix=ASIDE)
    except OSError as error:
        found = f"none ({error.strerror})"
        raise InputError("output", "a folder to write into", found, "name another") from None
