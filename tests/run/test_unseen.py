"""Counts of categories that no training row has."""

from __future__ import annotations

import numpy as np

from sae.data.prepare import Pixels
from sae.data.table_preparation import Column, TablePreparation
from sae.run.unseen import Unseen

COLUMNS = [
    Column("width"),
    Column("colour", "category", values=["blue", "red"]),
    Column("level", "category", values=[1.0, 2.0]),
    Column("land", "constant", values=["DE"]),
]


def test_they_are_counted_over_all_parts_with_the_first_of_each_column():
    preparation = TablePreparation(COLUMNS, missing="mask")
    unseen = Unseen(preparation)
    parts = [
        [[1, "red", 1, "DE"], [2, None, None, None]],
        [[3, "green", 1, "AT"], [-4, "black", 7, "DE"]],
    ]
    for first, part in zip((0, 2000), parts, strict=True):
        assert str(unseen) == ""
        values = np.array(part, object)
        unseen.add(preparation.to_raw(values), values, first)
    assert str(unseen) == (
        "values that no training row has, which count as missing: 2 in column colour (the first is "
        "'green' in row 2,000); 1 in column level (the first is '7' in row 2,001); 1 in column "
        "land (the first is 'AT' in row 2,000)"
    )


def test_pixels_are_no_categories():
    unseen, values = Unseen(Pixels(255)), np.full((1, 2), -1.0)
    unseen.add(Pixels(255).to_raw(values), values, 0)
    assert str(unseen) == ""
