from __future__ import annotations

import numpy as np

from sae.look.knn import knn_accuracy


def test_nearest_neighbours_by_hand():
    codes = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    # Among the five nearest of 1.0 are three zeros, of 4.0 three ones.
    assert knn_accuracy(codes, labels, np.array([[1.0], [4.0]]), np.array([0, 1])) == 100
    assert knn_accuracy(codes, labels, np.array([[1.0], [4.0]]), np.array([1, 1])) == 50
