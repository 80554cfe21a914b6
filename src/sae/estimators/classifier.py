"""A classifier whose layers are pretrained without labels."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d, validate_data

from sae.errors import InputError
from sae.estimators.estimator import TYPES, BaseAutoencoder, in_precision_of
from sae.objectives.classify import Classify


class AutoencoderClassifier(ClassifierMixin, BaseAutoencoder):
    """Classify samples with layers that are pretrained as autoencoders.

    The layers are pretrained on all samples without labels. Then they are trained on the labels,
    together with a classifier head (Bengio et al., 2007, "Greedy Layer-Wise Training of Deep
    Networks"). Some samples may have no label; whether they help depends on the data, so compare.

    Args:
        {arguments}
        unlabelled: The label of samples without a class, such as -1; None if all have a class.

    Attributes:
        classes_: The classes, (classes,), in the order of the probabilities.
        stack_: The trained layers, a :class:`~sae.nets.stack.Stack`, on the CPU.
        head_: The trained head, which computes the classes from the code.
        scaler_: The fitted scaler of the features, with the methods of scikit-learn's scalers.
        n_iter_: Number of epochs, over all phases.
        n_features_in_: Number of features of a sample.
        feature_names_in_: Names of the features, if ``fit`` got a table with names.

    Example:
        >>> from sklearn.datasets import load_wine
        >>> from sae.estimators import AutoencoderClassifier
        >>> X, y = load_wine(return_X_y=True)
        >>> y[::2] = -1  # half of them unknown
        >>> classifier = AutoencoderClassifier(epochs=20, unlabelled=-1, random_state=0).fit(X, y)
        >>> classifier.predict_proba(X).shape
        (178, 3)
        >>> bool(classifier.score(X[1::2], y[1::2]) > 0.9)
        True
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
        unlabelled: Any = None,
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
        self.unlabelled = unlabelled

    def _default_sizes(self, features: int) -> list[int]:
        """Two wide layers: a classifier needs no narrow code."""
        wide = min(256, max(32, 4 * features))
        return [wide, wide // 2]

    def _has_linear_code(self) -> bool:
        """Never: a linear head on a linear code would act as a single linear layer."""
        return False

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train on samples and their labels.

        Args:
            X: Samples, (n, features).
            y: Their classes, (n,): numbers or texts.

        Raises:
            InputError: There are fewer than two classes, some labels are None, ``epochs`` is 0, or
                another option is out of its range.
        """
        samples, given = validate_data(self, X, y, dtype=TYPES)
        given = column_or_1d(given, warn=True)
        absent = np.flatnonzero([label is None for label in given])
        if len(absent):
            found = f"None for {len(absent):,} of them, the first at sample {absent[0]}"
            remedy = "use a label that no class has, such as -1, and set unlabelled to it"
            raise InputError("y", "a label for each sample", found, remedy)
        check_classification_targets(given)
        known = np.arange(len(given))
        if self.unlabelled is not None:
            known = np.flatnonzero(given != self.unlabelled)
        self.classes_, labels = np.unique(given[known], return_inverse=True)
        if len(self.classes_) < 2:
            found, remedy = f"{len(self.classes_)}", "give labels of more than one class"
            raise InputError("y", "2 classes or more", found, remedy)
        if self.epochs == 0:
            remedy = "give a number of epochs"
            raise InputError("epochs", "1 or more, to learn the labels", "0", remedy)
        model = self._learn(samples, known, labels, "classify")
        assert isinstance(model.objective, Classify)
        self.head_ = model.objective.eval().requires_grad_(False)
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray:
        """The probability of each class: (n, features) -> (n, classes)."""
        return self._logits(X).softmax(dim=1).numpy()

    def predict_log_proba(self, X: ArrayLike) -> NDArray:
        """The logarithm of the probability of each class: (n, features) -> (n, classes)."""
        return self._logits(X).log_softmax(dim=1).numpy()

    def predict(self, X: ArrayLike) -> NDArray:
        """The most probable class of each sample: (n, features) -> (n,)."""
        best = self._logits(X).argmax(dim=1).numpy()
        return self.classes_[best]

    def _logits(self, X: ArrayLike) -> torch.Tensor:
        x = self._taken(X)
        return in_precision_of(x, self.head_).logits(torch.from_numpy(self._encoded(x)))
