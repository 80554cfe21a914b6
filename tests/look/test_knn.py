from __future__ import annotations

import numpy as np
from helpers import loader

from sae.look import knn
from sae.look.knn import knn_accuracy, to_compare


def test_nearest_neighbours_by_hand():
    codes = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    # Among the five nearest of 1.0 are three zeros, of 4.0 three ones.
    assert knn_accuracy(codes, labels, np.array([[1.0], [4.0]]), np.array([0, 1])) == 100
    assert knn_accuracy(codes, labels, np.array([[1.0], [4.0]]), np.array([1, 1])) == 50


def test_with_fewer_than_five_all_of_them_vote():
    codes, labels = np.array([[0.0], [1.0], [9.0]]), np.array([4, 4, 7])
    assert knn_accuracy(codes, labels, np.array([[9.0]]), np.array([7])) == 0
    assert knn_accuracy(codes, labels, np.array([[9.0]]), np.array([4])) == 100


def test_few_samples_are_all_compared_and_many_are_not(monkeypatch):
    data = loader(n=20)
    np.testing.assert_array_equal(to_compare(data), data.x.numpy())
    monkeypatch.setattr(knn, "MOST_COMPARED", 7)
    some = to_compare(data)
    assert some.shape == (7, 12)
    everything = {row.tobytes() for row in data.x.numpy()}
    assert len({row.tobytes() for row in some} & everything) == 7, "each of them once"
