"""What holds of every picture: made of numbers alone, readable, nothing left open."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from drawn import check_words
from helpers import TinyDataModule, metrics_of, randomised, tiny_scene
from matplotlib import pyplot as plt

from sae.data.datamodule import Samples
from sae.pictures import losses, scatter
from sae.pictures.gallery import captions, ours
from sae.pictures.numbers import load, save
from sae.pictures.scene import Probe, Scene
from sae.pictures.style import render
from sae.terms.corruption import Corruption
from sae.terms.sparsity import Sparsity
from sae.text import chain
from sae.training.recipe import Recipe
from sae.training.stacked import StackedAutoencoder

EVERYTHING = Recipe(corruption=Corruption("masking", 0.3), sparsity=Sparsity(0.2))
ALL = {picture.name: picture for picture in ours()}
VARIATIONAL = [{"kind": "dense", "units": 6}, {"kind": "variational", "units": 2}]


def scenes():
    """Phases of several kinds, the fine-tuned one with what it was before."""
    tuned = tiny_scene(recipe=EVERYTHING, sizes=[12, 6, 2])
    tuned.remember()
    stage = tiny_scene("stage2", EVERYTHING)
    stage.remember()
    classifier = tiny_scene(objective="classify")
    classifier.module.objective.attach(classifier.stack, 3)
    return {
        "a classifier": classifier,
        "the stack": tuned,
        "stage 2": stage,
        "stage 1": tiny_scene("stage1", EVERYTHING),
        "a variational stack": tiny_scene(sizes=None, input_shape=[12], layers=VARIATIONAL),
    }


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """Of all pictures of all scenes, as read back from their files; and the path."""
    found, folder = {}, tmp_path_factory.mktemp("numbers")
    for where, scene in scenes().items():
        for name, picture in ALL.items():
            made = picture.numbers(scene)
            if made is not None:
                save(folder / f"{name}.npz", made)
                found[f"{name}, {where}"] = (picture, made, load(folder / f"{name}.npz"))
    rows = [f"stage1,{k},{9 / (k + 1)},{8 / (k + 1)},{8 / (k + 1)}" for k in range(9)]
    rows += [f"finetune,{k},{5 / (k + 1)},{4 / (k + 1)},{4 / (k + 1)}" for k in range(9)]
    phases = [("stage1", "stage 1/1 12→6", 0), ("finetune", "fine-tune 12→6→12", 9)]
    made = losses.numbers(metrics_of(rows), phases, "tiny", ("PCA-6\nof the pixels", 2.0))
    found["losses"] = (losses, made, made)
    made = scatter.numbers(np.ones((9, 2)), np.arange(9) % 3, 9)
    found["scatter"] = (scatter, made, made)
    return found


def test_every_picture_has_been_tried_and_has_a_caption(numbers):
    assert {name.split(",")[0] for name in numbers} == set(ALL) | {"losses", "scatter"}
    assert set(captions()) == set(ALL) | {"losses", "scatter"}


def test_a_picture_is_made_of_the_numbers_in_its_file(numbers):
    for name, (picture, made, read) in numbers.items():
        assert made.keys() == read.keys()
        for key, array in made.items():
            np.testing.assert_array_equal(array, read[key], err_msg=f"{name}: {key}")
        assert render(picture.draw(made)).content == render(picture.draw(read)).content, name


def test_words_neither_overlap_nor_leave_the_picture(numbers):
    for name, (picture, made, _) in numbers.items():
        check_words(name, picture.draw(made))


class Odd(TinyDataModule):
    """Images of another shape in other classes, with a name that is no short one."""

    name = "letters of a long alphabet"

    def __init__(self, shape: tuple[int, int], classes: int, scale: int = 1) -> None:
        super().__init__(n=200, val_size=80)
        self.image_shape, self.classes, self.by = shape, classes, scale

    def load(self):
        generator = torch.Generator().manual_seed(0)
        y = torch.arange(240) % self.classes
        x = torch.rand(240, self.image_shape[0] * self.image_shape[1], generator=generator)
        samples = Samples((255 * x).to(torch.uint8), y * self.by - 3)
        return samples[torch.arange(200)], samples[torch.arange(200, 240)]


ODD = {
    "twelve classes": ((12, 12), 12, 1),
    "thirty classes": ((12, 12), 30, 1),
    "one class": ((12, 12), 1, 1),
    "long labels": ((12, 12), 3, 1_000_000_000),
    "narrow images": ((28, 10), 3, 1),
    "wide images": ((4, 100), 3, 1),
    "lines": ((1, 400), 3, 1),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("sizes", [[6, 2], [300, 200, 100, 50, 30, 20, 10, 3]], ids=str)
def test_words_find_room_whatever_the_data(kind, sizes):
    data = Odd(*ODD[kind])
    data.setup()
    model = randomised(StackedAutoencoder([data.n_features, *sizes])).eval()
    model.recipe = EVERYTHING
    title = f"fine-tuned stack {chain(model.sizes)}"
    scene = Scene(model, model.stack, Probe(data, max(2, *sizes)), title, [1, 2])
    scene.when = "the best of 100 epochs"
    scene.remember()
    for name, picture in ALL.items():
        made = picture.numbers(scene)
        if made is not None:
            check_words(f"{name}, {kind}", picture.draw(made))


@pytest.mark.parametrize("spread", [1e-4, 1.0, 1e4])
def test_words_find_room_whatever_the_codes(spread):
    scene = tiny_scene(sizes=[12, 6, 2], linear_code=True)
    with torch.no_grad():
        scene.stack[1].weight.mul_(spread)
        scene.stack[1].bias.mul_(spread)
    for name in ("codes", "plane", "activity"):
        check_words(name, ALL[name].draw(ALL[name].numbers(scene)))


@pytest.mark.parametrize("epochs", [1, 2, 9, 300])
@pytest.mark.parametrize("depth", [1, 2, 6])
@pytest.mark.parametrize("error", [1e-9, 0.9, 30.0])
def test_words_find_room_whatever_the_path(epochs, depth, error):
    sizes = [784, *range(60, 60 - 9 * depth, -9)]
    phases = [
        (f"stage{k + 1}", f"stage {k + 1}/{depth} {sizes[k]}→{sizes[k + 1]}", k * epochs)
        for k in range(depth)
    ]
    phases.append(("finetune", f"fine-tune {chain(sizes)}", depth * epochs))
    rows = [
        f"{name},{k},{9 / (k + 1)},{8 / (k + 1)},{8 / (k + 1)}"
        for name, _, _ in phases
        for k in range(epochs)
    ]
    made = losses.numbers(metrics_of(rows), phases, "tiny", ("PCA-6\nof the pixels", error))
    figure = losses.draw(made)
    check_words("losses", figure)
    for axis in figure.axes:
        low, high = axis.get_ylim()
        shown = [tick for tick in axis.get_yticks() if low <= tick <= high]
        assert len(shown) >= 2, "an axis without numbers"


def test_words_are_large_enough_to_read(numbers):
    for name, (picture, made, _) in numbers.items():
        figure = picture.draw(made)
        sizes = [text.get_fontsize() for text in figure.findobj(plt.Text) if text.get_text()]
        assert min(sizes) >= 8, name


def test_charts_name_their_axes(numbers):
    for name, (picture, made, _) in numbers.items():
        figure = picture.draw(made)
        if figure.axes:
            words = [text.get_text() for text in figure.findobj(plt.Text) if text.get_text()]
            sideways = [
                text for text in figure.findobj(plt.Text) if text.get_text() and text.get_rotation()
            ]
            assert sideways, f"{name}: no vertical axis is named in {words}"


def test_no_picture_belongs_to_pyplot(numbers):
    before = plt.get_fignums()
    for picture, made, _ in numbers.values():
        render(picture.draw(made))
    assert plt.get_fignums() == before
