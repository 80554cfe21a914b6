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
        parts: (rows, k) each.
    """
    pa = arrow()
    columns = [pa.array(ids)]
    for part in parts:
        # Column by column they lie one after another, as Arrow has them.
        columns += [pa.array(column) for column in np.ascontiguousarray(part.T)]
    names = [f"{name}_" if name == layout.id_name else name for name in layout.names]
    return pa.RecordBatch.from_arrays(columns, names=[layout.id_name, *names])
