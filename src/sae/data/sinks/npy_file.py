"""Results as an array that ``numpy.load`` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sae.data.sinks.sink import Layout, Sink
from sae.errors import InputError


class Npy(Sink):
    """An array (n, columns), or (n, …) in the shape of the samples, of the layout's dtype.

    Rows are in the order of the input and have no id.
    """

    suffixes = (".npy",)

    def __init__(self, path: Path, layout: Layout) -> None:
        super().__init__(path, layout)
        self._dtype = np.dtype(layout.dtype).newbyteorder("<")
        self._file = path.open("wb")
        shape = layout.sample_shape or (len(layout.names),)
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (layout.n, *shape),
        }
        np.lib.format.write_array_header_1_0(self._file, header)

    @classmethod
    def check(cls, key: str, layout: Layout) -> None:
        """Raise :class:`InputError` if the columns have different types."""
        if not layout.dtype:
            remedy = "name a file that ends in .csv, .tsv or .parquet"
            raise InputError(key, "a file for a table", "a file for numbers only", remedy)

    def write(self, ids: NDArray[Any], *parts: NDArray[Any]) -> None:
        """Append rows.

        Raises:
            InputError: The rows hold texts.
        """
        if any(part.dtype.kind not in "fiub" for part in parts):
            remedy = "write a .csv or a .parquet file, which can hold texts"
            raise InputError("output", "numbers for a .npy file", "texts", remedy)
        rows = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        self._file.write(np.ascontiguousarray(rows, dtype=self._dtype).data)

    def close(self) -> None:
        """Finish the file."""
        self._file.close()
