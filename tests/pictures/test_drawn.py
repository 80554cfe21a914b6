"""What is drawn is what the numbers say: arrays, lines, frames and words in their places."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import metrics_of, tiny_scene
from matplotlib.colors import to_rgba
from matplotlib.image import BboxImage
from matplotlib.patches import Rectangle

from sae.pictures import (
    activity,
    codes,
    denoising,
    features,
    interpolation,
    losses,
    neighbours,
    plane,
)
from sae.pictures.style import CLASSES, grid
from sae.terms.corruption import Corruption
from sae.terms.sparsity import Sparsity
from sae.training.recipe import Recipe


def images(figure) -> list[BboxImage]:
    """From left to right."""
    found = [artist for artist in figure.artists if isinstance(artist, BboxImage)]
    return sorted(found, key=lambda image: image.bbox.bounds[0])


def array(image) -> np.ndarray:
    return np.asarray(image.get_array())


def words_at(figure) -> dict[str, tuple[float, float]]:
    return {text.get_text(): text.get_position() for text in figure.texts}


def test_the_plane_stands_upright():
    numbers = plane.numbers(tiny_scene(sizes=[12, 6, 2], linear_code=True))
    left, right = (axis.images[0] for axis in plane.draw(numbers).axes)
    answers = numbers["answers"]
    np.testing.assert_array_equal(
        array(left), grid(answers.reshape(-1, *answers.shape[2:]), plane.STEPS, blank=0)
    )
    assert left.origin == right.origin == "upper"
    low, high = numbers["low"], numbers["high"]
    # The middle of the first and the last answer lie at the ends of the range.
    x0, x1, y0, y1 = left.get_extent()
    tile = (x1 - x0) / plane.STEPS, (y1 - y0) / plane.STEPS
    assert (x0 + tile[0] / 2, x1 - tile[0] / 2) == pytest.approx((low[0], high[0]))
    assert (y0 + tile[1] / 2, y1 - tile[1] / 2) == pytest.approx((low[1], high[1]))


def test_an_image_is_drawn_at_its_code_on_the_axes():
    numbers = plane.numbers(tiny_scene(sizes=[12, 6, 2], linear_code=True))
    low, high = numbers["low"], numbers["high"]
    code = low + (high - low) * [0.25, 0.75]
    one = {"codes": code[None], "images": np.ones((1, 4, 3), np.float32), "labels": [0]}
    right = plane.draw({**numbers, **one}).axes[1].images[0]
    paper = array(right)
    rows, columns = np.nonzero((paper < 1).any(axis=2))
    x0, x1, y0, y1 = right.get_extent()
    x = x0 + (columns.min() + columns.max() + 1) / 2 / paper.shape[1] * (x1 - x0)
    y = y1 - (rows.min() + rows.max() + 1) / 2 / paper.shape[0] * (y1 - y0)
    np.testing.assert_allclose([x, y], code, atol=(high - low).max() / 50)


def test_the_way_lies_between_its_ends_and_above_cross_fading():
    numbers = interpolation.numbers(tiny_scene())
    figure = interpolation.draw(numbers)
    (picture,) = images(figure)
    drawn = array(picture)
    tiles = [drawn[1:5, 1 + 4 * k : 4 + 4 * k] for k in range(11)]
    below = [drawn[6:10, 1 + 4 * k : 4 + 4 * k] for k in range(11)]
    np.testing.assert_allclose(tiles[0], numbers["ends"][0, 0])
    np.testing.assert_allclose(tiles[-1], numbers["ends"][0, 1])
    np.testing.assert_allclose(np.stack(tiles[1:-1]), numbers["ways"][0, 0])
    np.testing.assert_allclose(np.stack(below[1:-1]), numbers["ways"][0, 1])
    words = words_at(figure)
    assert words["0 to 1\nby code"][1] > words["by pixels"][1]


def test_neighbours_by_code_stand_left_of_those_by_pixels():
    numbers = neighbours.numbers(tiny_scene())
    figure = neighbours.draw(numbers)
    probes, by_code, by_pixels = (array(image) for image in images(figure))
    np.testing.assert_array_equal(probes, grid(numbers["probes"], 1))
    for drawn, mine in zip((by_code, by_pixels), numbers["nearest"], strict=True):
        np.testing.assert_array_equal(drawn, grid(mine.reshape(-1, 4, 3), 6))
    words = {text.split(":")[0]: place for text, place in words_at(figure).items()}
    assert words["nearest by code"][0] < words["nearest by pixels"][0]


def test_frames_are_around_the_neighbours_of_another_class():
    numbers = neighbours.numbers(tiny_scene())
    figure = neighbours.draw(numbers)
    found = set()
    for frame in figure.artists:
        if isinstance(frame, Rectangle):
            box = frame.get_window_extent()
            x, y = box.x0 + box.width / 2, box.y0 + box.height / 2
            for k, image in enumerate(images(figure)[1:]):
                left, bottom, width, height = image.bbox.bounds
                if left < x < left + width:
                    row = int((bottom + height - y) / height * 3)
                    found.add((k, row, int((x - left) / width * 6)))
    assert found == set(map(tuple, np.argwhere(~numbers["same"]).tolist()))


def test_each_restoration_stands_below_its_noise():
    numbers = denoising.numbers(tiny_scene(recipe=Recipe(corruption=Corruption("masking", 0.3))))
    figure = denoising.draw(numbers)
    drawn = array(images(figure)[0])
    np.testing.assert_allclose(drawn[1:5, 1:4], numbers["clean"][0])
    for k, (noisy, restored) in enumerate(numbers["images"]):
        top = 6 + 1 + k * (11 + 1)  # clean with its lines, a gap; then pairs with gaps
        np.testing.assert_allclose(drawn[top + 1 : top + 5, 1:4], noisy[0])
        np.testing.assert_allclose(drawn[top + 6 : top + 10, 1:4], restored[0])
    words = {text.split("\n")[1]: y for text, (_, y) in words_at(figure).items() if "\n" in text}
    heights = [
        words[shown]
        for noisy, restored in numbers["psnr"]
        for shown in (f"{noisy:.1f} dB", f"{restored:.1f} dB ({restored - noisy:+.1f})")
    ]
    assert heights == sorted(heights, reverse=True)


def test_rho_and_the_mean_stand_where_they_are():
    numbers = activity.numbers(tiny_scene("stage1", Recipe(sparsity=Sparsity(0.2))))
    mean, rho = (line.get_xdata()[0] for line in activity.draw(numbers).axes[0].lines)
    assert rho == 0.2
    assert mean == pytest.approx(numbers["activity"].mean())


def test_weights_above_zero_are_red():
    figure = features.draw(features.numbers(tiny_scene("stage1")))
    for image in images(figure):
        red, _, blue, _ = image.to_rgba(np.array([[0.8]]))[0, 0]
        assert red > blue
        assert array(image).max() <= 1


def test_frames_of_dead_units_are_in_their_row():
    numbers = features.numbers(tiny_scene("stage1"))
    many = {
        "images": np.random.default_rng(0).random((2, 25, 4, 3)),
        "dead": np.arange(25) == 17,  # the third row of ten, its eighth column
    }
    figure = features.draw({**numbers, **many})
    frames = [artist for artist in figure.artists if isinstance(artist, Rectangle)]
    for frame, image in zip(frames, images(figure), strict=True):
        box, (left, bottom, width, height) = frame.get_window_extent(), image.bbox.bounds
        assert int((box.x0 + box.width / 2 - left) / width * 10) == 7
        assert int((bottom + height - box.y0 - box.height / 2) / height * 3) == 1


def test_each_plane_has_its_own_accuracy_and_colours_their_names():
    scene = tiny_scene()
    scene.remember()
    numbers = codes.numbers(scene)
    numbers["accuracy"] = np.array([11.0, 22.0, 33.0])
    figure = codes.draw(numbers)
    words = words_at(figure)
    for name, percent in zip(numbers["planes"], (11, 22, 33), strict=True):
        assert f"{name}: 5-NN in this plane {percent} %" in words
    (bar,) = images(figure)
    _, bottom, _, height = bar.bbox.bounds
    by_height = {}
    for text in figure.texts:
        if text.get_text() in ("0", "1", "2"):
            y = text.get_position()[1] * figure.bbox.height
            by_height[text.get_text()] = int((bottom + height - y) / height * 3)
    for name, row in by_height.items():
        shown = bar.to_rgba(array(bar))[row, 0]
        np.testing.assert_allclose(shown, to_rgba(CLASSES[int(name)]))
        line = next(line for line in figure.axes[0].lines if line.get_label() == name)
        np.testing.assert_allclose(shown, to_rgba(line.get_color()))
    assert len(by_height) == 3


def test_codes_of_two_units_are_never_turned():
    scene = tiny_scene(sizes=[12, 6, 2], linear_code=True)
    scene.remember()
    for layer in (scene.stack[1].weight, scene.stack[1].bias):
        layer.data.neg_()
    numbers = codes.numbers(scene)
    np.testing.assert_array_equal(numbers["points"][2], scene.codes())


def test_a_small_code_far_from_zero_has_its_true_components():
    rng = np.random.default_rng(0)
    wanted = rng.normal(size=(500, 3)) * [1e-3, 1e-4, 1e-6]
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    shown = codes.of_codes("code", (0.9 + wanted @ turn).astype(np.float32), np.arange(500) % 3)
    ratio = shown.points.var(axis=0)
    assert ratio[1] / ratio[0] == pytest.approx(
        (wanted.var(axis=0)[1] / wanted.var(axis=0)[0]), 0.05
    )
    assert abs(np.corrcoef(shown.points.T)[0, 1]) < 1e-3
    assert shown.axes[0] == "PC1 (99 % of variance)"


def test_a_code_of_one_unit_is_not_scored_with_its_label():
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    shown = codes.of_codes("code", rng.normal(size=(400, 1)).astype(np.float32), labels)
    assert shown.accuracy < 65, "noise tells nothing"


def test_many_units_take_no_long_time_and_the_same_plane():
    rng = np.random.default_rng(0)
    few = rng.normal(size=(300, 2)) * [5, 2]
    wide = few @ rng.normal(size=(2, 600)) + 0.01 * rng.normal(size=(300, 600))
    labels = np.arange(300) % 3
    shown = codes.of_codes("code", wide.astype(np.float32), labels).points
    centred = wide - wide.mean(axis=0)
    _, _, v = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(shown), np.abs(centred @ v[:2].T), atol=1e-3)


def test_the_line_of_pca_and_the_borders_of_phases():
    rows = ["stage1,0,9,8,8", "stage1,1,7,6,6", "finetune,0,5,4,4"]
    phases = [("stage1", "stage 1/1 12→6", 0), ("finetune", "fine-tune 12→6→12", 2)]
    numbers = losses.numbers(metrics_of(rows), phases, "tiny", ("PCA-6", 5.5))
    above, below = losses.draw(numbers).axes
    level = [line for line in above.lines if list(line.get_xdata()) == [0, 1]]
    assert [list(line.get_ydata()) for line in level] == [[5.5, 5.5]]
    for axis in (above, below):
        borders = [line.get_xdata()[0] for line in axis.lines if list(line.get_ydata()) == [0, 1]]
        assert borders == [2.5]
