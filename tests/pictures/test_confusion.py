from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import TinyDataModule, randomised, tiny_data, tiny_model, tiny_scene

from sae.data.rows import scale
from sae.pictures.confusion import MOST_MISTAKES, Confusion, draw
from sae.pictures.scene import Probe, Scene
from sae.pictures.style import render


def scene_of(data=None) -> Scene:
    """A classifier with random weights; all 16 validation samples of the tiny data."""
    data = data or tiny_data()
    model = tiny_model(objective="classify")
    model.objective.attach(model.stack, data.n_classes)
    randomised(model)
    return Scene(model.eval(), model.stack, Probe(data, 3), "fine-tune")


def test_it_counts_all_validation_samples_by_class_and_by_what_they_are_taken_for():
    data = tiny_data()
    scene = scene_of(data)
    model, numbers = scene.module, Confusion().numbers(scene)
    x, y = scale(data.val.x), data.val.y
    with torch.no_grad():
        taken = model.objective.logits(model.stack.encode(x)).argmax(1)
    by_hand = [[int(((y == a) & (taken == b)).sum()) for b in range(3)] for a in range(3)]
    assert numbers["counts"].tolist() == by_hand
    wrong = int((y != taken).sum())
    assert f"all 16 validation images · error {100 * wrong / 16:.2f} %" in str(numbers["subtitle"])
    assert len(numbers["mistakes"]) == min(wrong, MOST_MISTAKES)


def test_the_surest_mistakes_come_first_each_with_its_classes():
    data = tiny_data()
    scene = scene_of(data)
    model, numbers = scene.module, Confusion().numbers(scene)
    sure = numbers["probability"]
    assert (np.diff(sure) <= 0).all()
    x, y = scale(data.val.x), data.val.y
    with torch.no_grad():
        odds = model.objective.logits(model.stack.encode(x)).softmax(1)
    wrong = odds.argmax(1) != y
    assert sure[0] == pytest.approx(odds.max(1).values[wrong].max().item())
    for image, label, taken in zip(
        numbers["mistakes"], numbers["labels"], numbers["predicted"], strict=True
    ):
        (k,) = (x == torch.from_numpy(image).reshape(1, 12)).all(1).nonzero().flatten().tolist()
        assert (label, taken) == (y[k], odds[k].argmax())
        assert label != taken


class Named(TinyDataModule):
    class_names = ("a very long name", "b", "c")


def test_classes_have_their_names():
    data = Named()
    data.setup()
    numbers = Confusion().numbers(scene_of(data))
    assert numbers["classes"].tolist() == ["a very long name", "b", "c"]
    assert set(numbers["labels"]) <= set(Named.class_names)
    render(draw(numbers))


def test_what_is_no_classifier_has_none():
    assert Confusion().numbers(tiny_scene()) is None


def made(n: int, mistakes: int, shape=(4, 3)) -> dict:
    return {
        "title": np.array("Confusion"),
        "subtitle": np.array("tiny"),
        "counts": np.eye(n, dtype=int) * 7 + np.eye(n, k=1, dtype=int),
        "classes": np.arange(n),
        "mistakes": np.zeros((mistakes, *shape)),
        "labels": np.zeros(mistakes, int),
        "predicted": np.ones(mistakes, int),
        "probability": np.ones(mistakes),
    }


@pytest.mark.parametrize("n", [2, 10, 21, 300])
@pytest.mark.parametrize("mistakes", [0, 1, 12])
@pytest.mark.parametrize("shape", [(4, 3), (1, 40), (5, 5, 3)])
def test_it_is_drawn_of_any_number_of_classes_and_mistakes(n, mistakes, shape):
    figure = draw(made(n, mistakes, shape))
    image = render(figure)
    assert max(image.height, image.width) < 2500
    width, height = figure.get_size_inches()
    for text in figure.texts:
        x, y = text.get_position()
        assert 0 <= x <= 1, text.get_text()
        assert 0 <= y <= 1, text.get_text()
    assert width < 20
    assert height < 12
