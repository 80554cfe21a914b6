from __future__ import annotations

import numpy as np
from drawn import array, images, words_at
from helpers import tiny_scene
from matplotlib.image import BboxImage
from matplotlib.patches import Rectangle

from sae.data.table_preparation import TablePreparation
from sae.pictures import nearest
from sae.pictures.style import grid


def test_the_nearest_by_code_by_hand():
    scene = tiny_scene()
    numbers = nearest.numbers(scene)
    codes, x = scene.codes(), scene.probe.images.numpy()
    for k, space in enumerate((codes, x)):
        for row, probe in enumerate(scene.probe.rows):
            distance = np.square(space - space[probe]).sum(axis=1)
            distance[probe] = np.inf
            closest = distance.argsort(kind="stable")[:6]
            np.testing.assert_array_equal(numbers["nearest"][k, row].reshape(6, 12), x[closest])
            same = scene.probe.labels[closest] == scene.probe.labels[probe]
            np.testing.assert_array_equal(numbers["same"][k, row], same)


def test_neighbours_of_another_class_are_framed_and_counted():
    numbers = nearest.numbers(tiny_scene())
    figure = nearest.draw(numbers)
    frames = [a for a in figure.artists if not isinstance(a, BboxImage)]
    assert len(frames) == (~numbers["same"]).sum() > 0
    share = 100 * numbers["same"][0].mean()
    words = [text.get_text() for text in figure.texts]
    assert f"nearest by code: {share:.0f} % of the probe's class" in words


def test_too_few_images_have_no_neighbours():
    scene = tiny_scene()
    scene.probe.images = scene.probe.images[:6]
    assert nearest.numbers(scene) is None


def test_neighbours_by_code_stand_left_of_those_by_pixels():
    numbers = nearest.numbers(tiny_scene())
    figure = nearest.draw(numbers)
    probes, by_code, by_pixels = (array(image) for image in images(figure))
    np.testing.assert_array_equal(probes, grid(numbers["probes"], 1))
    for drawn, mine in zip((by_code, by_pixels), numbers["nearest"], strict=True):
        np.testing.assert_array_equal(drawn, grid(mine.reshape(-1, 4, 3), 6))
    words = {text.split(":")[0]: place for text, place in words_at(figure).items()}
    assert words["nearest by code"][0] < words["nearest by pixels"][0]


def test_frames_are_around_the_neighbours_of_another_class():
    numbers = nearest.numbers(tiny_scene())
    figure = nearest.draw(numbers)
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


def test_rows_of_a_table_have_no_picture_of_neighbours():
    scene = tiny_scene()
    assert nearest.numbers(scene) is not None
    scene.probe.table = TablePreparation.__new__(TablePreparation)
    assert nearest.numbers(scene) is None
