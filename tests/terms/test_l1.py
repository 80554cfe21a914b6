from __future__ import annotations

import pytest
import torch
from helpers import loader, tiny_stack

from sae.errors import InputError
from sae.nets.layer import Code
from sae.terms.l1 import L1
from sae.training.recipe import recipe


def test_the_penalty_against_hand_values():
    """Per sample |0.5| + |-2| and |0| + |1|: 2.5 and 1, on the mean 1.75; 2 and 1 are active."""
    term = L1(weight=0.4)
    code = Code(torch.tensor([[0.5, -2.0], [0.0, 1.0]]))
    statistic = term.statistic(tiny_stack(), torch.zeros(2, 12), code)
    assert statistic.tolist() == [1.75, 1.5]
    assert term.value(statistic, None).item() == pytest.approx(0.7)
    assert term.shown(statistic)["active"].item() == 1.5


def test_its_gradient_is_the_weighted_sign_over_the_batch():
    h = torch.tensor([[0.5, -2.0], [3.0, -1.0]], requires_grad=True)
    term = L1(weight=0.4)
    term.value(term.statistic(tiny_stack(), h, Code(h)), 0).backward()
    assert torch.allclose(h.grad, torch.tensor([[0.2, -0.2], [0.2, -0.2]]))


def test_a_mean_of_parts_is_that_of_all():
    """So validation may take it in batches, and processes a share each."""
    h, term, net = torch.randn(6, 4), L1(), tiny_stack()
    parts = [term.statistic(net, h, Code(part)) for part in h.split(3)]
    whole = term.statistic(net, h, Code(h))
    torch.testing.assert_close(torch.stack(parts).mean(dim=0), whole)


def test_a_greater_weight_gives_a_smaller_code():
    from sae.training.pretrain import GreedyPretrainer
    from sae.training.stacked import StackedAutoencoder

    sizes = []
    for weight in (0.0, 0.3):
        model = StackedAutoencoder([12, 8], activation="relu", tied=True)
        plan = recipe({"epochs": 10, "lr": 0.01, "terms": [{"kind": "l1", "weight": weight}]})
        GreedyPretrainer([plan], recipe({"epochs": 0})).fit(model, loader(64), loader(16))
        sizes.append(model.encode(loader(64).x).abs().sum(dim=1).mean().item())
    assert sizes[1] < sizes[0] / 2


@pytest.mark.parametrize("weight", [-0.1, float("nan"), "much", None, True])
def test_a_wrong_weight_is_one_sentence(weight):
    with pytest.raises(InputError, match=r"^terms\[0\]\.weight: expected a finite number"):
        recipe({"terms": [{"kind": "l1", "weight": weight}]})
