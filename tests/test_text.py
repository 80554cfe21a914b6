from __future__ import annotations

import ast
import csv
import io

import pytest
from helpers import ROOT

from sae.text import cell, chain, epochs, megabytes, of_samples, program, shown_path, typed_path


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


@pytest.mark.parametrize(
    ("called", "named"),
    [
        ("cli.py", "python cli.py"),
        ("/clone/cli.py", "python cli.py"),
        ("/venv/bin/sae", "sae"),
        ("sae.exe", "sae"),
        ("ipykernel_launcher.py", "sae"),
        ("", "sae"),
    ],
)
def test_commands_are_named_as_the_program_was_called(called, named, monkeypatch):
    monkeypatch.setattr("sys.argv", [called])
    assert program() == named


def test_no_message_names_the_program_otherwise():
    """Docstrings may: they are read in a clone."""
    wrong = []
    for path in (ROOT / "src").rglob("*.py"):
        tree = ast.parse(path.read_text())
        alone = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and "cli.py " in text and id(node) not in alone:
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: say program() instead")
    assert not wrong


def test_words_on_images_for_samples_that_are_none():
    assert of_samples("PCA-2, {part} SSE per image") == "PCA-2, {part} SSE per sample"
    assert of_samples("validation images, MSE per pixel") == "validation samples, MSE per value"
    assert of_samples("pixels of an image_width") == "values of an image_width"


def test_one_epoch_and_more():
    assert [epochs(n) for n in (0, 1, 2)] == ["0 epochs", "1 epoch", "2 epochs"]
