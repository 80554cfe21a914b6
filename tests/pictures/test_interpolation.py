from __future__ import annotations

import numpy as np
import torch
from drawn import array, images, words_at
from helpers import table_scene, tiny_scene

from sae.pictures import interpolation


def test_the_way_leads_along_the_line_between_the_codes():
    scene = tiny_scene()
    numbers = interpolation.numbers(scene)
    x, rows = scene.probe.images, scene.probe.rows
    (pair,) = numbers["classes"].tolist()
    assert pair == [0, 1]
    a, b = x[rows[0]], x[rows[1]]
    with torch.no_grad():
        h_a, h_b = scene.stack.encode(a), scene.stack.encode(b)
        middle = scene.stack.decode((h_a + h_b) / 2)
        start = scene.stack(a)
    by_code, by_pixels = numbers["ways"][0].reshape(2, 9, 12)
    np.testing.assert_allclose(by_code[0], start, atol=1e-6)
    np.testing.assert_allclose(by_code[4], middle, atol=1e-6)
    np.testing.assert_allclose(by_pixels[4], (a + b) / 2, atol=1e-6)
    np.testing.assert_array_equal(numbers["ends"][0].reshape(2, 12), np.stack([a, b]))
    assert interpolation.draw(numbers).texts


def test_a_single_class_has_no_way_to_another():
    scene = tiny_scene()
    scene.probe.rows = scene.probe.rows[:1]
    assert interpolation.numbers(scene) is None


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


def test_a_row_of_a_table_is_no_picture_on_the_way_to_another():
    assert interpolation.numbers(table_scene()) is None


def test_images_without_labels_are_of_no_class():
    scene = tiny_scene()
    scene.probe.labelled = False
    words = words_at(interpolation.draw(interpolation.numbers(scene)))
    assert "by code" in words
