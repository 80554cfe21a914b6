from __future__ import annotations

import numpy as np
import pytest
from helpers import tiny_data, tiny_model

from sae.look.knn import knn_accuracy
from sae.look.pca import fit_pca, pca_sse
from sae.training.evaluate import compare


def test_nearest_neighbours_by_hand():
    codes = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    # Among the five nearest of 1.0 are three zeros, of 4.0 three ones.
    assert knn_accuracy(codes, labels, np.array([[1.0], [4.0]]), np.array([0, 1])) == 100
    assert knn_accuracy(codes, labels, np.array([[1.0], [4.0]]), np.array([1, 1])) == 50


def test_compare_uses_the_training_images_and_the_code_size():
    data, model = tiny_data(), tiny_model()
    figures = {name: found.value for name, found in compare(model, data).items()}
    train, test = data.train.x.numpy() / 255, data.test.x / 255
    assert figures["pca_sse"] == pytest.approx(pca_sse(fit_pca(train, 3), [test], 3), rel=1e-4)
    given = {name: found.value for name, found in compare(model, data, fit_pca(train, 12)).items()}
    assert given == pytest.approx(figures, rel=1e-4)
    assert 0 <= figures["knn_accuracy"] <= 100
