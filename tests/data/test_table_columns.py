from __future__ import annotations

from sae.data.source import open_source
from sae.data.table_columns import MOST_LISTED, column_lines


def test_a_line_a_column(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,name,when\n1,,x,2020-01-01\n2.5,,y,2020-01-02\n,,x,2020-01-03\n")
    lines = column_lines(open_source(path), {"a", "name"})
    assert lines[0] == "column a: number, 1 to 2.5, 1 missing"
    assert lines[1].startswith("column b: ")
    assert lines[1].endswith("3 missing; not an input")
    assert lines[2] == "column name: text, 2 different: x, y"
    assert lines[3].endswith("; not an input")


def test_of_many_columns_the_first_ones(tmp_path):
    path = tmp_path / "t.csv"
    names = [f"c{k}" for k in range(MOST_LISTED + 3)]
    path.write_text(f"{','.join(names)}\n{','.join('1' for _ in names)}\n")
    lines = column_lines(open_source(path), names)
    assert len(lines) == MOST_LISTED + 1
    assert lines[-1] == "and 3 more columns"


def test_an_array_has_no_columns_with_names(tmp_path):
    import numpy as np

    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    assert column_lines(open_source(tmp_path / "x.npy"), set()) == []
