from __future__ import annotations

import pytest
import torch

from sae.data import TensorLoader
from sae.look.health import Health, check
from sae.look.units import Units, UnitSums, has_ends, place
from sae.nets.activations import RANGES
from sae.nets.dense import Dense
from sae.training.recipe import Recipe


def layer(code, weight, bias, output="sigmoid", **kwargs) -> Dense:
    """One input; units with these weights and biases; it reconstructs zero plus its output unit."""
    net = Dense(1, len(weight), code, output, **kwargs)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.weight[:, 0], net.bias[:] = torch.tensor(weight), torch.tensor(bias)
    return net


def look(net, x, recipe=None, batch_size=2) -> Health:
    inputs = TensorLoader(torch.tensor(x)[:, None])
    inputs.whole = lambda: inputs.x.split(batch_size)
    return check(net, recipe or Recipe(), inputs)


def test_units_of_a_sigmoid():
    """Inputs 0, 1, 2: never on, always on, stuck half-way, one that varies, a rare one."""
    weight, bias = [0.0, 0.0, 0.0, 1.0, 4.0], [-9.0, 9.0, 0.0, 0.0, -11.0]
    health = look(layer("sigmoid", weight, bias), [0.0, 1.0, 2.0])
    assert health.dead == pytest.approx(2 / 5)
    assert health.always_on == pytest.approx(1 / 5)
    # Flat ends: 3 + 3 + 0 + 0 values, and the rare unit's at -11 and -7 (but not at -3).
    assert health.saturated == pytest.approx(8 / 15)


def test_units_of_a_tanh():
    """Low end, high end, in the middle, and one that goes from one end to the other."""
    health = look(layer("tanh", [0.0, 0.0, 0.0, 18.0], [-9.0, 9.0, 0.0, -9.0]), [0.0, 1.0])
    assert (health.dead, health.always_on, health.saturated) == (0.5, 0.25, 0.75)
    assert health.activity == pytest.approx((0 + 1 + 0.5 + 0.5) / 4, abs=1e-6)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "gelu", "silu"])
def test_units_without_a_greatest_value(activation):
    """Below 0 throughout, constant above it, above it throughout, and on both sides."""
    health = look(layer(activation, [-1.0, 0.0, 1.0, 2.0], [-1.0, 2.0, 1.0, -2.0]), [0.0, 1.0, 2.0])
    assert (health.dead, health.always_on, health.saturated) == (0.5, 0.25, None)
    assert (health.activity is None) == (activation != "relu")


def test_activity_of_a_relu_is_its_mean():
    assert look(layer("relu", [1.0, -1.0], [0.0, 0.0]), [0.0, 1.0, 5.0]).activity == 1.0


def test_a_linear_unit_is_dead_where_it_does_not_vary():
    health = look(layer("identity", [0.0, -1.0, 0.001], [5.0, 0.0, 0.0]), [0.0, 1.0, 2.0])
    assert health.dead == pytest.approx(2 / 3)
    assert (health.always_on, health.saturated, health.activity) == (None, None, None)


def of(activation: str, codes: list[list[float]], batch: int = 2) -> Units:
    sums = UnitSums(activation)
    for some in torch.tensor(codes).split(batch):
        sums.add(some)
    return sums.units()


def test_each_unit_is_told_from_the_others():
    found = of("sigmoid", [[0.2, 0.999, 0.0, 0.5], [0.4, 1.0, 0.005, 0.5], [0.9, 1.0, 0.0, 0.5]])
    assert found.dead.tolist() == [False, False, True, True]
    assert found.always_on.tolist() == [False, True, False, False]
    assert found.mean.tolist() == pytest.approx([0.5, 2.999 / 3, 0.005 / 3, 0.5])
    assert found.activity.tolist() == pytest.approx(found.mean.tolist())


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "gelu", "identity"])
def test_the_batches_make_no_difference(activation):
    codes = torch.rand(30, 5, generator=torch.Generator().manual_seed(0)).tolist()
    one, many = of(activation, codes, 30), of(activation, codes, 7)
    assert torch.equal(one.dead, many.dead)
    torch.testing.assert_close(one.mean, many.mean)


def test_where_values_lie_in_a_range():
    values = torch.tensor([-1.0, 0.0, 1.0])
    assert place(values, (-1.0, 1.0)).tolist() == [0, 0.5, 1]
    assert place(values, (0.0, 1.0)) is values
    assert [has_ends(RANGES[name]) for name in ("sigmoid", "tanh", "relu", "identity")] == [
        True,
        True,
        False,
        False,
    ]


def test_what_a_unit_did_in_an_earlier_batch_counts():
    for codes in ([[0.9], [0.5], [0.5]], [[0.1], [0.5], [0.5]]):
        assert not of("sigmoid", codes, 1).dead.any()
