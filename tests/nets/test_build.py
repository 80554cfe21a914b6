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


# Layers described one by one


def described(*layers, input_shape=(12,), **kwargs):
    return build_stack(layers=list(layers), input_shape=list(input_shape), **kwargs)


def test_layers_of_dense_units_are_the_stack_of_their_sizes():
    options = {"activation": ["relu", "sigmoid"], "tied": True, "output": "linear"}
    long = described({"kind": "dense", "units": 6}, {"kind": "dense", "units": 3}, **options)
    short = build_stack([12, 6, 3], **options)
    assert long.sizes == short.sizes == [12, 6, 3]
    assert repr(long) == repr(short)
    assert set(long.state_dict()) == set(short.state_dict())


def test_what_a_layer_does_not_say_the_model_does():
    own = {"kind": "dense", "units": 3, "activation": "tanh", "tied": False}
    stack = described({"kind": "dense", "units": 6}, own, activation="relu", tied=True)
    assert units(stack) == [("relu", "sigmoid", "mse"), ("tanh", "relu", "mse")]
    assert [layer.tied for layer in stack] == [True, False]


def test_settings_of_the_model_go_to_kinds_that_take_them_alone():
    stack = described({"kind": "dense", "units": 6}, {"kind": "variational", "units": 2}, tied=True)
    assert stack[1].activation == "identity", "a Gaussian code has no activation"
    assert stack.has_prior


def test_a_layer_takes_shape_unit_and_loss_from_the_one_below():
    conv = {"kind": "conv", "channels": 2, "kernel": 2, "stride": 2}
    stack = described(conv, {"kind": "dense", "units": 3}, input_shape=(4, 6), loss="bce")
    assert stack.in_shape == (4, 6)
    assert stack[0].code_shape == stack[1].in_shape == (2, 3, 2)
    assert units(stack) == [("sigmoid", "sigmoid", "bce"), ("sigmoid", "sigmoid", "bce")]


def test_a_class_of_anybodys_is_a_layer():
    deep = {"class_path": "plugins.layer.Deep", "init_args": {"units": 5}}
    stack = described(deep, {"kind": "dense", "units": 2})
    assert stack.sizes == [12, 5, 2]
    assert stack[1].output == "tanh", "the unit of the layer below"


DENSE = {"kind": "dense", "units": 6}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"layers": [DENSE], "sizes": [12, 6]}, "layers: expected sizes or layers, found both;"),
        ({"sizes": [12, 6], "input_shape": [12]}, "input_shape: expected layers, too, found"),
        ({"layers": [DENSE]}, "input_shape: expected a list of sizes, found nothing (null);"),
        ({"layers": [DENSE], "input_shape": 12}, "input_shape: expected a list of sizes, found 12"),
        ({"layers": [DENSE], "input_shape": [0]}, "input_shape[0]: expected an integer of 1 or mo"),
        ({"layers": [], "input_shape": [12]}, "layers: expected a list of layers, found [];"),
        ({"layers": "dense", "input_shape": [12]}, "layers: expected a list of layers, found 'den"),
        ({"layers": [DENSE, 5], "input_shape": [12]}, "layers[1]: expected {kind: NAME, option: v"),
        ({"layers": [DENSE, "dens"], "input_shape": [12]}, "layers[1]: expected one of "),
        (
            {"layers": [DENSE | {"units": 0}], "input_shape": [12]},
            "layers[0].units: expected an integer of 1 or more, found 0;",
        ),
        (
            {"layers": [DENSE | {"unit": 3}], "input_shape": [12]},
            "layers[0].unit: expected one of units, ",
        ),
        (
            {"layers": [DENSE | {"loss": "bce"}], "input_shape": [12]},
            "layers[0].loss: expected one of units, ",
        ),
        (
            {"layers": [DENSE], "input_shape": [12], "activation": ["relu", "relu"]},
            "activation: expected one name, or a list of 1, one for each encoder layer, found 2 na",
        ),
        ({"sizes": [12, 6], "tied": 1}, "tied: expected true or false, found 1;"),
    ],
)
def test_a_mistake_in_layers_is_one_sentence(arguments, sentence):
    with pytest.raises(InputError) as caught:
        build_stack(**arguments)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)
