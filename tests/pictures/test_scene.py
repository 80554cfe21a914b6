"""What pictures show as black and as white."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import tiny_data, tiny_scene
from matplotlib.image import BboxImage

from sae.data.datamodule import Samples
from sae.pictures import denoising, features, reconstructions
from sae.pictures.scene import Probe
from sae.terms.corruption import Corruption
from sae.training.recipe import Recipe


def probe_of(low: float, high: float) -> Probe:
    data = tiny_data()
    x = torch.rand(len(data.val), 12, generator=torch.Generator().manual_seed(0))
    x[0, 0], x[1, 1] = 0, 1
    data.val = Samples(low + (high - low) * x, data.val.y)
    return Probe(data, 2)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.2, 0.7)])
def test_pixels_are_shown_as_they_are(low, high):
    probe = probe_of(low, high)
    np.testing.assert_array_equal(probe.as_images(probe.images).reshape(-1, 12), probe.images)


@pytest.mark.parametrize(("low", "high"), [(-1.5, 2.5), (0.0, 40.0), (-3.0, 0.5)])
def test_other_data_are_shown_from_their_least_to_their_greatest_value(low, high):
    probe = probe_of(low, high)
    black, white = min(low, 0), max(high, 1)
    images = probe.as_images(torch.tensor([black, (black + white) / 2, white]).repeat(1, 4))
    np.testing.assert_allclose(images.reshape(4, 3), [[0, 0.5, 1]] * 4, atol=1e-6)


def scene_of(low: float, high: float):
    scene = tiny_scene(recipe=Recipe(corruption=Corruption("gaussian", 0.3)), output="linear")
    scene.probe = probe_of(low, high)
    return scene


def test_nothing_of_them_is_cut_off_in_the_picture(tmp_path: Path):
    scene = scene_of(-2.0, 2.0)
    numbers = reconstructions.numbers(scene)
    original = numbers["images"][0].reshape(-1, 12) * 4 - 2
    np.testing.assert_allclose(original, scene.probe.images[scene.probe.rows], atol=1e-5)
    (image,) = (a for a in reconstructions.draw(numbers).artists if isinstance(a, BboxImage))
    first = image.get_array()[1:5, 1:4]
    np.testing.assert_allclose(first, numbers["images"][0, 0], atol=1e-6)


def test_psnr_counts_in_the_range_of_the_data():
    scene = scene_of(-2.0, 2.0)
    scene.probe.rows = np.arange(16)
    numbers = denoising.numbers(scene)
    clean = scene.probe.as_images(scene.probe.images)
    # A squared error of images from 0 to 1 is one of the data over its range squared.
    mse = np.square(numbers["images"] - clean).mean(axis=(2, 3, 4))
    np.testing.assert_allclose(numbers["psnr"], 10 * np.log10(1 / mse), rtol=1e-4)


def test_weights_are_no_pixels():
    scene = scene_of(-2.0, 2.0)
    numbers = features.numbers(scene, layer=0)
    weights = scene.stack[0].decoder_weight.detach().t()
    np.testing.assert_array_equal(numbers["images"][1].reshape(6, 12), weights)


def test_the_probe_holds_the_first_of_each_class_in_order():
    probe = Probe(tiny_data(), 3)
    first = [probe.labels.tolist().index(c) for c in (0, 1, 2)]
    assert probe.rows.tolist() == first


def test_the_probe_is_of_the_validation_images():
    """Contract 5: the test images are touched by the test alone."""
    data = tiny_data()
    assert torch.equal(Probe(data, 3).images, data.val.x.float() * (1 / 255))
