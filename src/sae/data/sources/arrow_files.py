"""Tables stored by column: Parquet files, and Arrow files, which pandas calls Feather."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sae.data.table_source import TableSource
from sae.errors import InputError, show

if TYPE_CHECKING:
    import pyarrow as pa


class ArrowSource(TableSource):
    """A Parquet or Arrow file. It is read in parts, so it may be larger than memory.

    Args:
        path: The file.
        id: Column with the name of each row; it is not an input.

    Raises:
        InputError: The file is empty, damaged, or of another format.
    """

    suffixes = (".parquet", ".arrow", ".feather")

    def __init__(self, path: Path, id: str | None = None) -> None:
        super().__init__(path, id)
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            if path.stat().st_size == 0:
                raise InputError(str(path), "a table", "an empty file", "choose another file")
            if path.suffix.lower() == ".parquet":
                with pq.ParquetFile(path) as file:
                    schema, n = file.schema_arrow, file.metadata.num_rows
            else:
                schema, n = self._schema_of_arrow()
        except (pa.ArrowException, OSError) as error:
            found = show(" ".join(str(error).split()))
            remedy = "save it again, or choose another file"
            expected = f"a whole {path.suffix[1:].lower()} file"
            raise InputError(str(path), expected, found, remedy) from None
        self._describe(schema, n)

    def _schema_of_arrow(self) -> tuple[pa.Schema, int]:
        n, schema = 0, None
        for batch in self._arrow_batches():
            schema, n = batch.schema, n + batch.num_rows
        if schema is None:
            raise InputError(str(self.path), "rows", "none", "choose another file")
        return schema, n

    def _arrow_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the batches of an Arrow file or stream."""
        import pyarrow as pa

        with pa.memory_map(str(self.path)) as mapped:
            try:
                file = pa.ipc.open_file(mapped)
            except pa.ArrowInvalid:
                mapped.seek(0)
                yield from pa.ipc.open_stream(mapped)
                return
            for k in range(file.num_record_batches):
                yield file.get_batch(k)

    def frames(self, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """See :class:`~sae.data.table_source.TableSource`."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = None if columns is None else list(columns)
        if self.path.suffix.lower() == ".parquet":
            # With read-ahead, the whole file would be in memory.
            with pq.ParquetFile(self.path, pre_buffer=False, buffer_size=2**16) as file:
                for batch in file.iter_batches(rows, columns=names):
                    frame = pa.Table.from_batches([batch])
                    yield frame if names is None else frame.select(names)
            return
        for batch in self._arrow_batches():
            frame = pa.Table.from_batches([batch])
            frame = frame if names is None else frame.select(names)
            for first in range(0, len(frame), rows):
                yield frame.slice(first, rows)
