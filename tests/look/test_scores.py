"""Errors of samples, by hand."""

from __future__ import annotations

import torch
from helpers import tiny_stack
from torch import nn

from sae.look.scores import sample_errors, squared_errors, totals
from sae.nets.columns import Columns, marked
from sae.nets.layer import Autoencoder


class Half(nn.Module):
    """Gives half of what it is given; in training nothing."""

    columns, errors = None, Autoencoder.errors

    def forward(self, x):
        return torch.zeros_like(x) if self.training else x / 2


X = torch.tensor([[2.0, 0.0, 4.0], [-2.0, 6.0, 0.0]])


def test_each_feature_of_each_sample():
    found = squared_errors(Half().eval(), X)
    torch.testing.assert_close(found, torch.tensor([[1.0, 0, 4], [1, 9, 0]]))


def test_samples_of_all_batches_in_eval_mode():
    net = Half().train()
    assert sample_errors(net, [X[:1], X[1:]]).tolist() == [5, 10]
    assert net.training


def test_no_gradient_is_kept():
    assert not squared_errors(tiny_stack(), torch.rand(2, 12)).requires_grad


def test_what_is_missing_has_no_error():
    net = Half().eval()
    net.columns = Columns(3)
    x = marked(X, torch.tensor([[True, False, False], [False] * 3]))
    errors = squared_errors(net, x)
    assert errors[0].isnan().tolist() == [True, False, False]
    assert errors.nan_to_num(-1).tolist() == [[-1, 0, 4], [1, 9, 0]]


def test_a_sample_with_gaps_is_judged_on_the_scale_of_whole_ones():
    gap = torch.nan
    errors = torch.tensor([[1.0, 2, 3, 4], [1, gap, 3, gap], [gap, gap, gap, 0.5], [gap] * 4])
    found = totals(errors)
    assert found[:3].tolist() == [10, 8, 2]
    assert found[3].isnan()


def test_samples_without_any_feature_are_left_out():
    net = Half().eval()
    net.columns = Columns(3)
    x = marked(X, torch.tensor([[True] * 3, [False, False, True]]))
    assert sample_errors(net, [x]).tolist() == [15]
