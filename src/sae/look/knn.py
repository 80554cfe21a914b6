"""Whether samples of a class lie together: a vote among the nearest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sae.data.loader import TensorLoader
from sae.slow import said_if_slow

N_NEIGHBOURS = 5
# PCA and 5-NN look at no more training samples than these, nor does 5-NN at more test samples:
# what they need grows with all of them, and what they say hardly changes.
MOST_COMPARED = 100_000
MOST_ASKED = 20_000
Array = NDArray[np.float32]


def knn_accuracy(
    train_codes: Array, train_labels: Array, test_codes: Array, test_labels: Array
) -> float:
    """Accuracy, in percent, of a vote among the 5 nearest training codes of each test code.

    Args:
        train_codes: (n, units).
        train_labels: (n,).
        test_codes: (m, units).
        test_labels: (m,).
    """
    from sklearn.neighbors import KNeighborsClassifier

    neighbours = min(N_NEIGHBOURS, len(train_codes))
    classifier = KNeighborsClassifier(neighbours).fit(train_codes, train_labels)
    n, m = len(train_codes), len(test_codes)
    with said_if_slow(f"nearest neighbours of {m:,} codes among {n:,}"):
        return 100 * float(classifier.score(test_codes, test_labels))


def to_compare(loader: TensorLoader) -> Array:
    """All x of a loader, (n, features), or as many as PCA needs."""
    some = loader.sample(MOST_COMPARED)
    x = np.empty(some.x.shape, np.float32)  # filled part by part: no second copy at any time
    for (first, last), part in zip(some.chunks(), some.whole(), strict=True):
        x[first:last] = part.numpy()
    return x
