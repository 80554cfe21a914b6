from __future__ import annotations

import numpy as np
import pytest
import torch
from drawn import array
from helpers import randomised, tiny_data, tiny_scene
from scipy.stats import norm

from sae.pictures import plane
from sae.pictures.scene import Probe, Scene
from sae.pictures.style import CLASSES, grid
from sae.training.stacked import StackedAutoencoder

LAYERS = [{"kind": "dense", "units": 6}, {"kind": "variational", "units": 2}]


def variational_scene(layers=LAYERS) -> Scene:
    model = randomised(StackedAutoencoder(input_shape=[4, 3], layers=layers)).eval()
    return Scene(model, model.stack, Probe(tiny_data(), 12), "fine-tuned stack", [1, 2])


def test_the_decoders_answers_lie_at_their_places():
    scene = tiny_scene(sizes=[12, 6, 2], linear_code=True)
    numbers = plane.numbers(scene)
    low, high = np.percentile(scene.codes(), [5, 95], axis=0)
    np.testing.assert_allclose(numbers["low"], low)
    corners = {(0, 0): (low[0], high[1]), (-1, 0): (low[0], low[1]), (-1, -1): (high[0], low[1])}
    for (row, column), code in corners.items():
        with torch.no_grad():
            answer = scene.stack.decode(torch.tensor([code], dtype=torch.float32))
        np.testing.assert_allclose(numbers["answers"][row, column].ravel(), answer[0], atol=1e-5)


def test_images_are_painted_where_their_codes_are():
    shape, ink = (4, 3), np.ones((1, 4, 3), dtype=np.float32)
    numbers = {
        "low": np.zeros(2),
        "high": np.ones(2),
        "codes": np.array([[1.0, 0.0]]),  # the lower right corner
        "images": ink,
        "labels": np.array([7]),
        "classes": np.array([3, 7]),
    }
    paper = plane._placed(numbers)
    colour = tuple(int(CLASSES[1][k : k + 2], 16) / 255 for k in (1, 3, 5))
    np.testing.assert_allclose(paper[-shape[0] :, -shape[1] :], np.broadcast_to(colour, (4, 3, 3)))
    assert (paper[: -shape[0]] == 1).all()


def test_each_image_shown_has_its_own_code():
    scene = tiny_scene(sizes=[12, 6, 2], linear_code=True)
    numbers = plane.numbers(scene)
    with torch.no_grad():
        codes = scene.stack.encode(torch.from_numpy(numbers["images"].reshape(-1, 12)))
    np.testing.assert_allclose(numbers["codes"], codes, atol=1e-5)
    assert plane.draw(numbers).axes


def test_other_codes_are_no_plane():
    assert plane.numbers(tiny_scene()) is None


def test_a_collapsed_plane_is_drawn_too():
    scene = tiny_scene(sizes=[12, 6, 2])
    with torch.no_grad():
        scene.stack[1].weight.zero_()
    assert plane.draw(plane.numbers(scene)).axes


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


def test_the_plane_of_a_prior_goes_by_its_quantiles():
    scene = variational_scene()
    made = plane.numbers(scene)
    assert made["axes"].tolist() == ["Φ(h[0])", "Φ(h[1])"]
    steps = np.linspace(0.01, 0.99, 20)
    for row, column in ((0, 0), (19, 0), (7, 11)):
        code = norm.ppf([steps[column], steps[19 - row]])
        with torch.no_grad():
            answer = scene.stack.decode(torch.tensor(code, dtype=torch.float32)[None])
        np.testing.assert_allclose(made["answers"][row, column].ravel(), answer[0], atol=1e-5)
    with torch.no_grad():
        codes = scene.stack.encode(torch.from_numpy(made["images"].reshape(-1, 12)))
    np.testing.assert_allclose(made["codes"], norm.cdf(codes), atol=1e-5)
    assert plane.draw(made).axes


def test_the_plane_of_other_codes_is_that_of_the_codes():
    made = plane.numbers(tiny_scene(sizes=[12, 6, 2], linear_code=True))
    assert made["axes"].tolist() == ["h[0]", "h[1]"]
