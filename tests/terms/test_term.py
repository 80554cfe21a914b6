from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from helpers import tiny_stack

from sae.nets.layer import Code
from sae.terms.term import Term


class Sum(Term):
    name: ClassVar[str] = "sum"

    def statistic(self, net, x, code):
        return code.h.sum(dim=1).mean()

    def value(self, statistic, epoch):
        return 2 * statistic


def test_a_kind_needs_a_statistic_and_its_value_alone():
    term, net, x = Sum(), tiny_stack(), torch.rand(4, 12)
    term.check_fits(net)
    statistic = term.statistic(net, x, Code(torch.tensor([[1.0, 2.0], [3.0, 6.0]])))
    assert term.value(statistic, 0).item() == 12
    assert term.shown(statistic) == {}
    assert term.figures() == {}


def test_by_default_it_is_a_mean_of_what_each_sample_costs():
    assert not Term.of_the_batch
    assert Term.called == "penalty"


@pytest.mark.parametrize("method", ["statistic", "value"])
def test_without_either_it_is_no_kind(method):
    assert method in Term.__abstractmethods__
    with pytest.raises(TypeError, match=method):
        Term()
