"""PSNR, SSIM and the median filter against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sae.look.pca import fit_pca
from sae.look.restoration import Comparison, are_images, median_filtered


def values(comparison: Comparison, *images: torch.Tensor) -> dict[str, float]:
    comparison.add(*images)
    return {name: found.value for name, found in comparison.figures().items()}


def test_a_median_takes_out_a_lone_pixel_and_keeps_an_edge():
    image = torch.zeros(5, 6)
    image[:, 3:] = 1
    noisy = image.clone()
    noisy[2, 1], noisy[0, 5] = 1, 0
    flat = noisy.reshape(1, -1)
    torch.testing.assert_close(median_filtered(flat, (5, 6)), image.reshape(1, -1))
    assert noisy[2, 1] == 1, "the input is left as it is"


def test_a_median_is_that_of_the_nine_around_and_mixes_no_colours():
    rng = np.random.default_rng(0)
    x = rng.random((2, 5, 4, 3), dtype=np.float32)
    found = median_filtered(torch.from_numpy(x.reshape(2, -1)), (5, 4, 3)).reshape(2, 5, 4, 3)
    for row, column, colour in ((1, 1, 0), (3, 2, 2)):
        around = x[1, row - 1 : row + 2, column - 1 : column + 2, colour]
        assert found[1, row, column, colour] == np.median(around)
    doubled = x[0, [0, 0, 1]][:, [0, 0, 1], 1]
    assert found[0, 0, 0, 1] == np.median(doubled), "at an edge the outermost pixels twice"


def test_psnr_by_hand():
    clean = torch.full((3, 16), 0.5)
    found = values(Comparison((4, 4)), clean + 0.1, clean, clean)
    assert found["corrupted_psnr"] == pytest.approx(20, abs=1e-4)  # 10·log10(1 / 0.01)
    assert found["restored_psnr"] == math.inf
    assert found["median_psnr"] == pytest.approx(20, abs=1e-4)
    wide = values(Comparison((4, 4), span=2.0), clean + 0.1, clean, clean)
    assert wide["corrupted_psnr"] == pytest.approx(20 + 10 * math.log10(4), abs=1e-4)


def test_psnr_is_that_of_the_error_over_all_images_in_whatever_parts():
    clean = torch.zeros(3, 9)
    noisy = torch.tensor([0.1, 0.2, 0.4])[:, None].expand(3, 9)
    comparison = Comparison((3, 3))
    comparison.add(noisy[:1], noisy[:1], clean[:1])
    found = values(comparison, noisy[1:], noisy[1:], clean[1:])
    assert comparison.n == 3
    assert found["corrupted_psnr"] == pytest.approx(-10 * math.log10((0.01 + 0.04 + 0.16) / 3))


def test_ssim_of_even_images_by_hand():
    """Without variance it is (2·a·b + c1) / (a² + b² + c1), c1 = (0.01·span)²."""
    a, b, c1 = 0.5, 0.7, 1e-4
    clean, noisy = torch.full((2, 144), a), torch.full((2, 144), b)
    found = values(Comparison((12, 12)), noisy, clean, clean)
    by_hand = (2 * a * b + c1) / (a * a + b * b + c1)
    assert found["corrupted_ssim"] == pytest.approx(by_hand, abs=1e-4)
    assert found["restored_ssim"] == pytest.approx(1, abs=1e-5)


def test_images_smaller_than_its_window_have_no_ssim():
    clean = torch.rand(2, 120, generator=torch.Generator().manual_seed(0))
    assert not any("ssim" in name for name in values(Comparison((10, 12)), clean, clean, clean))
    colour = clean.repeat(1, 4)[:, : 11 * 12 * 3]
    assert "restored_ssim" in values(Comparison((11, 12, 3)), colour, colour, colour)


def test_pca_projects_the_corrupted_images():
    rng = np.random.default_rng(0)
    line = rng.random((20, 1), dtype=np.float32) @ np.ones((1, 16), np.float32)
    pca = fit_pca(line, 1)
    clean = torch.from_numpy(line)
    noisy = clean + torch.tensor([0.1, -0.1] * 8)  # at right angles to the only component
    comparison = Comparison((4, 4), pca=pca, n_components=5)
    found = values(comparison, noisy, noisy, clean)
    assert found["corrupted_psnr"] == pytest.approx(20, abs=1e-3)
    assert found["pca_psnr"] > 60
    assert comparison.figures()["pca_psnr"].line()[0] == "PSNR of PCA-1, dB"


def test_how_figures_read():
    clean = torch.zeros(1, 9)
    comparison = Comparison((3, 3))
    comparison.add(clean + 0.1, clean + 0.01, clean)
    found = comparison.figures("{part} images", 2000)
    assert found["corrupted_psnr"].line() == ("PSNR of 2,000 corrupted test images, dB", "20.00")
    assert found["restored_psnr"].figure.better == "higher"


@pytest.mark.parametrize(
    ("shape", "are"), [((3, 3), True), ((28, 28, 3), True), ((1, 9), False), ((2, 9), False)]
)
def test_what_are_images(shape, are):
    assert are_images(shape) == are
