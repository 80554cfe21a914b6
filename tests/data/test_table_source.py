import numpy as np
import pyarrow as pa
import pytest

from sae.data.table_source import (
    TableSource,
    are_dates,
    codes_of,
    distinct,
    kind_of,
    numbers_of,
    values_of,
)
from sae.errors import InputError

NAN = float("nan")


class Made(TableSource):
    """A table in memory, in batches of its own."""

    def __init__(self, table, id=None):
        from pathlib import Path

        super().__init__(Path("made"), id)
        self.table = table
        self._describe(table.schema, len(table))

    def frames(self, rows, columns=None):
        table = self.table if columns is None else self.table.select(columns)
        for first in range(0, len(table), rows):
            yield table.slice(first, rows)


@pytest.fixture
def table():
    return pa.table({"name": ["r", "s", "t"], "x": [1, 2, None], "y": [True, False, True]})


def test_columns_types_and_rows(table):
    source = Made(table)
    assert source.types == {"name": "text", "x": "number", "y": "number"}
    assert (source.n, source.columns, source.sample_shape) == (3, ["name", "x", "y"], (3,))
    first, second = source.chunks(2)
    assert first.tolist() == [["r", 1, 1], ["s", 2, 0]]
    assert second[0, 0] == "t"
    assert np.isnan(second[0, 1])


def test_an_id_is_no_value(table):
    source = Made(table, "name")
    assert source.columns == ["x", "y"]
    assert source.ids == ["r", "s", "t"]
    assert source.whole().dtype == np.float64
    with pytest.raises(InputError, match=r"^id: expected a column of made, found 'nam'; perhaps"):
        Made(table, "nam")


@pytest.mark.parametrize(
    ("names", "message"),
    [(["a", "a"], "found 'a' twice"), (["a", " "], "none for column 2 of 2")],
)
def test_names_that_tell_nothing_apart_are_refused(names, message):
    with pytest.raises(InputError, match=message):
        Made(pa.table([[1], [2]], names))


def test_a_table_without_rows_is_refused():
    with pytest.raises(InputError, match="rows below the column names, found none"):
        Made(pa.table({"a": pa.array([], pa.int64())}))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pa.int8(), "number"),
        (pa.float16(), "number"),
        (pa.decimal128(5, 2), "number"),
        (pa.null(), "number"),
        (pa.large_string(), "text"),
        (pa.dictionary(pa.int8(), pa.string()), "text"),
        (pa.date32(), "date or time"),
        (pa.list_(pa.int8()), "list<item: int8>"),
    ],
)
def test_what_a_column_holds(kind, expected):
    assert kind_of(kind) == expected


def chunked(*values, kind=None):
    return pa.chunked_array([pa.array(values, kind)])


def test_numbers_with_gaps():
    found = numbers_of(chunked(1, None, 3))
    assert found.tolist() == pytest.approx([1, NAN, 3], nan_ok=True)
    assert numbers_of(chunked(True, None)).tolist() == pytest.approx([1, NAN], nan_ok=True)
    assert numbers_of(chunked(None, None)).tolist() == pytest.approx([NAN, NAN], nan_ok=True)


def test_categories_by_place():
    texts = chunked("b", None, "a", "z")
    expected = [1, NAN, 0, -1]
    assert codes_of(texts, ["a", "b"]).tolist() == pytest.approx(expected, nan_ok=True)
    coded = chunked("b", None, "a", "z").dictionary_encode()
    assert codes_of(coded, ["a", "b"]).tolist() == pytest.approx(expected, nan_ok=True)
    numbers = chunked(12, None, 1, 5)
    assert codes_of(numbers, [1.0, 12.0]).tolist() == pytest.approx(expected, nan_ok=True)


def test_each_value_once():
    assert sorted(distinct(chunked("b", None, "a", "b"))) == ["a", "b"]
    assert sorted(distinct(chunked(2, None, 1, 2))) == [1.0, 2.0]
    assert values_of(chunked("b", None)).tolist() == ["b", None]


@pytest.mark.parametrize(
    ("values", "so"),
    [
        (["31.05.2024", "1.6.24"], True),
        (["2024-05-31", "2024-05-31 12:30"], True),
        (["31.05.2024", "soon"], False),
        (["1.5"], False),
        ([], False),
    ],
)
def test_dates_are_told_from_other_texts(values, so):
    assert are_dates(values) is so
