from __future__ import annotations

import numpy as np
import pytest
import torch
from drawn import array, images, words_at
from helpers import randomised, table_scene, tiny_scene
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from sae.pictures import codes
from sae.pictures.style import CLASSES


def tuned(**kwargs):
    scene = tiny_scene(**kwargs)
    scene.remember()
    randomised(scene.module, seed=5)
    return scene


def drawn_points(numbers, plane: int) -> dict[str, np.ndarray]:
    axis = codes.draw(numbers).axes[plane]
    return {line.get_label(): np.asarray(line.get_xydata()) for line in axis.lines}


def test_before_after_and_pixels_side_by_side_on_the_same_images():
    numbers = codes.numbers(tuned())
    assert numbers["planes"].tolist() == [
        "PCA of the pixels",
        "code before fine-tuning",
        "code after fine-tuning",
    ]
    assert numbers["points"].shape == (3, 16, 2)
    assert codes.numbers(tiny_scene("stage1"))["planes"].tolist() == ["PCA of the pixels", "code"]


def test_two_dimensional_codes_lie_as_they_are():
    scene = tuned(sizes=[12, 6, 2])
    numbers = codes.numbers(scene)
    with torch.no_grad():
        code = scene.stack.encode(scene.probe.images).numpy()
    np.testing.assert_array_equal(numbers["points"][2], code)
    assert numbers["axes"][2].tolist() == ["h[0]", "h[1]"]


def test_larger_codes_go_through_pca():
    scene = tuned()
    numbers = codes.numbers(scene)
    with torch.no_grad():
        code = scene.stack.encode(scene.probe.images).double().numpy()
    centred = code - code.mean(axis=0)
    _, s, v = np.linalg.svd(centred)
    np.testing.assert_allclose(np.abs(numbers["points"][2]), np.abs(centred @ v[:2].T), atol=1e-5)
    share = 100 * s[0] ** 2 / (s**2).sum()
    assert numbers["axes"][2][0] == f"PC1 ({share:.0f} % of variance)"


def test_one_dimensional_codes_lie_over_their_label():
    numbers = codes.numbers(tiny_scene(sizes=[12, 1]))
    np.testing.assert_array_equal(numbers["points"][-1][:, 1], numbers["labels"])


def test_components_keep_the_sign_of_the_plane_to_their_left():
    numbers = codes.numbers(tuned())
    points = numbers["points"]
    for left, right in ((0, 1), (1, 2)):
        assert ((points[left] * points[right]).sum(axis=0) >= 0).all()


def test_the_scatter_has_the_samples_points_by_class():
    numbers = codes.numbers(tuned())
    for plane in range(3):
        drawn = drawn_points(numbers, plane)
        assert list(drawn) == ["0", "1", "2"]
        for name, points in drawn.items():
            mine = numbers["points"][plane][numbers["labels"] == int(name)]
            np.testing.assert_allclose(points, mine)


def test_the_colour_bar_alone_names_the_classes():
    figure = codes.draw(codes.numbers(tuned()))
    assert not figure.legends
    assert {"class", "0", "1", "2"} <= {text.get_text() for text in figure.texts}
    (bar,) = figure.artists
    assert np.asarray(bar.get_array()).ravel().tolist() == [2, 1, 0]


def test_the_vote_of_the_nearest_five_others_by_hand():
    left = np.array([[k * 0.01, 0.0] for k in range(7)], dtype=np.float32)
    points = np.concatenate([left, left + 10])
    labels = np.array([0] * 7 + [1] * 7)
    assert codes.accuracy(points, labels) == 100
    odd = labels.copy()
    odd[0] = 1  # it stands among zeros, and spoils the vote of none
    assert codes.accuracy(points, odd) == pytest.approx(100 * 13 / 14)
    assert np.isnan(codes.accuracy(points[:5], labels[:5]))
    # Each has two of its own among its five others, and three of the other class.
    assert codes.accuracy(points[:6], np.array([0, 1, 0, 1, 0, 1])) == 0


def test_the_table_holds_the_whole_code():
    scene = tuned()
    numbers = codes.numbers(scene)
    heads, rows = codes.table(numbers, scene.codes())
    assert heads[:3] == ["label", "pixels_x", "pixels_y"]
    assert heads[-5:] == ["code_x", "code_y", "h0", "h1", "h2"]
    np.testing.assert_array_equal(rows[:, -3:], scene.codes())
    np.testing.assert_array_equal(rows[:, 0], scene.probe.labels)


def test_a_collapsed_code_is_drawn_too():
    scene = tiny_scene()
    with torch.no_grad():
        scene.stack[1].weight.zero_()
    assert codes.draw(codes.numbers(scene)).axes


def test_a_few_points_far_out_do_not_hide_the_others():
    """The view is that of most; how many lie outside of it is said."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (500, 2)).astype(np.float32)
    figure = Figure()
    axis = figure.subplots()
    assert codes.zoom(axis, points) == 0
    points[:3] = [[400, 0], [0, -300], [500, 900]]
    axis.plot(*points.T, "o")
    assert codes.zoom(axis, points) == 3
    assert max(map(abs, (*axis.get_xlim(), *axis.get_ylim()))) < 1.5


def test_a_collapsed_code_with_a_few_points_elsewhere_is_shown_whole():
    points = np.zeros((500, 2), dtype=np.float32)
    points[0] = [5, 5]
    assert codes.zoom(Figure().subplots(), points) == 0


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


def test_without_labels_there_is_no_class_to_see_or_to_read():
    scene = tuned()
    scene.probe.labelled = False
    numbers = codes.numbers(scene)
    figure = codes.draw(numbers)
    assert not figure.legends
    assert not images(figure), "no colour bar"
    heads, rows = codes.table(numbers, scene.codes())
    assert heads[0] == "pixels_x"
    np.testing.assert_allclose(rows[:, :2], numbers["points"][0])
    one = tiny_scene(sizes=[12, 1])
    one.probe.labelled = False
    made = codes.numbers(one)
    assert made["axes"][-1].tolist() == ["h[0]", "number"]
    assert made["points"][-1][:, 1].tolist() == list(range(16))


def test_a_table_has_inputs_not_pixels():
    scene = table_scene()
    heads, _ = codes.Codes().table(codes.numbers(scene), scene)
    assert heads[:2] == ["inputs_x", "inputs_y"]
    scene = tuned()
    heads, _ = codes.Codes().table(codes.numbers(scene), scene)
    assert heads[1:3] == ["pixels_x", "pixels_y"]


def test_few_images_are_not_voted_on():
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(50, 2)), np.arange(50) % 2
    assert np.isnan(codes.of_codes("code", points[:49], labels[:49]).accuracy)
    assert codes.of_codes("code", points, labels).accuracy == codes.accuracy(points, labels)
