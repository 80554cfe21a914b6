from __future__ import annotations

import pytest
import torch

from sae.errors import InputError
from sae.terms.corruption import Corruption

N = 200_000


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_masking_sets_that_fraction_to_zero_and_leaves_the_rest():
    x = torch.full((N,), 0.7)
    x_tilde = Corruption("masking", 0.3)(x, generator())
    assert set(x_tilde.unique().tolist()) == {0.0, x[0].item()}
    assert (x_tilde == 0).float().mean().item() == pytest.approx(0.3, abs=0.005)


def test_gaussian_has_that_standard_deviation_and_mean_zero():
    x = torch.full((N,), 0.5)
    noise = Corruption("gaussian", 0.2)(x, generator()) - x
    assert noise.std().item() == pytest.approx(0.2, abs=0.002)
    assert noise.mean().item() == pytest.approx(0, abs=0.002)


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0)])
def test_salt_and_pepper_hits_both_ends_by_a_fair_coin(value_range):
    x = torch.full((N,), 0.5)
    x_tilde = Corruption("salt_and_pepper", 0.4)(x, generator(), value_range)
    low, high = value_range
    assert (x_tilde == low).float().mean().item() == pytest.approx(0.2, abs=0.005)
    assert (x_tilde == high).float().mean().item() == pytest.approx(0.2, abs=0.005)
    assert (x_tilde == 0.5).float().mean().item() == pytest.approx(0.6, abs=0.005)


@pytest.mark.parametrize("kind", ["masking", "gaussian", "salt_and_pepper"])
def test_the_clean_input_is_left_as_it_is(kind):
    """An input changed in place would become the target."""
    x = torch.rand(10, 5)
    before = x.clone()
    x_tilde = Corruption(kind, 0.5)(x, generator())
    assert torch.equal(x, before)
    assert not torch.equal(x_tilde, x)


@pytest.mark.parametrize("kind", ["masking", "gaussian", "salt_and_pepper"])
def test_the_noise_is_a_function_of_the_generator(kind):
    x = torch.rand(10, 5)
    corruption = Corruption(kind, 0.5)
    assert torch.equal(corruption(x, generator()), corruption(x, generator()))


@pytest.mark.parametrize("kind", ["masking", "gaussian", "salt_and_pepper"])
def test_level_zero_is_no_noise(kind):
    x = torch.rand(10, 5)
    assert torch.equal(Corruption(kind, 0.0)(x, generator()), x)


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        ("masking", 1.0),
        ("masking", -0.1),
        ("salt_and_pepper", 1.2),
        ("gaussian", -1),
        ("gaussian", float("inf")),
        ("masking", float("nan")),
        ("masking", "much"),
    ],
)
def test_level_outside_its_range(kind, level):
    with pytest.raises(InputError, match="level: expected"):
        Corruption(kind, level)


def test_unknown_kind():
    with pytest.raises(InputError, match="kind: expected one of masking, gaussian"):
        Corruption("fog", 0.1)


def test_salt_and_pepper_needs_bounded_inputs():
    with pytest.raises(InputError, match="masking or gaussian"):
        Corruption("salt_and_pepper", 0.1).check_input((0.0, float("inf")))
    Corruption("salt_and_pepper", 0.1).check_input((-1.0, 1.0))
