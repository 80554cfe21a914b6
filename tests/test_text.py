from __future__ import annotations

import csv
import io

import pytest

from sae.text import cell, chain, megabytes, shown_path, typed_path


def test_sizes_for_people():
    sizes = {0: "0 bytes", 999: "999 bytes", 1000: "1.0 kB", 12_345_678_901: "12.3 GB"}
    assert {n: megabytes(n) for n in sizes} == sizes
    assert megabytes(5e15) == "5000.0 TB"


def test_a_network_there_and_back():
    assert chain([784, 128, 2]) == "784→128→2→128→784"
    assert chain([784]) == "784"


def test_a_path_is_relative_below_the_current_folder_alone(tmp_path):
    assert shown_path(tmp_path / "a" / "b") == "a/b"
    assert shown_path(tmp_path.parent / "b") == str(tmp_path.parent / "b")


def test_a_path_to_be_typed_is_quoted_where_it_must_be(tmp_path):
    assert typed_path(tmp_path / "a") == "a"
    assert typed_path(tmp_path / "my run") == "'my run'"


@pytest.mark.parametrize(
    ("words", "shown"),
    [("a b", "a b"), ("a,b", '"a,b"'), ('a"b', '"a""b"'), ("a\nb", '"a\nb"'), ("", "")],
)
def test_a_cell_comes_back_from_a_csv(words, shown):
    assert cell(words) == shown
    ((found, last),) = csv.reader(io.StringIO(f"{shown},1\n", newline=""))
    assert (found, last) == (words, "1")
