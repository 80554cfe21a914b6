from __future__ import annotations

import pytest
import torch
from helpers import loader, randomised, tiny_stack

from sae.errors import InputError
from sae.nets.activations import ACTIVATIONS
from sae.nets.dense import Dense
from sae.nets.layer import Code
from sae.nets.topk import TopK
from sae.terms.contractive import Contractive
from sae.training.pretrain import GreedyPretrainer
from sae.training.recipe import recipe
from sae.training.stacked import StackedAutoencoder


def norm(layer, x) -> torch.Tensor:
    return Contractive(1.0).statistic(layer, x, Code(layer.encode(x)))[0]


def test_the_penalty_against_hand_values():
    """2→1, W = (3, 4), b = 0: at x = (0, 0) h = 1/2, f' = 1/4, so 1/16 · 25."""
    layer = Dense(2, 1, "sigmoid")
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 4.0]]))
        layer.bias.zero_()
    x = torch.zeros(1, 2)
    assert norm(layer, x).item() == pytest.approx(25 / 16)
    # At x = (0, ln(3)/4): z = ln 3, h = 3/4, f' = 3/16, so 9/256 · 25; then the mean of both.
    both = torch.cat([x, torch.tensor([[0.0, torch.log(torch.tensor(3.0)) / 4]])])
    assert norm(layer, both).item() == pytest.approx((25 / 16 + 25 * 9 / 256) / 2)
    term = Contractive(0.1)
    assert term.value(term.statistic(layer, x, Code(x)), None).item() == pytest.approx(0.15625)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_is_the_norm_of_the_jacobian_that_autograd_finds(activation, tied):
    layer = randomised(Dense(5, 4, activation, tied=tied)).double()
    x = torch.randn(6, 5, dtype=torch.double)
    jacobians = [torch.autograd.functional.jacobian(layer.encode, one[None]) for one in x]
    expected = torch.stack([jacobian.square().sum() for jacobian in jacobians]).mean()
    assert norm(layer, x).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "silu"])
def test_its_gradient_is_that_through_the_jacobian(activation):
    layer = randomised(Dense(5, 4, activation)).double()
    x = torch.randn(3, 5, dtype=torch.double)
    parameters = [layer.weight, layer.bias]
    found = torch.autograd.grad(norm(layer, x), parameters)
    total = torch.zeros((), dtype=torch.double)
    for one in x:
        jacobian = torch.autograd.functional.jacobian(layer.encode, one[None], create_graph=True)
        total = total + jacobian.square().sum() / len(x)
    torch.testing.assert_close(found, torch.autograd.grad(total, parameters), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("net", [tiny_stack(), TopK(12, 6, k=2)], ids=["stack", "topk"])
def test_what_has_no_such_formula_is_refused(net):
    message = (
        r"^contractive: expected one dense layer, .* found a (Stack|TopK); use it only in pret"
    )
    with pytest.raises(InputError, match=message):
        recipe({"terms": ["contractive"]}).check_fits(net, (0.0, 1.0))


def test_training_with_it_contracts():
    norms = []
    for weight in (0.0, 1.0):
        model = StackedAutoencoder([12, 8], tied=True)
        terms = [{"kind": "contractive", "weight": weight}]
        plan = recipe({"epochs": 10, "lr": 0.01, "terms": terms})
        GreedyPretrainer([plan], recipe({"epochs": 0})).fit(model, loader(64), loader(16))
        norms.append(norm(model.stack[0], loader(64).x).item())
    assert norms[1] < norms[0] / 2


@pytest.mark.parametrize("weight", [-0.1, float("inf"), "much"])
def test_a_wrong_weight_is_one_sentence(weight):
    with pytest.raises(InputError, match=r"^terms\[0\]\.weight: expected a finite number"):
        recipe({"terms": [{"kind": "contractive", "weight": weight}]})
