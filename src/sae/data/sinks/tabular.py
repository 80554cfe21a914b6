"""Convert rows to Arrow, for the formats that pyarrow writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sae.data.sinks.sink import Layout
from sae.errors import InputError


def arrow() -> Any:
    """Import and return pyarrow.

    Raises:
        InputError: pyarrow is not installed.
    """
    try:
        import pyarrow
    except ImportError:
        remedy = "run: pip install pyarrow"
        raise InputError("output", "the package pyarrow for this format", "none", remedy) from None
    return pyarrow


def record_batch(layout: Layout, ids: NDArray[Any], parts: Sequence[NDArray[Any]]) -> Any:
    """Convert rows to a ``pyarrow.RecordBatch``: the column of ids, then all others.

    Args:
        layout: Names of the columns. A column with the name of the id column gets an underscore.
        ids: The ids of the samples, (rows,).
        parts: Arrays (rows, k), or single pyarrow columns.
    """
    pa = arrow()
    columns = [pa.array(ids)] if layout.id_name else []
    for part in parts:
        if isinstance(part, pa.ChunkedArray):
            columns.append(_joined(part))
            continue
        # Arrow stores column by column, so make the values of a column contiguous first.
        columns += [pa.array(_typed(column)) for column in np.ascontiguousarray(part.T)]
    names = [f"{name}_" if name == layout.id_name else name for name in layout.names]
    return pa.RecordBatch.from_arrays(
        columns, names=[*([layout.id_name] if layout.id_name else []), *names]
    )


def _joined(column: Any) -> Any:
    """Join the chunks of a pyarrow column into one array."""
    joined = column.combine_chunks()
    return arrow().concat_arrays(joined.chunks) if hasattr(joined, "chunks") else joined


def _typed(column: NDArray[Any]) -> NDArray[Any]:
    """Convert a column of objects that are all floats to float32, the type of all results."""
    if column.dtype == object and all(isinstance(value, (float, np.floating)) for value in column):
        return column.astype(np.float32)
    return column
