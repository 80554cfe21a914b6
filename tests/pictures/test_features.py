from __future__ import annotations

import numpy as np
import torch
from drawn import array, check_words, images
from helpers import table_scene, tiny_scene
from matplotlib.image import BboxImage
from matplotlib.patches import Rectangle

from sae.pictures import features


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


def test_weights_above_zero_are_red():
    figure = features.draw(features.numbers(tiny_scene("stage1")))
    for image in images(figure):
        red, _, blue, _ = image.to_rgba(np.array([[0.8]]))[0, 0]
        assert red > blue
        assert array(image).max() <= 1


def test_frames_of_dead_units_are_in_their_row():
    numbers = features.numbers(tiny_scene("stage1"))
    many = {
        "images": np.random.default_rng(0).random((2, 25, 4, 3)),
        "dead": np.arange(25) == 17,  # the third row of ten, its eighth column
    }
    figure = features.draw({**numbers, **many})
    frames = [artist for artist in figure.artists if isinstance(artist, Rectangle)]
    for frame, image in zip(frames, images(figure), strict=True):
        box, (left, bottom, width, height) = frame.get_window_extent(), image.bbox.bounds
        assert int((box.x0 + box.width / 2 - left) / width * 10) == 7
        assert int((bottom + height - box.y0 - box.height / 2) / height * 3) == 1


def test_units_are_apart_whatever_the_size_of_an_image():
    """Of images of many pixels a line of one would be lost between those of the picture."""
    made = {
        **features.numbers(tiny_scene("stage1")),
        "images": np.zeros((1, 40, 60, 80, 3)),
        "dead": np.zeros(40, bool),
    }
    (image,) = images(features.draw(made))
    shown = array(image)
    white = (shown == 1).all(axis=-1)
    lines = white.all(axis=0)
    wide = image.bbox.bounds[2] / shown.shape[1]  # pixels of the picture for one of the array
    assert lines.sum() * wide / 21 >= 1, "twenty images, and a line at each end"
    assert white.all(axis=1).sum() == lines.sum() // 21 * 3


def test_units_of_a_table_are_lines_with_the_names_of_its_features():
    made = features.numbers(table_scene())
    assert made["names"].tolist() == ["a", "b", "colour=blue", "colour=red"]
    figure = features.draw(made)
    check_words("a table", figure)
    assert len(images(figure)) == 2 * 2, "a line for each unit in each panel"
    words = [text.get_text() for text in figure.texts]
    assert words.count("colour=red") == 2
    scaled = made["images"] / np.abs(made["images"]).max(axis=(2, 3), keepdims=True)
    found = sorted(array(image).ravel().tolist() for image in images(figure))
    np.testing.assert_allclose(found, sorted(scaled.reshape(4, 4).tolist()))


def test_it_is_said_on_how_few_images_units_are_dead():
    assert "dead: 0 of 6 on 16 images" in str(features.numbers(tiny_scene("stage1"))["subtitle"])
    assert features.few(1000) == ""
    assert features.few(1) == " on 1 image"
