"""Results as Apache Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sae.data.sinks import parquet
from sae.data.sinks.parquet import Parquet
from sae.data.sinks.sink import Layout


def test_columns_keep_their_types_and_rows_their_order(monkeypatch):
    monkeypatch.setattr(parquet, "GROUP", 4)
    sink = Parquet(Path("x.parquet"), Layout(["score", "odd"], 7))
    scores = np.arange(7, dtype=np.float32)[:, None]
    for first in (0, 3, 6):
        part = slice(first, first + 3)
        sink.write(np.arange(7)[part], scores[part], (scores[part] > 3).astype(np.int8))
    sink.close()
    table = pq.read_table("x.parquet")
    assert table.column_names == ["row", "score", "odd"]
    assert [str(kind) for kind in table.schema.types] == ["int64", "float", "int8"]
    assert table["row"].to_pylist() == list(range(7))
    assert table["score"].to_pylist() == list(range(7))
    assert table["odd"].to_pylist() == [0, 0, 0, 0, 1, 1, 1]
    assert pq.ParquetFile("x.parquet").num_row_groups == 2, "some batches to a group"


@pytest.mark.parametrize("value", ["red", None])
def test_words(value):
    sink = Parquet(Path("x.parquet"), Layout(["a"], 1))
    sink.write(np.arange(1), np.array([[value]], object))
    sink.close()
    assert pq.read_table("x.parquet")["a"].to_pylist() == [value]
