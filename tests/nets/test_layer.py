from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from sae.nets.dense import Dense
from sae.nets.layer import Code, Layer, as_shape
from sae.nets.reconstruction_loss import cross_entropy, squared_error
from sae.place import Place, Share


def test_a_layer_uses_the_loss_it_is_told():
    x = torch.rand(3, 4)
    for loss, function in (("mse", squared_error), ("bce", cross_entropy)):
        layer = Dense(4, 2, loss=loss)
        h = layer.encode(x)
        rebuilt = layer.decode(h) if loss == "mse" else layer.decode_logits(h)
        torch.testing.assert_close(layer.reconstruction_loss(h, x), function(rebuilt, x))


class Doubling(Layer):
    """As little as a kind must define."""

    def __init__(self, in_shape, output="identity", loss="mse"):
        super().__init__(in_shape, in_shape, "identity", output, loss)
        self.factor = nn.Parameter(torch.tensor(2.0))
        self.back = nn.Parameter(torch.tensor(0.5))

    def encode(self, x):
        return self.factor * x

    def decode_logits(self, h):
        return self.back * h

    def reset_parameters(self, generator=None):
        self.factor.data.fill_(2.0)


def test_a_kind_needs_to_encode_and_decode_alone():
    layer, x = Doubling((2, 3)), torch.rand(4, 6)
    assert (layer.n_in, layer.n_code, layer.in_shape, layer.code_shape) == (6, 6, (2, 3), (2, 3))
    assert torch.equal(layer(x), x)
    code = layer.code_for_training(x, Place(0, "stage1", share=Share.equal(4)))
    assert torch.equal(code.h, 2 * x)
    assert (code.mean, code.logvar, code.parts) == (None, None, ())
    assert layer.is_deterministic
    assert not layer.has_prior
    assert layer.code_range == (-float("inf"), float("inf"))
    assert torch.equal(layer.encode_tiles(x), 2 * x)


def test_what_a_kind_does_not_say_is_nothing():
    layer, before = Doubling(6), 2.0
    layer.start_at_mean(torch.rand(6))
    layer.fit_start(torch.rand(4, 6), torch.rand(6))
    layer.begin_epoch(0, lambda: pytest.fail("nobody looks at samples"))
    assert layer.factor.item() == before
    assert layer.own_terms() == ()
    assert layer.first_weights() is None
    assert list(layer.units_to_show(4)) == [0, 1, 2, 3]
    assert list(layer.units_to_show(99)) == list(range(6))


def test_to_fit_the_start_is_to_start_at_the_mean():
    seen = []

    class Noting(Doubling):
        def start_at_mean(self, mean):
            seen.append(mean)

    mean = torch.rand(6)
    Noting(6).fit_start(torch.rand(4, 6), mean)
    assert len(seen) == 1
    assert torch.equal(seen[0], mean)


def test_a_code_drawn_at_random_is_not_deterministic():
    class Noisy(Doubling):
        def code_for_training(self, x, place):
            return Code(self.encode(x) + place.normal("x", x))

    assert not Noisy(6).is_deterministic


def test_the_output_unit_comes_after_the_decoder():
    layer, h = Doubling(6, output="tanh"), torch.rand(4, 6)
    assert torch.equal(layer.decode(h), torch.tanh(h / 2))


def test_the_loss_against_hand_values():
    """Summed over features, and the mean over the batch."""
    h, x = torch.tensor([[2.0, 4.0], [0.0, 2.0]]), torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    # (1 + 4 + 1 + 0) / 2
    assert Doubling(2).reconstruction_loss(h, x).item() == 3
    # sigmoid(0) = 1/2 throughout
    layer, zero = Doubling(2, output="sigmoid", loss="bce"), torch.zeros(2, 2)
    assert layer.reconstruction_loss(zero, x).item() == pytest.approx(2 * math.log(2))
    layer = Doubling(2, output="sigmoid")
    assert layer.reconstruction_loss(zero, x).item() == pytest.approx(0.5)


def test_parameters_of_the_encoder_are_those_that_the_code_depends_on():
    layer = Doubling(6)
    assert [id(p) for p in layer.encoder_parameters()] == [id(layer.factor)]
    layer.factor.requires_grad_(False)
    layer.back.requires_grad_(False)
    assert layer.encoder_parameters() == []
    assert layer.multiply_adds() == 2


def test_it_prints_shapes_units_and_loss():
    assert "2x3→2x3, identity/tanh, mse" in repr(Doubling((2, 3), output="tanh"))


def test_a_number_of_features_is_a_shape():
    assert as_shape(6) == (6,)
    assert as_shape([2, 3]) == (2, 3)


@pytest.mark.parametrize("method", ["encode", "decode_logits", "reset_parameters"])
def test_without_any_of_these_it_is_no_kind(method):
    assert method in Layer.__abstractmethods__
    with pytest.raises(TypeError, match=method):
        Layer(6, 6)
