"""Tables: sources whose columns have names, and types of their own."""

from __future__ import annotations

import difflib
import re
from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sae.data.source import Source
from sae.errors import InputError, show

if TYPE_CHECKING:
    import pyarrow as pa

NUMBER, TEXT = "number", "text"
# From here on float64 does not hold every whole number.
MOST_EXACT = 2**53
_DATE = re.compile(r"(\d{4}-\d{1,2}-\d{1,2}|\d{1,2}\.\d{1,2}\.(\d{4}|\d{2}))([T ]\d{1,2}:\d{2}.*)?")


class TableSource(Source):
    """A table. A kind reads the types of its columns when it is made, and rows when it is asked.

    Attributes:
        types: Of each column of the file: ``number``, ``text``, or another, such as ``date``.
        dtype: ``table``.
    """

    dtype = "table"
    types: dict[str, str]

    def __init__(self, path: Path, id: str | None = None) -> None:
        super().__init__(path)
        self.id = id

    def _describe(self, schema: pa.Schema, n: int) -> None:
        """Take up what columns there are.

        Args:
            schema: Names and types, as pyarrow has them.
            n: Rows.

        Raises:
            InputError: There are no rows, or names that cannot be told apart.
        """
        path, names = str(self.path), schema.names
        for k, name in enumerate(names):
            if not name.strip():
                remedy = "write one into the first line"
                found = f"none for column {k + 1} of {len(names)}"
                raise InputError(path, "a name for each column", found, remedy)
            if name in names[:k]:
                found, remedy = f"{show(name)} twice", "give each column a name of its own"
                raise InputError(path, "a name for each column", found, remedy)
        if n == 0:
            raise InputError(path, "rows below the names of the columns", "none", "name another")
        self.types = {field.name: kind_of(field.type) for field in schema}
        if self.id is not None:
            check_column(self.id, self.types, "id", path)
        self.columns = [name for name in names if name != self.id]
        self.n, self.sample_shape = n, (len(self.columns),)

    @abstractmethod
    def frames(self, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """All rows in order, so many at a time, as pyarrow has them.

        Args:
            rows: How many at most.
            columns: Which columns, in this order; None for all.
        """

    def chunks(self, rows: int) -> Iterator[NDArray]:
        """See :class:`~sae.data.source.Source`: float64, or objects where there are texts."""
        assert self.columns is not None
        for frame in self.frames(rows, self.columns):
            parts = [values_of(frame.column(name)) for name in self.columns]
            yield np.stack(parts, axis=1)

    @property
    def ids(self) -> Sequence[Any] | None:  # type: ignore[override]  # read when asked for
        """The column ``id``, where one is named."""
        if self.id is None:
            return None
        frames = self.frames(2**16, [self.id])
        return [value for frame in frames for value in frame.column(self.id).to_pylist()]

    def place(self, row: int) -> str:
        """Where a row stands in the file, for people.

        Args:
            row: Its number, from 0.
        """
        return f"row {row}"


def check_column(name: str, known: Collection[str], key: str, path: str) -> None:
    """Raise :class:`~sae.errors.InputError` unless a table has a column of that name."""
    if name not in known:
        near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
        few = ", ".join(list(known)[:8]) + ", …" * (len(known) > 8)
        remedy = f"perhaps {near[0]} is meant" if near else f"it has {few}"
        raise InputError(key, f"a column of {path}", show(name), remedy)


def kind_of(kind: pa.DataType) -> str:
    """``number``, ``text``, or what else a column holds."""
    import pyarrow.types as t

    if t.is_dictionary(kind):
        kind = kind.value_type
    numbers = (t.is_integer, t.is_floating, t.is_boolean, t.is_decimal, t.is_null)
    if any(is_so(kind) for is_so in numbers):
        return NUMBER
    if t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind):
        return TEXT
    return "date or time" if t.is_temporal(kind) else str(kind)


def numbers_of(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """A column of numbers, (rows,): not a number where one is missing."""
    import pyarrow as pa

    column = _plain(column)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    column = column.cast(pa.float64(), safe=False)
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def values_of(column: pa.ChunkedArray) -> NDArray:
    """A column as it is: float64, or objects, None where a value is missing.

    Whole numbers that float64 cannot tell apart, such as long ids, are objects, too.
    """
    if kind_of(column.type) == NUMBER:
        numbers = numbers_of(column)
        whole = str(_plain(column).type).startswith(("int", "uint"))
        if not whole or np.fmax.reduce(np.abs(numbers), initial=0) < MOST_EXACT:
            return numbers
    found = np.empty(len(column), object)
    found[:] = _plain(column).to_pylist()
    return found


def codes_of(column: pa.ChunkedArray, categories: Sequence[Any]) -> NDArray[np.float64]:
    """Which of the categories each value is, (rows,).

    Args:
        column: Of texts or numbers.
        categories: In their order.

    Returns:
        From 0 on; -1 of another value, not a number where one is missing.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    column = _plain(column)
    if kind_of(column.type) == NUMBER:
        column = pa.chunked_array([pa.array(numbers_of(column), from_pandas=True)])
        known = pa.array([float(value) for value in categories], pa.float64())
    else:
        column = column.cast(pa.string())
        known = pa.array([str(value) for value in categories], pa.string())
    index = pc.fill_null(pc.index_in(column, value_set=known), -1).cast(pa.float64())
    codes = np.array(index.to_numpy(zero_copy_only=False), np.float64)
    codes[np.asarray(column.is_null().to_numpy(zero_copy_only=False), bool)] = np.nan
    return codes


def distinct(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column of texts or numbers, each once, in no order."""
    import pyarrow.compute as pc

    column = _plain(column)
    if kind_of(column.type) == NUMBER:
        found = numbers_of(column)
        return list(map(float, np.unique(found[~np.isnan(found)])))
    return [value for value in pc.unique(column).to_pylist() if value is not None]


def are_dates(values: Collection[str]) -> bool:
    """Whether all texts are dates: ``2024-05-31``, also with a time, or ``31.05.2024``."""
    return bool(values) and all(_DATE.fullmatch(str(value).strip()) for value in values)


def _plain(column: Any) -> Any:
    """A column without a dictionary."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        return column.cast(column.type.value_type)
    return column
