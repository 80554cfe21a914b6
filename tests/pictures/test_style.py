from __future__ import annotations

import io
import itertools

import numpy as np
import PIL.Image
import pytest
from matplotlib.colors import to_hex, to_rgb

from sae.pictures.style import (
    CLASSES,
    THIN,
    Box,
    class_colours,
    grid,
    render,
    sheet,
    short,
    side_by_side,
    square,
    tile,
)


def simulated(colour: str, kind: str) -> np.ndarray:
    """A colour as those see it who lack a cone, after Viénot et al. (1999), in linear RGB."""
    matrix = {
        "protan": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
        "deutan": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
        "none": np.eye(3),
    }[kind]
    linear = np.array(to_rgb(colour)) ** 2.2
    return np.clip(np.array(matrix) @ linear, 0, 1) ** (1 / 2.2)


@pytest.mark.parametrize("kind", ["none", "protan", "deutan"])
def test_classes_stay_apart_for_colour_blind_eyes(kind):
    colours = [simulated(colour, kind) for colour in CLASSES]
    apart = min(np.abs(a - b).sum() for a, b in itertools.combinations(colours, 2))
    assert apart > 0.1, "matplotlib's tab10 has 0.03 and 0.02 here"


def test_images_in_rows_with_lines_between_them():
    images = np.arange(3.0).repeat(4).reshape(3, 2, 2)
    found = grid(images, columns=2, blank=9)
    assert found.shape == (2 * 3 + 1, 2 * 3 + 1)
    assert found[1, 1:6].tolist() == [0, 0, 9, 1, 1]
    assert found[4, 1:6].tolist()[:3] == [2, 2, 9]
    assert (found[[0, 3, 6]] == 9).all()
    np.testing.assert_array_equal(grid(images[:1], 1, blank=9)[1:-1, 1:-1], images[0])
    coloured = grid(np.zeros((3, 2, 2, 3)), 2)
    assert coloured.shape == (7, 7, 3)


@pytest.mark.parametrize(("n", "tiles"), [(1, (1, 1)), (4, (2, 2)), (5, (2, 3)), (7, (3, 3))])
def test_as_many_in_a_row_as_rows_or_one_more(n, tiles):
    found = square(np.zeros((n, 4, 4)), blank=1)
    assert found.shape == (5 * tiles[0] + 1, 5 * tiles[1] + 1)
    assert (found == 0).sum() == 16 * n


def test_blocks_side_by_side_with_a_gap():
    found = side_by_side([np.zeros((2, 3)), np.zeros((2, 1))], gap=2, blank=7)
    assert found.tolist() == [[0, 0, 0, 7, 7, 0]] * 2


def test_a_place_in_inches_is_counted_from_the_upper_left_corner():
    bounds = Box(1, 0.5, 2, 1).within(sheet(8, 4, "title")).bounds
    assert bounds == pytest.approx((1 / 8, 1 - 1.5 / 4, 2 / 8, 1 / 4))


def test_the_png_holds_the_figure_in_its_size():
    png = render(sheet(3, 2, "title"))
    assert (png.height, png.width) == (200, 300)
    image = PIL.Image.open(io.BytesIO(png.content))
    assert (image.format, image.size) == ("PNG", (300, 200))
    assert np.asarray(image).min() < 100, "the title is in ink"


@pytest.mark.parametrize(
    ("height", "width", "inches"),
    [(10, 20, (0.8, 0.4)), (20, 10, (0.4, 0.8)), (1, 99, (0.8, THIN))],
)
def test_the_longer_side_is_as_told_and_none_too_thin(height, width, inches):
    assert tile(height, width, 0.8) == pytest.approx(inches)


def test_names_are_cut_to_what_fits():
    assert [short(name) for name in (7, "sandal", "trouser")] == ["7", "sandal", "trous…"]


@pytest.mark.parametrize("n", [1, 3, 10, 11, 40])
def test_each_class_has_a_colour_of_its_own(n):
    colours = class_colours(n)
    assert n == colours.N
    assert len({colours(k) for k in range(n)}) == n
    if n <= 10:
        assert [to_hex(colours(k)) for k in range(n)] == CLASSES[:n]
