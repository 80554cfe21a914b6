from __future__ import annotations

import pytest
import torch
from helpers import place_of, tiny_model, tiny_stack
from torch import nn

from sae.batch import Batch
from sae.objectives.objective import Objective


class Norm(Objective):
    """As little as a kind must define."""

    def losses(self, net, h, batch, place):
        return {"loss": h.square().sum(dim=1).mean()}

    def measure(self, net, h, batch, place, losses):
        return losses or self.losses(net, h, batch, place)


class OfTheCode(Norm):
    reconstructs = False


def test_what_a_kind_does_not_say_is_nothing():
    objective, net, batch = Norm(), tiny_stack(), Batch(torch.rand(4, 12))
    place = place_of(tiny_model(), batch.x)
    objective.attach(net, 3)
    objective.reset_parameters(torch.Generator())
    assert objective.prepare(batch, place) is batch
    assert objective.restored(net, batch.x, batch) == objective.tested(net, batch, place) == {}
    assert objective.figures() == objective.predict(net, batch) == objective.tables({}, 4) == {}
    means = {"loss": torch.ones(())}
    assert objective.finish(net, means) is means
    assert objective.unit(net) == "loss per sample"
    assert objective.path([784, 32]) == "784→32→784"
    assert (objective.monitor, objective.lr_factor, objective.part) == ("val/loss", 1, "objective")
    assert not objective.needs_labels


def test_the_code_is_that_of_the_network_in_training():
    net, x = tiny_stack(), torch.rand(4, 12)
    code = Norm().code(net, x, place_of(tiny_model(), x))
    assert torch.equal(code.h, net.encode(x))


def test_all_parameters_are_trained_or_the_encoders_alone():
    net = tiny_stack()
    assert {id(p) for p in Norm().trained(net)} == {id(p) for p in net.parameters()}
    encoders = {id(p) for layer in net for p in (layer.weight, layer.bias)}
    assert {id(p) for p in OfTheCode().trained(net)} == encoders


def test_parameters_of_its_own_are_saved_with_it():
    objective = Norm()
    objective.head = nn.Linear(3, 2)
    assert set(objective.state_dict()) == {"head.weight", "head.bias"}


@pytest.mark.parametrize("method", ["losses", "measure"])
def test_without_either_it_is_no_kind(method):
    assert method in Objective.__abstractmethods__
    with pytest.raises(TypeError, match=method):
        Objective()
