from __future__ import annotations

import pytest

from sae.errors import InputError
from sae.nets.sizes import are_open, chosen_sizes, settled


@pytest.mark.parametrize(
    ("features", "sizes"),
    [
        (784, [784, 256, 64]),
        (3072, [3072, 1024, 256]),
        (200_000, [200_000, 1024, 256]),
        (30, [30, 8, 2]),
        (13, [13, 4]),
        (2, [2, 1]),
        (1, [1, 1]),
    ],
)
def test_half_of_the_features_and_a_quarter_of_that(features, sizes):
    assert chosen_sizes(features) == sizes


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, {"sizes": [784, 256, 64]}),
        ({"sizes": "auto"}, {"sizes": [784, 256, 64]}),
        ({"sizes": ["auto", 9, 2]}, {"sizes": [784, 9, 2]}),
        ({"layers": [{}]}, {"input_shape": [28, 28]}),
        ({"layers": [{}], "input_shape": "auto"}, {"input_shape": [28, 28]}),
    ],
)
def test_what_the_data_say(options, found):
    assert are_open(options)
    assert settled(options, 784, (28, 28)) == found


def test_the_shape_of_colour_images_and_of_what_is_no_image():
    assert settled({"layers": [{}]}, 48, (4, 4, 3)) == {"input_shape": [4, 4, 3]}
    assert settled({"layers": [{}]}, 7, (1, 7)) == {"input_shape": [7]}


@pytest.mark.parametrize(
    "options",
    [
        {"sizes": [784, 9]},
        {"layers": [{}], "input_shape": [28, 28]},
        {"layers": [{}], "sizes": ["auto", 9]},
        {"input_shape": "auto"},
        {"input_shape": [28, 28]},
    ],
)
def test_what_is_settled_or_wrong_is_left_alone(options):
    assert not are_open(options)


def test_auto_further_up_is_refused():
    with pytest.raises(InputError, match="sizes: expected auto as the first size alone, found"):
        settled({"sizes": ["auto", "auto"]}, 784, (28, 28))
