import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sae.data.scaling import KNEE, has_heavy_tails, of_most, squash, unsquash

DRAW = np.random.default_rng(0)


@given(st.floats(-1e18, 1e18))
def test_what_is_squashed_comes_back(value):
    z = torch.tensor([value], dtype=torch.double)
    y = squash(z)
    assert torch.allclose(unsquash(y), z, rtol=1e-9)
    assert abs(y.item()) < 50
    assert y.item() == value if abs(value) <= KNEE else KNEE < abs(y.item()) < abs(value)


def test_it_is_the_logarithm_beyond_the_knee():
    z = torch.tensor([-KNEE - np.e + 1, 0.0, KNEE + np.e**3 - 1, float("nan")])
    y = squash(z)
    assert y[:3].tolist() == pytest.approx([-KNEE - 1, 0, KNEE + 3], abs=1e-6)
    assert y[3].isnan()


def test_absurd_outputs_stay_finite():
    assert unsquash(torch.tensor([1e30, -1e30])).isfinite().all()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("normal", DRAW.normal(size=1000)),
        ("uniform", DRAW.random(1000)),
        ("exponential", DRAW.exponential(size=1000)),
        ("lognormal", DRAW.lognormal(size=1000)),
        ("two values", np.arange(1000) % 10 == 0),
        ("seldom another value", np.arange(1000) < 3),
        ("counts", DRAW.poisson(0.2, 1000)),
        ("a pixel that is seldom on", np.where(DRAW.random(1000) < 0.03, DRAW.random(1000), 0)),
    ],
)
def test_usual_columns_have_no_heavy_tails(name, values):
    assert not has_heavy_tails(np.sort(values.astype(float)), values.std())


@pytest.mark.parametrize("values", [DRAW.normal(size=1000), DRAW.poisson(0.2, 1000) / 1.0])
@pytest.mark.parametrize("n_far", [1, 5, 10, 50])
def test_values_far_out_are_told_and_leave_the_scale(values, n_far):
    spoilt = np.sort(np.r_[values, np.full(n_far, 1e6)])
    assert has_heavy_tails(spoilt, spoilt.std())
    middle, scale = of_most(spoilt, spoilt.std())
    assert middle == pytest.approx(np.median(values), abs=0.1)
    assert scale == pytest.approx(values.std(), rel=0.5)


def test_of_few_values_no_tail_is_told():
    few = np.array([0.0, 1.0, 2.0, 3.0, 1e9])
    assert not has_heavy_tails(few, few.std())
