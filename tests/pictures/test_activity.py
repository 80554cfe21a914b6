from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import tiny_scene

from sae.look.health import check
from sae.pictures import activity
from sae.terms.sparsity import Sparsity
from sae.training.recipe import Recipe


def kill(layer, unit: int) -> None:
    with torch.no_grad():
        layer.weight[unit] = 0
        layer.bias[unit] = -30


def test_rho_and_the_mean_stand_where_they_are():
    numbers = activity.numbers(tiny_scene("stage1", Recipe(sparsity=Sparsity(0.2))))
    mean, rho = (line.get_xdata()[0] for line in activity.draw(numbers).axes[0].lines)
    assert rho == 0.2
    assert mean == pytest.approx(numbers["activity"].mean())


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
    dead = figure.axes[0].patches[0].get_data()
    assert (dead.values - dead.baseline).sum() == 1, "of its bar orange is the dead one"
    assert {"dead, on top (1)", "alive (5)"} <= set(words)


def test_a_code_without_an_activity_shows_its_mean():
    scene = tiny_scene(linear_code=True)
    numbers = activity.numbers(scene)
    np.testing.assert_allclose(numbers["activity"], scene.codes().mean(axis=0), atol=1e-5)
    assert activity.draw(numbers).axes[0].get_xlabel().startswith("mean value")
