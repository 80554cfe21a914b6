from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import tiny_data, tiny_model

from sae.evaluate import compare, fit_pca, knn_accuracy, pca_sse, rebuild


def test_pca_against_the_singular_value_decomposition():
    rng = np.random.default_rng(0)
    train, test = rng.random((50, 8)), rng.random((20, 8))
    mean = train.mean(axis=0)
    _, _, v = np.linalg.svd(train - mean)
    centred = test - mean
    by_hand = np.square(centred - centred @ v[:3].T @ v[:3]).sum(axis=1).mean()
    assert pca_sse(fit_pca(train, 5), torch.from_numpy(test).split(7), 3) == pytest.approx(by_hand)


def test_as_many_components_as_features_rebuild_everything():
    x = np.random.default_rng(0).random((50, 8))
    assert pca_sse(fit_pca(x, 20), [torch.from_numpy(x)], 20) == pytest.approx(0, abs=1e-12)


def test_rebuilding_is_scikit_learns_own():
    x = np.random.default_rng(0).random((50, 8))
    pca = fit_pca(x, 3)
    np.testing.assert_allclose(rebuild(pca, x, 3), pca.inverse_transform(pca.transform(x)))


def test_nearest_neighbours_by_hand():
    codes = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    # Among the five nearest of 1.0 are three zeros, of 4.0 three ones.
    assert knn_accuracy(codes, labels, np.array([[1.0], [4.0]]), np.array([0, 1])) == 100
    assert knn_accuracy(codes, labels, np.array([[1.0], [4.0]]), np.array([1, 1])) == 50


def test_compare_uses_the_training_images_and_the_code_size():
    data, model = tiny_data(), tiny_model()
    figures = compare(model, data)
    train, test = data.train.x.numpy() / 255, data.test.x / 255
    assert figures["pca_sse"] == pytest.approx(pca_sse(fit_pca(train, 3), [test], 3), rel=1e-4)
    assert compare(model, data, fit_pca(train, 12)) == pytest.approx(figures, rel=1e-4)
    assert 0 <= figures["knn_accuracy"] <= 100
