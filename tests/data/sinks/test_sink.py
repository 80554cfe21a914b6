"""Where results go: formats by suffix, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sae.data.sinks.csv import CSV
from sae.data.sinks.npy_file import Npy
from sae.data.sinks.parquet import Parquet
from sae.data.sinks.png_folder import Images
from sae.data.sinks.sink import Layout, check_output, open_sink, sink_for
from sae.errors import InputError

TWO = Layout(["a", "b"], 3)
ROWS = np.arange(6, dtype=np.float32).reshape(3, 2)


def write(path: Path, overwrite: bool = False, rows: np.ndarray = ROWS) -> None:
    with open_sink(path, Layout(["a", "b"], len(rows)), overwrite) as sink:
        sink.write(np.arange(len(rows)), rows)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("x.npy", Npy),
        ("x.CSV", CSV),
        ("x.tsv", CSV),
        ("x.parquet", Parquet),
        ("folder", Images),
    ],
)
def test_the_end_of_a_name_chooses_the_format(name, kind):
    assert sink_for(Path(name)) is kind


def test_an_unknown_end_is_refused_with_those_that_there_are():
    with pytest.raises(InputError, match=r"output: expected a file that ends in one of .*\.npy"):
        sink_for(Path("codes.xlsx"))


@pytest.mark.parametrize(
    ("shape", "image"),
    [
        ((28, 28), (28, 28)),
        ((28, 28, 1), (28, 28)),
        ((5, 4, 3), (5, 4, 3)),
        ((5, 4, 2), ()),
        ((12,), ()),
        ((), ()),
    ],
)
def test_which_shapes_are_those_of_images(shape, image):
    assert Layout(["a"], 1, sample_shape=shape).image_shape == image


def test_a_file_comes_to_its_place_when_it_is_whole():
    path = Path("x.npy")
    with open_sink(path, TWO) as sink:
        sink.write(np.arange(2), ROWS[:2])
        assert not path.exists()
        sink.write(np.arange(2, 3), ROWS[2:])
    np.testing.assert_array_equal(np.load(path), ROWS)
    assert [each.name for each in Path().iterdir()] == ["x.npy"], "nothing is left over"


@pytest.mark.parametrize("name", ["x.npy", "x.csv", "x.parquet", "folder"])
def test_what_is_broken_off_leaves_nothing_and_spoils_nothing(name):
    Path("x.npy").write_bytes(b"before")

    def break_off() -> None:
        with open_sink(Path(name), TWO, overwrite=True):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert [each.name for each in Path().iterdir()] == ["x.npy"]
    assert Path("x.npy").read_bytes() == b"before"


def test_what_is_there_is_replaced_only_when_asked():
    write(Path("x.npy"))
    with pytest.raises(
        InputError, match=r"new file or folder, found 'x\.npy', which exists; .*--overwrite true to"
    ):
        check_output(Path("x.npy"), False)
    with pytest.raises(InputError, match="a new file"):
        write(Path("x.npy"), rows=ROWS + 1)
    np.testing.assert_array_equal(np.load("x.npy"), ROWS)
    check_output(Path("x.npy"), True)
    write(Path("x.npy"), True, ROWS + 1)
    np.testing.assert_array_equal(np.load("x.npy"), ROWS + 1)


def test_what_comes_there_meanwhile_is_not_replaced():
    def meanwhile() -> None:
        with open_sink(Path("x.npy"), TWO) as sink:
            sink.write(np.arange(3), ROWS)
            Path("x.npy").write_bytes(b"another's")

    with pytest.raises(InputError, match="a new file"):
        meanwhile()
    assert Path("x.npy").read_bytes() == b"another's"


def test_the_input_is_never_overwritten():
    write(Path("x.npy"))
    Path("link.npy").symlink_to("x.npy")
    for name in ("x.npy", "link.npy"):
        with pytest.raises(InputError, match="another file than the input"):
            check_output(Path(name), True, [Path("x.npy")])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere/x.npy", "a folder to write into, found none .'nowhere' does not exist."),
        ("folder.npy", "a file, found a folder at 'folder.npy'"),
        ("full", "a new file"),
    ],
)
def test_where_nothing_can_be_written_it_is_said(name, says):
    Path("folder.npy").mkdir()
    Path("full").mkdir()
    Path("full/mine.txt").touch()
    with pytest.raises(InputError, match=says):
        check_output(Path(name), False)


def test_an_empty_folder_may_be_filled_and_others_keep_what_they_have():
    Path("folder").mkdir()
    check_output(Path("folder"), False)
    layout = Layout(["a", "b", "c", "d"], 1, sample_shape=(2, 2))
    for ids, value in (([0], 0), ([1], 1)):
        with open_sink(Path("folder"), layout, overwrite=bool(value)) as sink:
            sink.write(np.array(ids), np.full((1, 4), value))
    assert sorted(each.name for each in Path("folder").iterdir()) == ["0.png", "1.png"]
