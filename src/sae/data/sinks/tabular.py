"""Rows as Arrow has them, for the formats that it writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sae.data.sinks.sink import Layout
from sae.errors import InputError


def arrow() -> Any:
    """Pyarrow.

    Raises:
        InputError: It is not installed.
    """
    try:
        import pyarrow
    except ImportError:
        remedy = "run: pip install pyarrow"
        raise InputError("output", "pyarrow, which writes it", "none", remedy) from None
    return pyarrow


def record_batch(layout: Layout, ids: NDArray[Any], parts: Sequence[NDArray[Any]]) -> Any:
    """Rows as a ``pyarrow.RecordBatch``: the column of ids, then all others.

    Args:
        layout: Names of the columns. One called as that of the ids is gets an underscore.
        ids: (rows,).
        parts: (rows, k) each, or a column as pyarrow has it.
    """
    pa = arrow()
    columns = [pa.array(ids)] if layout.id_name else []
    for part in parts:
        if isinstance(part, pa.ChunkedArray):
            columns.append(_joined(part))
            continue
        # Column by column they lie one after another, as Arrow has them.
        columns += [pa.array(_typed(column)) for column in np.ascontiguousarray(part.T)]
    names = [f"{name}_" if name == layout.id_name else name for name in layout.names]
    return pa.RecordBatch.from_arrays(
        columns, names=[*([layout.id_name] if layout.id_name else []), *names]
    )


def _joined(column: Any) -> Any:
    """A column in one piece."""
    joined = column.combine_chunks()
    return arrow().concat_arrays(joined.chunks) if hasattr(joined, "chunks") else joined


def _typed(column: NDArray[Any]) -> NDArray[Any]:
    """A column as it is typed: of objects that are floats, single precision, as all results are."""
    if column.dtype == object and all(isinstance(value, (float, np.floating)) for value in column):
        return column.astype(np.float32)
    return column
