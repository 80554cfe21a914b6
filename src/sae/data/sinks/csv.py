"""Results as comma-separated values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sae.data.sinks.sink import Layout, Sink
from sae.data.sinks.tabular import arrow, record_batch
from sae.text import cell


class CSV(Sink):
    """A header, then one row per sample, which begins with its id. ``.tsv`` files use tabs.

    Numbers are written with enough digits to restore the same float32 value.
    """

    suffixes = (".csv", ".tsv")

    def __init__(self, path: Path, layout: Layout) -> None:
        super().__init__(path, layout)
        arrow()
        from pyarrow import csv

        self._csv, self._file = csv, path.open("wb")
        self._delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
        self._writer: Any = None

    def write(self, ids: NDArray[Any], *parts: NDArray[Any]) -> None:
        """Append rows."""
        batch = record_batch(self.layout, ids, parts)
        if self._writer is None:
            # The header is written here: Arrow would put all names into quotes.
            header = self._delimiter.join(map(cell, batch.schema.names))
            self._file.write(f"{header}\n".encode())
            options = self._csv.WriteOptions(include_header=False, delimiter=self._delimiter)
            self._writer = self._csv.CSVWriter(self._file, batch.schema, write_options=options)
        self._writer.write_batch(batch)

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()
        self._file.close()
