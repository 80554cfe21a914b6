from __future__ import annotations

import numpy as np
import pytest

from sae.errors import InputError
from sae.estimators.scaling import SCALERS, fitted_scaler, scaled, unscaled

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
