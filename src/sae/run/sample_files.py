"""Use a finished run on files: read samples and write results, batch by batch and in order."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sae.data.loader import chunk_rows
from sae.data.rows import TILE_ROWS
from sae.data.sinks.sink import ROW, Layout, open_sink
from sae.data.source import Source, open_source
from sae.data.sources.csv_files import CsvSource
from sae.data.sources.images import ImageSource
from sae.data.table_source import TableSource
from sae.errors import InputError
from sae.run.model import TrainedRun

if TYPE_CHECKING:
    import pyarrow as pa

Chunk = tuple[NDArray[Any], NDArray[Any]]
# A function from samples to results: arrays with the same rows.
Work = Callable[[NDArray[Any], int], Sequence[NDArray[Any]]]


class SampleFile:
    """The samples of a file, in the form that a run needs.

    In a table, the run's columns are found by their names, in any order; a column of ids may name
    the samples.

    Args:
        path: The file, or a folder.
        run: The run that will use the samples.
        of_codes: Whether the file holds codes instead of samples.
        key: Name of the array in an ``.npz`` file; None if it holds only one.

    Attributes:
        n: Number of samples.
        id_name: Name of the column of ids; ``row`` if samples are numbered.
        sample_shape: Shape of a sample in a file of arrays or images; else empty.
        remarks: Lines to print about how the file is read.

    Raises:
        InputError: The file is missing, damaged, or does not fit the run.
    """

    def __init__(
        self,
        path: Path,
        run: TrainedRun,
        of_codes: bool = False,
        key: str | None = None,
    ) -> None:
        width = run.stack.n_code if of_codes else run.n_columns
        self.path, self._width = path, width
        options: dict[str, Any] = {}
        if not of_codes and path.exists() and ImageSource.fits(path):
            options = run.image_options
        elif not of_codes and CsvSource.fits(path):
            options = {"texts": run.text_columns}
        self._source: Source = open_source(path, key=key, **options)
        self.remarks: list[str] = getattr(self._source, "remarks", [])
        self.n = self._source.n
        there = self._source.columns
        self._may_be_texts = run.columns is not None and not of_codes
        self._places: list[int] | None = None
        self._id_place: int | None = None
        if there is not None:
            # Files of codes that we write have a column of row numbers.
            names = [run.id_name, ROW] if of_codes else [run.id_name]
            if of_codes:
                self._places = [k for k, name in enumerate(there) if name not in names]
            else:
                self._places = run.places(there, str(path))
            used = {there[k] for k in self._places}
            named_by = [name for name in names if name in there and name not in used]
            self._id_place = there.index(named_by[0]) if named_by else None
        named = self._source.ids is not None or self._id_place is not None
        self.id_name = run.id_name if named else ROW
        shape = tuple(self._source.sample_shape)
        if not of_codes:
            run.check_colours(shape, str(path))
        self.sample_shape = shape if there is None and len(shape) > 1 else ()
        found = math.prod(shape) if self._places is None else len(self._places)
        if found != width:
            what = f"{'codes' if of_codes else 'samples'} of {width} values, as the run's"
            remedy = "give a file of the same kind as the one it was trained on"
            raise InputError(str(path), what, f"some of {found}", remedy)

    def chunks(self) -> Iterator[Chunk]:
        """Yield ids and samples, (rows,) and (rows, width), as they are stored."""
        first, named = 0, self._source.ids
        for chunk in self._source.chunks(self._step):
            last = first + len(chunk)
            ids = np.arange(first, last)
            if named is not None:
                ids = np.asarray(named[first:last])
            elif self._id_place is not None:
                ids = as_ids(chunk[:, self._id_place])
            rows = chunk if self._places is None else chunk[:, self._places]
            yield ids, rows if self._may_be_texts else self._numbers(rows, first)
            first = last

    def located(self, words: str) -> str:
        """A message with the line of the file after each row number, if the file has lines.

        Args:
            words: The message, with rows counted from 0: ``'old' in column age, row 48``.
        """
        source = self._source
        if not isinstance(source, TableSource):
            return words
        return re.sub(r"\brow (\d+)\b", lambda match: source.place(int(match[1])), words)

    @property
    def is_table(self) -> bool:
        """Whether the file is a table, whose columns have names and types."""
        return isinstance(self._source, TableSource)

    @property
    def dtype(self) -> str:
        """Type of the values of an array, such as ``float64``."""
        return str(self._source.dtype)

    def frames(self) -> Iterator[pa.Table]:
        """Yield all columns of a table in pyarrow's form, in the same parts as :meth:`chunks`."""
        assert isinstance(self._source, TableSource)
        return self._source.frames(self._step)

    @property
    def _step(self) -> int:
        return max(TILE_ROWS, chunk_rows(self._width))

    def _numbers(self, rows: NDArray[Any], first: int) -> NDArray[Any]:
        """Return rows as numbers; a column of texts, such as ids, makes them objects."""
        if rows.dtype != object:
            return rows
        try:
            return rows.astype(np.float32)
        except (TypeError, ValueError) as error:
            found = f"{' '.join(str(error).split())} in one of the rows from {first} on"
            remedy = "take texts out, or write numbers for them"
            raise InputError(str(self.path), "numbers", found, remedy) from None


def as_ids(column: NDArray[Any]) -> NDArray[Any]:
    """Return a column of ids: as whole numbers if all are whole, else unchanged.

    Args:
        column: Numbers or objects, (rows,).
    """
    if column.dtype == object:
        column = np.array(column.tolist())
    if column.dtype.kind == "f" and np.isfinite(column).all() and (column % 1 == 0).all():
        return column.astype(np.int64)
    return column


def write_result(
    samples: SampleFile,
    work: Work,
    path: Path,
    layout: Layout,
    overwrite: bool = False,
    quiet: bool | None = None,
) -> None:
    """Write the results for all samples, in their order; all of them or no file.

    Args:
        samples: The samples.
        work: Computes the results of a chunk, from its samples and the number of the first one.
        path: File to write; see :func:`~sae.data.sinks.sink.check_output`.
        layout: Layout of the file.
        overwrite: Whether to replace an existing file.
        quiet: Whether to hide the progress; None shows it only on a terminal.

    Raises:
        InputError: The samples do not fit, or the file cannot be written.
    """
    first = 0
    with (
        open_sink(path, layout, overwrite) as sink,
        tqdm(total=samples.n, unit=" samples", leave=False, disable=quiet) as bar,
    ):
        for ids, chunk in samples.chunks():
            try:
                parts = work(chunk, first)
            except InputError as error:
                if error.key != "samples":
                    raise
                found, remedy = samples.located(error.found), error.remedy
                raise InputError(str(samples.path), error.expected, found, remedy) from None
            sink.write(ids, *parts)
            first += len(chunk)
            bar.update(len(chunk))


def layout_of(run: TrainedRun, what: str, samples: SampleFile, dtype: str = "float32") -> Layout:
    """Return the layout of a file of results.

    Args:
        run: The run.
        what: As in :meth:`~sae.run.model.TrainedRun.apply`.
        samples: The samples.
        dtype: Type of the values, if the file is an array.
    """
    shape: tuple[int, ...] = ()
    if what == "decode" and run.is_of_images:
        shape = run.image_shape
    elif what in ("reconstruct", "denoise"):
        shape = samples.sample_shape
        if not shape and run.is_of_images:
            shape = run.image_shape
    white = float(getattr(run.preparation, "divisor", 1))
    return Layout(run.names_of(what), samples.n, samples.id_name, shape, white, dtype)
