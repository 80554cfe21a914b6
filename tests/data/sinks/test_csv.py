"""Results as comma-separated values."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from sae.data.sinks.csv import CSV
from sae.data.sinks.sink import Layout

VALUES = np.array([[0.1, 1e-30, -3.0], [1 / 3, 16_777_216, 2.5]], np.float32)


@pytest.mark.parametrize(("name", "delimiter"), [("x.csv", ","), ("x.tsv", "\t")])
def test_numbers_come_back_as_they_were(name, delimiter):
    sink = CSV(Path(name), Layout(["a", "b,c", "d"], 2))
    sink.write(np.array([7]), VALUES[:1])
    sink.write(np.array([8]), VALUES[1:])
    sink.close()
    with Path(name).open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, delimiter=delimiter)
    assert header == ["row", "a", "b,c", "d"]
    assert [row[0] for row in rows] == ["7", "8"]
    np.testing.assert_array_equal(np.array([row[1:] for row in rows], np.float32), VALUES)


def test_words_and_ids_that_hold_a_comma_or_a_quote():
    sink = CSV(Path("x.csv"), Layout(["a"], 2, id_name="id"))
    sink.write(np.array(['say "no"', "b"]), np.array([["red, dark"], [None]], object))
    sink.close()
    with Path("x.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["id", "a"], ['say "no"', "red, dark"], ["b", ""]]
