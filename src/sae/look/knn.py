"""k-nearest-neighbour accuracy: do samples of one class have similar codes?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sae.data.loader import TensorLoader
from sae.slow import said_if_slow

N_NEIGHBOURS = 5
# PCA and 5-NN use at most MOST_COMPARED training samples, and 5-NN at most MOST_ASKED test samples.
# With more they take longer, and the results hardly change.
MOST_COMPARED = 100_000
MOST_ASKED = 20_000
Array = NDArray[np.float32]


def knn_accuracy(
    train_codes: Array, train_labels: Array, test_codes: Array, test_labels: Array
) -> float:
    """Return the accuracy, in percent, of a vote of the 5 nearest training codes of a test code.

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
    """Return the samples of a loader, (n, features), at most ``MOST_COMPARED``."""
    some = loader.sample(MOST_COMPARED)
    x = np.empty(some.x.shape, np.float32)  # filled in parts, to avoid a second copy
    for (first, last), part in zip(some.chunks(), some.whole(), strict=True):
        x[first:last] = part.numpy()
    return x
