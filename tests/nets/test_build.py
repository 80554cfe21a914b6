from __future__ import annotations

import pytest

from sae.errors import InputError
from sae.nets.build import build_stack
from sae.training.stacked import StackedAutoencoder


def units(stack) -> list[tuple[str, str, str]]:
    return [(layer.activation, layer.output, layer.loss) for layer in stack]


def test_a_decoder_ends_in_the_unit_of_the_encoder_below_it():
    stack = build_stack([8, 6, 4, 2], ["relu", "tanh", "sigmoid"])
    assert units(stack) == [
        ("relu", "sigmoid", "mse"),
        ("tanh", "relu", "mse"),
        ("sigmoid", "tanh", "mse"),
    ]


def test_linear_code_takes_the_activation_off_the_last_encoder_only():
    stack = build_stack([8, 6, 4], "sigmoid", linear_code=True)
    assert units(stack) == [("sigmoid", "sigmoid", "mse"), ("identity", "sigmoid", "mse")]


def test_cross_entropy_is_used_where_the_output_is_a_sigmoid():
    stack = build_stack([8, 6, 4, 2], ["tanh", "sigmoid", "sigmoid"], loss="bce")
    assert [layer.loss for layer in stack] == ["bce", "mse", "bce"]
    assert stack.loss == "bce"


def test_linear_output():
    assert build_stack([8, 4], output="linear").output == "identity"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sizes": [784]}, r"sizes: expected a list of two sizes or more, found \[784\]"),
        ({"sizes": []}, r"sizes: expected a list"),
        ({"sizes": [8, 0]}, r"sizes\[1\]: expected an integer of 1 or more, found 0"),
        ({"sizes": [8, 2.5]}, r"sizes\[1\]: expected an integer"),
        ({"activation": "swish"}, "activation: expected one of sigmoid, tanh, .* found 'swish'"),
        ({"activation": ["relu"]}, "a list of 2, one for each encoder layer, found 1 names"),
        ({"output": "relu"}, "output: expected one of sigmoid, linear"),
        ({"loss": "mae"}, "loss: expected one of mse, bce"),
        ({"loss": "bce", "output": "linear"}, "loss: expected mse with a linear output"),
    ],
)
def test_wrong_values_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        StackedAutoencoder(**({"sizes": [8, 4, 2]} | arguments))
