from __future__ import annotations

import pytest
import torch
from helpers import tiny_stack

from sae.nets.dense import Dense
from sae.nets.stack import Stack
from sae.place import Place, Share


@pytest.mark.parametrize("tied", [False, True])
def test_stack_is_the_composed_layers_bit_for_bit(tied):
    """Contract 2."""
    stack = tiny_stack(sizes=[12, 8, 6, 3], activation=["sigmoid", "tanh", "gelu"], tied=tied)
    x = torch.rand(9, 12)
    h = x
    for layer in stack:
        h = layer.encode(h)
    assert torch.equal(stack.encode(x), h)
    for layer in reversed(list(stack)):
        h = layer.decode(h)
    assert torch.equal(stack.decode(stack.encode(x)), h)
    assert torch.equal(stack(x), h)


def test_stack_shares_its_layers():
    layers = [Dense(6, 4), Dense(4, 2)]
    stack = Stack(layers)
    assert stack[0] is layers[0]
    assert stack.below(1)[0] is layers[0]
    assert len(stack.below(0)) == 0


def test_empty_stack_is_the_identity():
    x = torch.rand(3, 4)
    assert torch.equal(Stack().encode(x), x)
    assert torch.equal(Stack().decode(x), x)


def test_encode_is_deterministic_in_both_modes():
    """Contract 1."""
    stack = tiny_stack()
    x = torch.rand(5, 12)
    trained = stack.train().encode(x)
    assert torch.equal(trained, stack.eval().encode(x))
    assert torch.equal(trained, stack.encode(x))


def test_neighbours_must_fit():
    with pytest.raises(ValueError, match="do not fit"):
        Stack([Dense(6, 4), Dense(5, 2)])
    with pytest.raises(ValueError, match="do not fit"):
        Stack([Dense(6, 4, "tanh"), Dense(4, 2, output="sigmoid")])


def test_what_a_stack_is_comes_of_its_ends():
    stack = tiny_stack(sizes=[12, 6, 3], activation=["tanh", "relu"], loss="bce")
    assert (stack.sizes, stack.n_in, stack.n_code) == ([12, 6, 3], 12, 3)
    assert (stack.activation, stack.output, stack.loss) == ("relu", "sigmoid", "bce")
    assert stack.code_range == (0.0, float("inf"))
    assert Stack().code_range == (0.0, 1.0), "the code of no layer is pixels"
    assert stack.multiply_adds() == sum(p.numel() for p in stack.parameters())


def test_in_training_each_layer_is_given_what_the_one_below_samples():
    layers = [{"kind": "variational", "units": 4}, {"kind": "dense", "units": 3}]
    stack = tiny_stack(sizes=None, input_shape=[12], layers=layers)
    x, place = torch.rand(5, 12), Place(0, "finetune", 0, share=Share.equal(5))
    code = stack.code_for_training(x, place)
    own = stack[0].code_for_training(x, place.inside("layer", 0))
    assert torch.equal(code.parts[0].h, own.h), "each layer has a place of its own"
    assert len(code.parts) == 2
    assert not torch.equal(code.parts[0].h, stack[0].encode(x)), "a sample, not the mean"
    assert torch.equal(code.parts[1].h, stack[1].encode(code.parts[0].h))
    assert torch.equal(code.h, code.parts[1].h)
    assert not stack.is_deterministic
    assert tiny_stack().is_deterministic
