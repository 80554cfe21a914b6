"""How a table is brought to one scale before it is learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, RobustScaler, StandardScaler

from sae.errors import check_choice

SCALERS = ("auto", "minmax", "standard", "robust", "none")
_KINDS = {
    "minmax": MinMaxScaler,
    "standard": StandardScaler,
    "robust": RobustScaler,
    "none": FunctionTransformer,
}


def fitted_scaler(kind: str, X: NDArray) -> Any:
    """A scaler of scikit-learn's.

    Args:
        kind: ``minmax`` brings each feature to [0, 1]; ``standard`` to mean 0 and variance 1;
            ``robust`` to median 0 and a distance of 1 between the quartiles; ``none`` leaves it.
            ``auto`` is ``none`` where all values lie in [0, 1], as those of images often do, else
            ``standard``.
        X: What it is fitted to, (n, features).

    Raises:
        InputError: There is no such kind.
    """
    check_choice("scaler", kind, SCALERS)
    if kind == "auto":
        kind = "none" if X.min() >= 0 and X.max() <= 1 else "standard"
    return _KINDS[kind]().fit(X)


def scaled(scaler: Any, X: NDArray) -> NDArray:
    """Samples brought to one scale, (n, features), whatever scikit-learn is set to give."""
    return np.asarray(scaler.transform(X))


def unscaled(scaler: Any, x: NDArray) -> NDArray:
    """Back to the units that they had, (n, features)."""
    return np.asarray(scaler.inverse_transform(x))
