"""Results as an array."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sae.data.sinks.npy_file import Npy
from sae.data.sinks.sink import Layout
from sae.errors import InputError


def written(layout: Layout, *batches) -> np.ndarray:
    sink = Npy(Path("x.npy"), layout)
    for parts in batches:
        sink.write(np.zeros(len(parts[0])), *parts)
    sink.close()
    return np.load("x.npy", mmap_mode="r")


def test_rows_have_the_shape_of_a_sample():
    rows = np.arange(24, dtype=np.float32).reshape(2, 12)
    found = written(Layout(["x"] * 12, 2, sample_shape=(4, 3)), [rows[:1]], [rows[1:]])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, rows.reshape(2, 4, 3))


def test_parts_stand_side_by_side():
    scores, odd = np.array([[0.5], [2.5]], np.float32), np.array([[0], [1]], np.int8)
    found = written(Layout(["score", "odd"], 2), [scores, odd])
    np.testing.assert_array_equal(found, [[0.5, 0], [2.5, 1]])


def test_texts_are_refused():
    with pytest.raises(InputError, match=r"numbers for a \.npy file, found texts; write a \.csv"):
        written(Layout(["a"], 1), [np.array([["red"]], object)])
