"""Scale the features of samples before training."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, RobustScaler, StandardScaler

from sae.data.scaling import squash, unsquash
from sae.data.table_preparation import CONSTANT, Column, Seen
from sae.errors import check_choice

SCALERS = ("auto", "minmax", "standard", "robust", "squashed", "none")


class ColumnScaler(TransformerMixin, BaseEstimator):
    """Scale each column like a table on the command line: see :mod:`sae.data.scaling`.

    Args:
        kind: ``squashed``; or ``auto``, which is ``squashed`` for columns with outliers and
            ``standard`` for the others.

    Attributes:
        shift_: The number to subtract from each column, (features,).
        scale_: The number to divide each column by, (features,).
        squashed_: Which columns are squashed, bool, (features,).
    """

    def __init__(self, kind: str = "auto") -> None:
        self.kind = kind

    def fit(self, X: NDArray, y: Any = None) -> Self:
        """Fit the scale of each column.

        Args:
            X: Samples, (n, features).
            y: Ignored.
        """
        columns = [Column(str(k), scaling=self.kind) for k in range(X.shape[1])]
        seen = Seen(torch.from_numpy(np.array(X)), columns)
        decided = [seen.decide(k) for k in range(len(columns))]
        pairs = [
            (seen.mean[k], 1.0) if each.kind == CONSTANT else seen.scaling(k, each)
            for k, each in enumerate(decided)
        ]
        self.shift_, self.scale_ = (np.array(each, X.dtype) for each in zip(*pairs, strict=True))
        self.squashed_ = np.array([each.scaling == "squashed" for each in decided])
        return self

    def transform(self, X: NDArray) -> NDArray:
        """Scale samples: (n, features) -> (n, features), of the same type."""
        x = ((X - self.shift_) / self.scale_).astype(X.dtype)
        if self.squashed_.any():
            x[:, self.squashed_] = squash(torch.from_numpy(x[:, self.squashed_])).numpy()
        return np.asarray(x)

    def inverse_transform(self, x: NDArray) -> NDArray:
        """Convert scaled samples to the original units: (n, features) -> (n, features)."""
        return np.asarray(self.unsquashed(x) * self.scale_ + self.shift_).astype(x.dtype)

    def unsquashed(self, x: NDArray) -> NDArray:
        """Undo only the squashing of scaled samples: (n, features) -> (n, features)."""
        x = np.array(x)
        if self.squashed_.any():
            x[:, self.squashed_] = unsquash(torch.from_numpy(x[:, self.squashed_])).numpy()
        return x


_KINDS = {
    "minmax": MinMaxScaler,
    "standard": StandardScaler,
    "robust": RobustScaler,
    "none": FunctionTransformer,
}


def fitted_scaler(kind: str, X: NDArray) -> Any:
    """Create and fit a scaler with the methods of scikit-learn's scalers.

    Args:
        kind: ``minmax`` scales each feature to [0, 1]; ``standard`` to mean 0 and variance 1;
            ``robust`` to median 0 and a distance of 1 between the quartiles; ``squashed`` to median
            0 and the quartile distance of a normal distribution, with the logarithm of outliers;
            ``none`` changes nothing. ``auto`` is ``none`` if all values are in [0, 1]; otherwise it
            is ``squashed`` for features with outliers and ``standard`` for the others.
        X: Samples to fit it on, (n, features).

    Raises:
        InputError: ``kind`` is unknown.
    """
    check_choice("scaler", kind, SCALERS)
    if kind == "auto":
        kind = "none" if X.min() >= 0 and X.max() <= 1 else "auto"
    return ColumnScaler(kind).fit(X) if kind in ("auto", "squashed") else _KINDS[kind]().fit(X)


def scaled(scaler: Any, X: NDArray) -> NDArray:
    """Scale samples, (n, features); an array also if scikit-learn is set to return tables."""
    return np.asarray(scaler.transform(X))


def unscaled(scaler: Any, x: NDArray) -> NDArray:
    """Convert scaled samples to the original units, (n, features)."""
    return np.asarray(scaler.inverse_transform(x))
