from __future__ import annotations

import io

import numpy as np
import PIL.Image
import pytest
import torch
from helpers import TinyDataModule, randomised

from sae.data import ArrayDataModule
from sae.data.datamodule import Samples
from sae.errors import InputError
from sae.pictures.gallery import ours
from sae.pictures.scene import Probe, Scene
from sae.pictures.style import render
from sae.terms.corruption import Corruption
from sae.training.recipe import Recipe
from sae.training.stacked import StackedAutoencoder

PICTURES = {picture.name: picture for picture in ours()}
RED, BLUE = (255, 0, 0), (0, 0, 255)


class Coloured(TinyDataModule):
    """Images of 6x5 pixels: red ones, blue ones, and others whose pixels are unlike each other."""

    image_shape = (6, 5, 3)

    def load(self) -> tuple[Samples, Samples]:
        y = torch.arange(240) % 3
        x = torch.randint(0, 256, (240, 6, 5, 3), generator=torch.Generator().manual_seed(0))
        x[y == 0], x[y == 1] = torch.tensor(RED), torch.tensor(BLUE)
        samples = Samples(x.to(torch.uint8).flatten(1), y)
        return samples[torch.arange(200)], samples[torch.arange(200, 240)]


@pytest.fixture(scope="module")
def scene() -> Scene:
    data = Coloured(n=200, val_size=80)
    data.setup()
    model = randomised(StackedAutoencoder([90, 8, 2])).eval()
    model.recipe = Recipe(corruption=Corruption("gaussian", 0.3))
    scene = Scene(model, model.stack, Probe(data, 8), "fine-tune", [1, 2])
    scene.remember()
    return scene


@pytest.mark.parametrize(
    "name", ["reconstructions", "denoising", "nearest", "interpolation", "plane"]
)
def test_images_are_drawn_in_their_colours(name, scene):
    picture = PICTURES[name]
    made = picture.numbers(scene)
    assert made is not None
    png = render(picture.draw(made))
    pixels = np.asarray(PIL.Image.open(io.BytesIO(png.content)))
    for colour in (RED, BLUE):
        assert (pixels == colour).all(axis=-1).sum() > 100, colour


def test_every_picture_can_be_drawn_of_them(scene):
    drawn = [name for name, p in PICTURES.items() if (made := p.numbers(scene)) and p.draw(made)]
    assert {"features", "codes", "reconstructions"} <= set(drawn)


def test_weights_show_the_colours_to_which_a_unit_answers(scene):
    made = dict(PICTURES["features"].numbers(scene))
    assert made["images"].shape[2:] == (6, 5, 3)
    made["images"] = np.zeros_like(made["images"])
    made["images"][:, 0] = [1.0, -1.0, -1.0]
    pixels = np.asarray(PIL.Image.open(io.BytesIO(render(PICTURES["features"].draw(made)).content)))
    assert (pixels == RED).all(axis=-1).sum() > 100


def test_pixels_stay_where_they_are(scene):
    probe = scene.probe
    images = probe.as_images(probe.images)
    assert images.shape == (80, 6, 5, 3)
    np.testing.assert_array_equal(images.reshape(80, 90), probe.images.numpy())


X = np.random.default_rng(0).integers(0, 256, (60, 4, 5, 3), dtype=np.uint8)


def array(x: np.ndarray, **kwargs) -> ArrayDataModule:
    np.save("x.npy", x)
    data = ArrayDataModule("x.npy", val_size=10, **kwargs)
    data.setup()
    return data


def test_files_tell_height_width_and_colours():
    assert array(X).image_shape == (4, 5, 3)
    assert array(X.reshape(60, 60), image_shape=[4, 5, 3]).image_shape == (4, 5, 3)
    assert array(X[..., :1]).image_shape == (4, 5)
    probe = Probe(array(X), 2)
    shown = {
        image.tobytes() for image in (255 * probe.as_images(probe.images)).round().astype("u1")
    }
    assert shown <= {image.tobytes() for image in X}


@pytest.mark.parametrize("shape", [[4, 5, 4], [3, 20], [2, 2, 5, 3], [4, 5, 2]])
def test_another_image_shape_is_refused(shape):
    x = X if shape != [3, 20] else X[:, :3]
    with pytest.raises(InputError, match="height and width, and 3 for colours"):
        array(x.reshape(60, -1), image_shape=shape)
