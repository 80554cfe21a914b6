"""Results as Apache Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sae.data.sinks.sink import Layout, Sink
from sae.data.sinks.tabular import arrow, record_batch

# Rows in a row group of the file: smaller groups make the file larger and slower to read.
GROUP = 65_536


class Parquet(Sink):
    """A column of ids, then one column for each value; types are kept."""

    suffixes = (".parquet",)

    def __init__(self, path: Path, layout: Layout) -> None:
        super().__init__(path, layout)
        arrow()
        self._writer: Any = None
        self._held: list[Any] = []
        self._most = max(1, min(GROUP, 2**22 // len(layout.names)))

    def write(self, ids: NDArray[Any], *parts: NDArray[Any]) -> None:
        """Append rows; they are written when a row group is full."""
        self._held.append(record_batch(self.layout, ids, parts))
        if sum(len(batch) for batch in self._held) >= self._most:
            self._flush()

    def _flush(self) -> None:
        from pyarrow import Table, parquet

        if not self._held:
            return
        table = Table.from_batches(self._held)
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self.path, table.schema)
        self._writer.write_table(table)
        self._held.clear()

    def close(self) -> None:
        """Write the remaining rows and finish the file."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
