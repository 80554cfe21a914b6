from __future__ import annotations

import pytest
import torch
from helpers import randomised

from sae.nets.activations import ACTIVATIONS
from sae.nets.dense import Dense


def test_equation_against_hand_values():
    """h = f(W x + b), x^ = g(W' h + b'), worked out by hand for 2→1."""
    layer = Dense(2, 1, activation="relu", output="identity")
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0, -1.0]]))
        layer.bias.fill_(0.5)
        layer.decoder_weight.copy_(torch.tensor([[3.0], [-2.0]]))
        layer.decoder_bias.copy_(torch.tensor([1.0, 0.0]))
    x = torch.tensor([[1.0, 0.5], [0.0, 4.0]])
    # 2·1 − 0.5 + 0.5 = 2 ; relu(−4 + 0.5) = 0
    assert layer.encode(x).tolist() == [[2.0], [0.0]]
    # 3·2 + 1 = 7, −2·2 = −4 ; b' alone
    assert layer(x).tolist() == [[7.0, -4.0], [1.0, 0.0]]


def test_equals_linear_modules_of_torch():
    layer = randomised(Dense(5, 3, "tanh", "sigmoid"))
    encoder, decoder = torch.nn.Linear(5, 3), torch.nn.Linear(3, 5)
    with torch.no_grad():
        encoder.weight.copy_(layer.weight)
        encoder.bias.copy_(layer.bias)
        decoder.weight.copy_(layer.decoder_weight)
        decoder.bias.copy_(layer.decoder_bias)
    x = torch.rand(7, 5)
    net = torch.nn.Sequential(encoder, torch.nn.Tanh(), decoder, torch.nn.Sigmoid())
    assert torch.equal(layer(x), net(x))


def test_tied_layer_has_one_weight_for_both():
    layer = randomised(Dense(5, 3, "identity", "identity", tied=True))
    assert {name for name, _ in layer.named_parameters()} == {"weight", "bias", "decoder_bias"}
    h = torch.rand(2, 3)
    torch.testing.assert_close(layer.decode(h), h @ layer.weight + layer.decoder_bias)


def test_tied_gradient_is_the_sum_of_both_ways():
    layer = randomised(Dense(4, 3, "sigmoid", "sigmoid", tied=True))
    free = Dense(4, 3, "sigmoid", "sigmoid")
    with torch.no_grad():
        free.weight.copy_(layer.weight)
        free.bias.copy_(layer.bias)
        free.decoder_weight.copy_(layer.weight.t())
        free.decoder_bias.copy_(layer.decoder_bias)
    x = torch.rand(6, 4)
    for net in (layer, free):
        net.reconstruction_loss(net.encode(x), x).backward()
    torch.testing.assert_close(layer.weight.grad, free.weight.grad + free.decoder_weight.grad.t())


def test_initial_weights_come_from_the_generator_alone():
    layer = Dense(6, 4)
    layer.reset_parameters(torch.Generator().manual_seed(3))
    first = layer.weight.clone()
    torch.manual_seed(99)
    layer.reset_parameters(torch.Generator().manual_seed(3))
    assert torch.equal(layer.weight, first)
    assert not layer.bias.any()


# What units of a kind give on average, each but for the flat ends of its range.
MEANS = {
    "sigmoid": [0.02, 0.5, 0.9],
    "tanh": [-0.9, 0.0, 0.9],
    "relu": [0.0, 0.3, 40.0],
    "leaky_relu": [-0.02, 0.0, 5.0],
    "gelu": [-0.16, 0.0, 40.0],
    "silu": [-0.27, 0.0, 40.0],
    "identity": [-3.0, 0.0, 5.0],
}


@pytest.mark.parametrize("output", ACTIVATIONS)
def test_a_layer_can_start_at_the_mean_of_its_inputs(output):
    layer = Dense(3, 2, output=output)
    mean = torch.tensor(MEANS[output])
    layer.start_at_mean(mean)
    assert torch.allclose(layer.decode(torch.zeros(1, 2))[0], mean, atol=1e-6)


def test_a_pixel_that_never_changes_starts_at_a_finite_bias():
    layer = Dense(2, 2)
    layer.start_at_mean(torch.tensor([0.0, 1.0]))
    assert torch.allclose(layer.decoder_bias, torch.tensor([-4.59512, 4.59512]))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("unit", ACTIVATIONS)
def test_initial_weights_are_fitted_to_inputs_of_any_size(unit, tied):
    """W (x - mean) has the spread; x = mean has no pre-activation; the mean code gives the mean."""
    generator = torch.Generator().manual_seed(0)
    x = 40 + 7 * torch.randn(500, 6, generator=generator)
    layer = Dense(6, 4, unit, output="identity", tied=tied)
    layer.reset_parameters(generator)
    direction = layer.weight.clone()
    layer.fit_start(x, x.mean(dim=0))
    z = torch.nn.functional.linear(x, layer.weight, layer.bias)
    assert z.std(correction=0).item() == pytest.approx(0.25, rel=1e-4)
    assert z.mean(dim=0).abs().max() < 1e-4
    assert torch.allclose(layer.decode(layer.encode(x).mean(dim=0)), x.mean(dim=0), atol=1e-4)
    scale = layer.weight / direction
    assert torch.allclose(scale, scale[0, 0].expand_as(scale), rtol=1e-4)


def test_inputs_that_do_not_vary_leave_the_initial_weights_finite():
    layer = Dense(6, 4, "silu", output="identity")
    before = layer.weight.clone()
    x = torch.full((10, 6), 3.0)
    layer.fit_start(x, x[0])
    assert torch.equal(layer.weight, before)
    assert torch.allclose(layer(x), x, atol=1e-5)
