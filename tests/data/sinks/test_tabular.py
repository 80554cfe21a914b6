"""Rows as Arrow has them."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from sae.data.sinks.sink import Layout
from sae.data.sinks.tabular import arrow, record_batch
from sae.errors import InputError


def test_a_column_for_each_name_after_the_ids():
    parts = [np.array([[1, 2], [3, 4]], np.float32), np.array([[True], [False]])]
    batch = record_batch(Layout(["a", "b", "c"], 2, id_name="id"), np.array(["x", "y"]), parts)
    assert batch.to_pydict() == {
        "id": ["x", "y"],
        "a": [1, 3],
        "b": [2, 4],
        "c": [True, False],
    }


def test_a_column_that_is_called_as_the_ids_gets_an_underscore():
    batch = record_batch(Layout(["row"], 1), np.arange(1), [np.ones((1, 1))])
    assert batch.schema.names == ["row", "row_"]


def test_without_pyarrow_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match="pip install pyarrow"):
        arrow()
