"""The code of an autoencoder as features, like PCA, but nonlinear."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from sae.errors import InputError
from sae.estimators.estimator import TYPES, BaseAutoencoder, chunks, in_precision_of
from sae.estimators.input_scaling import unscaled


class AutoencoderTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseAutoencoder):
    """Encode samples with a stacked autoencoder, and reconstruct them from their codes.

    Like PCA it finds a few numbers from which a sample can be reconstructed, but nonlinear ones.

    Args:
        {arguments}

    Attributes:
        stack_: The trained network, a :class:`~sae.nets.stack.Stack`, on the CPU.
        scaler_: The fitted scaler of the features, with the methods of scikit-learn's scalers.
        n_iter_: Number of epochs, over all phases.
        n_features_in_: Number of features of a sample.
        feature_names_in_: Names of the features, if ``fit`` got a table with names.

    Example:
        >>> from sklearn.datasets import load_wine
        >>> from sae.estimators import AutoencoderTransformer
        >>> X, _ = load_wine(return_X_y=True)
        >>> encoder = AutoencoderTransformer(sizes=(32, 4), epochs=20, random_state=0).fit(X)
        >>> encoder.transform(X).shape
        (178, 4)
        >>> encoder.inverse_transform(encoder.transform(X)).shape
        (178, 13)
        >>> bool(encoder.score(X) > 0.5)
        True
    """

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Train on samples.

        Args:
            X: Samples, (n, features).
            y: Ignored.
        """
        self._learn(validate_data(self, X, dtype=TYPES))
        return self

    def transform(self, X: ArrayLike) -> NDArray:
        """Encode samples: (n, features) -> (n, units)."""
        return self._encoded(self._taken(X))

    def inverse_transform(self, X: ArrayLike) -> NDArray:
        """Reconstruct samples from codes, in the original units: (n, units) -> (n, features).

        Args:
            X: Codes, as returned by :meth:`transform`, (n, units).

        Raises:
            InputError: The codes have another number of units.
        """
        check_is_fitted(self)
        codes = check_array(X, dtype=TYPES)
        if codes.shape[1] != self._n_features_out:
            expected, found = f"codes of {self._n_features_out} units", str(codes.shape[1])
            raise InputError("X", expected, found, "give the codes that transform returned")
        stack = in_precision_of(codes, self.stack_)
        rebuilt = np.concatenate([stack.decode(rows).numpy() for rows in chunks(codes)])
        return unscaled(self.scaler_, rebuilt)

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """The share of the variance of the scaled samples that the reconstructions explain (R²).

        Args:
            X: Samples, (n, features).
            y: Ignored.

        Returns:
            1 for exact reconstructions, 0 for reconstructions no better than the mean sample.
        """
        x = self._taken(X)
        return float(r2_score(x, self._rebuilt(x), multioutput="variance_weighted"))

    @property
    def _n_features_out(self) -> int:
        """Number of units of the code; used by scikit-learn."""
        return self.stack_.n_code
