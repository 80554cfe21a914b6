from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sae.nets.reconstruction_loss import cross_entropy, sigmoid_squared_error, squared_error


def test_squared_error_sums_over_features_and_averages_over_the_batch():
    x_hat = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    x = torch.tensor([[0.0, 0.0], [3.0, 1.0]])
    assert squared_error(x_hat, x) == (1 + 4 + 9 + 1) / 2


def test_squared_error_is_features_times_the_mean():
    x_hat, x = torch.rand(5, 7), torch.rand(5, 7)
    torch.testing.assert_close(squared_error(x_hat, x), 7 * F.mse_loss(x_hat, x))


def test_cross_entropy_against_the_formula():
    logits, x = torch.randn(4, 6, dtype=torch.double), torch.rand(4, 6, dtype=torch.double)
    p = logits.sigmoid()
    by_hand = -(x * p.log() + (1 - x) * (1 - p).log()).sum(dim=1).mean()
    torch.testing.assert_close(cross_entropy(logits, x), by_hand)


def test_cross_entropy_is_finite_where_a_sigmoid_saturates():
    loss = cross_entropy(torch.tensor([[200.0, -200.0]]), torch.tensor([[0.0, 1.0]]))
    assert loss == 400


def test_the_error_of_a_sigmoid_is_that_of_its_parts_with_their_gradient():
    logits = torch.randn(5, 7, dtype=torch.double, requires_grad=True)
    x = torch.rand(5, 7, dtype=torch.double)
    whole, parts = sigmoid_squared_error(logits, x), squared_error(torch.sigmoid(logits), x)
    torch.testing.assert_close(whole, parts)
    (of_whole,) = torch.autograd.grad(3 * whole, logits)
    (of_parts,) = torch.autograd.grad(3 * parts, logits)
    torch.testing.assert_close(of_whole, of_parts)
    assert torch.autograd.gradcheck(lambda z: sigmoid_squared_error(z, x), logits)
    half = sigmoid_squared_error(logits.bfloat16(), x)
    torch.testing.assert_close(half, parts, rtol=0.05, atol=0)


@pytest.mark.parametrize("error", [sigmoid_squared_error, squared_error])
def test_errors_of_many_pixels_are_summed_exactly(error):
    """In single precision, over as many as a large batch has."""
    x_hat, x = torch.rand(8192, 784), torch.rand(8192, 784)
    found, exact = error(x_hat, x), error(x_hat.double(), x.double())
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=0)
