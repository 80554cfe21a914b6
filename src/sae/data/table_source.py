"""Tables: sources whose columns have names and different types."""

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
# float64 cannot hold every integer beyond this.
MOST_EXACT = 2**53
# Most columns that a message lists.
MOST_NAMED = 8
_DATE = re.compile(r"(\d{4}-\d{1,2}-\d{1,2}|\d{1,2}\.\d{1,2}\.(\d{4}|\d{2}))([T ]\d{1,2}:\d{2}.*)?")


class TableSource(Source):
    """The base of tables: reads the types of the columns when created, and the rows later.

    Args:
        path: The file.
        id: The column that names each row; it is not one of ``columns``. None if there is none.

    Attributes:
        types: The type of each column of the file by name: ``number``, ``text``, or another, such
            as ``date or time``.
        dtype: ``table``.
    """

    dtype = "table"
    types: dict[str, str]

    def __init__(self, path: Path, id: str | None = None) -> None:
        super().__init__(path)
        self.id = id

    def _describe(self, schema: pa.Schema, n: int) -> None:
        """Set the attributes from the schema of the file.

        Args:
            schema: Names and types of the columns.
            n: Number of rows.

        Raises:
            InputError: There are no rows, a name is empty or occurs twice, or ``id`` is unknown.
        """
        path, names = str(self.path), schema.names
        for k, name in enumerate(names):
            if not name.strip():
                remedy = "write a name into the first line"
                found = f"none for column {k + 1} of {len(names)}"
                raise InputError(path, "a name for each column", found, remedy)
            if name in names[:k]:
                found, remedy = f"{show(name)} twice", "rename one of the columns"
                raise InputError(path, "a different name for each column", found, remedy)
        if n == 0:
            raise InputError(path, "rows below the column names", "none", "name another file")
        self.types = {field.name: kind_of(field.type) for field in schema}
        if self.id is not None:
            check_column(self.id, self.types, "id", path)
        self.columns = [name for name in names if name != self.id]
        self.n, self.sample_shape = n, (len(self.columns),)

    @abstractmethod
    def frames(self, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield all rows in order as pyarrow tables.

        Args:
            rows: Most rows in a table.
            columns: The columns to read, in this order; None for all.
        """

    def chunks(self, rows: int) -> Iterator[NDArray]:
        """See :class:`~sae.data.source.Source`: float64, or objects if there are texts."""
        assert self.columns is not None
        for frame in self.frames(rows, self.columns):
            parts = [values_of(frame.column(name)) for name in self.columns]
            yield np.stack(parts, axis=1)

    def check_no_texts(self, column: str) -> None:
        """Raise InputError if a column of texts contains one that is not a number.

        Args:
            column: The name of the column.

        Raises:
            InputError: It names the first such text and its position.
        """
        odd = list[tuple[int, str]]()
        first = 0
        for frame in self.frames(2**16, [column]):
            values = frame.column(column).to_pylist()
            odd += [
                (first + k, value)
                for k, value in enumerate(values)
                if value is not None and not self.is_number(value)
            ]
            first += len(values)
        if odd:
            row, value = odd[0]
            found = f"{show(value)} in column {column}, {self.place(row)}"
            more = f" (and {len(odd) - 1:,} more)" if len(odd) > 1 else ""
            remedy = "correct it or leave it empty"
            raise InputError(str(self.path), "numbers, as in train", found + more, remedy)

    def is_number(self, text: str) -> bool:
        """Whether a text of the file is a number.

        Args:
            text: The text.
        """
        try:
            float(text)
            return True
        except ValueError:
            return False

    @property
    def ids(self) -> Sequence[Any] | None:  # type: ignore[override]  # read when asked for
        """The values of the column ``id``, (n,); None if no such column was given."""
        if self.id is None:
            return None
        frames = self.frames(2**16, [self.id])
        return [value for frame in frames for value in frame.column(self.id).to_pylist()]

    def place(self, row: int) -> str:
        """The position of a row in the file, for messages.

        Args:
            row: Its number, from 0.
        """
        return f"row {row}"


def check_column(name: str, known: Collection[str], key: str, path: str) -> None:
    """Raise :class:`~sae.errors.InputError` if a table has no column of that name.

    Args:
        name: The column.
        known: The names of the columns of the table.
        key: The option that names the column.
        path: The file of the table.
    """
    if name not in known:
        near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
        remedy = f"perhaps you meant {near[0]}" if near else f"its columns are {few_of(known)}"
        if key == "label":
            remedy += "; if the table has no classes, add --data.label null"
        raise InputError(key, f"a column of {path}", show(name), remedy)


def few_of(names: Collection[str]) -> str:
    """The first names, separated by commas; ``…`` stands for the rest.

    Args:
        names: The names of columns.
    """
    return ", ".join(list(names)[:MOST_NAMED]) + ", …" * (len(names) > MOST_NAMED)


def kind_of(kind: pa.DataType) -> str:
    """The type of a column for people: ``number``, ``text``, ``date or time``, or Arrow's name."""
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
    """Convert a column of numbers to float64, (rows,); a missing value becomes NaN."""
    import pyarrow as pa

    column = _plain(column)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    column = column.cast(pa.float64(), safe=False)
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def values_of(column: pa.ChunkedArray) -> NDArray:
    """Convert a column to an array, (rows,).

    Returns:
        float64, NaN for a missing value; objects for texts, and for integers too large for
        float64, such as long ids: there a missing value is None.
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
    """Replace each value of a column by the index of its category.

    Args:
        column: A column of texts or numbers.
        categories: The values that have an index, in order.

    Returns:
        float64, (rows,): the index from 0; -1 for a value that is not in ``categories``, NaN for
        a missing value.
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
    """The different values of a column of texts or numbers, in any order, without missing ones."""
    import pyarrow.compute as pc

    column = _plain(column)
    if kind_of(column.type) == NUMBER:
        found = numbers_of(column)
        return list(map(float, np.unique(found[~np.isnan(found)])))
    return [value for value in pc.unique(column).to_pylist() if value is not None]


def are_dates(values: Collection[str]) -> bool:
    """Whether all texts are dates, such as ``2024-05-31`` or ``31.05.2024``, or dates and times."""
    return bool(values) and all(_DATE.fullmatch(str(value).strip()) for value in values)


def _plain(column: Any) -> Any:
    """The column with its values in place of Arrow's dictionary indices."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        return column.cast(column.type.value_type)
    return column
