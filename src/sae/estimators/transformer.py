"""The code of an autoencoder as features: what PCA is used for, by a network."""

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
    """Encode samples by a stacked autoencoder, and rebuild them from their codes.

    It finds a few numbers from which a sample can be rebuilt, as PCA does, but along curves too.

    Args:
        {arguments}

    Attributes:
        stack_: The trained network, a :class:`~sae.nets.stack.Stack`, on the CPU.
        scaler_: What brings samples to one scale, one of scikit-learn's.
        n_iter_: Epochs trained, over all trainings.
        n_features_in_: Features of a sample.
        feature_names_in_: Their names, where ``fit`` was given a table with names.

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
            y: Not looked at.
        """
        self._learn(validate_data(self, X, dtype=TYPES))
        return self

    def transform(self, X: ArrayLike) -> NDArray:
        """The codes of samples: (n, features) -> (n, units)."""
        return self._encoded(self._taken(X))

    def inverse_transform(self, X: ArrayLike) -> NDArray:
        """Samples rebuilt from codes, in their own units: (n, units) -> (n, features).

        Raises:
            InputError: The codes are of another size.
        """
        check_is_fitted(self)
        codes = check_array(X, dtype=TYPES)
        if codes.shape[1] != self._n_features_out:
            expected, found = f"codes of {self._n_features_out} units", str(codes.shape[1])
            raise InputError("X", expected, found, "give what transform gave")
        stack = in_precision_of(codes, self.stack_)
        rebuilt = np.concatenate([stack.decode(rows).numpy() for rows in chunks(codes)])
        return unscaled(self.scaler_, rebuilt)

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """How much of the variance of samples their reconstructions keep, on the common scale.

        Args:
            X: Samples, (n, features).
            y: Not looked at.

        Returns:
            1 where they are rebuilt exactly, 0 where no better than by their mean.
        """
        x = self._taken(X)
        return float(r2_score(x, self._rebuilt(x), multioutput="variance_weighted"))

    @property
    def _n_features_out(self) -> int:
        """Units of the code; scikit-learn asks for it."""
        return self.stack_.n_code
