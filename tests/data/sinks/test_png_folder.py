"""Results as a folder of PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from sae.data.sinks.png_folder import Images
from sae.data.sinks.sink import Layout
from sae.errors import InputError


def written(values, shape, ids=(0,), white=255.0) -> list[Path]:
    values = np.array(values, np.float32).reshape(len(ids), -1)
    names = [f"x{k}" for k in range(values.shape[1])]
    folder = Path("out")
    folder.mkdir()
    sink = Images(folder, Layout(names, len(ids), sample_shape=shape, white=white))
    sink.write(np.array(ids), values)
    sink.close()
    return sorted(folder.iterdir())


def read(path: Path) -> np.ndarray:
    return np.asarray(PIL.Image.open(path))


def test_values_are_rounded_and_cut_off_at_black_and_white():
    (path,) = written([-3, 0.6, 254.4, 300], (2, 2))
    assert read(path).dtype == np.uint8
    np.testing.assert_array_equal(read(path), [[0, 1], [254, 255]])


def test_samples_from_0_to_1_become_all_shades():
    (path,) = written([0, 0.5, 1, 0.2], (2, 2), white=1)
    np.testing.assert_array_equal(read(path), [[0, 128], [255, 51]])


def test_sixteen_bits_stay_sixteen():
    (path,) = written([0, 256, 1000.6, 65_535], (2, 2), white=65_535)
    np.testing.assert_array_equal(read(path), [[0, 256], [1001, 65_535]])


def test_colours():
    values = np.arange(12).reshape(1, 2, 2, 3)
    (path,) = written(values, (2, 2, 3))
    np.testing.assert_array_equal(read(path), values[0])


def test_numbers_sort_as_the_samples_do():
    paths = written(np.zeros((11, 4)), (2, 2), ids=range(11))
    assert [path.name for path in paths] == [f"{k:02d}.png" for k in range(11)]


def test_files_keep_their_names_and_none_overwrites_another():
    ids = ["cats/a.jpg", "cats-a.png", "../../b.png", "a b.tif"]
    paths = written(np.zeros((4, 4)), (2, 2), ids=ids)
    assert [path.name for path in paths] == ["a b.png", "b.png", "cats-a.png", "cats-a_1.png"]


def test_what_is_no_image_is_refused():
    with pytest.raises(InputError, match="output: expected images for a folder of PNG files"):
        Images.check("output", Layout(["a"], 1))
    Images.check("output", Layout(["a"], 1, sample_shape=(1, 1)))
