from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import tiny_scene
from matplotlib.image import BboxImage
from matplotlib.patches import Rectangle

from sae.look.health import check
from sae.pictures import activity, features, first_layer
from sae.terms.sparsity import Sparsity
from sae.training.recipe import Recipe


def kill(layer, unit: int) -> None:
    with torch.no_grad():
        layer.weight[unit] = 0
        layer.bias[unit] = -30


def test_the_first_layer_shows_its_weights():
    scene = tiny_scene("stage1")
    numbers = features.numbers(scene)
    layer = scene.stack[0]
    assert numbers["panels"].tolist() == ["encoder weights", "decoder weights"]
    encoder, decoder = numbers["images"].reshape(2, 6, 12)
    np.testing.assert_array_equal(encoder, layer.weight.detach())
    np.testing.assert_array_equal(decoder, layer.decoder_weight.detach().t())


def test_tied_weights_are_shown_once():
    numbers = features.numbers(tiny_scene("stage1", tied=True))
    assert numbers["panels"].tolist() == ["weights, of encoder and decoder (tied)"]


def test_a_pixel_that_never_varies_is_blank():
    scene = tiny_scene("stage1")
    scene.probe.images[:, 4] = 0.5
    encoder = features.numbers(scene)["images"][0].reshape(6, 12)
    assert (encoder[:, 4] == 0).all()
    assert (encoder[:, 5] != 0).all()


def test_a_deeper_unit_shows_what_it_changes_in_the_image():
    scene = tiny_scene("stage2")
    numbers = features.numbers(scene)
    assert numbers["panels"].tolist() == ["decoder's answer to one unit"]
    codes = scene.codes()
    for unit in range(3):
        low, high = (codes.mean(axis=0) for _ in range(2))
        low[unit], high[unit] = np.percentile(codes[:, unit], [1, 99])
        with torch.no_grad():
            answer = scene.stack.decode(torch.tensor(high)) - scene.stack.decode(torch.tensor(low))
        found = numbers["images"][0, unit].ravel()
        np.testing.assert_allclose(found, answer, atol=1e-5)


def test_dead_units_are_framed_and_counted():
    scene = tiny_scene("stage1")
    kill(scene.stack[0], 2)
    numbers = features.numbers(scene)
    assert numbers["dead"].tolist() == [False, False, True, False, False, False]
    assert "dead: 1 of 6" in str(numbers["subtitle"])
    frames = [a for a in features.draw(numbers).artists if isinstance(a, Rectangle)]
    assert len(frames) == 2, "one in each panel"


def test_the_frame_is_around_the_right_unit():
    scene = tiny_scene("stage1")
    kill(scene.stack[0], 2)
    figure = features.draw(features.numbers(scene))
    (first, _) = [a for a in figure.artists if isinstance(a, BboxImage)]
    grid = first.bbox.bounds
    frame = next(a for a in figure.artists if isinstance(a, Rectangle)).get_window_extent()
    column = (frame.x0 + frame.width / 2 - grid[0]) / grid[2] * 6
    assert int(column) == 2


def test_the_first_layer_of_a_stack_is_shown_beside_its_code():
    scene = tiny_scene()
    np.testing.assert_array_equal(
        first_layer.numbers(scene)["images"][0].reshape(6, 12), scene.stack[0].weight.detach()
    )
    assert first_layer.numbers(tiny_scene(sizes=[12, 6])) is None


def test_activity_is_that_of_the_health():
    sparse = Recipe(sparsity=Sparsity(0.2))
    scene = tiny_scene("stage1", sparse)
    kill(scene.stack[0], 2)
    numbers = activity.numbers(scene)
    inputs = scene.probe._data.val_dataloader()
    health = check(scene.stack[0], sparse, inputs)
    np.testing.assert_allclose(numbers["activity"].mean(), health.activity)
    assert numbers["dead"].mean() == pytest.approx(health.dead)
    assert float(numbers["rho"]) == 0.2
    codes = scene.stack[0].encode(next(inputs.whole())).detach()
    np.testing.assert_allclose(numbers["activity"], codes.mean(dim=0), atol=1e-6)


def test_the_histogram_counts_every_unit_once():
    scene = tiny_scene("stage1", Recipe(sparsity=Sparsity(0.2)))
    kill(scene.stack[0], 2)
    figure = activity.draw(activity.numbers(scene))
    everyone, living = (patch.get_data().values for patch in figure.axes[0].patches)
    assert (everyone.sum(), living.sum()) == (6, 5)
    words = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert "rho 0.2, the target" in words
    assert {"dead (1)", "alive (5)"} <= set(words)


def test_a_code_without_an_activity_shows_its_mean():
    scene = tiny_scene(linear_code=True)
    numbers = activity.numbers(scene)
    np.testing.assert_allclose(numbers["activity"], scene.codes().mean(axis=0), atol=1e-5)
    assert activity.draw(numbers).axes[0].get_xlabel().startswith("mean value")
