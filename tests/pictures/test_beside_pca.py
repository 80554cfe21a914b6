from __future__ import annotations

import numpy as np
from helpers import tiny_scene

from sae.pictures import codes
from sae.pictures.beside_pca import BesidePCA


def test_the_first_plane_is_pca_and_the_second_the_code_as_it_is(monkeypatch):
    monkeypatch.setattr(codes, "LEAST_VOTED", 16)
    scene = tiny_scene(sizes=[12, 6, 2], linear_code=True)
    numbers = BesidePCA().numbers(scene)
    assert numbers["planes"].tolist() == ["PCA of the pixels", "code"]
    pca = scene.probe.pca.transform(scene.probe.images.numpy(), 2)
    np.testing.assert_allclose(numbers["points"][0], pca, rtol=1e-5)
    np.testing.assert_array_equal(numbers["points"][1], scene.codes())
    labels = scene.probe.labels
    expected = [codes.accuracy(points, labels) for points in numbers["points"]]
    assert numbers["accuracy"].tolist() == expected


def test_the_code_before_fine_tuning_is_left_out():
    scene = tiny_scene(sizes=[12, 6, 2])
    scene.remember()
    assert len(codes.numbers(scene)["planes"]) == 3
    numbers = BesidePCA().numbers(scene)
    assert numbers["planes"].tolist() == ["PCA of the pixels", "code after fine-tuning"]
    for key in ("axes", "points", "accuracy"):
        assert len(numbers[key]) == 2
    np.testing.assert_array_equal(numbers["points"][1], scene.codes())


def test_two_large_panels_are_drawn():
    scene = tiny_scene(sizes=[12, 6, 2])
    figure, small = BesidePCA().draw(BesidePCA().numbers(scene)), codes.draw(codes.numbers(scene))
    sides = [
        [axis.get_window_extent().width / each.dpi for axis in each.axes if axis.lines]
        for each in (figure, small)
    ]
    assert len(sides[0]) == 2
    assert min(sides[0]) > 1.3 * max(sides[1])


def test_codes_of_other_sizes_have_none():
    assert BesidePCA().numbers(tiny_scene(sizes=[12, 6, 3])) is None
    assert BesidePCA().numbers(tiny_scene(sizes=[12, 6, 1])) is None
