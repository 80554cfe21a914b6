from __future__ import annotations

import numpy as np
import pytest
import torch

from sae.data.table_preparation import Column, TablePreparation
from sae.errors import InputError
from sae.estimators.input_scaling import SCALERS, fitted_scaler, scaled, unscaled

X = np.array([[0.0, 5.0], [2.0, 5.0], [4.0, 5.0], [10.0, 5.0]])


@pytest.mark.parametrize(
    ("kind", "first"),
    [
        ("minmax", [0, 0.2, 0.4, 1]),
        ("standard", np.array([-4, -2, 0, 6]) / np.sqrt(14)),
        ("robust", np.array([-3, -1, 1, 7]) / 4),  # quartiles 1.5 and 5.5
        ("none", [0, 2, 4, 10]),
        ("auto", np.array([-4, -2, 0, 6]) / np.sqrt(14)),
    ],
)
def test_each_brings_a_feature_to_its_scale_and_back(kind, first):
    scaler = fitted_scaler(kind, X)
    x = scaled(scaler, X)
    np.testing.assert_allclose(x[:, 0], first)
    assert (x[:, 1] == x[0, 1]).all()  # one that does not vary
    np.testing.assert_allclose(unscaled(scaler, x), X)


def test_auto_leaves_what_lies_between_0_and_1():
    np.testing.assert_array_equal(scaled(fitted_scaler("auto", X / 10), X), X)
    assert scaled(fitted_scaler("auto", X / 10 - 0.01), X)[0, 0] != 0


def test_another_is_refused():
    with pytest.raises(InputError, match=", ".join(SCALERS)):
        fitted_scaler("log", X)


def test_auto_squashes_the_columns_of_values_far_out():
    x = np.random.default_rng(0).normal(50, 9, (500, 2))
    x[:5, 0] = 100_000
    scaler = fitted_scaler("auto", x)
    assert scaler.squashed_.tolist() == [True, False]
    found = scaled(scaler, x)
    np.testing.assert_allclose(found[5:, 0].std(), 1, atol=0.1)
    np.testing.assert_allclose(found[:, 1], scaled(fitted_scaler("standard", x), x)[:, 1])
    np.testing.assert_allclose(unscaled(scaler, found), x)


@pytest.mark.parametrize("kind", ["auto", "squashed"])
def test_it_is_what_a_table_has_on_the_command_line(kind):
    x = np.random.default_rng(1).normal(50, 9, (300, 3))
    x[7, 2] = -1e6
    raw = torch.from_numpy(x.astype("f4"))
    columns = [Column(str(k), scaling=kind) for k in range(3)]
    table, _ = TablePreparation.fit(raw, columns)
    np.testing.assert_allclose(
        scaled(fitted_scaler(kind, x), x), table(raw).numpy(), rtol=1e-4, atol=1e-4
    )


def test_pixels_that_are_seldom_on_are_not_far_out():
    from sklearn.datasets import load_digits

    assert not fitted_scaler("auto", load_digits().data).squashed_.any()
