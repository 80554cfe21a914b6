"""A table of two numbers and two categories of two and three values, by hand."""

import math

import pytest
import torch
from helpers import randomised

from sae.nets.build import build_stack
from sae.nets.columns import Columns, is_missing, marked

COLUMNS = Columns(2, (2, 3))
# One sample: numbers 1 and -2, the first category has its second value, the second its third.
X = torch.tensor([[1.0, -2.0, 0.0, 1.0, 0.0, 0.0, 1.0]])
LN = math.log


def logits(*values):
    return torch.tensor([values], requires_grad=True)


def test_what_is_missing_is_told_from_zero():
    x = torch.tensor([[0.0, -0.0, 3.0, 5.0]])
    found = marked(x, torch.tensor([[False, False, False, True]]))
    assert is_missing(found).tolist() == [[False, False, False, True]]
    assert found.tolist() == [[0, 0, 3, 0]]
    # A copy, a batch, a sum with nothing: it stays what it is.
    assert is_missing(found.index_select(0, torch.tensor([0, 0])).clone())[1].tolist()[3]


def test_numbers_as_they_are_and_shares_that_sum_to_one():
    z = logits(3.0, -4.0, 0.0, LN(3), 0.0, LN(2), LN(5))
    expected = [3, -4, 1 / 4, 3 / 4, 1 / 8, 2 / 8, 5 / 8]
    assert COLUMNS.output(z, "identity")[0].tolist() == pytest.approx(expected)
    assert COLUMNS.output(z, "sigmoid")[0, 0].item() == pytest.approx(1 / (1 + math.exp(-3)))


def test_the_loss_and_its_gradient():
    z = logits(3.0, -4.0, 0.0, LN(3), 0.0, LN(2), LN(5))
    loss = COLUMNS.loss(z, X, "identity", "mse")
    # (3 - 1)² + (-4 + 2)² - ln 3/4 - ln 5/8
    assert loss.item() == pytest.approx(8 - LN(3 / 4) - LN(5 / 8))
    loss.backward()
    # 2 (x^ - x) of the numbers, p - x of the shares.
    assert z.grad[0].tolist() == pytest.approx([4, -4, 1 / 4, -1 / 4, 1 / 8, 2 / 8, -3 / 8])


def test_what_is_missing_costs_nothing_and_moves_nothing():
    missing = torch.tensor([[True, False, True, True, False, False, False]])
    z = logits(3.0, -4.0, 0.0, LN(3), 0.0, LN(2), LN(5))
    loss = COLUMNS.loss(z, marked(X, missing).masked_fill(missing, -0.0), "identity", "mse")
    assert loss.item() == pytest.approx(4 - LN(5 / 8))
    loss.backward()
    assert z.grad[0].tolist() == pytest.approx([0, -4, 0, 0, 1 / 8, 2 / 8, -3 / 8])


def test_cross_entropy_of_numbers_in_0_1():
    columns, x = Columns(2), marked(torch.tensor([[1.0, 0.3]]), torch.tensor([[False, True]]))
    z = logits(LN(4), 7.0)
    loss = columns.loss(z, x, "sigmoid", "bce")
    assert loss.item() == pytest.approx(-LN(4 / 5))
    loss.backward()
    assert z.grad[0].tolist() == pytest.approx([4 / 5 - 1, 0])


def test_the_mean_over_the_batch():
    one = COLUMNS.loss(logits(*[0.5] * 7), X, "identity", "mse")
    three = COLUMNS.loss(torch.full((3, 7), 0.5), X.expand(3, -1), "identity", "mse")
    assert three.item() == pytest.approx(one.item())


def test_squared_errors_of_what_is_there():
    missing = torch.tensor([[True, False, False, False, False, False, False]])
    errors = COLUMNS.errors(torch.zeros(1, 7), marked(X, missing))
    assert errors.tolist() == [[0, 4, 0, 1, 0, 0, 1]]


def test_it_starts_at_the_mean_of_numbers_and_the_shares_of_categories():
    mean = torch.tensor([0.5, -1.0, 0.25, 0.75, 0.0, 0.5, 0.5])
    found = COLUMNS.output(COLUMNS.start(mean, "identity")[None], "identity")[0]
    assert found.tolist() == pytest.approx(mean.tolist(), abs=2e-4)


def test_a_stack_ends_in_the_columns_of_its_first_layer():
    stack = randomised(build_stack([7, 4, 2], output="linear"))
    plain = stack.decode(torch.ones(1, 2))
    stack[0].columns = COLUMNS
    found = stack.decode(torch.ones(1, 2))
    assert found[:, :2].tolist() == plain[:, :2].tolist()
    assert found[:, 2:4].sum().item() == pytest.approx(1)
    assert found[:, 4:].sum().item() == pytest.approx(1)
    assert stack.below(1).columns is COLUMNS
    assert stack[1].columns is None
    h = stack.encode(X)
    expected = COLUMNS.loss(stack.decode_logits(h), X, "identity", "mse")
    assert stack.reconstruction_loss(h, X).item() == expected.item()
    assert stack.squared_error(found, X).item() == pytest.approx((found - X).square().sum().item())


def test_dense_layers_start_there():
    layer = build_stack([7, 4], output="linear")[0]
    layer.columns = COLUMNS
    mean = torch.tensor([0.5, -1.0, 0.25, 0.75, 0.2, 0.3, 0.5])
    layer.start_at_mean(mean)
    assert layer.decode(torch.zeros(1, 4))[0].tolist() == pytest.approx(mean.tolist())
