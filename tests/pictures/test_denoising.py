from __future__ import annotations

import numpy as np
import pytest
import torch
from drawn import array, images, words_at
from helpers import tiny_scene

from sae.pictures import denoising
from sae.terms.corruption import Corruption
from sae.training.recipe import Recipe


@pytest.mark.parametrize("kind", ["masking", "gaussian", "salt_and_pepper"])
def test_psnr_by_hand(kind):
    scene = tiny_scene(recipe=Recipe(corruption=Corruption(kind, 0.25)))
    numbers = denoising.numbers(scene)
    levels = numbers["levels"].tolist()
    assert 0.25 in levels
    assert levels == sorted(levels)
    x = scene.probe.images
    shown = torch.from_numpy(numbers["images"].reshape(len(levels), 2, -1, 12))
    with torch.no_grad():
        again = scene.stack(shown[:, 0])
    np.testing.assert_allclose(shown[:, 1], again, atol=1e-6)
    # All sixteen images make up the PSNR, three of them are shown: those of this level again.
    scene.probe.rows = np.arange(16)
    every = denoising.numbers(scene)
    mse = np.square(every["images"].reshape(-1, 2, 16, 12) - x.numpy()).mean(axis=(2, 3))
    np.testing.assert_allclose(every["psnr"], 10 * np.log10(1 / mse), rtol=1e-5)
    assert (np.diff(every["psnr"][:, 0]) < 0).all(), "more noise, less signal"
    np.testing.assert_array_equal(every["psnr"], numbers["psnr"])


def test_the_gain_is_written_beside_the_images():
    numbers = denoising.numbers(tiny_scene(recipe=Recipe(corruption=Corruption("masking", 0.3))))
    figure = denoising.draw(numbers)
    words = [text.get_text() for text in figure.texts]
    noisy, restored = numbers["psnr"][1]
    assert f"noise 0.3 (trained)\n{noisy:.1f} dB" in words
    assert f"restored\n{restored:.1f} dB ({restored - noisy:+.1f})" in words
    upper, lower, _ = figure.axes[0].lines
    np.testing.assert_array_equal(upper.get_ydata(), numbers["psnr"][:, 1])
    np.testing.assert_array_equal(lower.get_ydata(), numbers["psnr"][:, 0])


def test_there_is_nothing_to_restore_without_noise_or_on_codes():
    assert denoising.numbers(tiny_scene()) is None
    noisy = Recipe(corruption=Corruption("masking", 0.3))
    assert denoising.numbers(tiny_scene("stage2", noisy)) is None
    assert denoising.numbers(tiny_scene(recipe=Recipe(corruption=Corruption("masking", 0)))) is None


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
