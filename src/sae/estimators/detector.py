"""A detector of outliers: samples that an autoencoder reconstructs badly."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OutlierMixin
from sklearn.utils.validation import validate_data

from sae.errors import check_number
from sae.estimators.estimator import TYPES, BaseAutoencoder
from sae.estimators.input_scaling import ColumnScaler, scaled


class AutoencoderDetector(OutlierMixin, BaseAutoencoder):
    """Detect samples that differ from the training samples: their reconstructions are bad.

    Args:
        {arguments}
        contamination: Share of the training samples that count as outliers, in (0, 0.5]. It sets
            the threshold of the score.

    Attributes:
        offset_: Threshold: a sample with a lower score is an outlier.
        stack_: The trained network, a :class:`~sae.nets.stack.Stack`, on the CPU.
        scaler_: The fitted scaler of the features, with the methods of scikit-learn's scalers.
        n_iter_: Number of epochs, over all phases.
        n_features_in_: Number of features of a sample.
        feature_names_in_: Names of the features, if ``fit`` got a table with names.

    Example:
        >>> import numpy as np
        >>> from sklearn.datasets import load_wine
        >>> from sae.estimators import AutoencoderDetector
        >>> X, y = load_wine(return_X_y=True)
        >>> detector = AutoencoderDetector(epochs=20, random_state=0).fit(X[y == 0])
        >>> ours, others = detector.score_samples(X[y == 0]), detector.score_samples(X[y != 0])
        >>> bool(np.median(ours) > np.median(others))
        True
        >>> int((detector.predict(X[y == 0]) == -1).sum())  # a tenth of 59
        6
    """

    def __init__(
        self,
        sizes: Any = None,
        *,
        activation: str = "silu",
        scaler: str = "auto",
        noise: float = 0.0,
        sparsity: float | None = None,
        pretrain_epochs: int = 25,
        epochs: int = 100,
        lr: float = 0.005,
        batch_size: int | str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        device: str = "auto",
        contamination: float = 0.1,
    ) -> None:
        super().__init__(
            sizes,
            activation=activation,
            scaler=scaler,
            noise=noise,
            sparsity=sparsity,
            pretrain_epochs=pretrain_epochs,
            epochs=epochs,
            lr=lr,
            batch_size=batch_size,
            random_state=random_state,
            verbose=verbose,
            device=device,
        )
        self.contamination = contamination

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Train on samples, most of which are not outliers.

        Args:
            X: Samples, (n, features).
            y: Ignored.

        Raises:
            InputError: An option is out of its range.
        """
        remedy = "give the share of the samples that are outliers, such as 0.1"
        check_number("contamination", self.contamination, 0.0, 0.5, remedy, low_open=True)
        samples = validate_data(self, X, dtype=TYPES)
        self._learn(samples)
        scores = self._scores(scaled(self.scaler_, samples))
        self.offset_ = float(np.percentile(scores, 100 * self.contamination))
        return self

    def score_samples(self, X: ArrayLike) -> NDArray:
        """Score samples: (n, features) -> (n,); a lower score means a more unusual sample.

        The score is the negative squared error, averaged over the scaled features. For squashed
        features the error is computed without the logarithm that training uses.
        """
        return self._scores(self._taken(X))

    def decision_function(self, X: ArrayLike) -> NDArray:
        """The score minus ``offset_``, (n,): negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> NDArray:
        """1 for samples like those of ``fit``, -1 for outliers: (n, features) -> (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _scores(self, x: NDArray) -> NDArray:
        rebuilt = self._rebuilt(x)
        if isinstance(self.scaler_, ColumnScaler):
            # For an outlier, an error of a third is large, but small in its logarithm.
            x, rebuilt = (self.scaler_.unsquashed(each.astype(float)) for each in (x, rebuilt))
        return -np.square(rebuilt - x).mean(axis=1)
