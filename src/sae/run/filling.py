"""Fill in the missing values of a table with a run; all other values stay as in the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sae.data.sinks.sink import Layout
from sae.data.table_preparation import TablePreparation
from sae.data.table_source import NUMBER, kind_of, numbers_of, values_of
from sae.errors import InputError
from sae.run.model import TrainedRun
from sae.run.sample_files import SampleFile, layout_of

if TYPE_CHECKING:
    import pyarrow as pa


class Filling:
    """Fills in the missing values of a file, chunk by chunk.

    A missing value is replaced by the reconstruction; for categories this is the most probable one.
    In a column of whole numbers it is rounded. All other values, and columns that are not inputs of
    the run, keep their values, order and type.

    Args:
        run: A run that was trained on a table with ``missing`` as ``mask`` or ``mean``.
        samples: The file.

    Attributes:
        layout: Layout of the file that will be written.

    Raises:
        InputError: The run was not trained with missing values.
    """

    def __init__(self, run: TrainedRun, samples: SampleFile) -> None:
        missing = getattr(run.preparation, "missing", None)
        if not isinstance(run.preparation, TablePreparation) or missing == "error":
            expected = "a run on a table that was trained with missing values"
            found = "one on other data" if missing is None else "one with missing: error"
            remedy = "train one with --data.missing mask, or leave fill out"
            raise InputError("fill", expected, found, remedy)
        self._run, self._n = run, samples.n
        self._names = run.column_names
        self._counts = dict.fromkeys(self._names, 0)
        self._frames = samples.frames() if samples.is_table else None
        if self._frames is None:
            self.layout = layout_of(run, "reconstruct", samples, samples.dtype)
            return
        self._whole, names = _whole_columns(samples, self._names)
        # If the file has a column of ids, it stays; no other ids are added.
        self.layout = Layout(names, samples.n, "", dtype="")

    def parts(self, chunk: NDArray[Any], first: int) -> list[Any]:
        """Return the rows of a chunk, filled in: one array, or a list of pyarrow columns.

        Args:
            chunk: Samples, (rows, columns of the run).
            first: Number of the first row.
        """
        made = self._run.apply("reconstruct", chunk, first)
        if self._frames is None:
            gaps = np.isnan(chunk)
            self._count({name: int(gaps[:, k].sum()) for k, name in enumerate(self._names)})
            return [np.where(gaps, made, chunk)]
        frame, places = next(self._frames), {name: k for k, name in enumerate(self._names)}
        return [
            self._filled(frame.column(name), name, made[:, places[name]])
            if name in places
            else _plain(frame.column(name))
            for name in frame.column_names
        ]

    def _filled(self, column: pa.ChunkedArray, name: str, made: NDArray[Any]) -> pa.ChunkedArray:
        """Return a column of the file with its missing values filled in.

        Args:
            column: The column, (rows,).
            name: Its name.
            made: Its reconstruction, (rows,).
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        column = _plain(column)
        kind, gaps = column.type, _gaps(column)
        self._count({name: int(gaps.sum())})
        if not gaps.any():
            return column
        if kind_of(kind) == NUMBER:
            numbers = made.astype(np.float64)
            if name in self._whole:
                numbers = np.rint(numbers)
            if pa.types.is_integer(kind):
                low, high = _range_of(kind)
                numbers = numbers.clip(low, high)
            if pa.types.is_null(kind):
                kind = pa.int64() if name in self._whole else pa.float64()
                return pa.chunked_array([pa.array(numbers).cast(kind)])
            if pa.types.is_boolean(kind):
                values = pa.array(numbers > 0.5)
            else:
                values = pa.array(numbers).cast(kind, safe=False)
        else:
            values = pa.array([str(each) for each in made], kind)
        return pc.if_else(pa.array(gaps), values, column)

    def _count(self, gaps: dict[str, int]) -> None:
        for name, n in gaps.items():
            self._counts[name] += n

    def line(self) -> str:
        """Return a line that says how many values were filled in."""
        found = {name: n for name, n in self._counts.items() if n}
        if not found:
            return "filled in: none, no value is missing"
        each = [f"{n:,} in column {name}" for name, n in list(found.items())[:8]]
        total = f"{sum(found.values()):,} values" if sum(found.values()) > 1 else "1 value"
        return f"filled in: {total}: {'; '.join(each)}" + "; …" * (len(found) > 8)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column without dictionary encoding, which a CSV cannot hold."""
    import pyarrow as pa

    kind = column.type
    return column.cast(kind.value_type) if pa.types.is_dictionary(kind) else column


def _gaps(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Return which values of a column are missing, (rows,)."""
    if kind_of(column.type) == NUMBER:
        return np.isnan(numbers_of(column))
    return np.array([value is None for value in values_of(column)], bool)


def _whole_columns(samples: SampleFile, names: Sequence[str]) -> tuple[set[str], list[str]]:
    """Return the columns that hold only whole numbers, and the names of all columns of the file.

    Whole numbers may be stored as floats, as pandas does if some are missing.
    """
    whole, there = set(names), list[str]()
    for frame in samples.frames():
        there = frame.column_names
        for name in sorted(whole):
            column = frame.column(name)
            if kind_of(column.type) == NUMBER:
                numbers = numbers_of(column)
                if (numbers != np.rint(numbers))[~np.isnan(numbers)].any():
                    whole.discard(name)
    return whole, there


def _range_of(kind: pa.DataType) -> tuple[float, float]:
    """Return the smallest and the largest whole number of a type that a float can hold."""
    about = np.iinfo(kind.to_pandas_dtype())
    high = float(about.max)
    return float(about.min), high if high <= about.max else float(np.nextafter(high, 0))
