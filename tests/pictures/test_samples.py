"""New samples, and the plane of a code with a prior."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import randomised, tiny_data, tiny_scene

from sae.nets.build import build_stack
from sae.pictures import samples
from sae.pictures.samples import new_samples
from sae.pictures.scene import Probe, Scene
from sae.pictures.style import render, square
from sae.training.recipe import Recipe
from sae.training.stacked import StackedAutoencoder
from sae.training.stage import Stage

LAYERS = [{"kind": "dense", "units": 6}, {"kind": "variational", "units": 2}]


def variational_scene(layers=LAYERS) -> Scene:
    model = randomised(StackedAutoencoder(input_shape=[4, 3], layers=layers)).eval()
    return Scene(model, model.stack, Probe(tiny_data(), 12), "fine-tuned stack", [1, 2])


def test_samples_are_decoded_codes_of_the_prior():
    scene = variational_scene()
    made = samples.numbers(scene)
    assert made["codes"].shape == (100, 2)
    assert made["images"].shape == (100, 4, 3)
    with torch.no_grad():
        answers = scene.stack.decode(torch.from_numpy(made["codes"]))
    np.testing.assert_allclose(made["images"].reshape(100, 12), answers, atol=1e-6)


def test_codes_are_standard_normal():
    net = randomised(build_stack(input_shape=[12], layers=LAYERS))
    codes, _ = new_samples(net, 5000, seed=1)
    assert codes.mean(dim=0).abs().max() < 4 / 5000**0.5
    assert codes.std(dim=0).tolist() == pytest.approx([1, 1], abs=0.04)
    assert abs(np.corrcoef(codes.T)[0, 1]) < 0.06


def test_the_same_codes_each_time_and_more_of_them_begin_alike():
    net = randomised(build_stack(input_shape=[12], layers=LAYERS))
    torch.manual_seed(1)
    few = new_samples(net, 5, seed=3)
    torch.manual_seed(2)
    many = new_samples(net, 50, seed=3)
    assert torch.equal(few[0], many[0][:5])
    torch.testing.assert_close(few[1], many[1][:5])
    assert not torch.equal(few[0], new_samples(net, 5, seed=4)[0])


def test_a_stage_shows_samples_in_pixels():
    scene = variational_scene()
    stage = Stage(scene.stack, 1, Recipe()).eval()
    of_stage = Scene(stage, scene.stack, scene.probe, "stage 2/2", [1])
    made, wanted = samples.numbers(of_stage), samples.numbers(scene)
    np.testing.assert_array_equal(made["images"], wanted["images"])
    first = Scene(Stage(scene.stack, 0, Recipe()).eval(), scene.stack, scene.probe, "stage 1/2")
    assert samples.numbers(first) is None


def test_other_codes_have_no_prior_to_draw_from():
    assert samples.numbers(tiny_scene()) is None
    assert samples.numbers(variational_scene([LAYERS[1], LAYERS[0]])) is None


def test_it_is_drawn():
    image = render(samples.draw(samples.numbers(variational_scene())))
    assert image.content.startswith(b"\x89PNG")


@pytest.mark.parametrize(("n", "rows", "columns"), [(1, 1, 1), (2, 1, 2), (5, 2, 3), (9, 3, 3)])
def test_a_square_of_any_number_of_images(n, rows, columns):
    images = np.zeros((n, 4, 3), np.float32)
    drawn = square(images)
    assert drawn.shape == (rows * 5 + 1, columns * 4 + 1)
    assert (drawn == 0).sum() == n * 12  # what is missing is blank
