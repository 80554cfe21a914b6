from __future__ import annotations

import math

import pytest
import torch
from helpers import tiny_stack
from torch.distributions import Bernoulli, kl_divergence

from sae.errors import InputError
from sae.terms.sparsity import Sparsity, kl_bernoulli


def test_against_hand_value():
    """KL(0.05 || 0.2) = 0.05 ln(0.05/0.2) + 0.95 ln(0.95/0.8)."""
    by_hand = 0.05 * math.log(0.25) + 0.95 * math.log(0.95 / 0.8)
    assert kl_bernoulli(0.05, torch.tensor(0.2)).item() == pytest.approx(by_hand, rel=1e-5)


def test_against_torch_distributions():
    rho_hat = torch.linspace(0.01, 0.99, 50, dtype=torch.double)
    ours = kl_bernoulli(0.1, rho_hat)
    theirs = kl_divergence(Bernoulli(torch.tensor(0.1, dtype=torch.double)), Bernoulli(rho_hat))
    torch.testing.assert_close(ours, theirs)


def test_is_zero_at_the_target_and_positive_elsewhere():
    assert kl_bernoulli(0.3, torch.tensor(0.3)).abs() < 1e-6
    assert (kl_bernoulli(0.3, torch.tensor([0.0, 0.1, 0.9, 1.0])) > 0).all()


@pytest.mark.parametrize("value", [-3.0, 0.0, 1e-30, 1e-6, 0.5, 1 - 1e-7, 1.0, 2.5, 1e6])
def test_is_finite_and_points_to_rho_everywhere(value):
    rho_hat = torch.tensor(value, requires_grad=True)
    kl = kl_bernoulli(0.2, rho_hat)
    kl.backward()
    assert math.isfinite(kl.item())
    assert math.isfinite(rho_hat.grad.item())
    assert (rho_hat.grad.item() > 0) == (value > 0.2)


def test_rho_hat_is_the_mean_over_the_batch_not_over_the_units():
    h = torch.tensor([[1.0, 0.0, 0.5], [0.0, 0.0, 0.5]])
    assert Sparsity.activity(h, "sigmoid").tolist() == [0.5, 0.0, 0.5]
    assert Sparsity.activity(h, "tanh").tolist() == [0.75, 0.5, 0.75]


def test_penalty_sums_over_units():
    sparsity = Sparsity(rho=0.1, weight=3)
    rho_hat = torch.tensor([0.2, 0.4])
    expected = 3 * (kl_bernoulli(0.1, rho_hat[0]) + kl_bernoulli(0.1, rho_hat[1]))
    torch.testing.assert_close(sparsity.value(rho_hat), expected)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_descending_on_it_brings_the_mean_activity_to_rho(activation):
    from sae.nets.dense import Dense

    layer = Dense(8, 5, activation)
    layer.reset_parameters(torch.Generator().manual_seed(0))
    with torch.no_grad():
        layer.bias.fill_(1.5)
    x = torch.rand(64, 8, generator=torch.Generator().manual_seed(1))
    sparsity = Sparsity(rho=0.1, weight=1)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
    for _ in range(400):
        rho_hat = sparsity.activity(layer.encode(x), activation)
        optimizer.zero_grad()
        sparsity.value(rho_hat).backward()
        optimizer.step()
    torch.testing.assert_close(rho_hat, torch.full((5,), 0.1), atol=0.02, rtol=0)


@pytest.mark.parametrize("rho", [0, 1, -0.1, 1.5, float("nan"), "x", None, True])
def test_rho_outside_its_range(rho):
    with pytest.raises(InputError, match=r"rho: expected a number in \(0, 1\), found"):
        Sparsity(rho=rho)


def test_signed_codes_are_refused():
    with pytest.raises(InputError, match="identity"):
        Sparsity().check_fits(tiny_stack(activation="identity"))
