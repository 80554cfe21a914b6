"""The divergence of a Gaussian code from its prior."""

from __future__ import annotations

import pytest
import torch
from helpers import tiny_stack
from torch.distributions import Normal, kl_divergence

from sae.errors import InputError
from sae.nets.layer import Code
from sae.nets.stack import Stack
from sae.nets.variational import Variational
from sae.terms.gaussian_kl import GaussianKL, gaussian_kl


def some(rows: int = 50, units: int = 3):
    generator = torch.Generator().manual_seed(0)
    return (3 * torch.randn(rows, units, generator=generator) for _ in range(2))


def test_it_is_the_divergence_that_torch_computes():
    mean, logvar = some()
    theirs = kl_divergence(Normal(mean, (logvar / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(gaussian_kl(mean, logvar), theirs, rtol=1e-4, atol=1e-5)


def test_hand_values():
    """(mean² + var - 1 - log var) / 2."""
    mean = torch.tensor([0.0, 2.0, 0.0])
    logvar = torch.tensor([4.0, 1.0, 0.5]).log()
    by_hand = [(4 - 1 - 1.386294) / 2, 2.0, (0.5 - 1 + 0.693147) / 2]
    assert gaussian_kl(mean, logvar).tolist() == pytest.approx(by_hand, abs=1e-6)


def test_near_the_prior_no_digits_are_lost():
    """log var = t: the divergence is t² / 4 to first order, and never negative."""
    t = torch.tensor([1e-3, -1e-3, 3e-3])
    kl = gaussian_kl(torch.zeros(3), t)
    assert kl.tolist() == pytest.approx((t.square() / 4).tolist(), rel=1e-2)


def test_half_precision_is_computed_in_single():
    mean, logvar = some()
    kl = gaussian_kl(mean.bfloat16(), logvar.bfloat16())
    assert kl.dtype == torch.float32
    torch.testing.assert_close(kl, gaussian_kl(mean, logvar), rtol=0.05, atol=0.05)


def test_the_statistic_sums_over_units_and_averages_over_samples():
    mean, logvar = some()
    code = Code(mean, mean, logvar)
    statistic = GaussianKL(0.5).statistic(Variational(4, 3), torch.zeros(50, 4), code)
    assert statistic.shape == (1,)
    assert statistic.item() == pytest.approx(gaussian_kl(mean, logvar).sum().item() / 50)
    assert GaussianKL(0.5).value(statistic, None).item() == pytest.approx(statistic.item() / 2)


def test_the_weight_grows_from_nothing_over_the_warm_up():
    term, statistic = GaussianKL(2.0, warm_up=4), torch.tensor([3.0])
    values = [term.value(statistic, epoch).item() for epoch in (0, 1, 2, 4, 5)]
    assert values == pytest.approx([0.0, 1.5, 3.0, 6.0, 6.0])
    assert term.value(statistic, None).item() == 6.0  # in validation
    assert GaussianKL(2.0).value(statistic, 0).item() == 6.0


def test_it_is_for_codes_that_are_distributions():
    term = GaussianKL()
    term.check_fits(Variational(4, 3))
    term.check_fits(Stack([*tiny_stack(), Variational(3, 2)]))
    with pytest.raises(InputError, match="variational layer at the top"):
        term.check_fits(tiny_stack())


@pytest.mark.parametrize("wrong", [{"weight": -1}, {"weight": "x"}, {"warm_up": 0.5}])
def test_wrong_options_are_named(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        GaussianKL(**wrong)
