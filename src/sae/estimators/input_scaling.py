"""How a table is brought to one scale before it is learnt."""

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
    """Scale each column as a table on the command line is: see :mod:`sae.data.scaling`.

    Args:
        kind: ``squashed``, or ``auto``: that for columns with values far out, and ``standard`` for
            the others.

    Attributes:
        shift_: What is taken off, (features,).
        scale_: What is divided by, (features,).
        squashed_: Which columns are squashed, (features,).
    """

    def __init__(self, kind: str = "auto") -> None:
        self.kind = kind

    def fit(self, X: NDArray, y: Any = None) -> Self:
        """Look at each column.

        Args:
            X: Samples, (n, features).
            y: Not looked at.
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
        """(n, features) -> (n, features), of the same precision."""
        x = ((X - self.shift_) / self.scale_).astype(X.dtype)
        if self.squashed_.any():
            x[:, self.squashed_] = squash(torch.from_numpy(x[:, self.squashed_])).numpy()
        return np.asarray(x)

    def inverse_transform(self, x: NDArray) -> NDArray:
        """(n, features) -> (n, features), in the units of the samples."""
        return np.asarray(self.unsquashed(x) * self.scale_ + self.shift_).astype(x.dtype)

    def unsquashed(self, x: NDArray) -> NDArray:
        """What is scaled as it were if nothing were squashed: (n, features) -> (n, features)."""
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
    """A scaler, with the methods of scikit-learn's.

    Args:
        kind: ``minmax`` brings each feature to [0, 1]; ``standard`` to mean 0 and variance 1;
            ``robust`` to median 0 and a distance of 1 between the quartiles; ``squashed`` to median
            0 and the distance between the quartiles of a normal distribution, and takes values far
            out by their logarithm; ``none`` leaves it. ``auto`` is ``none`` where all values lie in
            [0, 1], as those of images often do, else by column what a table has on the command
            line: ``squashed`` where a few values lie far out, and ``standard``.
        X: What it is fitted to, (n, features).

    Raises:
        InputError: There is no such kind.
    """
    check_choice("scaler", kind, SCALERS)
    if kind == "auto":
        kind = "none" if X.min() >= 0 and X.max() <= 1 else "auto"
    return ColumnScaler(kind).fit(X) if kind in ("auto", "squashed") else _KINDS[kind]().fit(X)


def scaled(scaler: Any, X: NDArray) -> NDArray:
    """Samples brought to one scale, (n, features), whatever scikit-learn is set to give."""
    return np.asarray(scaler.transform(X))


def unscaled(scaler: Any, x: NDArray) -> NDArray:
    """Back to the units that they had, (n, features)."""
    return np.asarray(scaler.inverse_transform(x))
