from __future__ import annotations

import pytest
import torch
from torch import nn

from sae.nets.activations import ACTIVATIONS, RANGES, SLOPES, inverse_activation, start_gain


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_activations_stay_in_their_range(name):
    y = ACTIVATIONS[name](torch.linspace(-50, 50, 1001))
    low, high = RANGES[name]
    assert y.min() >= low
    assert y.max() <= high
    assert torch.isfinite(y).all()


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("sigmoid", nn.Sigmoid()),
        ("tanh", nn.Tanh()),
        ("relu", nn.ReLU()),
        ("leaky_relu", nn.LeakyReLU()),
        ("gelu", nn.GELU()),
        ("silu", nn.SiLU()),
        ("identity", nn.Identity()),
    ],
)
def test_activations_are_those_of_torch(name, module):
    x = torch.linspace(-5, 5, 101)
    assert torch.equal(ACTIVATIONS[name](x), module(x))


@pytest.mark.parametrize("name", ["gelu", "silu"])
def test_a_mean_that_the_unit_cannot_give_starts_where_it_is_lowest(name):
    z = inverse_activation(name, torch.tensor([-5.0]))
    around = torch.linspace(-0.1, 0.1, 201) + z
    assert ACTIVATIONS[name](around).argmin() == pytest.approx(100, abs=1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_slopes_are_those_of_autograd(activation):
    z = torch.linspace(-6, 6, 200, dtype=torch.double, requires_grad=True)
    (expected,) = torch.autograd.grad(ACTIVATIONS[activation](z).sum(), z)
    torch.testing.assert_close(SLOPES[activation](z.detach()), expected)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_inverse_gives_back_what_the_unit_gave(name):
    z = torch.linspace(0.05, 2, 50, dtype=torch.double)
    found = inverse_activation(name, ACTIVATIONS[name](z))
    torch.testing.assert_close(found, z)


def test_near_a_flat_end_the_inverse_stays_finite():
    assert inverse_activation("sigmoid", torch.tensor([0.0, 1.0])).tolist() == pytest.approx(
        [-4.59512, 4.59512]
    )
    assert inverse_activation("tanh", torch.tensor([-1.0, 1.0])).tolist() == pytest.approx(
        [-2.29756, 2.29756]
    )
    assert inverse_activation("leaky_relu", torch.tensor([-0.02])).item() == pytest.approx(-2)


@pytest.mark.parametrize(
    ("name", "gain"),
    [("sigmoid", 2), ("tanh", 1), ("identity", 1), ("relu", 2**0.5), ("gelu", 2**0.5)],
)
def test_the_spread_of_initial_weights_fits_the_unit(name, gain):
    assert start_gain(name) == pytest.approx(gain)
