from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import metrics_of, tiny_data, tiny_scene
from matplotlib.image import BboxImage

from sae.pictures import denoising, interpolation, losses, neighbours, plane
from sae.pictures.scene import Probe
from sae.pictures.style import CLASSES
from sae.terms.corruption import Corruption
from sae.training.recipe import Recipe

# The plane of a 2-D code


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


# From one image to another


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


# Neighbours


def test_the_nearest_by_code_by_hand():
    scene = tiny_scene()
    numbers = neighbours.numbers(scene)
    codes, x = scene.codes(), scene.probe.images.numpy()
    for k, space in enumerate((codes, x)):
        for row, probe in enumerate(scene.probe.rows):
            distance = np.square(space - space[probe]).sum(axis=1)
            distance[probe] = np.inf
            nearest = distance.argsort(kind="stable")[:6]
            np.testing.assert_array_equal(numbers["nearest"][k, row].reshape(6, 12), x[nearest])
            same = scene.probe.labels[nearest] == scene.probe.labels[probe]
            np.testing.assert_array_equal(numbers["same"][k, row], same)


def test_neighbours_of_another_class_are_framed_and_counted():
    numbers = neighbours.numbers(tiny_scene())
    figure = neighbours.draw(numbers)
    frames = [a for a in figure.artists if not isinstance(a, BboxImage)]
    assert len(frames) == (~numbers["same"]).sum() > 0
    share = 100 * numbers["same"][0].mean()
    words = [text.get_text() for text in figure.texts]
    assert f"nearest by code: {share:.0f} % of the probe's class" in words


def test_too_few_images_have_no_neighbours():
    scene = tiny_scene()
    scene.probe.images = scene.probe.images[:6]
    assert neighbours.numbers(scene) is None


# Denoising


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


# The whole path


PHASES = [("stage1", "stage 1/1 12→6", 0), ("finetune", "fine-tune 12→6→12", 3)]
PCA = ("PCA-6\nof the pixels", 2.0)


def test_the_epochs_of_all_phases_lie_on_one_axis():
    rows = ["stage1,0,9,8,8", "stage1,1,7,6,6", "finetune,0,5,4,4", "finetune,1,4,,"]
    numbers = losses.numbers(metrics_of(rows), PHASES, "tiny", PCA)
    assert numbers["epoch"].tolist() == [1, 2, 4, 5]
    above, below = losses.draw(numbers).axes
    lines = [line.get_xydata().tolist() for line in above.lines]
    assert [[1, 8], [2, 6]] in lines
    assert [[4, 4]] in lines, "an epoch without validation has no point"
    assert [[4, 5], [5, 4]] in [line.get_xydata().tolist() for line in below.lines]
    words = [text.get_text() for text in above.texts]
    assert "6.00" in words
    assert "4.00" in words
    assert "PCA-6\nof the pixels\n2.00" in words


def test_a_path_without_rows_is_drawn_too():
    numbers = losses.numbers({}, PHASES, "tiny", PCA)
    assert losses.draw(numbers).axes


# What they look at


def test_the_probe_holds_the_first_of_each_class_in_order():
    probe = Probe(tiny_data(), 3)
    first = [probe.labels.tolist().index(c) for c in (0, 1, 2)]
    assert probe.rows.tolist() == first


def test_the_probe_is_of_the_validation_images():
    """Contract 5: the test images are touched by the test alone."""
    data = tiny_data()
    assert torch.equal(Probe(data, 3).images, data.val.x.float() * (1 / 255))
